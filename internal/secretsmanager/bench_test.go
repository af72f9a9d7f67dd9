package secretsmanager_test

import (
	"fmt"
	"testing"

	"coffer/internal/api"
	smapi "coffer/internal/api/secretsmanager"
)

// The hot path without the wire: row from the cache, one call of the (fake)
// KMS, one opening.
func BenchmarkGetSecretValue(b *testing.B) {
	w := newWorld(b)
	c := w.root()
	c.create("s", "0123456789abcdef0123456789abcdef")
	in := &smapi.GetSecretValueInput{SecretId: new("s")}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := call(c, smapi.GetSecretValue, in); err != nil {
			b.Fatal(err)
		}
	}
	w.kms.calls = nil
}

func BenchmarkPutSecretValue(b *testing.B) {
	w := newWorld(b)
	w.twice = false
	c := w.root()
	for i := range 1000 {
		c.create(fmt.Sprint("s", i), "")
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		in := &smapi.PutSecretValueInput{SecretId: new(fmt.Sprint("s", n%1000)), ClientRequestToken: token(fmt.Sprint("v", n)), SecretString: api.Sensitive("0123456789abcdef0123456789abcdef")}
		if _, err := call(c, smapi.PutSecretValue, in); err != nil {
			if n > 100000 {
				b.Skip("the quota of versions is reached")
			}
			b.Fatal(err)
		}
	}
}

// A page of 100 in the middle of 20,000 secrets, by each way of finding them.
func BenchmarkListSecrets(b *testing.B) {
	w := newWorld(b)
	w.twice = false
	c := w.root()
	for i := range 20000 {
		c.create(fmt.Sprintf("app%03d/secret%05d", i%1000, i), "")
	}
	for name, in := range map[string]smapi.ListSecretsInput{
		"created":    {},
		"name":       {SortBy: new("name")},
		"prefix":     {Filters: []smapi.Filter{filter("name", "app500/")}},
		"prefix10":   {Filters: []smapi.Filter{filter("name", "app50", "app51", "app52", "app53")}},
		"prefixmany": {Filters: []smapi.Filter{filter("name", "app")}},
		"nomatch":    {Filters: []smapi.Filter{filter("tag-key", "none")}},
	} {
		for range 3 {
			out, err := call(c, smapi.ListSecrets, &in)
			if err != nil {
				b.Fatal(err)
			}
			if out.NextToken != nil {
				in.NextToken = out.NextToken
			}
		}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := call(c, smapi.ListSecrets, &in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

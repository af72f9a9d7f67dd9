package iam

import (
	"context"
	"crypto/x509"
	"net/url"
	"os"
	"strings"
	"testing"

	"coffer/internal/api"
	iamapi "coffer/internal/api/iam"
	"coffer/internal/fault"
	"coffer/internal/table"
)

var longPart = strings.Repeat("p", 500)

// Metadata from anybody is read or refused; what is taken from it is whole.
func FuzzParseMetadata(f *testing.F) {
	good, err := os.ReadFile("testdata/metadata.xml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(good))
	f.Add(strings.ReplaceAll(string(good), "md:", ""))
	f.Add("<!DOCTYPE x><a/>")
	f.Add("<a xmlns:b=\"c\"><b:d e=\"f\" e=\"g\"/></a>")
	f.Fuzz(func(t *testing.T, text string) {
		idp, err := parseMetadata(text)
		if err != nil {
			return
		}
		if idp.EntityID == "" || len(idp.EntityID) > maxEntityID || len(idp.Certificates) == 0 {
			t.Errorf("%+v", idp)
		}
		for _, der := range idp.Certificates {
			if _, err := x509.ParseCertificate(der); err != nil {
				t.Error(err)
			}
		}
	})
}

// A provider's URL is one that every reader reads alike: what follows the scheme is an ARN's
// resource and a condition key's vendor.
func FuzzParseProviderURL(f *testing.F) {
	for _, s := range []string{"https://a.example/x", "https://[::1]:8443", "https://a@b", "https://a/%41", "https://a?b", "http://a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		rest, err := parseProviderURL(text)
		if err != nil {
			return
		}
		u, perr := url.Parse("https://" + rest)
		if perr != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Hostname() == "" || "https://"+rest != text || strings.ContainsAny(rest, " *?#@%\"'<>\\") {
			t.Errorf("%q is taken: %v", text, perr)
		}
		if _, name, err := parseARN("arn:aws:iam::111122223333:oidc-provider/"+rest, "oidc-provider"); err != nil || name != rest {
			t.Errorf("%q makes the ARN of %q, %v", rest, name, err)
		}
	})
}

// A marker from anybody is a place in the listing, or refused.
func FuzzMarker(f *testing.F) {
	for _, s := range []string{*marker("\x00a"), *marker(table.Key("\x00" + longPart)), "AA", "", "AQ"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := newPage(&text, nil)
		if err != nil {
			return
		}
		if p.after == "" || p.after[0] != 0 {
			t.Errorf("%q begins behind %q", text, p.after)
		}
		all := []string{"a", "b", longPart}
		some, _, err := part(all, func(s *string) table.Key { return table.K(*s) }, &text, nil)
		if err == nil && len(some) > len(all) {
			t.Errorf("%q shows %d of %d", text, len(some), len(all))
		}
	})
}

// Simulations take whatever policies, actions, resources and values they are given, and say that
// a call is allowed only where a statement that is shown allows it.
func FuzzSimulate(f *testing.F) {
	const some = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::${aws:username}/*","Condition":{"StringLike":{"aws:SourceVpce":"vpce-*"}}}]}`
	f.Add(some, "", "s3:GetObject", "arn:aws:s3:::ana/x", "aws:SourceVpce", "vpce-1", "")
	f.Add(`{"Statement":{"Effect":"Deny","NotAction":"*","Resource":"*"}}`, some, "kms:Decrypt", "*", "aws:username", "*", "arn:aws:iam::111122223333:user/ana")
	f.Fuzz(func(t *testing.T, text, boundary, action, resource, key, value, caller string) {
		sc := &scenario{policies: []string{text}, actions: []string{action}, resources: []string{resource}, entries: []iamapi.ContextEntry{{ContextKeyName: &key, ContextKeyValues: []string{value}}}}
		if boundary != "" {
			sc.boundaries = []string{boundary}
		}
		if caller != "" {
			sc.caller = &caller
		}
		// Another account than any caller's: no rows are read.
		r := &api.Request{Context: context.Background(), Account: "999999999999", Region: "eu-west-1"}
		if strings.Contains(caller, r.Account) {
			return
		}
		results, _, err := simulate(r, sc, &Standing{policies: noPolicies, place: &place{}}, nil)
		if err != nil {
			if _, ok := fault.As(err); !ok {
				t.Error(err)
			}
			return
		}
		for _, got := range results {
			if *got.EvalDecision == evalAllowed && len(got.MatchedStatements) == 0 {
				t.Errorf("%s on %s is allowed by nothing", action, resource)
			}
			for _, m := range got.MatchedStatements {
				s, e := m.StartPosition, m.EndPosition
				if *s.Line < 1 || *s.Column < 1 || *e.Line < *s.Line || *e.Line == *s.Line && *e.Column <= *s.Column {
					t.Errorf("a statement from %d:%d to %d:%d", *s.Line, *s.Column, *e.Line, *e.Column)
				}
			}
		}
	})
}

package secretsmanager_test

import (
	"regexp"
	"strings"
	"testing"

	"coffer/internal/api"
	smapi "coffer/internal/api/secretsmanager"
	"coffer/internal/fault"
	"coffer/internal/secretsmanager"
)

const noSecret = "Secrets Manager can't find the specified secret."

// What spec §3 says on names and ARNs, complete and partial.
func TestLookup(t *testing.T) {
	c := newWorld(t).root()
	arns := map[string]string{}
	for _, name := range []string{"plain", "app/db", "x-a1b2c3", "x-a1b2", "x-a1b2c3-", "x", "Plain"} {
		arns[name] = *c.create(name, "value of "+name).ARN
	}
	const prefix = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:"
	otherSuffix := func(a string) string {
		last := byte('A')
		if a[len(a)-1] == 'A' {
			last = 'B'
		}
		return a[:len(a)-1] + string(last)
	}
	for _, tc := range []struct{ rule, id, finds string }{
		{"a name", "plain", "plain"},
		{"names have case", "Plain", "Plain"},
		{"an unknown name", "PLAIN", ""},
		{"no prefix match", "app", ""},
		{"a complete ARN", arns["app/db"], "app/db"},
		{"a partial ARN", prefix + "app/db", "app/db"},
		{"a complete ARN with another suffix", otherSuffix(arns["app/db"]), ""},
		{"the case of the suffix counts", prefix + "plain-" + swapCase(arns["plain"][len(arns["plain"])-6:]), ""},
		{"a name that ends like an ARN, by name", "x-a1b2c3", "x-a1b2c3"},
		{"by its complete ARN", arns["x-a1b2c3"], "x-a1b2c3"},
		{"its partial ARN reads as a complete one", prefix + "x-a1b2c3", ""},
		{"four characters at the end work by partial ARN", prefix + "x-a1b2", "x-a1b2"},
		{"a hyphen at the end works by partial ARN", prefix + "x-a1b2c3-", "x-a1b2c3-"},
		{"another region's ARN", strings.Replace(arns["plain"], "eu-west-1", "eu-west-2", 1), ""},
		{"an ARN of another service", "arn:aws:kms:eu-west-1:111122223333:secret:plain", ""},
		{"an ARN of something else", "arn:aws:secretsmanager:eu-west-1:111122223333:thing:plain", ""},
		{"not quite an ARN", "arn:aws:secretsmanager", ""},
		{"only the scheme", "arn:", ""},
		{"an ARN without a name", prefix, ""},
		{"an ARN whose name has other characters", prefix + "a b*", ""},
		{"an owned secret's name may be looked up", "rds!db-1", ""},
	} {
		out, err := call(c, smapi.GetSecretValue, &smapi.GetSecretValueInput{SecretId: &tc.id})
		if tc.finds == "" {
			if fault.Code(err) != "ResourceNotFoundException" {
				t.Errorf("%s:", tc.rule)
			}
			wantFault(t, out, err, "ResourceNotFoundException", noSecret)
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tc.rule, err)
		} else if *out.Name != tc.finds || *out.ARN != arns[tc.finds] || string(out.SecretString) != "value of "+tc.finds {
			t.Errorf("%s: finds %s", tc.rule, *out.Name)
		}
	}
}

func swapCase(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A'
		case 'A' <= r && r <= 'Z':
			return r - 'A' + 'a'
		case r == '9':
			return '0'
		}
		return r + 1
	}, s)
}

// Another account's secret is refused before it is known whether it exists, in
// the words of the real service, with the id as it was sent.
func TestLookupOfAnotherAccount(t *testing.T) {
	w := newWorld(t)
	there := *w.root().create("s", "1").ARN
	for _, id := range []string{there, "arn:aws:secretsmanager:eu-west-1:111122223333:secret:s", "arn:aws:secretsmanager:eu-west-1:111122223333:secret:none", "arn:aws:secretsmanager:eu-central-1:111122223333:secret:s"} {
		out, err := call(w.as(other), smapi.GetSecretValue, &smapi.GetSecretValueInput{SecretId: &id})
		wantFault(t, out, err, "AccessDeniedException",
			"User: arn:aws:iam::444455556666:root is not authorized to perform: secretsmanager:GetSecretValue on resource: "+id+
				" because no resource-based policy allows the secretsmanager:GetSecretValue action")
	}
	// A name is always the caller's own.
	out, err := call(w.as(other), smapi.GetSecretValue, &smapi.GetSecretValueInput{SecretId: new("s")})
	wantFault(t, out, err, "ResourceNotFoundException", noSecret)
	out, err = call(w.in("us-east-1"), smapi.GetSecretValue, &smapi.GetSecretValueInput{SecretId: new("s")})
	wantFault(t, out, err, "ResourceNotFoundException", noSecret)
	// And regions are name spaces of their own.
	if a := *w.in("us-east-1").create("s", "2").ARN; !strings.HasPrefix(a, "arn:aws:secretsmanager:us-east-1:111122223333:secret:s-") {
		t.Errorf("ARN %s", a)
	}
}

// Name syntax comes before everything else, for every operation that takes a name.
func TestNameSyntax(t *testing.T) {
	c := newWorld(t).root()
	const text = "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!"
	for _, name := range []string{"a b", "a*", "a?", "a]", `a\b`, " a", "a ", "ä", "a:b", "a\x00", "a\n"} {
		check := func(op string, err error) {
			t.Helper()
			if f, ok := fault.As(err); !ok || f.Code != "ValidationException" || f.Message != text {
				t.Errorf("%s %q: %v", op, name, err)
			}
		}
		id, v := &name, api.Sensitive("x")
		_, err := call(c, smapi.CreateSecret, &smapi.CreateSecretInput{Name: id, SecretString: v})
		check("CreateSecret", err)
		_, err = call(c, smapi.DeleteSecret, &smapi.DeleteSecretInput{SecretId: id, ForceDeleteWithoutRecovery: new(true)})
		check("DeleteSecret", err)
		_, err = call(c, smapi.DescribeSecret, &smapi.DescribeSecretInput{SecretId: id})
		check("DescribeSecret", err)
		_, err = call(c, smapi.GetSecretValue, &smapi.GetSecretValueInput{SecretId: id})
		check("GetSecretValue", err)
		_, err = call(c, smapi.ListSecretVersionIds, &smapi.ListSecretVersionIdsInput{SecretId: id})
		check("ListSecretVersionIds", err)
		_, err = call(c, smapi.PutSecretValue, &smapi.PutSecretValueInput{SecretId: id, SecretString: v})
		check("PutSecretValue", err)
		_, err = call(c, smapi.TagResource, &smapi.TagResourceInput{SecretId: id, Tags: []smapi.Tag{}})
		check("TagResource", err)
		_, err = call(c, smapi.UntagResource, &smapi.UntagResourceInput{SecretId: id, TagKeys: []string{}})
		check("UntagResource", err)
		_, err = call(c, smapi.UpdateSecret, &smapi.UpdateSecretInput{SecretId: id, SecretString: v})
		check("UpdateSecret", err)
		_, err = call(c, smapi.ValidateResourcePolicy, &smapi.ValidateResourcePolicyInput{SecretId: id, ResourcePolicy: new("{}")})
		check("ValidateResourcePolicy", err)
	}
	// Users may look up names with "!", and not create them.
	_, err := call(c, smapi.CreateSecret, &smapi.CreateSecretInput{Name: new("rds!x")})
	wantFault[int](t, nil, err, "ValidationException", text)
}

// The token is asked for before the secret is looked for.
func TestTokenComesBeforeExistence(t *testing.T) {
	c := newWorld(t).root()
	const text = "You must provide a ClientRequestToken value. We recommend a UUID-type value."
	v := api.Sensitive("x")
	_, err := call(c, smapi.PutSecretValue, &smapi.PutSecretValueInput{SecretId: new("none"), SecretString: v})
	wantFault[int](t, nil, err, "InvalidRequestException", text)
	_, err = call(c, smapi.UpdateSecret, &smapi.UpdateSecretInput{SecretId: new("none"), SecretString: v})
	wantFault[int](t, nil, err, "InvalidRequestException", text)
	_, err = call(c, smapi.UpdateSecret, &smapi.UpdateSecretInput{SecretId: new("none"), SecretBinary: v})
	wantFault[int](t, nil, err, "InvalidRequestException", text)
	_, err = call(c, smapi.CreateSecret, &smapi.CreateSecretInput{Name: new("none"), SecretString: v})
	wantFault[int](t, nil, err, "InvalidRequestException", text)
	// Without a value there is no version that would need an id.
	_, err = call(c, smapi.UpdateSecret, &smapi.UpdateSecretInput{SecretId: new("none"), Description: new("d")})
	wantFault[int](t, nil, err, "ResourceNotFoundException", noSecret)
	if _, err = call(c, smapi.CreateSecret, &smapi.CreateSecretInput{Name: new("none")}); err != nil {
		t.Error(err)
	}
}

// Every operation on a secret that does not exist, and on one marked for
// deletion.
func TestMissingAndMarked(t *testing.T) {
	c := newWorld(t).root()
	c.create("marked", "1")
	if _, err := call(c, smapi.DeleteSecret, &smapi.DeleteSecretInput{SecretId: new("marked")}); err != nil {
		t.Fatal(err)
	}
	v := api.Sensitive("x")
	const policy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"secretsmanager:GetSecretValue","Resource":"*"}]}`
	for _, tc := range []struct {
		op      string
		allowed bool // on a marked secret
		do      func(id *string) error
	}{
		{"GetSecretValue", false, func(id *string) error {
			_, err := call(c, smapi.GetSecretValue, &smapi.GetSecretValueInput{SecretId: id})
			return err
		}},
		{"PutSecretValue", false, func(id *string) error {
			_, err := call(c, smapi.PutSecretValue, &smapi.PutSecretValueInput{SecretId: id, SecretString: v, ClientRequestToken: token("v2")})
			return err
		}},
		{"UpdateSecret", false, func(id *string) error {
			_, err := call(c, smapi.UpdateSecret, &smapi.UpdateSecretInput{SecretId: id, Description: new("d")})
			return err
		}},
		{"UpdateSecretVersionStage", false, func(id *string) error {
			_, err := call(c, smapi.UpdateSecretVersionStage, &smapi.UpdateSecretVersionStageInput{SecretId: id, VersionStage: new("x"), MoveToVersionId: token("v1")})
			return err
		}},
		{"TagResource", false, func(id *string) error {
			_, err := call(c, smapi.TagResource, &smapi.TagResourceInput{SecretId: id, Tags: []smapi.Tag{{Key: new("k"), Value: new("v")}}})
			return err
		}},
		{"UntagResource", false, func(id *string) error {
			_, err := call(c, smapi.UntagResource, &smapi.UntagResourceInput{SecretId: id, TagKeys: []string{"k"}})
			return err
		}},
		{"GetResourcePolicy", false, func(id *string) error {
			_, err := call(c, smapi.GetResourcePolicy, &smapi.GetResourcePolicyInput{SecretId: id})
			return err
		}},
		{"PutResourcePolicy", false, func(id *string) error {
			_, err := call(c, smapi.PutResourcePolicy, &smapi.PutResourcePolicyInput{SecretId: id, ResourcePolicy: new(policy)})
			return err
		}},
		{"DeleteResourcePolicy", false, func(id *string) error {
			_, err := call(c, smapi.DeleteResourcePolicy, &smapi.DeleteResourcePolicyInput{SecretId: id})
			return err
		}},
		{"ValidateResourcePolicy", false, func(id *string) error {
			_, err := call(c, smapi.ValidateResourcePolicy, &smapi.ValidateResourcePolicyInput{SecretId: id, ResourcePolicy: new(policy)})
			return err
		}},
		{"DeleteSecret", false, func(id *string) error {
			_, err := call(c, smapi.DeleteSecret, &smapi.DeleteSecretInput{SecretId: id})
			return err
		}},
		{"DescribeSecret", true, func(id *string) error {
			_, err := call(c, smapi.DescribeSecret, &smapi.DescribeSecretInput{SecretId: id})
			return err
		}},
		{"ListSecretVersionIds", true, func(id *string) error {
			_, err := call(c, smapi.ListSecretVersionIds, &smapi.ListSecretVersionIdsInput{SecretId: id})
			return err
		}},
		{"RestoreSecret", true, func(id *string) error {
			_, err := call(c, smapi.RestoreSecret, &smapi.RestoreSecretInput{SecretId: id})
			return err
		}},
	} {
		t.Run(tc.op, func(t *testing.T) {
			wantFault[int](t, nil, tc.do(new("missing")), "ResourceNotFoundException", noSecret)
			err := tc.do(new("marked"))
			if !tc.allowed {
				wantFault[int](t, nil, err, "InvalidRequestException", "You can't perform this operation on the secret because it was marked for deletion.")
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

func FuzzParseSecretID(f *testing.F) {
	for _, s := range []string{"a", "app/db", "a-b1c2d3", "rds!x", "arn:", "arn:aws:secretsmanager:eu-west-1:111122223333:secret:a-b1c2d3",
		"arn:aws:secretsmanager:eu-west-1:111122223333:secret:a", "arn:aws:secretsmanager:eu-west-1:1:secret:a", "arn:::::", "arn:aws:secretsmanager:eu-west-1:111122223333:secret:-b1c2d3"} {
		f.Add(s)
	}
	r := &api.Request{Account: account, Region: region}
	valid := regexp.MustCompile(`^[A-Za-z0-9/_+=.@!-]+$`)
	f.Fuzz(func(t *testing.T, id string) {
		owner, name, suffix, arn, err := secretsmanager.ParseSecretID(id, r)
		isARN := strings.HasPrefix(id, "arn:")
		if (err == nil) != (isARN || valid.MatchString(id)) {
			t.Fatalf("%q: %v", id, err)
		}
		if err != nil {
			return
		}
		if !isARN && (owner != account || name != id || suffix != "") {
			t.Fatalf("%q: a name that means %s %s %s", id, owner, name, suffix)
		}
		// What is authorized belongs to who is asked, and is what was named.
		if !strings.HasPrefix(arn, "arn:") || !strings.Contains(arn, ":"+owner+":") || !strings.HasSuffix(arn, id) {
			t.Fatalf("%q: owner %s, authorized on %s", id, owner, arn)
		}
		if isARN && name != "" {
			whole := name
			if suffix != "" {
				whole += "-" + suffix
			}
			if want := "arn:aws:secretsmanager:" + region + ":" + owner + ":secret:" + whole; want != id {
				t.Fatalf("%q: read as %s", id, want)
			}
			if n, s := secretsmanager.SplitSuffix(name); suffix == "" && (s != "" || n != name) {
				t.Fatalf("%q: split unevenly", id)
			}
		}
	})
}

package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"coffer/internal/policy"
)

// benchSession is a request of a role's session.
func benchSession() policy.Request {
	return policy.Request{
		Caller: policy.Caller{Type: policy.AssumedRole, ARN: "arn:aws:sts::111122223333:assumed-role/app/pod-1", Account: "111122223333",
			Entity: "arn:aws:iam::111122223333:role/app", ID: "AROAEXAMPLEEXAMPLE111"},
		Action:          "secretsmanager:GetSecretValue",
		Resource:        "arn:aws:secretsmanager:eu-west-1:111122223333:secret:app/db-Xy12Zw",
		ResourceAccount: "111122223333", Named: "app/db",
		Context: facts{"aws:sourceip": {"203.0.113.9"}, "aws:principaltag/team": {"app"}, "aws:securetransport": {"true"}},
	}
}

// benchPolicies is five policies of ten statements, of which eleven are about the action and one matches.
func benchPolicies(b testing.TB) *policy.Set {
	var as []policy.Attachment
	for i := range 5 {
		var st []string
		for j := range 10 {
			action, resource := fmt.Sprintf(`"s3:Get%c*","dynamodb:*Item"`, 'A'+j), fmt.Sprintf("arn:aws:s3:::bucket-%d-%d/*", i, j)
			condition := ""
			switch j {
			case 3:
				action, resource = `"secretsmanager:Get*"`, fmt.Sprintf("arn:aws:secretsmanager:*:111122223333:secret:other%d/*", i)
			case 6:
				action, resource = `"secretsmanager:*"`, fmt.Sprintf("arn:aws:secretsmanager:eu-west-1:111122223333:secret:svc-%d-??????", i)
			case 8:
				if i == 4 {
					action, resource = `"secretsmanager:GetSecretValue"`, "arn:aws:secretsmanager:eu-west-1:111122223333:secret:app/*"
					condition = `,"Condition":{"Bool":{"aws:SecureTransport":"true"}}`
				}
			}
			st = append(st, `{"Effect":"Allow","Action":[`+action+`],"Resource":"`+resource+`"`+condition+`}`)
		}
		as = append(as, policy.Attachment{Source: fmt.Sprintf("arn:aws:iam::111122223333:policy/p%d", i),
			Document: mustParse(b, `{"Version":"2012-10-17","Statement":[`+strings.Join(st, ",")+`]}`, policy.Identity)})
	}
	return policy.NewSet(as...)
}

func benchSecret(b testing.TB) *policy.Set {
	return policy.NewSet(policy.Attachment{Source: "secret", Document: mustParse(b, `{"Version":"2012-10-17","Statement":[
		{"Effect":"Deny","Principal":"*","Action":"secretsmanager:*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"false"}}},
		{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::444455556666:role/other"},"Action":"secretsmanager:GetSecretValue","Resource":"*"}]}`, policy.Resource)})
}

func BenchmarkEvaluate(b *testing.B) {
	key := policy.NewSet(policy.Attachment{Source: "key", Document: mustParse(b, `{"Version":"2012-10-17","Id":"key-default-1","Statement":[
		{"Sid":"Enable IAM User Permissions","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"kms:*","Resource":"*"},
		{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::444455556666:role/other"},"Action":"kms:Decrypt","Resource":"*"}]}`, policy.Key)})
	kms := policy.NewSet(append(benchPolicies(b).Attachments(), policy.Attachment{Source: "kms", Document: mustParse(b,
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:Decrypt","Resource":"arn:aws:kms:*:111122223333:key/*"}}`, policy.Identity)})...)

	root, session, decrypt := rootRequest(), benchSession(), benchSession()
	decrypt.Action, decrypt.Resource = "kms:Decrypt", "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
	for _, bc := range []struct {
		name string
		r    *policy.Request
		p    policy.Policies
	}{
		{"root", &root, policy.Policies{}},
		{"session", &session, policy.Policies{Identity: benchPolicies(b), Resource: benchSecret(b)}},
		{"key", &decrypt, policy.Policies{Identity: kms, Resource: key, Governs: true}},
	} {
		b.Run(bc.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				d := policy.Evaluate(bc.r, &bc.p)
				if !d.Allowed.Valid() {
					b.Fatal(bc.r.Denial(&d))
				}
			}
		})
	}
}

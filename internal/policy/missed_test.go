package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"coffer/internal/policy"
)

// oneValued is condition keys with one value each.
type oneValued map[string]string

func (c oneValued) Values(dst []string, key string) ([]string, bool) {
	v, ok := c[key]
	if !ok {
		return dst, false
	}
	return append(dst, v), true
}

func documents(t *testing.T, kind policy.Kind, source string, statements ...string) *policy.Set {
	t.Helper()
	d, err := policy.Parse([]byte(`{"Version":"2012-10-17","Statement":[`+strings.Join(statements, ",")+`]}`), kind)
	if err != nil {
		t.Fatal(err)
	}
	return policy.NewSet(policy.Attachment{Document: d, Source: source})
}

// TestMiss: what a denial lacks and what came close, the closest first.
func TestMiss(t *testing.T) {
	t.Parallel()
	const (
		secret    = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:db-AbCdEf"
		key       = "arn:aws:kms:eu-west-1:111122223333:key/1"
		all       = `{"Effect":"Allow","Action":"*","Resource":"*"}`
		silent    = `{"Effect":"Allow","Action":"s3:*","Resource":"*"}`
		red       = `{"Sid":"Red","Effect":"Allow","Action":"secretsmanager:*","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/team":"red","aws:RequestedRegion":"eu-west-1"}}}`
		elsewhere = `{"Effect":"Allow","Action":"secretsmanager:GetSecretValue","Resource":"arn:aws:secretsmanager:*:*:secret:web"}`
	)
	identity := func(s ...string) *policy.Set { return documents(t, policy.Identity, "user/alice:own", s...) }
	level := func(at string, s ...string) *policy.Set {
		return policy.NewLevel(at, documents(t, policy.Identity, "p-"+at, s...).Attachments()...)
	}
	for _, c := range []struct {
		what, caller, resource string
		policies               policy.Policies
		context                oneValued
		lacks, near            string
	}{
		{what: "allowed", policies: policy.Policies{Identity: identity(all)}},
		{what: "denied by a Deny", policies: policy.Policies{Identity: identity(all, `{"Effect":"Deny","Action":"*","Resource":"*"}`)}},
		{what: "no policies", policies: policy.Policies{Identity: policy.NewSet()}, lacks: "identity-based policy@[]"},
		{what: "condition fails, with another value and without one", policies: policy.Policies{Identity: identity(silent, red)},
			context: oneValued{"aws:requestedregion": "eu-west-2"}, lacks: "identity-based policy@[user/alice:own]",
			near: "identity-based policy 1 Red StringEquals aws:PrincipalTag/team absent StringEquals aws:RequestedRegion"},
		{what: "conditions before resources", policies: policy.Policies{Identity: identity(elsewhere, red)}, lacks: "identity-based policy@[user/alice:own]",
			near: "identity-based policy 1 Red StringEquals aws:PrincipalTag/team absent StringEquals aws:RequestedRegion absent | identity-based policy 0  resource"},
		{what: "boundary and session policy", policies: policy.Policies{Identity: identity(all), Boundary: documents(t, policy.Identity, "b", silent), Session: documents(t, policy.Identity, "s", red)},
			lacks: "permissions boundary@[b] session policy@[s]",
			near:  "session policy 0 Red StringEquals aws:PrincipalTag/team absent StringEquals aws:RequestedRegion absent"},
		{what: "a level of the organisation", policies: policy.Policies{Identity: identity(all), ServiceControl: []*policy.Set{level("r-1", all), level("ou-2", silent), policy.NewLevel("111122223333")}},
			lacks: "service control policy@ou-2[p-ou-2] service control policy@111122223333[]"},
		{what: "a key policy for others", resource: key, policies: policy.Policies{Identity: identity(all), Governs: true,
			Resource: documents(t, policy.Key, key, `{"Effect":"Allow","Principal":{"AWS":"`+app+`"},"Action":"*","Resource":"*"}`)},
			lacks: "resource-based policy@[" + key + "]", near: "resource-based policy 0  principal"},
		{what: "from another account", caller: "bob", policies: policy.Policies{Identity: identity(all)}, lacks: "resource-based policy@[]"},
		{what: "a stranger has no identity policies", caller: "oidc", policies: policy.Policies{}, lacks: "resource-based policy@[]"},
	} {
		t.Run(c.what, func(t *testing.T) {
			caller := c.caller
			if caller == "" {
				caller = "alice"
			}
			r := policy.Request{Caller: callers[caller], Action: "secretsmanager:GetSecretValue", Resource: secret, ResourceAccount: own, Context: c.context}
			if c.resource != "" {
				r.Action, r.Resource = "kms:Decrypt", c.resource
			}
			d := policy.Evaluate(&r, &c.policies)
			m := policy.Miss(&r, &c.policies, &d)
			if (m == nil) != (c.lacks == "") {
				t.Fatalf("%+v", m)
			}
			if m == nil {
				return
			}
			var lacks, near []string
			for _, l := range m.Lacks {
				lacks = append(lacks, fmt.Sprintf("%s@%s%v", l.Type, l.At, l.Policies))
			}
			for _, n := range m.Near {
				text := fmt.Sprintf("%s %d %s", n.Type, n.Index, n.Statement.Sid)
				if n.Principal {
					text += " principal"
				}
				if n.Resource {
					text += " resource"
				}
				for _, f := range n.Failed {
					text += " " + f.Condition.Operator.String() + " " + f.Condition.Key
					if f.Absent {
						text += " absent"
					}
				}
				near = append(near, text)
			}
			if got := strings.Join(lacks, " "); got != c.lacks {
				t.Errorf("lacks %s\nwant  %s", got, c.lacks)
			}
			if got := strings.Join(near, " | "); got != c.near {
				t.Errorf("near %s\nwant %s", got, c.near)
			}
		})
	}
}

// TestMissIsBounded: of very many statements the closest few are kept.
func TestMissIsBounded(t *testing.T) {
	t.Parallel()
	statements := make([]string, 300)
	for i := range statements {
		statements[i] = `{"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::b"}`
	}
	statements[250] = `{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"true"}}}`
	p := policy.Policies{Identity: documents(t, policy.Identity, "x", statements...)}
	r := policy.Request{Caller: callers["alice"], Action: "secretsmanager:ListSecrets", Resource: "*", ResourceAccount: own}
	d := policy.Evaluate(&r, &p)
	m := policy.Miss(&r, &p, &d)
	if m == nil || len(m.Near) != 5 || m.Near[0].Index != 250 {
		t.Fatalf("%+v", m)
	}
}

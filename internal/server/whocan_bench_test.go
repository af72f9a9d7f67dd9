package server

import (
	"context"
	"fmt"
	"testing"
	"time"

	"coffer/internal/gateway"
	"coffer/internal/iam"
	"coffer/internal/table"
)

// crowd fills the first account: 10,000 users, 2,000 roles and 5,000 managed policies. A user
// has an inline policy or not, up to two managed policies, up to two groups of 300 with one each, and every tenth
// a boundary; a role has an inline policy and a managed one.
func (g *gate) crowd() {
	at := table.At(time.Now())
	each := func(n int, put func(tx *table.Tx, i int) error) {
		for from := 0; from < n; from += 10 {
			err := g.s.db.Update(context.Background(), func(tx *table.Tx) error {
				for i := from; i < min(from+10, n); i++ {
					if err := put(tx, i); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				g.b.Fatal(err)
			}
		}
	}
	account := g.s.account
	policyARN := func(i int) string { return fmt.Sprintf("arn:aws:iam::%s:policy/crowd%d", account, i%5000) }
	statement := func(i int) string {
		action := []string{`"s3:Get*"`, `["secretsmanager:Get*","kms:Decrypt"]`, `["secretsmanager:DescribeSecret","kms:*"]`}[i%3]
		return fmt.Sprintf(`{"Sid":"S%d","Effect":"Allow","Action":%s,"Resource":"*","Condition":{"StringEquals":{"aws:PrincipalAccount":"%s"}}}`, i, action, account)
	}
	document := func(i, n int) string {
		text := `{"Version":"2012-10-17","Statement":[`
		for j := range n {
			if j > 0 {
				text += ","
			}
			text += statement(i + j)
		}
		return text + "]}"
	}
	inline := func(tx *table.Tx, owner string, i int) error {
		return iam.Inlines.Insert(tx, &iam.Inline{Owner: owner, Policies: []*iam.InlinePolicy{{Name: "own", Text: document(i, 3)}}})
	}
	each(5000, func(tx *table.Tx, i int) error {
		p := &iam.ManagedPolicy{ID: fmt.Sprintf("ANPACROWD%012d", i), Account: account, Name: fmt.Sprintf("crowd%d", i), Path: "/", Created: at, Updated: at, Default: 1, Next: 2, Versions: []iam.PolicyVersion{{Number: 1, Created: at}}}
		if err := iam.PolicyDocuments.Insert(tx, &iam.PolicyDocument{PolicyID: p.ID, Number: 1, Text: document(i, 5)}); err != nil {
			return err
		}
		return iam.ManagedPolicies.Insert(tx, p)
	})
	each(300, func(tx *table.Tx, i int) error {
		return iam.Groups.Insert(tx, &iam.Group{ID: fmt.Sprintf("AGPACROWD%012d", i), Account: account, Name: fmt.Sprintf("crowd%d", i), Path: "/", Created: at, Attached: []string{policyARN(i)}})
	})
	each(10_000, func(tx *table.Tx, i int) error {
		u := &iam.User{ID: fmt.Sprintf("AIDACROWD%012d", i), Account: account, Name: fmt.Sprintf("crowd%d", i), Path: "/", Created: at}
		for j := range i % 3 {
			u.Groups = append(u.Groups, fmt.Sprintf("AGPACROWD%012d", (i+j)%300))
			u.Attached = append(u.Attached, policyARN(i*2+j))
		}
		if i%10 == 0 {
			u.Boundary = policyARN(1)
		}
		if i%2 == 0 {
			if err := inline(tx, u.ID, i); err != nil {
				return err
			}
		}
		return iam.Users.Insert(tx, u)
	})
	each(2000, func(tx *table.Tx, i int) error {
		r := &iam.Role{ID: fmt.Sprintf("AROACROWD%012d", i), Account: account, Name: fmt.Sprintf("crowd%d", i), Path: "/", Created: at, MaxSession: 3600, Attached: []string{policyARN(i)},
			Trust: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + account + `"},"Action":"sts:AssumeRole"}]}`}
		if err := inline(tx, r.ID, i); err != nil {
			return err
		}
		return iam.Roles.Insert(tx, r)
	})
}

// BenchmarkWhoCan asks who can read a secret under a customer key with a grant, in a crowd, as `coffer
// who-can` does: just after a start, and again.
func BenchmarkWhoCan(b *testing.B) {
	g := newGate(b)
	g.crowd()
	key := g.key()
	g.send(g.request("CreateSecret", `{"Name":"guarded","ClientRequestToken":"00000000-0000-4000-8000-000000000000","SecretString":"x","KmsKeyId":"`+key+`"}`))
	g.answer(g.requestTo("kms", "TrentService.CreateGrant", `{"KeyId":"`+key+`","GranteePrincipal":"arn:aws:iam::`+g.s.account+`:user/crowd0","Operations":["Decrypt"]}`))
	ask := func(b *testing.B) {
		a, err := g.s.whoCan(context.Background(), gateway.Question{Action: "secretsmanager:GetSecretValue", Resource: "guarded", Region: "eu-west-1"})
		if err != nil {
			b.Fatal(err)
		}
		if len(a.Found) < 1000 {
			b.Fatalf("%d principals", len(a.Found))
		}
		b.ReportMetric(float64(len(a.Found)), "principals")
	}
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			g.stop()
			g.start()
			b.StartTimer()
			ask(b)
		}
	})
	b.Run("again", func(b *testing.B) {
		ask(b)
		for b.Loop() {
			ask(b)
		}
	})
}

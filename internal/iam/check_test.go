package iam_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	iamapi "coffer/internal/api/iam"
	"coffer/internal/iam"
	"coffer/internal/table"
)

// damage is a row that says what is not so, and what fsck says of it.
type damage struct {
	name string
	do   func(tx *table.Tx) error
	want []string // parts of the findings, one each
}

func TestCheck(t *testing.T) {
	t.Parallel()
	const account = benchAccount
	user := func(change func(*iam.User)) func(*table.Tx) error {
		return func(tx *table.Tx) error {
			return iam.Users.Put(tx, with(&iam.User{ID: "AIDAX", Account: account, Name: "x", Path: "/"}, change))
		}
	}
	ana := func(change func(*iam.User)) func(*table.Tx) error {
		return func(tx *table.Tx) error {
			for e, err := range iam.Users.Scan(tx, table.Range{}) {
				if err != nil {
					return err
				}
				if e.Value.Name == "ana" {
					return iam.Users.Put(tx, with(e.Value, change))
				}
			}
			return table.ErrNotFound
		}
	}
	missing := "arn:aws:iam::" + account + ":policy/missing"
	for _, c := range []damage{
		{"nothing", func(*table.Tx) error { return nil }, nil},
		{"a user too many", user(func(*iam.User) {}), []string{"counts 1 of user and has 2"}},
		{"no such group", ana(func(u *iam.User) { u.Groups = append(u.Groups, "AGPANONE") }), []string{"user ana of " + account + ": its group AGPANONE does not exist"}},
		{"a group twice", ana(func(u *iam.User) { u.Groups = append(u.Groups, u.Groups[0]) }), []string{"is in group"}},
		{"no such policy", ana(func(u *iam.User) { u.Attached = append(u.Attached, missing) }), []string{
			"user ana of " + account + ": policy " + missing + " does not exist", "policy " + missing + " in " + account + ": counts no uses and has 1 attachments and 0 boundaries"}},
		{"no such boundary", ana(func(u *iam.User) { u.Boundary = missing }), []string{
			"policy " + missing + " does not exist", "counts no uses and has 0 attachments and 1 boundaries", "counts 0 attachments and 1 boundaries and has 0 and 0"}},
		{"a device of nobody", func(tx *table.Tx) error {
			return iam.MFADevices.Put(tx, &iam.MFADevice{Account: account, Path: "/", Name: "d", User: "AIDANONE"})
		}, []string{"MFA device /d of " + account + ": its user does not have it", "counts no mfa and has 1"}},
		{"a device that is not there", ana(func(u *iam.User) { u.MFA = []string{"/none"} }), []string{
			"user ana of " + account + ": MFA device /none is not its own", "counts no mfa-in-use and has 1"}},
		{"a key of nobody", func(tx *table.Tx) error {
			return iam.AccessKeys.Put(tx, &iam.AccessKey{ID: "AKIANONE", Account: account, User: "AIDANONE"})
		}, []string{"access key AKIANONE: its user does not exist"}},
		{"a key of another account", func(tx *table.Tx) error {
			for e, err := range iam.AccessKeys.Scan(tx, table.Range{}) {
				if err != nil {
					return err
				}
				e.Value.Account = "444455556666"
				return iam.AccessKeys.Put(tx, e.Value)
			}
			return table.ErrNotFound
		}, []string{": its user does not exist"}},
		{"a use of nothing", func(tx *table.Tx) error { return iam.LastUses.Put(tx, &iam.LastUse{ID: "AROANONE"}) }, []string{"last use of AROANONE: no access key or role has this id"}},
		{"a profile of nothing", func(tx *table.Tx) error {
			return iam.InstanceProfiles.Put(tx, &iam.InstanceProfile{ID: "AIPAX", Account: account, Name: "x", Path: "/", Role: "AROANONE"})
		}, []string{"instance profile x of " + account + ": its role does not exist", "counts no instance-profile and has 1"}},
		{"inline policies of nobody", func(tx *table.Tx) error {
			return iam.Inlines.Put(tx, &iam.Inline{Owner: "AIDANONE", Policies: []*iam.InlinePolicy{{Name: "p", Text: "{"}}})
		}, []string{"inline policies of AIDANONE: their owner does not exist", "inline policies of AIDANONE: p: "}},
		{"a SAML provider without metadata", func(tx *table.Tx) error {
			return iam.SAMLProviders.Put(tx, &iam.SAMLProvider{Account: account, Name: "x", Certificates: [][]byte{{1}}})
		}, []string{"SAML provider x of " + account + ": x509: ", "SAML provider x of " + account + ": its metadata is missing"}},
		{"SAML metadata of nothing", func(tx *table.Tx) error {
			return iam.SAMLMetadatas.Put(tx, &iam.SAMLMetadata{Account: account, Name: "x"})
		}, []string{"SAML metadata x of " + account + ": no provider has it"}},
		{"a part of no report", func(tx *table.Tx) error { return iam.ReportParts.Put(tx, &iam.ReportPart{Account: account, Number: 3}) }, []string{
			"part 3 of the credential report of " + account + ": the report does not have it"}},
		{"a document of nothing", func(tx *table.Tx) error {
			return iam.PolicyDocuments.Put(tx, &iam.PolicyDocument{PolicyID: "ANPANONE", Number: 1, Text: document(allow("*", "*"))})
		}, []string{"document v1 of policy ANPANONE: no policy has it"}},
		{"a policy without documents", func(tx *table.Tx) error {
			return iam.ManagedPolicies.Put(tx, &iam.ManagedPolicy{ID: "ANPAX", Account: account, Name: "x", Path: "/", Default: 2, Versions: []iam.PolicyVersion{{Number: 1}}})
		}, []string{"policy x of " + account + ": the document of version v1 is missing", "its default version v2 does not exist", "counts 1 of policy and has 2", "counts 1 of policy-version and has 2"}},
		{"a role that trusts nothing readable", func(tx *table.Tx) error {
			return iam.Roles.Put(tx, &iam.Role{ID: "AROAX", Account: account, Name: "x", Path: "/", Trust: "{"})
		}, []string{"role x of " + account + ": trust policy: ", "counts no role and has 1"}},
		{"a wrong count", func(tx *table.Tx) error {
			return iam.Counts.Put(tx, &iam.Count{Account: account, Kind: "group", N: 7})
		}, []string{"counts 7 of group and has 1"}},
		{"a wrong count of uses", func(tx *table.Tx) error {
			return iam.PolicyUses.Put(tx, &iam.PolicyUse{Account: account, ARN: "arn:aws:iam::" + account + ":policy/limit", Attached: 2})
		}, []string{"counts 2 attachments and 0 boundaries and has 0 and 1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			calls(b, iamapi.CreatePolicy, &iamapi.CreatePolicyInput{PolicyName: new("limit"), PolicyDocument: new(document(allow("*", "*")))})
			calls(b, iamapi.CreateUser, &iamapi.CreateUserInput{UserName: new("ana"), PermissionsBoundary: new("arn:aws:iam::" + account + ":policy/limit")})
			calls(b, iamapi.CreateAccessKey, &iamapi.CreateAccessKeyInput{UserName: new("ana")})
			calls(b, iamapi.CreateGroup, &iamapi.CreateGroupInput{GroupName: new("devs")})
			calls(b, iamapi.AddUserToGroup, &iamapi.AddUserToGroupInput{GroupName: new("devs"), UserName: new("ana")})
			if err := b.db.Update(context.Background(), c.do); err != nil {
				t.Fatal(err)
			}
			found := b.check()
			for _, want := range c.want {
				i := slices.IndexFunc(found, func(s string) bool { return strings.Contains(s, want) })
				if i < 0 {
					t.Errorf("not found: %s", want)
					continue
				}
				found = slices.Delete(found, i, i+1)
			}
			for _, f := range found {
				t.Errorf("found too: %s", f)
			}
		})
	}
}

func with[T any](v *T, change func(*T)) *T {
	change(v)
	return v
}

func (b *bench) check() (found []string) {
	b.t.Helper()
	err := b.db.View(context.Background(), func(tx *table.Tx) error {
		return iam.New(iam.Config{Directory: b.dir.Directory}).Check(context.Background(), tx, func(format string, args ...any) {
			found = append(found, fmt.Sprintf(format, args...))
		})
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return found
}

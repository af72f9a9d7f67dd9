package iam_test

import (
	"context"
	"encoding/base32"
	"fmt"
	"iter"
	"testing"
	"time"

	"coffer/internal/api"
	iamapi "coffer/internal/api/iam"
	"coffer/internal/envelope"
	"coffer/internal/iam"
	"coffer/internal/iam/iamtest"
	"coffer/internal/kv"
	"coffer/internal/kv/memory"
	"coffer/internal/table"
)

// counting is a store that counts the rows that are asked for.
type counting struct {
	kv.Store
	n int
}

func (s *counting) View(ctx context.Context, f func(kv.Tx) error) error {
	return s.Store.View(ctx, func(tx kv.Tx) error { return f(counted{tx, s}) })
}

func (s *counting) Update(ctx context.Context, f func(kv.Tx) error) error {
	return s.Store.Update(ctx, func(tx kv.Tx) error { return f(counted{tx, s}) })
}

type counted struct {
	kv.Tx
	s *counting
}

func (tx counted) Get(key []byte) ([]byte, error) { tx.s.n++; return tx.Tx.Get(key) }
func (tx counted) Put(key, value []byte) error    { tx.s.n++; return tx.Tx.Put(key, value) }
func (tx counted) Delete(key []byte) error        { tx.s.n++; return tx.Tx.Delete(key) }

func (tx counted) Scan(start, end []byte, reverse bool) iter.Seq2[kv.Row, error] {
	return func(yield func(kv.Row, error) bool) {
		tx.s.n++
		for row, err := range tx.Tx.Scan(start, end, reverse) {
			tx.s.n++
			if !yield(row, err) {
				return
			}
		}
	}
}

// bench is the service over a counting store without a cache, as the root of one account
// calls it.
type bench struct {
	t     *testing.T
	store *counting
	db    *table.DB
	dir   iamtest.Directory
	bound map[*api.Operation]*api.Bound
	now   time.Time
	took  []took
	asked func(*api.Request, *api.Access) // what is decided of each call; nil: nobody looks
}

// took is what an operation took.
type took struct {
	name string
	rows int
}

const benchAccount = "111122223333"

func newBench(t *testing.T) *bench {
	t.Helper()
	sealer, err := envelope.NewSealer(envelope.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, store: &counting{Store: memory.New()}, dir: iamtest.NewDirectory(), bound: map[*api.Operation]*api.Bound{}, now: time.Unix(1767225600, 0)}
	b.db = table.New(table.Config{Store: b.store, Sealer: sealer, CacheBytes: -1})
	for _, op := range iam.New(iam.Config{Directory: b.dir.Directory}).Operations() {
		b.bound[op.Op] = &op
	}
	return b
}

// calls calls an operation, which must succeed, and takes down what it took.
func calls[I, O any](b *bench, op api.Op[I, O], in *I) *O {
	b.t.Helper()
	r := &api.Request{
		Context: context.Background(), ID: api.NewID(), Time: b.now, Op: op.Operation, Input: any(in).(api.Struct),
		Principal: iamtest.Root(benchAccount, "us-east-1"), Account: benchAccount, Region: "us-east-1", Directory: b.dir, Read: iamtest.Reader(b.db),
	}
	var out api.Struct
	run := func(tx *table.Tx) (err error) {
		r.Tx = tx
		out, err = b.bound[op.Operation].Run(r, r.Input, func(a *api.Access) error {
			if b.asked != nil {
				b.asked(r, a)
			}
			return b.dir.Decider(r)(a)
		})
		return err
	}
	do := b.db.View
	if op.Mode == api.Write {
		do = b.db.Update
	}
	b.store.n = 0
	if err := do(r.Context, run); err != nil {
		b.t.Fatalf("%s: %v", op.Name, err)
	}
	b.took = append(b.took, took{op.Name, b.store.n})
	return any(out).(*O)
}

// crowd fills the account: 10,000 users, 2,000 roles, 5,000 policies and more.
func (b *bench) crowd() {
	b.t.Helper()
	at := table.At(b.now)
	each := func(n int, put func(tx *table.Tx, i int) error) {
		for from := 0; from < n; from += 15 {
			err := b.db.Update(context.Background(), func(tx *table.Tx) error {
				for i := from; i < min(from+15, n); i++ {
					if err := put(tx, i); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				b.t.Fatal(err)
			}
		}
	}
	kinds := map[string]int{"user": 10_000, "role": 2_000, "policy": 5_000, "policy-version": 5_000, "group": 300, "instance-profile": 2_000, "mfa": 1_000}
	paths := []string{"/", "/a/", "/z/", "/p/"}
	limit := "arn:aws:iam::" + benchAccount + ":policy/crowd0"
	each(kinds["user"], func(tx *table.Tx, i int) error {
		u := &iam.User{ID: fmt.Sprintf("AIDACROWD%012d", i), Account: benchAccount, Name: fmt.Sprintf("crowd%d", i), Path: paths[i%4], Created: at, Boundary: limit}
		for g := range i % 3 {
			u.Groups = append(u.Groups, fmt.Sprintf("AGPACROWD%012d", (i+g)%300))
		}
		return iam.Users.Insert(tx, u)
	})
	each(kinds["role"], func(tx *table.Tx, i int) error {
		return iam.Roles.Insert(tx, &iam.Role{ID: fmt.Sprintf("AROACROWD%012d", i), Account: benchAccount, Name: fmt.Sprintf("crowd%d", i), Path: paths[i%4], Created: at, Trust: trust(benchAccount), MaxSession: 3600, Attached: []string{limit}})
	})
	each(kinds["group"], func(tx *table.Tx, i int) error {
		return iam.Groups.Insert(tx, &iam.Group{ID: fmt.Sprintf("AGPACROWD%012d", i), Account: benchAccount, Name: fmt.Sprintf("crowd%d", i), Path: paths[i%4], Created: at})
	})
	each(kinds["policy"], func(tx *table.Tx, i int) error {
		p := &iam.ManagedPolicy{ID: fmt.Sprintf("ANPACROWD%012d", i), Account: benchAccount, Name: fmt.Sprintf("crowd%d", i), Path: "/", Created: at, Updated: at, Default: 1, Next: 2, Versions: []iam.PolicyVersion{{Number: 1, Created: at}}}
		if err := iam.PolicyDocuments.Insert(tx, &iam.PolicyDocument{PolicyID: p.ID, Number: 1, Text: document(allow("*", "*"))}); err != nil {
			return err
		}
		return iam.ManagedPolicies.Insert(tx, p)
	})
	each(kinds["instance-profile"], func(tx *table.Tx, i int) error {
		return iam.InstanceProfiles.Insert(tx, &iam.InstanceProfile{ID: fmt.Sprintf("AIPACROWD%012d", i), Account: benchAccount, Name: fmt.Sprintf("crowd%d", i), Path: paths[i%4], Created: at, Role: fmt.Sprintf("AROACROWD%012d", i)})
	})
	each(kinds["mfa"], func(tx *table.Tx, i int) error {
		return iam.MFADevices.Insert(tx, &iam.MFADevice{Account: benchAccount, Path: paths[i%4], Name: fmt.Sprintf("crowd%d", i), Created: at})
	})
	each(1, func(tx *table.Tx, _ int) error {
		for kind, n := range kinds {
			if err := iam.Counts.Put(tx, &iam.Count{Account: benchAccount, Kind: kind, N: n}); err != nil {
				return err
			}
		}
		return iam.PolicyUses.Put(tx, &iam.PolicyUse{Account: benchAccount, ARN: limit, Attached: kinds["role"], Boundaries: kinds["user"]})
	})
}

// walk calls every operation, on things of its own among those that are there.
func (b *bench) walk() {
	arn := func(resource string) *string { return new("arn:aws:iam::" + benchAccount + ":" + resource) }
	tag := []iamapi.Tag{{Key: new("a"), Value: new("1")}}
	two := new(int64(2))
	doc := new(trust(benchAccount))
	u, g, r, p := new("ana"), new("devs"), new("deploy"), new("web")
	path := new("/p/")
	limit := calls(b, iamapi.CreatePolicy, &iamapi.CreatePolicyInput{PolicyName: new("limit"), PolicyDocument: new(document(allow("*", "*")))}).Policy.Arn
	// Enough of each for a page that is not the last.
	for i := range 3 {
		calls(b, iamapi.CreateUser, &iamapi.CreateUserInput{UserName: new(fmt.Sprint("u", i)), Path: path, PermissionsBoundary: limit, Tags: tag})
		calls(b, iamapi.CreateGroup, &iamapi.CreateGroupInput{GroupName: new(fmt.Sprint("g", i)), Path: path})
		calls(b, iamapi.CreateRole, &iamapi.CreateRoleInput{RoleName: new(fmt.Sprint("r", i)), Path: path, AssumeRolePolicyDocument: doc})
		calls(b, iamapi.CreateInstanceProfile, &iamapi.CreateInstanceProfileInput{InstanceProfileName: new(fmt.Sprint("p", i)), Path: path})
		calls(b, iamapi.AddRoleToInstanceProfile, &iamapi.AddRoleToInstanceProfileInput{InstanceProfileName: new(fmt.Sprint("p", i)), RoleName: new(fmt.Sprint("r", i))})
		calls(b, iamapi.CreateVirtualMFADevice, &iamapi.CreateVirtualMFADeviceInput{VirtualMFADeviceName: new(fmt.Sprint("d", i)), Path: path})
	}
	calls(b, iamapi.CreateUser, &iamapi.CreateUserInput{UserName: u})
	calls(b, iamapi.CreateGroup, &iamapi.CreateGroupInput{GroupName: g})
	calls(b, iamapi.CreateRole, &iamapi.CreateRoleInput{RoleName: r, AssumeRolePolicyDocument: doc, PermissionsBoundary: limit})
	calls(b, iamapi.CreateInstanceProfile, &iamapi.CreateInstanceProfileInput{InstanceProfileName: p})
	calls(b, iamapi.GetUser, &iamapi.GetUserInput{UserName: u})
	calls(b, iamapi.ListUsers, &iamapi.ListUsersInput{MaxItems: two})
	calls(b, iamapi.ListUsers, &iamapi.ListUsersInput{MaxItems: two, PathPrefix: path})
	calls(b, iamapi.UpdateUser, &iamapi.UpdateUserInput{UserName: u, NewPath: path})
	key := calls(b, iamapi.CreateAccessKey, &iamapi.CreateAccessKeyInput{UserName: u}).AccessKey.AccessKeyId
	calls(b, iamapi.ListAccessKeys, &iamapi.ListAccessKeysInput{UserName: u})
	calls(b, iamapi.UpdateAccessKey, &iamapi.UpdateAccessKeyInput{UserName: u, AccessKeyId: key, Status: new("Inactive")})
	calls(b, iamapi.GetAccessKeyLastUsed, &iamapi.GetAccessKeyLastUsedInput{AccessKeyId: key})
	calls(b, iamapi.DeleteAccessKey, &iamapi.DeleteAccessKeyInput{UserName: u, AccessKeyId: key})
	for _, name := range []string{"u0", "u1", "u2", "ana"} {
		calls(b, iamapi.AddUserToGroup, &iamapi.AddUserToGroupInput{GroupName: g, UserName: &name})
	}
	calls(b, iamapi.GetGroup, &iamapi.GetGroupInput{GroupName: g, MaxItems: two})
	calls(b, iamapi.ListGroups, &iamapi.ListGroupsInput{MaxItems: two})
	calls(b, iamapi.ListGroupsForUser, &iamapi.ListGroupsForUserInput{UserName: u})
	calls(b, iamapi.UpdateGroup, &iamapi.UpdateGroupInput{GroupName: g, NewGroupName: new("devs2")})
	g = new("devs2")
	for _, name := range []string{"u0", "u1", "u2", "ana"} {
		calls(b, iamapi.RemoveUserFromGroup, &iamapi.RemoveUserFromGroupInput{GroupName: g, UserName: &name})
	}
	calls(b, iamapi.DeleteGroup, &iamapi.DeleteGroupInput{GroupName: g})
	calls(b, iamapi.GetRole, &iamapi.GetRoleInput{RoleName: r})
	calls(b, iamapi.ListRoles, &iamapi.ListRolesInput{MaxItems: two})
	calls(b, iamapi.UpdateRole, &iamapi.UpdateRoleInput{RoleName: r, Description: new("x")})
	calls(b, iamapi.UpdateRoleDescription, &iamapi.UpdateRoleDescriptionInput{RoleName: r, Description: new("y")})
	calls(b, iamapi.UpdateAssumeRolePolicy, &iamapi.UpdateAssumeRolePolicyInput{RoleName: r, PolicyDocument: new(trust(*arn("user/p/ana")))})
	calls(b, iamapi.TagUser, &iamapi.TagUserInput{UserName: u, Tags: tag})
	calls(b, iamapi.ListUserTags, &iamapi.ListUserTagsInput{UserName: u})
	calls(b, iamapi.UntagUser, &iamapi.UntagUserInput{UserName: u, TagKeys: []string{"a"}})
	calls(b, iamapi.TagRole, &iamapi.TagRoleInput{RoleName: r, Tags: tag})
	calls(b, iamapi.ListRoleTags, &iamapi.ListRoleTagsInput{RoleName: r})
	calls(b, iamapi.UntagRole, &iamapi.UntagRoleInput{RoleName: r, TagKeys: []string{"a"}})
	calls(b, iamapi.PutUserPermissionsBoundary, &iamapi.PutUserPermissionsBoundaryInput{UserName: u, PermissionsBoundary: limit})
	calls(b, iamapi.DeleteUserPermissionsBoundary, &iamapi.DeleteUserPermissionsBoundaryInput{UserName: u})
	calls(b, iamapi.PutRolePermissionsBoundary, &iamapi.PutRolePermissionsBoundaryInput{RoleName: r, PermissionsBoundary: new("arn:aws:iam::aws:policy/AdministratorAccess")})
	calls(b, iamapi.DeleteRolePermissionsBoundary, &iamapi.DeleteRolePermissionsBoundaryInput{RoleName: r})
	calls(b, iamapi.AddRoleToInstanceProfile, &iamapi.AddRoleToInstanceProfileInput{InstanceProfileName: p, RoleName: r})
	calls(b, iamapi.GetInstanceProfile, &iamapi.GetInstanceProfileInput{InstanceProfileName: p})
	calls(b, iamapi.ListInstanceProfiles, &iamapi.ListInstanceProfilesInput{MaxItems: two, PathPrefix: path})
	calls(b, iamapi.ListInstanceProfilesForRole, &iamapi.ListInstanceProfilesForRoleInput{RoleName: r})
	calls(b, iamapi.TagInstanceProfile, &iamapi.TagInstanceProfileInput{InstanceProfileName: p, Tags: tag})
	calls(b, iamapi.ListInstanceProfileTags, &iamapi.ListInstanceProfileTagsInput{InstanceProfileName: p})
	calls(b, iamapi.UntagInstanceProfile, &iamapi.UntagInstanceProfileInput{InstanceProfileName: p, TagKeys: []string{"a"}})
	calls(b, iamapi.RemoveRoleFromInstanceProfile, &iamapi.RemoveRoleFromInstanceProfileInput{InstanceProfileName: p, RoleName: r})
	calls(b, iamapi.DeleteInstanceProfile, &iamapi.DeleteInstanceProfileInput{InstanceProfileName: p})
	calls(b, iamapi.DeleteRole, &iamapi.DeleteRoleInput{RoleName: r})
	linked := calls(b, iamapi.CreateServiceLinkedRole, &iamapi.CreateServiceLinkedRoleInput{AWSServiceName: new("ecs.amazonaws.com")}).Role.RoleName
	task := calls(b, iamapi.DeleteServiceLinkedRole, &iamapi.DeleteServiceLinkedRoleInput{RoleName: linked}).DeletionTaskId
	calls(b, iamapi.GetServiceLinkedRoleDeletionStatus, &iamapi.GetServiceLinkedRoleDeletionStatusInput{DeletionTaskId: task})
	device := calls(b, iamapi.CreateVirtualMFADevice, &iamapi.CreateVirtualMFADeviceInput{VirtualMFADeviceName: u}).VirtualMFADevice
	code := func(off int64) api.Sensitive {
		seed, _ := base32.StdEncoding.DecodeString(string(device.Base32StringSeed))
		return api.Sensitive(totp(seed, b.now.Unix()/30+off))
	}
	calls(b, iamapi.EnableMFADevice, &iamapi.EnableMFADeviceInput{UserName: u, SerialNumber: device.SerialNumber, AuthenticationCode1: code(-1), AuthenticationCode2: code(0)})
	calls(b, iamapi.ResyncMFADevice, &iamapi.ResyncMFADeviceInput{UserName: u, SerialNumber: device.SerialNumber, AuthenticationCode1: code(1), AuthenticationCode2: code(2)})
	calls(b, iamapi.GetMFADevice, &iamapi.GetMFADeviceInput{UserName: u, SerialNumber: device.SerialNumber})
	calls(b, iamapi.ListMFADevices, &iamapi.ListMFADevicesInput{UserName: u})
	calls(b, iamapi.ListVirtualMFADevices, &iamapi.ListVirtualMFADevicesInput{MaxItems: two, AssignmentStatus: new("Unassigned")})
	calls(b, iamapi.ListVirtualMFADevices, &iamapi.ListVirtualMFADevicesInput{MaxItems: two})
	calls(b, iamapi.TagMFADevice, &iamapi.TagMFADeviceInput{SerialNumber: device.SerialNumber, Tags: tag})
	calls(b, iamapi.ListMFADeviceTags, &iamapi.ListMFADeviceTagsInput{SerialNumber: device.SerialNumber})
	calls(b, iamapi.UntagMFADevice, &iamapi.UntagMFADeviceInput{SerialNumber: device.SerialNumber, TagKeys: []string{"a"}})
	calls(b, iamapi.DeactivateMFADevice, &iamapi.DeactivateMFADeviceInput{UserName: u, SerialNumber: device.SerialNumber})
	calls(b, iamapi.DeleteVirtualMFADevice, &iamapi.DeleteVirtualMFADeviceInput{SerialNumber: device.SerialNumber})
	calls(b, iamapi.DeleteUser, &iamapi.DeleteUserInput{UserName: u})
	calls(b, iamapi.GetAccountSummary, &iamapi.GetAccountSummaryInput{})
	calls(b, iamapi.CreateAccountAlias, &iamapi.CreateAccountAliasInput{AccountAlias: new("alias")})
	calls(b, iamapi.ListAccountAliases, &iamapi.ListAccountAliasesInput{})
	calls(b, iamapi.DeleteAccountAlias, &iamapi.DeleteAccountAliasInput{AccountAlias: new("alias")})
	calls(b, iamapi.UpdateAccountPasswordPolicy, &iamapi.UpdateAccountPasswordPolicyInput{})
	calls(b, iamapi.GetAccountPasswordPolicy, &iamapi.GetAccountPasswordPolicyInput{})
	calls(b, iamapi.DeleteAccountPasswordPolicy, &iamapi.DeleteAccountPasswordPolicyInput{})
}

// No operation looks at more rows because the account has many users, roles and
// policies. Counted in rows rather than in time, which tells the same on every machine.
func TestCrowdedAccount(t *testing.T) {
	t.Parallel()
	empty, crowded := newBench(t), newBench(t)
	empty.walk()
	crowded.crowd()
	crowded.walk()
	if len(empty.took) != len(crowded.took) || len(empty.took) < 66 {
		t.Fatalf("%d and %d calls", len(empty.took), len(crowded.took))
	}
	most := 0
	for i, a := range empty.took {
		b := crowded.took[i]
		if most = max(most, b.rows); 10*b.rows > 12*a.rows {
			t.Errorf("%s: %d rows in an empty account, %d in a crowded one", a.name, a.rows, b.rows)
		}
	}
	t.Logf("%d calls, at most %d rows", len(empty.took), most)
}

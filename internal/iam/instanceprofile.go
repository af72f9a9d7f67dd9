package iam

import (
	"errors"
	"slices"

	"coffer/internal/api"
	iamapi "coffer/internal/api/iam"
	"coffer/internal/policy"
	"coffer/internal/table"
)

// InstanceProfile is the name under which machines are given a role.
type InstanceProfile struct {
	ID      string       `cbor:"1,keyasint"` // AIPA...
	Account string       `cbor:"2,keyasint"`
	Name    string       `cbor:"3,keyasint"`
	Path    string       `cbor:"4,keyasint"`
	Created table.Millis `cbor:"5,keyasint"`
	Role    string       `cbor:"6,keyasint,omitempty"` // unique id; empty: none
	Tags    []policy.Tag `cbor:"7,keyasint,omitempty"`
}

// InstanceProfiles holds the instance profiles by id.
var InstanceProfiles = table.Collection[InstanceProfile]{
	Name:  "iam.profile",
	Key:   func(p *InstanceProfile) table.Key { return table.K(p.ID) },
	Clone: (*InstanceProfile).clone,
	Indexes: []table.Index[InstanceProfile]{
		{Name: profileByName, Keys: func(p *InstanceProfile) []table.Key { return []table.Key{table.K(p.Account, fold(p.Name))} }},
		{Name: profileByPath, Keys: func(p *InstanceProfile) []table.Key { return []table.Key{table.K(p.Account, p.Path, fold(p.Name))} }},
		{Name: profileByRole, Keys: func(p *InstanceProfile) []table.Key {
			if p.Role == "" {
				return nil
			}
			return []table.Key{table.K(p.Role, p.Path, fold(p.Name))}
		}},
	},
}

const (
	profileByName = "iam.profile.name"
	profileByPath = "iam.profile.path"
	profileByRole = "iam.profile.role"
)

func (p *InstanceProfile) clone() *InstanceProfile {
	c := *p
	c.Tags = slices.Clone(p.Tags)
	return &c
}

// ARN is the instance profile's ARN in a partition.
func (p *InstanceProfile) ARN(partition string) string {
	return arnOf(partition, p.Account, "instance-profile", p.Path, p.Name)
}

func (s *Service) instanceProfileOperations() []api.Bound {
	return []api.Bound{
		api.Bind(iamapi.CreateInstanceProfile, resolveCreateInstanceProfile, createInstanceProfile),
		api.Bind(iamapi.GetInstanceProfile, resolveGetInstanceProfile, getInstanceProfile),
		api.Bind(iamapi.ListInstanceProfiles, resolveListInstanceProfiles, listInstanceProfiles),
		api.Bind(iamapi.ListInstanceProfilesForRole, resolveListInstanceProfilesForRole, listInstanceProfilesForRole),
		api.Bind(iamapi.AddRoleToInstanceProfile, resolveAddRoleToInstanceProfile, addRoleToInstanceProfile),
		api.Bind(iamapi.RemoveRoleFromInstanceProfile, resolveRemoveRoleFromInstanceProfile, removeRoleFromInstanceProfile),
		api.Bind(iamapi.DeleteInstanceProfile, resolveDeleteInstanceProfile, deleteInstanceProfile),
	}
}

// profileTarget is the instance profile that an operation names, or none of that name.
type profileTarget struct {
	entity
	profile *InstanceProfile // shared; nil: there is none
}

// onProfile resolves operations on the instance profile of this name.
func onProfile(r *api.Request, name *string) (*profileTarget, api.Access, error) {
	t := &profileTarget{entity: entity{r: r, kind: "instance-profile", path: "/", name: *name, existing: true}}
	p, err := findProfile(r, *name)
	switch {
	case err == nil:
		t.profile, t.path, t.name, t.tags = p, p.Path, p.Name, p.Tags
	case !errors.Is(err, table.ErrNotFound):
		return nil, api.Access{}, err
	}
	return t, t.access(), nil
}

func findProfile(r *api.Request, name string) (*InstanceProfile, error) {
	return first(r.Tx, &InstanceProfiles, profileByName, table.K(r.Account, fold(name)))
}

// found returns the instance profile to a caller whose action was authorized.
func (t *profileTarget) found() (*InstanceProfile, error) {
	if t.profile == nil {
		return nil, iamapi.NoSuchEntityException("Instance Profile " + t.name + " cannot be found.")
	}
	return t.profile, nil
}

// edit is found with a copy, to be changed and put. Nothing is decided from
// instance profiles: their changes are not counted.
func (t *profileTarget) edit() (*InstanceProfile, error) {
	p, err := t.found()
	if err != nil {
		return nil, err
	}
	return InstanceProfiles.Edit(t.r.Tx, table.K(p.ID))
}

func resolveCreateInstanceProfile(r *api.Request, in *iamapi.CreateInstanceProfileInput) (*entity, api.Access, error) {
	e := &entity{r: r, kind: "instance-profile", path: pathOf(in.Path), name: *in.InstanceProfileName}
	a := e.access()
	a.RequestTags = requestTags(in.Tags)
	return e, alsoTagging(a, "iam:TagInstanceProfile"), nil
}

func createInstanceProfile(r *api.Request, in *iamapi.CreateInstanceProfileInput, e *entity) (_ *iamapi.CreateInstanceProfileOutput, err error) {
	p := &InstanceProfile{ID: newID("AIPA"), Account: r.Account, Name: e.name, Path: e.path, Created: table.At(r.Time)}
	if p.Tags, err = mergeTags(nil, in.Tags); err != nil {
		return nil, err
	}
	switch _, err := findProfile(r, p.Name); {
	case err == nil:
		return nil, iamapi.EntityAlreadyExistsException("Instance Profile " + p.Name + " already exists.")
	case !errors.Is(err, table.ErrNotFound):
		return nil, err
	}
	if err := profileCounter.add(r.Tx, r.Account); err != nil {
		return nil, err
	}
	if err := InstanceProfiles.Insert(r.Tx, p); err != nil {
		return nil, err
	}
	shown, err := p.described(r)
	return &iamapi.CreateInstanceProfileOutput{InstanceProfile: shown}, err
}

// shown is the instance profile as listings show it.
func (p *InstanceProfile) shown(r *api.Request) (*iamapi.InstanceProfile, error) {
	out := &iamapi.InstanceProfile{
		Path: &p.Path, InstanceProfileName: &p.Name, InstanceProfileId: &p.ID, Arn: new(p.ARN(r.Partition())), CreateDate: p.Created.Ptr(),
		Roles: []iamapi.Role{},
	}
	if p.Role == "" {
		return out, nil
	}
	role, err := Roles.Get(r.Tx, table.K(p.Role))
	if err != nil {
		return nil, err
	}
	shown, err := role.shown(r)
	if err != nil {
		return nil, err
	}
	out.Roles = append(out.Roles, *shown)
	return out, nil
}

// described is shown with what listings leave out.
func (p *InstanceProfile) described(r *api.Request) (*iamapi.InstanceProfile, error) {
	out, err := p.shown(r)
	if err != nil {
		return nil, err
	}
	out.Tags = shownTags(p.Tags)
	return out, nil
}

func resolveGetInstanceProfile(r *api.Request, in *iamapi.GetInstanceProfileInput) (*profileTarget, api.Access, error) {
	return onProfile(r, in.InstanceProfileName)
}

func getInstanceProfile(r *api.Request, _ *iamapi.GetInstanceProfileInput, t *profileTarget) (*iamapi.GetInstanceProfileOutput, error) {
	p, err := t.found()
	if err != nil {
		return nil, err
	}
	shown, err := p.described(r)
	return &iamapi.GetInstanceProfileOutput{InstanceProfile: shown}, err
}

func resolveListInstanceProfiles(r *api.Request, in *iamapi.ListInstanceProfilesInput) (struct{}, api.Access, error) {
	return struct{}{}, listing(r, "instance-profile", in.PathPrefix), nil
}

func listInstanceProfiles(r *api.Request, in *iamapi.ListInstanceProfilesInput, _ struct{}) (*iamapi.ListInstanceProfilesOutput, error) {
	out := &iamapi.ListInstanceProfilesOutput{}
	var err error
	out.InstanceProfiles, out.Marker, err = pageOfProfiles(r, profileByPath, underPath(r, in.PathPrefix), in.Marker, in.MaxItems)
	out.IsTruncated = new(out.Marker != nil)
	return out, err
}

func pageOfProfiles(r *api.Request, index string, rows table.Range, from *string, items *int64) (shown []iamapi.InstanceProfile, next *string, err error) {
	p, err := newPage(from, items)
	if err != nil {
		return nil, nil, err
	}
	shown = []iamapi.InstanceProfile{}
	next, err = walk(p, sectionOf(r, "", &InstanceProfiles, index, rows, func(p *InstanceProfile) (bool, int, error) {
		one, err := p.shown(r)
		if err != nil {
			return false, 0, err
		}
		shown = append(shown, *one)
		size := 0
		for i := range one.Roles {
			size += len(*one.Roles[i].AssumeRolePolicyDocument)
		}
		return true, size, nil
	}))
	return shown, next, err
}

func resolveListInstanceProfilesForRole(r *api.Request, in *iamapi.ListInstanceProfilesForRoleInput) (*roleTarget, api.Access, error) {
	return onRole(r, in.RoleName)
}

func listInstanceProfilesForRole(r *api.Request, in *iamapi.ListInstanceProfilesForRoleInput, t *roleTarget) (*iamapi.ListInstanceProfilesForRoleOutput, error) {
	role, err := t.found()
	if err != nil {
		return nil, err
	}
	out := &iamapi.ListInstanceProfilesForRoleOutput{}
	out.InstanceProfiles, out.Marker, err = pageOfProfiles(r, profileByRole, table.Range{Prefix: table.K(role.ID)}, in.Marker, in.MaxItems)
	out.IsTruncated = new(out.Marker != nil)
	return out, err
}

// membership is an instance profile and the role that is to be put into it or taken
// out.
type membership struct {
	*profileTarget
	role *roleTarget
}

// resolveAddRoleToInstanceProfile: "The caller of this operation must be granted
// the PassRole permission on the IAM role" (AddRoleToInstanceProfile).
func resolveAddRoleToInstanceProfile(r *api.Request, in *iamapi.AddRoleToInstanceProfileInput) (m membership, a api.Access, err error) {
	if m.profileTarget, a, err = onProfile(r, in.InstanceProfileName); err != nil {
		return m, a, err
	}
	if m.role, err = locateRole(r, *in.RoleName); err != nil {
		return m, a, err
	}
	pass := m.role.access()
	pass.Action, pass.Named, pass.Keys = "iam:PassRole", pass.Resource, passedToMachines{&m.role.entity}
	a.Also = append(a.Also, pass)
	return m, a, nil
}

// passedToMachines answers for the keys of iam:PassRole: who has the instance
// profile is a machine of EC2.
type passedToMachines struct{ *entity }

// Values implements policy.Context.
func (k passedToMachines) Values(dst []string, key string) ([]string, bool) {
	switch key {
	case "iam:passedtoservice":
		return append(dst, "ec2.amazonaws.com"), true
	case "iam:associatedresourcearn": // as AddRoleToInstanceProfile documents it
		return append(dst, "arn:"+k.r.Partition()+":ec2:*:"+k.r.Account+":instance/*"), true
	}
	return k.entity.Values(dst, key)
}

func addRoleToInstanceProfile(r *api.Request, _ *iamapi.AddRoleToInstanceProfileInput, m membership) (*iamapi.AddRoleToInstanceProfileOutput, error) {
	p, err := m.edit()
	if err != nil {
		return nil, err
	}
	role, err := m.role.modifiable()
	if err != nil {
		return nil, err
	}
	if p.Role != "" {
		return nil, quotaExceeded("InstanceSessionsPerInstanceProfile", 1)
	}
	p.Role = role.ID
	return &iamapi.AddRoleToInstanceProfileOutput{}, InstanceProfiles.Put(r.Tx, p)
}

func resolveRemoveRoleFromInstanceProfile(r *api.Request, in *iamapi.RemoveRoleFromInstanceProfileInput) (m membership, a api.Access, err error) {
	if m.profileTarget, a, err = onProfile(r, in.InstanceProfileName); err != nil {
		return m, a, err
	}
	m.role, err = locateRole(r, *in.RoleName)
	return m, a, err
}

func removeRoleFromInstanceProfile(r *api.Request, _ *iamapi.RemoveRoleFromInstanceProfileInput, m membership) (*iamapi.RemoveRoleFromInstanceProfileOutput, error) {
	p, err := m.edit()
	if err != nil {
		return nil, err
	}
	role, err := m.role.found()
	if err != nil {
		return nil, err
	}
	if p.Role != role.ID {
		return nil, noSuchRole(role.Name)
	}
	p.Role = ""
	return &iamapi.RemoveRoleFromInstanceProfileOutput{}, InstanceProfiles.Put(r.Tx, p)
}

func resolveDeleteInstanceProfile(r *api.Request, in *iamapi.DeleteInstanceProfileInput) (*profileTarget, api.Access, error) {
	return onProfile(r, in.InstanceProfileName)
}

func deleteInstanceProfile(r *api.Request, _ *iamapi.DeleteInstanceProfileInput, t *profileTarget) (*iamapi.DeleteInstanceProfileOutput, error) {
	p, err := t.found()
	if err != nil {
		return nil, err
	}
	if p.Role != "" {
		return nil, deleteConflict("must remove roles from instance profile first")
	}
	if err := InstanceProfiles.Delete(r.Tx, table.K(p.ID)); err != nil {
		return nil, err
	}
	return &iamapi.DeleteInstanceProfileOutput{}, profileCounter.remove(r.Tx, r.Account)
}

package iam

import (
	"errors"
	"slices"
	"strings"

	"coffer/internal/api"
	iamapi "coffer/internal/api/iam"
	"coffer/internal/policy"
	"coffer/internal/table"
)

// defaultMaxSession is how long, in seconds, sessions of a role can be at most
// unless it says otherwise.
const defaultMaxSession = 3600

func (s *Service) roleOperations() []api.Bound {
	return []api.Bound{
		api.Bind(iamapi.CreateRole, resolveCreateRole, createRole),
		api.Bind(iamapi.GetRole, resolveGetRole, s.getRole),
		api.Bind(iamapi.ListRoles, resolveListRoles, listRoles),
		api.Bind(iamapi.UpdateRole, resolveUpdateRole, updateRole),
		api.Bind(iamapi.UpdateRoleDescription, resolveUpdateRoleDescription, updateRoleDescription),
		api.Bind(iamapi.UpdateAssumeRolePolicy, resolveUpdateAssumeRolePolicy, updateAssumeRolePolicy),
		api.Bind(iamapi.DeleteRole, resolveDeleteRole, deleteRole),
	}
}

// roleTarget is the role that an operation names, or none of that name.
type roleTarget struct {
	entity
	role *Role // shared; nil: there is none
}

// locateRole finds a role, as locateUser does a user.
func locateRole(r *api.Request, name string) (*roleTarget, error) {
	t := &roleTarget{entity: entity{r: r, kind: "role", path: "/", name: name, existing: true}}
	role, err := findRole(r.Tx, r.Account, name)
	switch {
	case errors.Is(err, table.ErrNotFound):
		return t, nil
	case err != nil:
		return nil, err
	}
	t.role, t.path, t.name, t.tags, t.boundary = role, role.Path, role.Name, role.Tags, role.Boundary
	return t, nil
}

// onRole resolves operations on the role of this name.
func onRole(r *api.Request, name *string) (*roleTarget, api.Access, error) {
	t, err := locateRole(r, *name)
	if err != nil {
		return nil, api.Access{}, err
	}
	return t, t.access(), nil
}

// found returns the role to a caller whose action was authorized.
func (t *roleTarget) found() (*Role, error) {
	if t.role == nil {
		return nil, noSuchRole(t.name)
	}
	return t.role, nil
}

// modifiable is found for changes that only a service makes to its
// service-linked role.
func (t *roleTarget) modifiable() (*Role, error) {
	role, err := t.found()
	if err == nil && role.Service != "" {
		err = iamapi.UnmodifiableEntityException("Cannot perform the operation on the protected role '" + role.Name + "' - this role is only modifiable by AWS")
	}
	return role, err
}

// edit is modifiable with a copy of the role, to be changed and put.
func (t *roleTarget) edit() (*Role, error) {
	if _, err := t.modifiable(); err != nil {
		return nil, err
	}
	return t.editLinked()
}

// editLinked is edit for what everybody may change of service-linked roles, too:
// description and tags.
func (t *roleTarget) editLinked() (*Role, error) {
	role, err := t.found()
	if err != nil {
		return nil, err
	}
	return Roles.Edit(t.r.Tx, table.K(role.ID))
}

// put stores the role, whose permissions may have changed.
func (t *roleTarget) put(role *Role) error {
	if err := Roles.Put(t.r.Tx, role); err != nil {
		return err
	}
	return changed(t.r.Tx, role.Account)
}

func noSuchRole(name string) error {
	return iamapi.NoSuchEntityException("The role with name " + name + " cannot be found.")
}

func resolveCreateRole(r *api.Request, in *iamapi.CreateRoleInput) (*entity, api.Access, error) {
	e := &entity{r: r, kind: "role", path: pathOf(in.Path), name: *in.RoleName}
	a := e.access()
	a.RequestTags = requestTags(in.Tags)
	return e, alsoTagging(a, "iam:TagRole"), nil
}

func createRole(r *api.Request, in *iamapi.CreateRoleInput, e *entity) (_ *iamapi.CreateRoleOutput, err error) {
	// Names are one whatever their case: roles are found by them folded.
	if strings.HasPrefix(fold(e.path), fold(linkedPath)) || strings.HasPrefix(fold(e.name), fold(linkedName)) {
		return nil, iamapi.InvalidInputException("The path " + linkedPath + " and role names that begin with " + linkedName + " are reserved for service-linked roles.")
	}
	role := &Role{
		ID: newID("AROA"), Account: r.Account, Name: e.name, Path: e.path, Created: table.At(r.Time),
		Description: api.Value(in.Description), MaxSession: defaultMaxSession, Boundary: api.Value(in.PermissionsBoundary),
	}
	if in.MaxSessionDuration != nil {
		role.MaxSession = int(*in.MaxSessionDuration)
	}
	if role.Tags, err = mergeTags(nil, in.Tags); err != nil {
		return nil, err
	}
	if err := role.trusts(r, *in.AssumeRolePolicyDocument); err != nil {
		return nil, err
	}
	if err := e.rebound("", role.Boundary); err != nil {
		return nil, err
	}
	if err := insertRole(r, role); err != nil {
		return nil, err
	}
	shown, err := role.described(r)
	return &iamapi.CreateRoleOutput{Role: shown}, err
}

// insertRole stores a new role, if its name is free.
func insertRole(r *api.Request, role *Role) error {
	_, err := findRole(r.Tx, r.Account, role.Name)
	switch {
	case err == nil:
		return iamapi.EntityAlreadyExistsException("Role with name " + role.Name + " already exists.")
	case !errors.Is(err, table.ErrNotFound):
		return err
	}
	if err := roleCounter.add(r.Tx, r.Account); err != nil {
		return err
	}
	return Roles.Insert(r.Tx, role)
}

// trusts gives the role a trust policy.
func (role *Role) trusts(r *api.Request, text string) error {
	doc, err := parseDocument(text, policy.Trust)
	if err != nil {
		return err
	}
	if policy.Length([]byte(text)) > policy.MaxTrustPolicy {
		return quotaExceeded("ACLSizePerRole", policy.MaxTrustPolicy)
	}
	if err := checkTrust(doc); err != nil {
		return err
	}
	found, err := r.FindPrincipals(doc)
	if err != nil {
		return err
	}
	if found.Unknown != "" {
		return iamapi.MalformedPolicyDocumentException(invalidPrincipal("AWS", asWritten(doc, found.Unknown)))
	}
	role.Trust, role.Trusted = text, found.IDs
	return nil
}

// checkTrust refuses what the grammar allows and a trust policy cannot be about.
func checkTrust(doc *policy.Document) error {
	for i := range doc.Statements {
		s := &doc.Statements[i]
		if s.NotPrincipal { // "You cannot use the NotPrincipal element in ... a role trust policy"
			return iamapi.MalformedPolicyDocumentException("Has prohibited field NotPrincipal")
		}
		if s.NotAction || slices.ContainsFunc(s.Actions, func(a string) bool { return !strings.HasPrefix(fold(a), "sts:") }) {
			return iamapi.MalformedPolicyDocumentException("AssumeRole policy may only specify STS AssumeRole actions.")
		}
	}
	return nil
}

// asWritten is the principal of the document that unknown, an ARN, unique id or
// account, was found in.
func asWritten(doc *policy.Document, unknown string) string {
	for i := range doc.Statements {
		for _, p := range doc.Statements[i].Principals.AWS {
			if p.Text == unknown || p.Account == unknown {
				return p.Text
			}
		}
	}
	return unknown
}

// shown is the role as listings show it.
func (role *Role) shown(r *api.Request) (*iamapi.Role, error) {
	out := &iamapi.Role{
		Path: &role.Path, RoleName: &role.Name, RoleId: &role.ID, Arn: new(role.ARN(r.Partition())), CreateDate: role.Created.Ptr(),
		MaxSessionDuration: new(int64(role.MaxSession)),
	}
	if role.Description != "" {
		out.Description = &role.Description
	}
	show := func(tx *table.Tx) error {
		text, err := r.ShowPolicy(tx, role.Trust, role.Trusted)
		out.AssumeRolePolicyDocument = encodeDocument(text)
		return err
	}
	if !r.Tx.ReadOnly() { // it can take more look-ups than a transaction that writes has
		return out, r.Read(show)
	}
	return out, show(r.Tx)
}

// described is shown with what listings leave out.
func (role *Role) described(r *api.Request) (*iamapi.Role, error) {
	out, err := role.shown(r)
	if err != nil {
		return nil, err
	}
	out.Tags, out.PermissionsBoundary = shownTags(role.Tags), shownBoundary(role.Boundary)
	return out, nil
}

func resolveGetRole(r *api.Request, in *iamapi.GetRoleInput) (*roleTarget, api.Access, error) {
	return onRole(r, in.RoleName)
}

func (s *Service) getRole(r *api.Request, _ *iamapi.GetRoleInput, t *roleTarget) (*iamapi.GetRoleOutput, error) {
	role, err := t.found()
	if err != nil {
		return nil, err
	}
	out, err := role.described(r)
	if err != nil {
		return nil, err
	}
	out.RoleLastUsed, err = s.directory.roleLastUsed(r, role.ID)
	return &iamapi.GetRoleOutput{Role: out}, err
}

func resolveListRoles(r *api.Request, in *iamapi.ListRolesInput) (struct{}, api.Access, error) {
	return struct{}{}, listing(r, "role", in.PathPrefix), nil
}

func listRoles(r *api.Request, in *iamapi.ListRolesInput, _ struct{}) (*iamapi.ListRolesOutput, error) {
	p, err := newPage(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &iamapi.ListRolesOutput{Roles: []iamapi.Role{}}
	out.Marker, err = walk(p, sectionOf(r, "", &Roles, roleByPath, underPath(r, in.PathPrefix), func(role *Role) (bool, int, error) {
		shown, err := role.shown(r)
		if err != nil {
			return false, 0, err
		}
		out.Roles = append(out.Roles, *shown)
		return true, len(*shown.AssumeRolePolicyDocument), nil
	}))
	out.IsTruncated = new(out.Marker != nil)
	return out, err
}

func resolveUpdateRole(r *api.Request, in *iamapi.UpdateRoleInput) (*roleTarget, api.Access, error) {
	return onRole(r, in.RoleName)
}

// updateRole leaves what the request does not give. A service-linked role can get
// another description ("Edit a service-linked role description").
func updateRole(r *api.Request, in *iamapi.UpdateRoleInput, t *roleTarget) (*iamapi.UpdateRoleOutput, error) {
	edit := t.editLinked
	if in.MaxSessionDuration != nil {
		edit = t.edit
	}
	role, err := edit()
	if err != nil {
		return nil, err
	}
	if in.MaxSessionDuration != nil {
		role.MaxSession = int(*in.MaxSessionDuration)
	}
	if in.Description != nil {
		role.Description = *in.Description
	}
	return &iamapi.UpdateRoleOutput{}, Roles.Put(r.Tx, role)
}

func resolveUpdateRoleDescription(r *api.Request, in *iamapi.UpdateRoleDescriptionInput) (*roleTarget, api.Access, error) {
	return onRole(r, in.RoleName)
}

func updateRoleDescription(r *api.Request, in *iamapi.UpdateRoleDescriptionInput, t *roleTarget) (*iamapi.UpdateRoleDescriptionOutput, error) {
	role, err := t.editLinked()
	if err != nil {
		return nil, err
	}
	role.Description = *in.Description
	if err := Roles.Put(r.Tx, role); err != nil {
		return nil, err
	}
	shown, err := role.described(r)
	return &iamapi.UpdateRoleDescriptionOutput{Role: shown}, err
}

func resolveUpdateAssumeRolePolicy(r *api.Request, in *iamapi.UpdateAssumeRolePolicyInput) (*roleTarget, api.Access, error) {
	return onRole(r, in.RoleName)
}

func updateAssumeRolePolicy(r *api.Request, in *iamapi.UpdateAssumeRolePolicyInput, t *roleTarget) (*iamapi.UpdateAssumeRolePolicyOutput, error) {
	role, err := t.edit()
	if err != nil {
		return nil, err
	}
	if err := role.trusts(r, *in.PolicyDocument); err != nil {
		return nil, err
	}
	return &iamapi.UpdateAssumeRolePolicyOutput{}, t.put(role)
}

func resolveDeleteRole(r *api.Request, in *iamapi.DeleteRoleInput) (*roleTarget, api.Access, error) {
	return onRole(r, in.RoleName)
}

func deleteRole(r *api.Request, _ *iamapi.DeleteRoleInput, t *roleTarget) (*iamapi.DeleteRoleOutput, error) {
	role, err := t.modifiable()
	if err != nil {
		return nil, err
	}
	if len(role.Attached) > 0 {
		return nil, deleteConflict("must detach all policies first")
	}
	if err := hasNoInline(r, role.ID); err != nil {
		return nil, err
	}
	for _, err := range InstanceProfiles.ScanIndex(r.Tx, profileByRole, table.Range{Prefix: table.K(role.ID)}) {
		if err != nil {
			return nil, err
		}
		return nil, deleteConflict("must remove roles from instance profile first")
	}
	return &iamapi.DeleteRoleOutput{}, t.remove(role)
}

// remove deletes the role and what only it has.
func (t *roleTarget) remove(role *Role) error {
	tx := t.r.Tx
	if err := t.rebound(role.Boundary, ""); err != nil {
		return err
	}
	if err := Roles.Delete(tx, table.K(role.ID)); err != nil {
		return err
	}
	if err := LastUses.Delete(tx, table.K(role.ID)); err != nil {
		return err
	}
	if err := roleCounter.remove(tx, role.Account); err != nil {
		return err
	}
	return changed(tx, role.Account)
}

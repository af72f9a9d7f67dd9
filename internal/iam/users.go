package iam

import (
	"errors"

	"coffer/internal/api"
	iamapi "coffer/internal/api/iam"
	"coffer/internal/policy"
	"coffer/internal/table"
)

func (s *Service) userOperations() []api.Bound {
	return []api.Bound{
		api.Bind(iamapi.CreateUser, resolveCreateUser, createUser),
		api.Bind(iamapi.GetUser, resolveGetUser, getUser),
		api.Bind(iamapi.ListUsers, resolveListUsers, listUsers),
		api.Bind(iamapi.UpdateUser, resolveUpdateUser, updateUser),
		api.Bind(iamapi.DeleteUser, resolveDeleteUser, deleteUser),
	}
}

// onNothing resolves operations that are about no entity.
func onNothing[I any](r *api.Request, _ *I) (struct{}, api.Access, error) {
	return struct{}{}, everything(r), nil
}

// userTarget is the user that an operation names, or none of that name.
type userTarget struct {
	entity
	user *User // shared; nil: there is none
	root bool  // the account's root user in place of one
}

// locateUser finds a user. That there is none is told after authorization, on
// the ARN that one without a path would have.
func locateUser(r *api.Request, name string) (*userTarget, error) {
	t := &userTarget{entity: entity{r: r, kind: "user", path: "/", name: name, existing: true}}
	u, err := findUser(r.Tx, r.Account, name)
	switch {
	case errors.Is(err, table.ErrNotFound):
		return t, nil
	case err != nil:
		return nil, err
	}
	t.user, t.path, t.name, t.tags, t.boundary = u, u.Path, u.Name, u.Tags, u.Boundary
	return t, nil
}

// onUser resolves operations on the user of this name.
func onUser(r *api.Request, name *string) (*userTarget, api.Access, error) {
	t, err := locateUser(r, *name)
	if err != nil {
		return nil, api.Access{}, err
	}
	return t, t.access(), nil
}

// onUserOrSelf is onUser where no name stands for the caller: a user, or the
// root of the account.
func onUserOrSelf(r *api.Request, name *string) (*userTarget, api.Access, error) {
	if name != nil {
		return onUser(r, name)
	}
	switch r.Principal.Type {
	case policy.Root:
		t := &userTarget{entity: entity{r: r, kind: "root"}, root: true}
		return t, t.access(), nil
	case policy.IAMUser:
		return onUser(r, &r.Principal.Name)
	}
	return nil, api.Access{}, api.ValidationException("Must specify userName when calling with non-User credentials")
}

// found returns the user to a caller whose action was authorized.
func (t *userTarget) found() (*User, error) {
	if t.user == nil {
		return nil, noSuchUser(t.name)
	}
	return t.user, nil
}

// edit is found with a copy of the user, to be changed and put.
func (t *userTarget) edit() (*User, error) {
	u, err := t.found()
	if err != nil {
		return nil, err
	}
	return Users.Edit(t.r.Tx, table.K(u.ID))
}

// put stores the user, whose permissions may have changed.
func (t *userTarget) put(u *User) error {
	if err := Users.Put(t.r.Tx, u); err != nil {
		return err
	}
	return changed(t.r.Tx, u.Account)
}

func noSuchUser(name string) error {
	return iamapi.NoSuchEntityException("The user with name " + name + " cannot be found.")
}

func resolveCreateUser(r *api.Request, in *iamapi.CreateUserInput) (*entity, api.Access, error) {
	e := &entity{r: r, kind: "user", path: pathOf(in.Path), name: *in.UserName}
	a := e.access()
	a.RequestTags = requestTags(in.Tags)
	return e, alsoTagging(a, "iam:TagUser"), nil
}

func createUser(r *api.Request, in *iamapi.CreateUserInput, e *entity) (_ *iamapi.CreateUserOutput, err error) {
	u := &User{ID: newID("AIDA"), Account: r.Account, Name: e.name, Path: e.path, Created: table.At(r.Time), Boundary: api.Value(in.PermissionsBoundary)}
	if u.Tags, err = mergeTags(nil, in.Tags); err != nil {
		return nil, err
	}
	if err := freeUserName(r, u.Name); err != nil {
		return nil, err
	}
	if err := userCounter.add(r.Tx, r.Account); err != nil {
		return nil, err
	}
	if err := e.rebound("", u.Boundary); err != nil {
		return nil, err
	}
	if err := Users.Insert(r.Tx, u); err != nil {
		return nil, err
	}
	return &iamapi.CreateUserOutput{User: u.described(r)}, nil
}

// freeUserName makes sure that no user has the name, in any case.
func freeUserName(r *api.Request, name string) error {
	_, err := findUser(r.Tx, r.Account, name)
	switch {
	case errors.Is(err, table.ErrNotFound):
		return nil
	case err != nil:
		return err
	}
	return iamapi.EntityAlreadyExistsException("User with name " + name + " already exists.")
}

// shown is the user as listings show it.
func (u *User) shown(r *api.Request) *iamapi.User {
	return &iamapi.User{
		Path: &u.Path, UserName: &u.Name, UserId: &u.ID, Arn: new(u.ARN(r.Partition())), CreateDate: u.Created.Ptr(),
	}
}

// described is shown with what listings leave out.
func (u *User) described(r *api.Request) *iamapi.User {
	out := u.shown(r)
	out.Tags, out.PermissionsBoundary = shownTags(u.Tags), shownBoundary(u.Boundary)
	return out
}

func resolveGetUser(r *api.Request, in *iamapi.GetUserInput) (*userTarget, api.Access, error) {
	return onUserOrSelf(r, in.UserName)
}

func getUser(r *api.Request, in *iamapi.GetUserInput, t *userTarget) (*iamapi.GetUserOutput, error) {
	if t.root {
		u, err := rootUser(r)
		return &iamapi.GetUserOutput{User: u}, err
	}
	u, err := t.found()
	if err != nil {
		return nil, err
	}
	return &iamapi.GetUserOutput{User: u.described(r)}, nil
}

// rootUser is the account's root as GetUser shows it: it has no name and no path.
func rootUser(r *api.Request) (*iamapi.User, error) {
	u := &iamapi.User{UserId: &r.Account, Arn: &r.Principal.ARN}
	a, err := Accounts.Get(r.Tx, table.K(r.Account))
	switch {
	case err == nil:
		u.CreateDate = a.Created.Ptr()
	case !errors.Is(err, table.ErrNotFound): // with --dev, accounts need not be made
		return nil, err
	}
	return u, nil
}

func resolveListUsers(r *api.Request, in *iamapi.ListUsersInput) (struct{}, api.Access, error) {
	return struct{}{}, listing(r, "user", in.PathPrefix), nil
}

func listUsers(r *api.Request, in *iamapi.ListUsersInput, _ struct{}) (*iamapi.ListUsersOutput, error) {
	p, err := newPage(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &iamapi.ListUsersOutput{Users: []iamapi.User{}}
	out.Marker, err = list(r, &Users, userByPath, underPath(r, in.PathPrefix), p, func(u *User) error {
		out.Users = append(out.Users, *u.shown(r))
		return nil
	})
	out.IsTruncated = new(out.Marker != nil)
	return out, err
}

// resolveUpdateUser: "the requester must have appropriate permissions on both
// the source object and the target object" (UpdateUser).
func resolveUpdateUser(r *api.Request, in *iamapi.UpdateUserInput) (*userTarget, api.Access, error) {
	t, a, err := onUser(r, in.UserName)
	if err != nil {
		return nil, a, err
	}
	return t, t.alsoAs(a, in.NewPath, in.NewUserName), nil
}

// alsoAs adds to the access of a renaming the permission on what the entity will be.
func (e *entity) alsoAs(a api.Access, path, name *string) api.Access {
	to := *e
	if path != nil {
		to.path = *path
	}
	if name != nil {
		to.name = *name
	}
	if to.path == e.path && to.name == e.name {
		return a
	}
	to.existing = false
	a.Also = append(a.Also, to.access())
	return a
}

func updateUser(r *api.Request, in *iamapi.UpdateUserInput, t *userTarget) (*iamapi.UpdateUserOutput, error) {
	u, err := t.edit()
	if err != nil {
		return nil, err
	}
	if in.NewUserName != nil {
		if fold(*in.NewUserName) != fold(u.Name) {
			if err := freeUserName(r, *in.NewUserName); err != nil {
				return nil, err
			}
		}
		u.Name = *in.NewUserName
	}
	if in.NewPath != nil {
		u.Path = *in.NewPath
	}
	return &iamapi.UpdateUserOutput{}, t.put(u)
}

func resolveDeleteUser(r *api.Request, in *iamapi.DeleteUserInput) (*userTarget, api.Access, error) {
	return onUser(r, in.UserName)
}

func deleteUser(r *api.Request, _ *iamapi.DeleteUserInput, t *userTarget) (*iamapi.DeleteUserOutput, error) {
	u, err := t.found()
	if err != nil {
		return nil, err
	}
	switch {
	case len(u.Attached) > 0:
		return nil, deleteConflict("must detach all policies first")
	case len(u.Groups) > 0:
		return nil, deleteConflict("must remove users from group first")
	case len(u.MFA) > 0:
		return nil, deleteConflict("must delete MFA device first")
	}
	if err := hasNoInline(r, u.ID); err != nil {
		return nil, err
	}
	for _, err := range AccessKeys.ScanIndex(r.Tx, keyByUser, table.Range{Prefix: table.K(u.ID)}) {
		if err != nil {
			return nil, err
		}
		return nil, deleteConflict("must delete access keys first")
	}
	if err := t.rebound(u.Boundary, ""); err != nil {
		return nil, err
	}
	if err := Users.Delete(r.Tx, table.K(u.ID)); err != nil {
		return nil, err
	}
	if err := userCounter.remove(r.Tx, r.Account); err != nil {
		return nil, err
	}
	return &iamapi.DeleteUserOutput{}, changed(r.Tx, r.Account)
}

// deleteConflict is the refusal to delete what still has something.
func deleteConflict(what string) error {
	return iamapi.DeleteConflictException("Cannot delete entity, " + what + ".")
}

// hasNoInline makes sure that the owner has no inline policies left.
func hasNoInline(r *api.Request, owner string) error {
	_, err := Inlines.Get(r.Tx, table.K(owner))
	switch {
	case errors.Is(err, table.ErrNotFound):
		return nil
	case err != nil:
		return err
	}
	return deleteConflict("must delete policies first")
}

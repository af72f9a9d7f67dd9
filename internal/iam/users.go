package iam

import (
	"errors"

	"coffer/internal/api"
	iamapi "coffer/internal/api/iam"
	"coffer/internal/table"
)

func (s *Service) userOperations() []api.Bound {
	return []api.Bound{
		api.Bind(iamapi.CreateUser, resolveCreateUser, createUser),
		api.Bind(iamapi.GetUser, resolveGetUser, getUser),
		api.Bind(iamapi.ListUsers, onNothing[iamapi.ListUsersInput], listUsers),
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
}

// locateUser finds a user. That there is none is told after authorization, on
// the ARN that one without a path would have.
func locateUser(r *api.Request, name string) (*userTarget, error) {
	t := &userTarget{entity: entity{r: r, kind: "user", path: "/", name: name}}
	u, err := findUser(r.Tx, r.Account, name)
	switch {
	case errors.Is(err, table.ErrNotFound):
		return t, nil
	case err != nil:
		return nil, err
	}
	t.user, t.path, t.name, t.tags = u, u.Path, u.Name, u.Tags
	return t, nil
}

// found returns the user to a caller whose action was authorized.
func (t *userTarget) found() (*User, error) {
	if t.user == nil {
		return nil, noSuchUser(t.name)
	}
	return t.user, nil
}

func noSuchUser(name string) error {
	return iamapi.NoSuchEntityException("The user with name " + name + " cannot be found.")
}

func resolveCreateUser(r *api.Request, in *iamapi.CreateUserInput) (*entity, api.Access, error) {
	e := &entity{r: r, kind: "user", path: pathOf(in.Path), name: *in.UserName}
	a := e.access()
	a.RequestTags = requestTags(in.Tags)
	return e, a, nil
}

func createUser(r *api.Request, in *iamapi.CreateUserInput, e *entity) (*iamapi.CreateUserOutput, error) {
	if _, err := findUser(r.Tx, r.Account, e.name); err == nil {
		return nil, iamapi.EntityAlreadyExistsException("User with name " + e.name + " already exists.")
	} else if !errors.Is(err, table.ErrNotFound) {
		return nil, err
	}
	u := &User{ID: newID("AIDA"), Account: r.Account, Name: e.name, Path: e.path, Created: table.At(r.Time), Tags: requestTags(in.Tags)}
	if err := Users.Insert(r.Tx, u); err != nil {
		return nil, err
	}
	return &iamapi.CreateUserOutput{User: u.shown(r)}, nil
}

// shown is the user as answers show it.
func (u *User) shown(r *api.Request) *iamapi.User {
	return &iamapi.User{
		Path: &u.Path, UserName: &u.Name, UserId: &u.ID, Arn: new(u.ARN(r.Partition())), CreateDate: u.Created.Ptr(),
	}
}

func resolveGetUser(r *api.Request, in *iamapi.GetUserInput) (*userTarget, api.Access, error) {
	name := str(in.UserName)
	if in.UserName == nil {
		name = r.Principal.Name
	}
	t, err := locateUser(r, name)
	if err != nil {
		return nil, api.Access{}, err
	}
	return t, t.access(), nil
}

func getUser(r *api.Request, in *iamapi.GetUserInput, t *userTarget) (*iamapi.GetUserOutput, error) {
	u, err := t.found()
	if err != nil {
		return nil, err
	}
	return &iamapi.GetUserOutput{User: u.shown(r)}, nil
}

func listUsers(r *api.Request, in *iamapi.ListUsersInput, _ struct{}) (*iamapi.ListUsersOutput, error) {
	p, err := newPage(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &iamapi.ListUsersOutput{Users: []iamapi.User{}}
	rows := table.Range{Prefix: table.K(r.Account)}
	if in.PathPrefix != nil {
		rows = table.Range{Prefix: table.K(r.Account, *in.PathPrefix), Partial: true}
	}
	out.Marker, err = list(r, &Users, userByPath, rows, p, func(u *User) error {
		out.Users = append(out.Users, *u.shown(r))
		return nil
	})
	out.IsTruncated = new(out.Marker != nil)
	return out, err
}

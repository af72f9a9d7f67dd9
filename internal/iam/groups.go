package iam

import (
	"errors"
	"slices"
	"strings"

	"coffer/internal/api"
	iamapi "coffer/internal/api/iam"
	"coffer/internal/table"
)

// maxGroups is how many groups a user can be in ("IAM and AWS STS quotas").
const maxGroups = 10

func (s *Service) groupOperations() []api.Bound {
	return []api.Bound{
		api.Bind(iamapi.CreateGroup, resolveCreateGroup, createGroup),
		api.Bind(iamapi.GetGroup, resolveGetGroup, getGroup),
		api.Bind(iamapi.ListGroups, resolveListGroups, listGroups),
		api.Bind(iamapi.UpdateGroup, resolveUpdateGroup, updateGroup),
		api.Bind(iamapi.DeleteGroup, resolveDeleteGroup, deleteGroup),
		api.Bind(iamapi.AddUserToGroup, resolveAddUserToGroup, addUserToGroup),
		api.Bind(iamapi.RemoveUserFromGroup, resolveRemoveUserFromGroup, removeUserFromGroup),
		api.Bind(iamapi.ListGroupsForUser, resolveListGroupsForUser, listGroupsForUser),
	}
}

// groupTarget is the group that an operation names, or none of that name.
type groupTarget struct {
	entity
	group *Group // shared; nil: there is none
}

// locateGroup finds a group, as locateUser does a user.
func locateGroup(r *api.Request, name string) (*groupTarget, error) {
	t := &groupTarget{entity: entity{r: r, kind: "group", path: "/", name: name, existing: true}}
	g, err := findGroup(r.Tx, r.Account, name)
	switch {
	case errors.Is(err, table.ErrNotFound):
		return t, nil
	case err != nil:
		return nil, err
	}
	t.group, t.path, t.name = g, g.Path, g.Name
	return t, nil
}

// onGroup resolves operations on the group of this name.
func onGroup(r *api.Request, name *string) (*groupTarget, api.Access, error) {
	t, err := locateGroup(r, *name)
	if err != nil {
		return nil, api.Access{}, err
	}
	return t, t.access(), nil
}

// found returns the group to a caller whose action was authorized.
func (t *groupTarget) found() (*Group, error) {
	if t.group == nil {
		return nil, iamapi.NoSuchEntityException("The group with name " + t.name + " cannot be found.")
	}
	return t.group, nil
}

// edit is found with a copy of the group, to be changed and put.
func (t *groupTarget) edit() (*Group, error) {
	g, err := t.found()
	if err != nil {
		return nil, err
	}
	return Groups.Edit(t.r.Tx, table.K(g.ID))
}

// put stores the group, whose members' permissions may have changed.
func (t *groupTarget) put(g *Group) error {
	if err := Groups.Put(t.r.Tx, g); err != nil {
		return err
	}
	return changed(t.r.Tx, g.Account)
}

func resolveCreateGroup(r *api.Request, in *iamapi.CreateGroupInput) (*entity, api.Access, error) {
	e := &entity{r: r, kind: "group", path: pathOf(in.Path), name: *in.GroupName}
	return e, e.access(), nil
}

func createGroup(r *api.Request, _ *iamapi.CreateGroupInput, e *entity) (*iamapi.CreateGroupOutput, error) {
	if err := freeGroupName(r, e.name); err != nil {
		return nil, err
	}
	if err := groupCounter.add(r.Tx, r.Account); err != nil {
		return nil, err
	}
	g := &Group{ID: newID("AGPA"), Account: r.Account, Name: e.name, Path: e.path, Created: table.At(r.Time)}
	if err := Groups.Insert(r.Tx, g); err != nil {
		return nil, err
	}
	return &iamapi.CreateGroupOutput{Group: g.shown(r)}, nil
}

// freeGroupName makes sure that no group has the name, in any case.
func freeGroupName(r *api.Request, name string) error {
	_, err := findGroup(r.Tx, r.Account, name)
	switch {
	case errors.Is(err, table.ErrNotFound):
		return nil
	case err != nil:
		return err
	}
	return iamapi.EntityAlreadyExistsException("Group with name " + name + " already exists.")
}

// shown is the group as answers show it.
func (g *Group) shown(r *api.Request) *iamapi.Group {
	return &iamapi.Group{
		Path: &g.Path, GroupName: &g.Name, GroupId: &g.ID, Arn: new(g.ARN(r.Partition())), CreateDate: g.Created.Ptr(),
	}
}

func resolveGetGroup(r *api.Request, in *iamapi.GetGroupInput) (*groupTarget, api.Access, error) {
	return onGroup(r, in.GroupName)
}

func getGroup(r *api.Request, in *iamapi.GetGroupInput, t *groupTarget) (*iamapi.GetGroupOutput, error) {
	g, err := t.found()
	if err != nil {
		return nil, err
	}
	p, err := newPage(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &iamapi.GetGroupOutput{Group: g.shown(r), Users: []iamapi.User{}}
	out.Marker, err = list(r, &Users, userByGroup, table.Range{Prefix: table.K(g.ID)}, p, func(u *User) error {
		out.Users = append(out.Users, *u.shown(r))
		return nil
	})
	out.IsTruncated = new(out.Marker != nil)
	return out, err
}

func resolveListGroups(r *api.Request, in *iamapi.ListGroupsInput) (struct{}, api.Access, error) {
	return struct{}{}, listing(r, "group", in.PathPrefix), nil
}

func listGroups(r *api.Request, in *iamapi.ListGroupsInput, _ struct{}) (*iamapi.ListGroupsOutput, error) {
	p, err := newPage(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &iamapi.ListGroupsOutput{Groups: []iamapi.Group{}}
	out.Marker, err = list(r, &Groups, groupByPath, underPath(r, in.PathPrefix), p, func(g *Group) error {
		out.Groups = append(out.Groups, *g.shown(r))
		return nil
	})
	out.IsTruncated = new(out.Marker != nil)
	return out, err
}

// resolveUpdateGroup: the caller "must have permission to change the group with
// the old name and the new name" (UpdateGroup).
func resolveUpdateGroup(r *api.Request, in *iamapi.UpdateGroupInput) (*groupTarget, api.Access, error) {
	t, a, err := onGroup(r, in.GroupName)
	if err != nil {
		return nil, a, err
	}
	return t, t.alsoAs(a, in.NewPath, in.NewGroupName), nil
}

func updateGroup(r *api.Request, in *iamapi.UpdateGroupInput, t *groupTarget) (*iamapi.UpdateGroupOutput, error) {
	g, err := t.edit()
	if err != nil {
		return nil, err
	}
	if in.NewGroupName != nil {
		if fold(*in.NewGroupName) != fold(g.Name) {
			if err := freeGroupName(r, *in.NewGroupName); err != nil {
				return nil, err
			}
		}
		g.Name = *in.NewGroupName
	}
	if in.NewPath != nil {
		g.Path = *in.NewPath
	}
	return &iamapi.UpdateGroupOutput{}, t.put(g)
}

func resolveDeleteGroup(r *api.Request, in *iamapi.DeleteGroupInput) (*groupTarget, api.Access, error) {
	return onGroup(r, in.GroupName)
}

func deleteGroup(r *api.Request, _ *iamapi.DeleteGroupInput, t *groupTarget) (*iamapi.DeleteGroupOutput, error) {
	g, err := t.found()
	if err != nil {
		return nil, err
	}
	for _, err := range Users.ScanIndex(r.Tx, userByGroup, table.Range{Prefix: table.K(g.ID)}) {
		if err != nil {
			return nil, err
		}
		return nil, deleteConflict("must remove users from group first")
	}
	if len(g.Attached) > 0 {
		return nil, deleteConflict("must detach all policies first")
	}
	if err := hasNoInline(r, g.ID); err != nil {
		return nil, err
	}
	if err := Groups.Delete(r.Tx, table.K(g.ID)); err != nil {
		return nil, err
	}
	return &iamapi.DeleteGroupOutput{}, groupCounter.remove(r.Tx, r.Account)
}

func resolveAddUserToGroup(r *api.Request, in *iamapi.AddUserToGroupInput) (*groupTarget, api.Access, error) {
	return onGroup(r, in.GroupName)
}

// addUserToGroup succeeds for one who is in the group already.
func addUserToGroup(r *api.Request, in *iamapi.AddUserToGroupInput, t *groupTarget) (*iamapi.AddUserToGroupOutput, error) {
	out := &iamapi.AddUserToGroupOutput{}
	g, member, err := t.withUser(*in.UserName)
	if err != nil {
		return nil, err
	}
	u, err := member.edit()
	if err != nil {
		return nil, err
	}
	if slices.Contains(u.Groups, g.ID) {
		return out, nil
	}
	if len(u.Groups) >= maxGroups {
		return nil, quotaExceeded("GroupsPerUser", maxGroups)
	}
	u.Groups = append(u.Groups, g.ID)
	return out, member.put(u)
}

func resolveRemoveUserFromGroup(r *api.Request, in *iamapi.RemoveUserFromGroupInput) (*groupTarget, api.Access, error) {
	return onGroup(r, in.GroupName)
}

// removeUserFromGroup succeeds for one who is not in the group.
func removeUserFromGroup(r *api.Request, in *iamapi.RemoveUserFromGroupInput, t *groupTarget) (*iamapi.RemoveUserFromGroupOutput, error) {
	out := &iamapi.RemoveUserFromGroupOutput{}
	g, member, err := t.withUser(*in.UserName)
	if err != nil {
		return nil, err
	}
	u, err := member.edit()
	if err != nil {
		return nil, err
	}
	if !slices.Contains(u.Groups, g.ID) {
		return out, nil
	}
	u.Groups = slices.DeleteFunc(u.Groups, func(id string) bool { return id == g.ID })
	return out, member.put(u)
}

// withUser finds the group and the user whose membership is to change. Only the
// group decides whether it may: it is the resource of these actions.
func (t *groupTarget) withUser(name string) (*Group, *userTarget, error) {
	g, err := t.found()
	if err != nil {
		return nil, nil, err
	}
	member, err := locateUser(t.r, name)
	return g, member, err
}

func resolveListGroupsForUser(r *api.Request, in *iamapi.ListGroupsForUserInput) (*userTarget, api.Access, error) {
	return onUser(r, in.UserName)
}

func listGroupsForUser(r *api.Request, in *iamapi.ListGroupsForUserInput, t *userTarget) (*iamapi.ListGroupsForUserOutput, error) {
	u, err := t.found()
	if err != nil {
		return nil, err
	}
	groups := make([]*Group, 0, maxGroups)
	for _, id := range u.Groups {
		g, err := Groups.Get(r.Tx, table.K(id))
		if err != nil {
			return nil, err
		}
		groups = append(groups, g)
	}
	key := func(g **Group) table.Key { return table.K((*g).Path, fold((*g).Name)) }
	slices.SortFunc(groups, func(a, b *Group) int { return strings.Compare(string(key(&a)), string(key(&b))) })
	out := &iamapi.ListGroupsForUserOutput{Groups: []iamapi.Group{}}
	if groups, out.Marker, err = part(groups, key, in.Marker, in.MaxItems); err != nil {
		return nil, err
	}
	for _, g := range groups {
		out.Groups = append(out.Groups, *g.shown(r))
	}
	out.IsTruncated = new(out.Marker != nil)
	return out, nil
}

package iam_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"

	"coffer/internal/coffertest/check"
)

func TestGroups(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	policy := w.managed(t, "p", allow("*", "*"))
	made := check.Must(t, w.CreateGroup, &iam.CreateGroupInput{GroupName: new("Devs"), Path: new("/eu/")}).Group
	check.Equal(t, "ARN", *made.Arn, w.arn("group/eu/Devs"))
	check.Equal(t, "id", strings.HasPrefix(*made.GroupId, "AGPA") && len(*made.GroupId) == 21, true)
	for _, n := range []string{"ana", "bo", "cy"} {
		check.Must(t, w.CreateUser, &iam.CreateUserInput{UserName: &n})
	}
	add := func(user string) func() string {
		return check.Try(w.AddUserToGroup, &iam.AddUserToGroupInput{GroupName: new("devs"), UserName: &user})
	}
	remove := func(user string) func() string {
		return check.Try(w.RemoveUserFromGroup, &iam.RemoveUserFromGroupInput{GroupName: new("devs"), UserName: &user})
	}
	del := check.Try(w.DeleteGroup, &iam.DeleteGroupInput{GroupName: new("lead")})
	noGroup := "NoSuchEntity: The group with name nowhere cannot be found."
	check.Run(t, []check.Rule{
		{"taken in any case", check.Try(w.CreateGroup, &iam.CreateGroupInput{GroupName: new("DEVS")}), "EntityAlreadyExists: Group with name DEVS already exists."},
		{"add", add("ana"), "ok"},
		{"add again", add("ana"), "ok"},
		{"add in another case", add("BO"), "ok"},
		{"add nobody", add("nobody"), "NoSuchEntity: The user with name nobody cannot be found."},
		{"add to no group", check.Try(w.AddUserToGroup, &iam.AddUserToGroupInput{GroupName: new("nowhere"), UserName: new("ana")}), noGroup},
		{"remove one who is not in it", remove("cy"), "ok"},
		{"remove nobody", remove("nobody"), "NoSuchEntity: The user with name nobody cannot be found."},
		{"remove from no group", check.Try(w.RemoveUserFromGroup, &iam.RemoveUserFromGroupInput{GroupName: new("nowhere"), UserName: new("ana")}), noGroup},
		{"get no group", check.Try(w.GetGroup, &iam.GetGroupInput{GroupName: new("nowhere")}), noGroup},
		{"update no group", check.Try(w.UpdateGroup, &iam.UpdateGroupInput{GroupName: new("nowhere"), NewPath: new("/x/")}), noGroup},
		{"delete no group", check.Try(w.DeleteGroup, &iam.DeleteGroupInput{GroupName: new("nowhere")}), noGroup},
		{"groups of nobody", check.Try(w.ListGroupsForUser, &iam.ListGroupsForUserInput{UserName: new("nobody")}), "NoSuchEntity: The user with name nobody cannot be found."},
		{"another", check.Try(w.CreateGroup, &iam.CreateGroupInput{GroupName: new("ops")}), "ok"},
		{"rename to what is taken", check.Try(w.UpdateGroup, &iam.UpdateGroupInput{GroupName: new("devs"), NewGroupName: new("OPS")}), "EntityAlreadyExists: Group with name OPS already exists."},
		{"rename", check.Try(w.UpdateGroup, &iam.UpdateGroupInput{GroupName: new("devs"), NewGroupName: new("Lead"), NewPath: new("/us/")}), "ok"},
	})
	page := check.Must(t, w.GetGroup, &iam.GetGroupInput{GroupName: new("lead"), MaxItems: new(int32(1))})
	check.Equal(t, "the first page", *page.Users[0].UserName, "ana")
	check.Equal(t, "more", page.IsTruncated, true)
	page = check.Must(t, w.GetGroup, &iam.GetGroupInput{GroupName: new("lead"), Marker: page.Marker})
	check.Equal(t, "the second page", *page.Users[0].UserName, "bo")
	check.Equal(t, "no more", len(page.Users) == 1 && !page.IsTruncated, true)
	check.Equal(t, "the same group", *page.Group.GroupId, *made.GroupId)
	check.Equal(t, "groups below a path", *check.Must(t, w.ListGroups, &iam.ListGroupsInput{PathPrefix: new("/us/")}).Groups[0].Arn, w.arn("group/us/Lead"))
	check.Equal(t, "all groups", len(check.Must(t, w.ListGroups, &iam.ListGroupsInput{}).Groups), 2)

	check.Must(t, w.AttachGroupPolicy, &iam.AttachGroupPolicyInput{GroupName: new("lead"), PolicyArn: &policy})
	check.Must(t, w.PutGroupPolicy, &iam.PutGroupPolicyInput{GroupName: new("lead"), PolicyName: new("own"), PolicyDocument: new(document(allow("*", "*")))})
	leave := func(user string) func() string {
		return check.Try(w.RemoveUserFromGroup, &iam.RemoveUserFromGroupInput{GroupName: new("lead"), UserName: &user})
	}
	check.Run(t, []check.Rule{
		{"members", del, "DeleteConflict: Cannot delete entity, must remove users from group first."},
		{"leave", leave("ana"), "ok"},
		{"leave too", leave("bo"), "ok"},
		{"attached", del, "DeleteConflict: Cannot delete entity, must detach all policies first."},
		{"detach", check.Try(w.DetachGroupPolicy, &iam.DetachGroupPolicyInput{GroupName: new("lead"), PolicyArn: &policy}), "ok"},
		{"inline", del, "DeleteConflict: Cannot delete entity, must delete policies first."},
		{"delete policy", check.Try(w.DeleteGroupPolicy, &iam.DeleteGroupPolicyInput{GroupName: new("lead"), PolicyName: new("own")}), "ok"},
		{"delete", del, "ok"},
	})
}

func TestGroupsOfUser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	check.Must(t, w.CreateUser, &iam.CreateUserInput{UserName: new("ana")})
	add := func(i int) string {
		check.Must(t, w.CreateGroup, &iam.CreateGroupInput{GroupName: new(fmt.Sprintf("g%02d", i))})
		return check.Try(w.AddUserToGroup, &iam.AddUserToGroupInput{GroupName: new(fmt.Sprintf("g%02d", i)), UserName: new("ana")})()
	}
	for i := range 10 {
		check.Equal(t, "add", add(10-i), "ok")
	}
	check.Equal(t, "the eleventh", add(11), "LimitExceeded: Cannot exceed quota for GroupsPerUser: 10")
	var names []string
	in := &iam.ListGroupsForUserInput{UserName: new("ana"), MaxItems: new(int32(4))}
	for {
		out := check.Must(t, w.ListGroupsForUser, in)
		for _, g := range out.Groups {
			names = append(names, *g.GroupName)
		}
		if in.Marker = out.Marker; in.Marker == nil {
			break
		}
	}
	check.Equal(t, "groups", strings.Join(names, " "), "g01 g02 g03 g04 g05 g06 g07 g08 g09 g10")
}

// What a group may do its members may, from the next call on.
func TestMembership(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := w.user(t, "ana")
	check.Must(t, w.CreateGroup, &iam.CreateGroupInput{GroupName: new("readers")})
	check.Must(t, w.PutGroupPolicy, &iam.PutGroupPolicyInput{GroupName: new("readers"), PolicyName: new("p"), PolicyDocument: new(document(allow("iam:ListUsers", "*")))})
	denied := "AccessDenied: User: " + w.arn("user/ana") + " is not authorized to perform: iam:ListUsers on resource: " + w.arn("user/") + " because no identity-based policy allows the iam:ListUsers action"
	list := check.Try(ana.ListUsers, &iam.ListUsersInput{})
	in, out := &iam.AddUserToGroupInput{GroupName: new("readers"), UserName: new("ana")}, &iam.RemoveUserFromGroupInput{GroupName: new("readers"), UserName: new("ana")}
	check.Run(t, []check.Rule{
		{"outside", list, denied},
		{"enter", check.Try(w.AddUserToGroup, in), "ok"},
		{"inside", list, "ok"},
		{"leave", check.Try(w.RemoveUserFromGroup, out), "ok"},
		{"outside again", list, denied},
	})
}

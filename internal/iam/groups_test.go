package iam_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
)

func TestGroups(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	policy := w.managed(t, "p", allow("*", "*"))
	made := must(t, w.CreateGroup, &iam.CreateGroupInput{GroupName: new("Devs"), Path: new("/eu/")}).Group
	equal(t, "ARN", *made.Arn, w.arn("group/eu/Devs"))
	equal(t, "id", strings.HasPrefix(*made.GroupId, "AGPA") && len(*made.GroupId) == 21, true)
	for _, n := range []string{"ana", "bo", "cy"} {
		must(t, w.CreateUser, &iam.CreateUserInput{UserName: &n})
	}
	add := func(user string) func() string {
		return try(w.AddUserToGroup, &iam.AddUserToGroupInput{GroupName: new("devs"), UserName: &user})
	}
	remove := func(user string) func() string {
		return try(w.RemoveUserFromGroup, &iam.RemoveUserFromGroupInput{GroupName: new("devs"), UserName: &user})
	}
	del := try(w.DeleteGroup, &iam.DeleteGroupInput{GroupName: new("lead")})
	noGroup := "NoSuchEntity: The group with name nowhere cannot be found."
	run(t, []rule{
		{"taken in any case", try(w.CreateGroup, &iam.CreateGroupInput{GroupName: new("DEVS")}), "EntityAlreadyExists: Group with name DEVS already exists."},
		{"add", add("ana"), "ok"},
		{"add again", add("ana"), "ok"},
		{"add in another case", add("BO"), "ok"},
		{"add nobody", add("nobody"), "NoSuchEntity: The user with name nobody cannot be found."},
		{"add to no group", try(w.AddUserToGroup, &iam.AddUserToGroupInput{GroupName: new("nowhere"), UserName: new("ana")}), noGroup},
		{"remove one who is not in it", remove("cy"), "ok"},
		{"remove nobody", remove("nobody"), "NoSuchEntity: The user with name nobody cannot be found."},
		{"remove from no group", try(w.RemoveUserFromGroup, &iam.RemoveUserFromGroupInput{GroupName: new("nowhere"), UserName: new("ana")}), noGroup},
		{"get no group", try(w.GetGroup, &iam.GetGroupInput{GroupName: new("nowhere")}), noGroup},
		{"update no group", try(w.UpdateGroup, &iam.UpdateGroupInput{GroupName: new("nowhere"), NewPath: new("/x/")}), noGroup},
		{"delete no group", try(w.DeleteGroup, &iam.DeleteGroupInput{GroupName: new("nowhere")}), noGroup},
		{"groups of nobody", try(w.ListGroupsForUser, &iam.ListGroupsForUserInput{UserName: new("nobody")}), "NoSuchEntity: The user with name nobody cannot be found."},
		{"another", try(w.CreateGroup, &iam.CreateGroupInput{GroupName: new("ops")}), "ok"},
		{"rename to what is taken", try(w.UpdateGroup, &iam.UpdateGroupInput{GroupName: new("devs"), NewGroupName: new("OPS")}), "EntityAlreadyExists: Group with name OPS already exists."},
		{"rename", try(w.UpdateGroup, &iam.UpdateGroupInput{GroupName: new("devs"), NewGroupName: new("Lead"), NewPath: new("/us/")}), "ok"},
	})
	page := must(t, w.GetGroup, &iam.GetGroupInput{GroupName: new("lead"), MaxItems: new(int32(1))})
	equal(t, "the first page", *page.Users[0].UserName, "ana")
	equal(t, "more", page.IsTruncated, true)
	page = must(t, w.GetGroup, &iam.GetGroupInput{GroupName: new("lead"), Marker: page.Marker})
	equal(t, "the second page", *page.Users[0].UserName, "bo")
	equal(t, "no more", len(page.Users) == 1 && !page.IsTruncated, true)
	equal(t, "the same group", *page.Group.GroupId, *made.GroupId)
	equal(t, "groups below a path", *must(t, w.ListGroups, &iam.ListGroupsInput{PathPrefix: new("/us/")}).Groups[0].Arn, w.arn("group/us/Lead"))
	equal(t, "all groups", len(must(t, w.ListGroups, &iam.ListGroupsInput{}).Groups), 2)

	must(t, w.AttachGroupPolicy, &iam.AttachGroupPolicyInput{GroupName: new("lead"), PolicyArn: &policy})
	must(t, w.PutGroupPolicy, &iam.PutGroupPolicyInput{GroupName: new("lead"), PolicyName: new("own"), PolicyDocument: new(document(allow("*", "*")))})
	leave := func(user string) func() string {
		return try(w.RemoveUserFromGroup, &iam.RemoveUserFromGroupInput{GroupName: new("lead"), UserName: &user})
	}
	run(t, []rule{
		{"members", del, "DeleteConflict: Cannot delete entity, must remove users from group first."},
		{"leave", leave("ana"), "ok"},
		{"leave too", leave("bo"), "ok"},
		{"attached", del, "DeleteConflict: Cannot delete entity, must detach all policies first."},
		{"detach", try(w.DetachGroupPolicy, &iam.DetachGroupPolicyInput{GroupName: new("lead"), PolicyArn: &policy}), "ok"},
		{"inline", del, "DeleteConflict: Cannot delete entity, must delete policies first."},
		{"delete policy", try(w.DeleteGroupPolicy, &iam.DeleteGroupPolicyInput{GroupName: new("lead"), PolicyName: new("own")}), "ok"},
		{"delete", del, "ok"},
	})
}

func TestGroupsOfUser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	must(t, w.CreateUser, &iam.CreateUserInput{UserName: new("ana")})
	add := func(i int) string {
		must(t, w.CreateGroup, &iam.CreateGroupInput{GroupName: new(fmt.Sprintf("g%02d", i))})
		return try(w.AddUserToGroup, &iam.AddUserToGroupInput{GroupName: new(fmt.Sprintf("g%02d", i)), UserName: new("ana")})()
	}
	for i := range 10 {
		equal(t, "add", add(10-i), "ok")
	}
	equal(t, "the eleventh", add(11), "LimitExceeded: Cannot exceed quota for GroupsPerUser: 10")
	var names []string
	in := &iam.ListGroupsForUserInput{UserName: new("ana"), MaxItems: new(int32(4))}
	for {
		out := must(t, w.ListGroupsForUser, in)
		for _, g := range out.Groups {
			names = append(names, *g.GroupName)
		}
		if in.Marker = out.Marker; in.Marker == nil {
			break
		}
	}
	equal(t, "groups", strings.Join(names, " "), "g01 g02 g03 g04 g05 g06 g07 g08 g09 g10")
}

// What a group may do its members may, from the next call on.
func TestMembership(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := w.user(t, "ana")
	must(t, w.CreateGroup, &iam.CreateGroupInput{GroupName: new("readers")})
	must(t, w.PutGroupPolicy, &iam.PutGroupPolicyInput{GroupName: new("readers"), PolicyName: new("p"), PolicyDocument: new(document(allow("iam:ListUsers", "*")))})
	denied := "AccessDenied: User: " + w.arn("user/ana") + " is not authorized to perform: iam:ListUsers on resource: " + w.arn("user/") + " because no identity-based policy allows the iam:ListUsers action"
	list := try(ana.ListUsers, &iam.ListUsersInput{})
	in, out := &iam.AddUserToGroupInput{GroupName: new("readers"), UserName: new("ana")}, &iam.RemoveUserFromGroupInput{GroupName: new("readers"), UserName: new("ana")}
	run(t, []rule{
		{"outside", list, denied},
		{"enter", try(w.AddUserToGroup, in), "ok"},
		{"inside", list, "ok"},
		{"leave", try(w.RemoveUserFromGroup, out), "ok"},
		{"outside again", list, denied},
	})
}

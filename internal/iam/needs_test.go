package iam_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"coffer/internal/api"
	iamapi "coffer/internal/api/iam"
	"coffer/internal/iam"
	"coffer/internal/iam/iamtest"
	"coffer/internal/table"
)

// What an operation needs is told as the operation itself asks for it, of every operation.
func TestNeedsAreThoseOfTheCalls(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	seen := map[*api.Operation]bool{}
	b.asked = func(r *api.Request, a *api.Access) {
		seen[r.Op] = true
		of := *r
		of.Input = nil
		resource := a.Resource
		if strings.HasSuffix(resource, "/") {
			resource = "" // a listing
		}
		got, further, err := iam.Needs(&of, resource)
		if err != nil {
			t.Errorf("%s on %s: %v", r.Op.Name, resource, err)
			return
		}
		if len(further) > 0 || got.Account != a.Account || !slices.Equal(got.Tags, a.Tags) || !strings.HasPrefix(a.Resource, got.Resource) || got.Resource == "" && a.Resource != "" || got.Keys == nil {
			t.Errorf("%s needs %s of %s %v, and is said to need %s of %s %v", r.Op.Name, a.Resource, a.Account, a.Tags, got.Resource, got.Account, got.Tags)
		}
	}
	b.walk()
	b.walkPolicies()
	calls(b, iamapi.GetAccountAuthorizationDetails, &iamapi.GetAccountAuthorizationDetailsInput{})
	seen[iamapi.GetCredentialReport.Operation] = true // there is no report yet
	for _, op := range iamapi.Service.Operations {
		if op.Mode != api.Unserved && !seen[op] {
			t.Errorf("%s was not called", op.Name)
		}
	}
}

// What makes no sense to ask is told in words that help.
func TestNeedsOfNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	calls(b, iamapi.CreateUser, &iamapi.CreateUserInput{UserName: new("ana"), Path: new("/team/")})
	for _, tc := range []struct {
		op             *api.Operation
		resource, want string
	}{
		{iamapi.DeleteUser.Operation, "", "iam:DeleteUser is about a user: give its ARN, such as arn:aws:iam::111122223333:user/NAME"},
		{iamapi.DeleteUser.Operation, "ana", `iam:DeleteUser is about a user, and "ana" is not the ARN of one`},
		{iamapi.DeleteUser.Operation, arnOfBench("role/ana"), `iam:DeleteUser is about a user, and "` + arnOfBench("role/ana") + `" is not the ARN of one`},
		{iamapi.DeleteUser.Operation, arnOfBench("user/ana"), "there is no " + arnOfBench("user/ana")}, // without the path
		{iamapi.DeleteUser.Operation, arnOfBench("user/team/Ana"), "there is no " + arnOfBench("user/team/Ana")},
		{iamapi.DeleteUser.Operation, arnOfBench("user/team/ana"), ""},
		{iamapi.DeleteUser.Operation, "arn:aws:iam::999999999999:user/team/ana", "there is no arn:aws:iam::999999999999:user/team/ana"},
		{iamapi.CreateUser.Operation, arnOfBench("user/bo"), ""},
		{iamapi.GetPolicy.Operation, administrator, ""},
		{iamapi.SimulatePrincipalPolicy.Operation, arnOfBench("user/team/ana"), ""},
		{iamapi.GetAccountSummary.Operation, arnOfBench("user/team/ana"), `iam:GetAccountSummary is about the whole account: ask for "*"`},
		{iamapi.ListUsers.Operation, "", ""},
	} {
		err := b.db.View(context.Background(), func(tx *table.Tx) error {
			r := &api.Request{Tx: tx, Op: tc.op, Principal: iamtest.Root(benchAccount, "us-east-1"), Account: benchAccount, Region: "us-east-1"}
			_, _, err := iam.Needs(r, tc.resource)
			return err
		})
		if got := errorText(err); got != tc.want {
			t.Errorf("%s on %q: %q, want %q", tc.op.Name, tc.resource, got, tc.want)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

package iam

import (
	"fmt"
	"slices"
	"strings"

	"coffer/internal/api"
	iamapi "coffer/internal/api/iam"
	"coffer/internal/arn"
)

// kinds tells by the members of an operation's input what it is about: the first that
// it has is what it is decided on.
var kinds = []struct{ member, kind string }{
	{"InstanceProfileName", "instance-profile"}, {"GroupName", "group"}, {"RoleName", "role"}, {"UserName", "user"}, {"AccessKeyId", "user"},
	{"AWSServiceName", "role"}, {"DeletionTaskId", "role"}, {"PolicySourceArn", "user, group or role"}, {"PolicyArn", "policy"}, {"PolicyName", "policy"},
	{"SerialNumber", "mfa"}, {"VirtualMFADeviceName", "mfa"}, {"OpenIDConnectProviderArn", "oidc-provider"}, {"Url", "oidc-provider"},
	{"SAMLProviderArn", "saml-provider"}, {"Name", "saml-provider"},
}

// listings are the operations that are decided on an ARN without a name.
var listings = map[*api.Operation]string{
	iamapi.ListUsers.Operation: "user", iamapi.ListGroups.Operation: "group", iamapi.ListRoles.Operation: "role",
	iamapi.ListInstanceProfiles.Operation: "instance-profile", iamapi.ListVirtualMFADevices.Operation: "mfa",
}

// making are the operations about what is not there yet.
var making = map[*api.Operation]bool{
	iamapi.CreateUser.Operation: true, iamapi.CreateGroup.Operation: true, iamapi.CreateRole.Operation: true, iamapi.CreatePolicy.Operation: true,
	iamapi.CreateInstanceProfile.Operation: true, iamapi.CreateVirtualMFADevice.Operation: true, iamapi.CreateOpenIDConnectProvider.Operation: true,
	iamapi.CreateSAMLProvider.Operation: true, iamapi.CreateServiceLinkedRole.Operation: true, iamapi.GetServiceLinkedRoleDeletionStatus.Operation: true,
}

// Needs implements api.Needs. The resource is the ARN of what the operation is about, whatever
// its input names it by; none for operations about the whole account, and for lists. What a
// request would do to a second thing besides (the role that is passed on, the name that a user
// gets) is left out.
func Needs(r *api.Request, resource string) (api.Access, []api.Further, error) {
	kind := kindOf(r.Op)
	switch {
	case kind != "" && resource == "":
		return api.Access{}, nil, fmt.Errorf("%s is about a %s: give its ARN, such as arn:%s:iam::%s:%s/NAME", r.Op.Action(), kind, r.Partition(), r.Account, kind[:strings.IndexByte(kind+",", ',')])
	case kind != "":
		a, err := needs(r, kind, resource)
		return a, nil, err
	case resource != "":
		return api.Access{}, nil, fmt.Errorf(`%s is about the whole account: ask for "*"`, r.Op.Action())
	case listings[r.Op] != "":
		return listing(r, listings[r.Op], nil), nil, nil
	}
	return everything(r), nil, nil
}

// kindOf is what an operation is about, "" for the whole account.
func kindOf(op *api.Operation) string {
	for _, k := range kinds {
		if slices.ContainsFunc(op.Input.Members, func(m api.Member) bool { return m.Name == k.member }) {
			return k.kind
		}
	}
	return ""
}

// needs is the access to one thing of a kind.
func needs(r *api.Request, kind, resource string) (api.Access, error) {
	a, err := arn.Parse(resource)
	own, path, name := splitResource(a.Resource)
	if err != nil || a.Service != "iam" || a.Region != "" || name == "" || !strings.Contains(kind, own) {
		return api.Access{}, fmt.Errorf("%s is about a %s, and %q is not the ARN of one", r.Op.Action(), kind, resource)
	}
	of := *r
	if a.Account != "aws" { // whose policies belong to every account
		of.Account = a.Account
	}
	if making[r.Op] {
		e := entity{r: &of, kind: own, path: path, name: name}
		return e.access(), nil
	}
	access, there, err := existing(&of, own, name, resource)
	if err == nil && (!there || access.Resource != resource) {
		err = fmt.Errorf("there is no %s", resource)
	}
	return access, err
}

// existing finds what the caller's account has under a name, or the ARN of which it is the name.
func existing(r *api.Request, kind, name, resource string) (a api.Access, there bool, err error) {
	switch kind {
	case "user":
		t, a, err := onUser(r, &name)
		return a, err == nil && t.user != nil, err
	case "group":
		t, a, err := onGroup(r, &name)
		return a, err == nil && t.group != nil, err
	case "role":
		t, a, err := onRole(r, &name)
		return a, err == nil && t.role != nil, err
	case "instance-profile":
		t, a, err := onProfile(r, &name)
		return a, err == nil && t.profile != nil, err
	case "mfa":
		t, a, err := onDevice(r, &resource)
		return a, err == nil && t.device != nil, err
	case "policy":
		t, a, err := locatePolicy(r, resource)
		return a, t.own != nil || t.aws != nil, err
	case "oidc-provider":
		t, a, err := oidcKind.locate(r, resource)
		return a, t.provider != nil, err
	case "saml-provider":
		t, a, err := samlKind.locate(r, resource)
		return a, t.provider != nil, err
	}
	return a, false, nil
}

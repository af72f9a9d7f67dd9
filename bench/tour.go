package main

import (
	"encoding/json"
	"net/url"
	"strings"
	"time"
)

// step is one call of a tour of an account.
type step struct {
	to        service
	operation string
	body      string // JSON or a form, in which {name} stands for a value of the estate
	as        string // whose credentials, of the estate's; empty: the administrator's
	keep      func(*estate, response) error
}

// tour makes, uses and removes things of each kind: every step finds what those before it
// have left, and nothing is left at the end: the next tour uses the same names.
var tour = []step{
	{to: iamService, operation: "CreateUser", body: "UserName={name}&Path=/tour/&Tags.member.1.Key=team&Tags.member.1.Value=app"},
	{to: iamService, operation: "GetUser", body: "UserName={name}"},
	{to: iamService, operation: "ListUsers", body: "MaxItems=10"},
	{to: iamService, operation: "TagUser", body: "UserName={name}&Tags.member.1.Key=cost&Tags.member.1.Value=7"},
	{to: iamService, operation: "PutUserPolicy", body: "UserName={name}&PolicyName=own&PolicyDocument={read}"},
	{to: iamService, operation: "GetUserPolicy", body: "UserName={name}&PolicyName=own"},
	{to: iamService, operation: "CreateAccessKey", body: "UserName={name}", keep: keepKey("user")},
	{to: iamService, operation: "ListAccessKeys", body: "UserName={name}"},
	{to: iamService, operation: "CreatePolicy", body: "PolicyName={name}&PolicyDocument={read}", keep: keepARN("policy")},
	{to: iamService, operation: "GetPolicy", body: "PolicyArn={policy}"},
	{to: iamService, operation: "ListPolicies", body: "Scope=Local&MaxItems=10"},
	{to: iamService, operation: "AttachUserPolicy", body: "UserName={name}&PolicyArn={policy}"},
	{to: iamService, operation: "ListAttachedUserPolicies", body: "UserName={name}"},
	{to: iamService, operation: "ListEntitiesForPolicy", body: "PolicyArn={policy}"},
	{to: iamService, operation: "CreatePolicyVersion", body: "PolicyArn={policy}&SetAsDefault=true&PolicyDocument={read}"},
	{to: iamService, operation: "ListPolicyVersions", body: "PolicyArn={policy}"},
	{to: iamService, operation: "DeletePolicyVersion", body: "PolicyArn={policy}&VersionId=v1"},
	{to: iamService, operation: "CreateGroup", body: "GroupName={name}"},
	{to: iamService, operation: "AttachGroupPolicy", body: "GroupName={name}&PolicyArn={policy}"},
	{to: iamService, operation: "AddUserToGroup", body: "GroupName={name}&UserName={name}"},
	{to: iamService, operation: "GetGroup", body: "GroupName={name}"},
	{to: iamService, operation: "ListGroupsForUser", body: "UserName={name}"},
	{to: iamService, operation: "SimulatePrincipalPolicy", body: "PolicySourceArn=arn:aws:iam::{account}:user/tour/{name}&ActionNames.member.1=secretsmanager:GetSecretValue"},
	{to: iamService, operation: "GetAccountSummary"},
	{to: iamService, operation: "GetAccountAuthorizationDetails", body: "Filter.member.1=User&MaxItems=10"},
	{to: iamService, operation: "CreateRole", body: "RoleName={name}&Path=/tour/&AssumeRolePolicyDocument={trust}", keep: keepARN("role")},
	{to: iamService, operation: "GetRole", body: "RoleName={name}"},
	{to: iamService, operation: "ListRoles", body: "MaxItems=10"},
	{to: iamService, operation: "PutRolePolicy", body: "RoleName={name}&PolicyName=own&PolicyDocument={read}"},
	{to: iamService, operation: "AttachRolePolicy", body: "RoleName={name}&PolicyArn={policy}"},
	{to: iamService, operation: "UpdateAssumeRolePolicy", body: "RoleName={name}&PolicyDocument={trust}"},

	{to: stsService, operation: "AssumeRole", body: "RoleArn={role}&RoleSessionName=tour", keep: keepKey("session")},
	{to: stsService, operation: "GetCallerIdentity", as: "session"},
	{to: stsService, operation: "GetSessionToken", as: "user"},

	{to: secretsManager, operation: "CreateSecret", body: `{"Name":"{name}","ClientRequestToken":"{token}","SecretString":"a value"}`},
	{to: secretsManager, operation: "GetSecretValue", body: `{"SecretId":"{name}"}`, as: "session"},
	{to: secretsManager, operation: "DescribeSecret", body: `{"SecretId":"{name}"}`, as: "user"},
	{to: secretsManager, operation: "PutResourcePolicy", body: `{"SecretId":"{name}","ResourcePolicy":"{allow}"}`},
	{to: secretsManager, operation: "PutSecretValue", body: `{"SecretId":"{name}","ClientRequestToken":"{token2}","SecretString":"another"}`},
	{to: secretsManager, operation: "ListSecrets", body: `{"MaxResults":10}`},
	{to: secretsManager, operation: "DeleteSecret", body: `{"SecretId":"{name}","ForceDeleteWithoutRecovery":true}`},

	{to: iamService, operation: "DetachRolePolicy", body: "RoleName={name}&PolicyArn={policy}"},
	{to: iamService, operation: "DeleteRolePolicy", body: "RoleName={name}&PolicyName=own"},
	{to: iamService, operation: "DeleteRole", body: "RoleName={name}"},
	{to: iamService, operation: "RemoveUserFromGroup", body: "GroupName={name}&UserName={name}"},
	{to: iamService, operation: "DetachGroupPolicy", body: "GroupName={name}&PolicyArn={policy}"},
	{to: iamService, operation: "DeleteGroup", body: "GroupName={name}"},
	{to: iamService, operation: "DetachUserPolicy", body: "UserName={name}&PolicyArn={policy}"},
	{to: iamService, operation: "DeletePolicy", body: "PolicyArn={policy}"},
	{to: iamService, operation: "DeleteAccessKey", body: "UserName={name}&AccessKeyId={key}"},
	{to: iamService, operation: "DeleteUserPolicy", body: "UserName={name}&PolicyName=own"},
	{to: iamService, operation: "DeleteUser", body: "UserName={name}"},
}

func (s *step) name() string { return s.to.name + " " + s.operation }

func keepARN(as string) func(*estate, response) error {
	return func(e *estate, r response) (err error) {
		e.values[as], err = made(r, nil, "Arn")
		return err
	}
}

func keepKey(as string) func(*estate, response) error {
	return func(e *estate, r response) (err error) {
		e.holder[as], err = e.keyIn(r, nil)
		e.values["key"] = e.holder["user"].AccessKeyID
		return err
	}
}

// begin makes ready for a tour.
func (e *estate) begin(n int) {
	e.values = map[string]string{
		"name": "tour", "account": e.root.Account, "read": readAll, "trust": trust(e.root.Account), "token": versionID(n, 1), "token2": versionID(n, 2),
		"allow": document(`{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + e.root.Account + `:root"},"Action":"secretsmanager:DescribeSecret","Resource":"*"}`),
	}
}

// step makes one call, and takes down how long it took.
func (e *estate) step(s *step, count bool) error {
	by := e.creds
	if s.as != "" {
		by = e.holder[s.as]
	}
	e.cn.SetDeadline(time.Now().Add(2 * stuck))
	r, took, err := e.cn.timed(newSigner(by, e.iam.req.Host).of(s.to), s.operation, []byte(e.fill(s)))
	if err == nil && s.keep != nil {
		err = s.keep(e, r)
	}
	if err != nil || !count {
		return err
	}
	h := e.took[s.name()]
	if h == nil {
		h = new(histogram)
		e.took[s.name()] = h
	}
	h.record(took)
	return nil
}

// fill puts the estate's values into a step's body.
func (e *estate) fill(s *step) string {
	var pairs []string
	for name, v := range e.values {
		if s.to.target == "" {
			v = url.QueryEscape(v)
		} else {
			quoted, _ := json.Marshal(v) // a text always has a JSON form
			v = string(quoted[1 : len(quoted)-1])
		}
		pairs = append(pairs, "{"+name+"}", v)
	}
	return strings.NewReplacer(pairs...).Replace(s.body)
}

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"time"
)

// administrator makes keys and principals through the API, on one connection: a user
// who may do everything, because a root assumes no roles.
type administrator struct {
	cn            *conn
	creds         credentials
	kms, iam, sts *signer
}

// newAdministrator makes the user as the root of an account.
func newAdministrator(cn *conn, root credentials, host string) (*administrator, error) {
	a := &administrator{cn: cn, creds: root, iam: newSigner(root, host).of(iamService)}
	var err error
	if a.creds, err = a.user("admin", document(`{"Effect":"Allow","Action":"*","Resource":"*"}`)); err != nil {
		return nil, err
	}
	s := newSigner(a.creds, host)
	a.kms, a.iam, a.sts = s.of(kmsService), s.of(iamService), s.of(stsService)
	return a, nil
}

// call calls an operation that takes JSON, whose members are given by name and value.
func (a *administrator) call(s *signer, operation string, members ...any) (response, error) {
	in := make(map[string]any)
	for i := 0; i < len(members); i += 2 {
		in[members[i].(string)] = members[i+1]
	}
	body, err := json.Marshal(in)
	if err != nil {
		return response{}, err
	}
	a.cn.SetDeadline(time.Now().Add(2 * stuck))
	return a.cn.call(s, operation, body)
}

// query calls an operation that takes a form, whose parameters are given by name and value.
func (a *administrator) query(s *signer, operation string, parameters ...string) (response, error) {
	form := make(url.Values)
	for i := 0; i < len(parameters); i += 2 {
		form.Set(parameters[i], parameters[i+1])
	}
	a.cn.SetDeadline(time.Now().Add(2 * stuck))
	return a.cn.call(s, operation, []byte(form.Encode()))
}

// element is the text of an answer's first XML element with this name. What is looked
// for here has no characters that XML escapes.
func element(answer []byte, name string) string {
	_, rest, _ := bytes.Cut(answer, []byte("<"+name+">"))
	text, _, _ := bytes.Cut(rest, []byte("</"+name+">"))
	return string(text)
}

// made is element, of the answer to a call that made something.
func made(r response, err error, name string) (string, error) {
	if err != nil {
		return "", err
	}
	text := element(r.body, name)
	if text == "" {
		return "", fmt.Errorf("an answer without %s: %.300s", name, r.body)
	}
	return text, nil
}

// keyIn takes an access key out of an answer.
func (a *administrator) keyIn(r response, err error) (credentials, error) {
	id, err := made(r, err, "AccessKeyId")
	return credentials{a.creds.Account, id, element(r.body, "SecretAccessKey"), element(r.body, "SessionToken")}, err
}

// user makes a user with an inline policy, and returns an access key.
func (a *administrator) user(name, policy string) (credentials, error) {
	if _, err := a.query(a.iam, "CreateUser", "UserName", name); err != nil {
		return credentials{}, err
	}
	if _, err := a.query(a.iam, "PutUserPolicy", "UserName", name, "PolicyName", "own", "PolicyDocument", policy); err != nil {
		return credentials{}, err
	}
	return a.keyIn(a.query(a.iam, "CreateAccessKey", "UserName", name))
}

// policy makes a managed policy and returns its ARN.
func (a *administrator) policy(name, document string) (string, error) {
	r, err := a.query(a.iam, "CreatePolicy", "PolicyName", name, "PolicyDocument", document)
	return made(r, err, "Arn")
}

// role makes a role that the account can assume, with a tag team, managed policies, and a
// boundary unless that is empty. It returns the role's ARN.
func (a *administrator) role(name, team string, policies []string, boundary string) (string, error) {
	in := []string{"RoleName", name, "Tags.member.1.Key", "team", "Tags.member.1.Value", team,
		"AssumeRolePolicyDocument", document(`{"Effect":"Allow","Principal":{"AWS":"` + a.creds.Account + `"},"Action":"sts:AssumeRole"}`)}
	if boundary != "" {
		in = append(in, "PermissionsBoundary", boundary)
	}
	r, err := a.query(a.iam, "CreateRole", in...)
	arn, err := made(r, err, "Arn")
	for _, p := range policies {
		if err == nil {
			_, err = a.query(a.iam, "AttachRolePolicy", "RoleName", name, "PolicyArn", p)
		}
	}
	return arn, err
}

// session assumes a role, with a session policy unless that is empty.
func (a *administrator) session(role, policy string) (credentials, error) {
	in := []string{"RoleArn", role, "RoleSessionName", "pod-7f9c5d6b8-x2k4q"}
	if policy != "" {
		in = append(in, "Policy", policy)
	}
	return a.keyIn(a.query(a.sts, "AssumeRole", in...))
}

// key makes a customer key and returns its ARN.
func (a *administrator) key() (string, error) {
	r, err := a.call(a.kms, "CreateKey")
	if err != nil {
		return "", err
	}
	var out struct{ KeyMetadata struct{ Arn string } }
	err = json.Unmarshal(r.body, &out)
	return out.KeyMetadata.Arn, err
}

package server_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"coffer/internal/coffertest"
)

// What a policy grants to a session of a role, no session of a later role of that name has.
func TestSessionOfLaterRole(t *testing.T) {
	s := coffertest.Start(t, coffertest.InMemory())
	ctx, root, sm, account := t.Context(), s.IAM(t), s.SecretsManager(t), s.Credentials.Account
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	role := func() string {
		out, err := root.CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String("r"), AssumeRolePolicyDocument: aws.String(
			`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` + account + `"},"Action":"sts:AssumeRole"}}`)})
		must(err)
		return *out.Role.RoleId
	}
	_, err := root.CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("u")})
	must(err)
	_, err = root.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: aws.String("u"), PolicyName: aws.String("p"), PolicyDocument: aws.String(
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:*","Resource":"*"}}`)})
	must(err)
	k, err := root.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: aws.String("u")})
	must(err)
	session := func() *secretsmanager.Client {
		cfg := s.Config("eu-west-1")
		cfg.Credentials = credentials.NewStaticCredentialsProvider(*k.AccessKey.AccessKeyId, *k.AccessKey.SecretAccessKey, "")
		a, err := sts.NewFromConfig(cfg).AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: aws.String("arn:aws:iam::" + account + ":role/r"), RoleSessionName: aws.String("job")})
		must(err)
		cfg.Credentials = credentials.NewStaticCredentialsProvider(*a.Credentials.AccessKeyId, *a.Credentials.SecretAccessKey, *a.Credentials.SessionToken)
		return secretsmanager.NewFromConfig(cfg)
	}
	shown := func() string {
		out, err := sm.GetResourcePolicy(ctx, &secretsmanager.GetResourcePolicyInput{SecretId: aws.String("s")})
		must(err)
		return *out.ResourcePolicy
	}

	name := "arn:aws:sts::" + account + ":assumed-role/r/job"
	id := role()
	makeSecret(t, sm, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"`+name+`"},"Action":"secretsmanager:GetSecretValue","Resource":"*"}}`)
	if err := read(session()); err != nil {
		t.Errorf("the session that is meant: %v", err)
	}
	if !strings.Contains(shown(), `"`+name+`"`) {
		t.Errorf("the policy is shown as %s", shown())
	}
	_, err = root.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: aws.String("r")})
	must(err)
	role()
	if read(session()) == nil {
		t.Error("a session of the later role reads what was granted to one of the first")
	}
	if !strings.Contains(shown(), `"`+id+`:job"`) {
		t.Errorf("the policy is shown as %s", shown())
	}
}

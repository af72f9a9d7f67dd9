package server_test

import (
	"context"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"coffer/internal/coffertest"
	"coffer/internal/server"
)

// What a policy grants to a session of a role, a session of another role under the old
// name inherits; docs/security.md says that it does not.
func TestSecSessionOfNewRole(t *testing.T) {
	s := coffertest.Start(t, coffertest.InMemory())
	ctx := context.Background()
	root, sm, acct := s.IAM(t), s.SecretsManager(t), s.Credentials.Account
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	role := func() {
		_, err := root.CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String("r"), AssumeRolePolicyDocument: aws.String(
			`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` + acct + `"},"Action":"sts:AssumeRole"}}`)})
		must(err)
	}
	role()
	makeSecret(t, sm, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:sts::`+acct+`:assumed-role/r/s"},"Action":"secretsmanager:GetSecretValue","Resource":"*"}}`)
	_, err := root.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: aws.String("r")})
	must(err)
	role()
	u := "u"
	_, err = root.CreateUser(ctx, &iam.CreateUserInput{UserName: &u})
	must(err)
	pol := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:*","Resource":"*"}}`
	_, err = root.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: &u, PolicyName: &u, PolicyDocument: &pol})
	must(err)
	k, err := root.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: &u})
	must(err)
	cfg := s.ConfigFor("eu-west-1", server.Credentials{Account: acct, AccessKeyID: *k.AccessKey.AccessKeyId, SecretAccessKey: *k.AccessKey.SecretAccessKey})
	a, err := sts.NewFromConfig(cfg).AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: aws.String("arn:aws:iam::" + acct + ":role/r"), RoleSessionName: aws.String("ss")})
	must(err)
	_ = a
	a, err = sts.NewFromConfig(cfg).AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: aws.String("arn:aws:iam::" + acct + ":role/r"), RoleSessionName: aws.String("s2")})
	must(err)
	_ = a
	// session names have at least two characters: name it so in the policy
	pol2 := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:sts::` + acct + `:assumed-role/r/s2"},"Action":"secretsmanager:GetSecretValue","Resource":"*"}}`
	_, err = sm.PutResourcePolicy(ctx, &secretsmanager.PutResourcePolicyInput{SecretId: aws.String("s"), ResourcePolicy: &pol2})
	must(err)
	_, err = root.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: aws.String("r")})
	must(err)
	role()
	a, err = sts.NewFromConfig(cfg).AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: aws.String("arn:aws:iam::" + acct + ":role/r"), RoleSessionName: aws.String("s2")})
	must(err)
	cfg.Credentials = credentials.NewStaticCredentialsProvider(*a.Credentials.AccessKeyId, *a.Credentials.SecretAccessKey, *a.Credentials.SessionToken)
	if read(secretsmanager.NewFromConfig(cfg)) == nil {
		t.Error("a session of the new role r reads what was granted to one of the old")
	}
}

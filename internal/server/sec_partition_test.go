package server_test

import (
	"context"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"coffer/internal/coffertest"
	"coffer/internal/server"
)

// A Deny on ARNs of partition aws is evaded by signing the same call for a region of
// another partition: IAM's entities are the same, under other ARNs.
func TestSecPartitionBypass(t *testing.T) {
	s := coffertest.Start(t, coffertest.InMemory())
	ctx := context.Background()
	root := s.IAM(t)
	acct := s.Credentials.Account
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	mk := func(name, policy string) server.Credentials {
		_, err := root.CreateUser(ctx, &iam.CreateUserInput{UserName: &name})
		must(err)
		_, err = root.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: &name, PolicyName: aws.String("p"), PolicyDocument: &policy})
		must(err)
		k, err := root.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: &name})
		must(err)
		return server.Credentials{Account: acct, AccessKeyID: *k.AccessKey.AccessKeyId, SecretAccessKey: *k.AccessKey.SecretAccessKey}
	}
	_, err := root.CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String("admin"), AssumeRolePolicyDocument: aws.String(
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` + acct + `"},"Action":"sts:AssumeRole"}}`)})
	must(err)
	_, err = root.CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("boss")})
	must(err)
	dev := mk("dev", `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":["iam:*","sts:*"],"Resource":"*"},
		{"Effect":"Deny","Action":"iam:*","Resource":"arn:aws:iam::`+acct+`:user/boss"},
		{"Effect":"Deny","Action":"sts:AssumeRole","Resource":"arn:aws:iam::*:role/admin"},
		{"Effect":"Deny","Action":"iam:AttachUserPolicy","Resource":"*","Condition":{"ArnEquals":{"iam:PolicyARN":"arn:aws:iam::aws:policy/AdministratorAccess"}}}]}`)

	for _, region := range []string{"us-east-1", "cn-north-1"} {
		c := iam.NewFromConfig(s.ConfigFor(region, dev))
		_, err = c.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: aws.String("boss")})
		if err == nil {
			t.Errorf("%s: made an access key of boss against a Deny", region)
		}
		for _, p := range []string{"aws", "aws-cn"} {
			_, err = c.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: aws.String("dev"), PolicyArn: aws.String("arn:" + p + ":iam::aws:policy/AdministratorAccess")})
			if err == nil {
				t.Errorf("%s %s: attached AdministratorAccess against a Deny", region, p)
			}
			_, err = sts.NewFromConfig(s.ConfigFor(region, dev)).AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: aws.String("arn:" + p + ":iam::" + acct + ":role/admin"), RoleSessionName: aws.String("xx")})
			if err == nil {
				t.Errorf("%s %s: assumed admin against a Deny", region, p)
			}
		}
	}
}

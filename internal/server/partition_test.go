package server_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"coffer/internal/coffertest"
	"coffer/internal/server"
)

// IAM's entities belong to their account in every region. Were a call for a region of another
// partition served, they would go by other ARNs there, of which a Deny on theirs knows nothing.
func TestOnePartition(t *testing.T) {
	s := coffertest.Start(t, coffertest.InMemory())
	ctx, root, account := t.Context(), s.IAM(t), s.Credentials.Account
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := root.CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String("admin"), AssumeRolePolicyDocument: aws.String(
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` + account + `"},"Action":"sts:AssumeRole"}}`)})
	must(err)
	for _, name := range []string{"boss", "dev"} {
		_, err = root.CreateUser(ctx, &iam.CreateUserInput{UserName: &name})
		must(err)
	}
	_, err = root.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: aws.String("dev"), PolicyName: aws.String("p"), PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":["iam:*","sts:*"],"Resource":"*"},
		{"Effect":"Deny","Action":"iam:*","Resource":"arn:aws:iam::` + account + `:user/boss"},
		{"Effect":"Deny","Action":"sts:AssumeRole","Resource":"arn:aws:iam::*:role/admin"},
		{"Effect":"Deny","Action":"iam:AttachUserPolicy","Resource":"*","Condition":{"ArnEquals":{"iam:PolicyARN":"arn:aws:iam::aws:policy/AdministratorAccess"}}}]}`)})
	must(err)
	k, err := root.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: aws.String("dev")})
	must(err)
	dev := server.Credentials{Account: account, AccessKeyID: *k.AccessKey.AccessKeyId, SecretAccessKey: *k.AccessKey.SecretAccessKey}

	for region, refusal := range map[string]string{
		"us-east-1":     "",
		"cn-north-1":    "Credential should be scoped to a valid region",
		"us-gov-west-1": "Credential should be scoped to a valid region",
	} {
		c := iam.NewFromConfig(s.ConfigFor(region, dev))
		refused := func(what string, err error) {
			t.Helper()
			switch {
			case err == nil:
				t.Errorf("%s: %s is allowed", region, what)
			case !strings.Contains(err.Error(), refusal):
				t.Errorf("%s: %s: %v, want %s", region, what, err, refusal)
			}
		}
		_, err = c.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: aws.String("boss")})
		refused("a key of boss", err)
		for _, partition := range []string{"aws", "aws-cn", "aws-us-gov"} {
			_, err = c.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: aws.String("dev"), PolicyArn: aws.String("arn:" + partition + ":iam::aws:policy/AdministratorAccess")})
			refused("attaching "+partition, err)
			_, err = sts.NewFromConfig(s.ConfigFor(region, dev)).AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: aws.String("arn:" + partition + ":iam::" + account + ":role/admin"), RoleSessionName: aws.String("xx")})
			refused("assuming "+partition, err)
		}
	}
}

// A data directory stays in the partition that it was made in.
func TestPartitionIsKept(t *testing.T) {
	dir := server.Dir(filepath.Join(t.TempDir(), "data"))
	start := func(region string) error {
		s, err := server.New(t.Context(), server.Config{Dir: dir, Listen: "127.0.0.1:0", Admin: "off", Region: region})
		if err == nil {
			err = s.Close()
		}
		return err
	}
	if err := start("cn-north-1"); err != nil {
		t.Fatal(err)
	}
	if err := start("cn-northwest-1"); err != nil {
		t.Error(err)
	}
	if err := start("us-east-1"); err == nil || !strings.Contains(err.Error(), "the accounts of this data directory are in partition aws-cn") {
		t.Errorf("started in another partition: %v", err)
	}
}

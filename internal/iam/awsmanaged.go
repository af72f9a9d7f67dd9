package iam

import (
	"embed"
	"strings"
	"sync"
	"time"

	"coffer/internal/policy"
)

// AWSManagedPolicy is a policy that AWS owns and every account can attach. It
// cannot be changed.
type AWSManagedPolicy struct {
	Name, Path, ID   string
	Description      string
	Version          int // number of the version in force, the only one here
	Created, Updated time.Time

	compiled policy.Compiled
}

//go:embed awsmanaged
var awsManagedTexts embed.FS

// awsManagedPolicies is the literal table, by path and name; the documents are the files of
// their names. Ids, dates and versions are those that AWS shows. Sources: "AWS
// Managed Policy Reference", and what GetPolicy of AWS answers. Of ReadOnlyAccess and
// SecurityAudit, which name hundreds of services, the documents are a part.
var awsManagedPolicies = []*AWSManagedPolicy{
	{Name: "AWSKeyManagementServicePowerUser", Path: "/", ID: "ANPAJNPP7PPPPMJRV2SA4", Version: 2,
		Created: at("2015-02-06T18:40:40Z"), Updated: at("2017-03-07T00:55:11Z"),
		Description: "Provides access to AWS Key Management Service (KMS)."},
	{Name: "AdministratorAccess", Path: "/", ID: "ANPAIWMBCKSKIEE64ZLYK", Version: 1,
		Created: at("2015-02-06T18:39:46Z"), Updated: at("2015-02-06T18:39:46Z"),
		Description: "Provides full access to AWS services and resources."},
	{Name: "CloudWatchLogsFullAccess", Path: "/", ID: "ANPAJ3ZGNWK2R5HW5BQFO", Version: 3,
		Created: at("2015-02-06T18:40:02Z"), Updated: at("2025-05-20T17:07:06Z"),
		Description: "Provides full access to CloudWatch Logs"},
	{Name: "PowerUserAccess", Path: "/", ID: "ANPAJYRXTHIB4FOVS3ZXS", Version: 12,
		Created: at("2015-02-06T18:39:47Z"), Updated: at("2026-02-12T17:59:14Z"),
		Description: "Provides full access to AWS services and resources, but does not allow management of Users and groups."},
	{Name: "ReadOnlyAccess", Path: "/", ID: "ANPAILL3HVNFSB6DCOWYQ", Version: 87,
		Created: at("2015-02-06T18:39:48Z"), Updated: at("2022-05-23T20:16:18Z"),
		Description: "Provides read-only access to AWS services and resources."},
	{Name: "SecretsManagerReadWrite", Path: "/", ID: "ANPAI3VG7CI5BIQZQ6G2E", Version: 6,
		Created: at("2018-04-04T18:05:29Z"), Updated: at("2026-08-25T23:37:10Z"),
		Description: "Provides read/write access to AWS Secrets Manager via the AWS Management Console. Note: this exludes IAM actions, so combine with IAMFullAccess if rotation configuration is required."},
	{Name: "SecurityAudit", Path: "/", ID: "ANPAIX2T3QCXHR2OGGCTO", Version: 45,
		Created: at("2015-02-06T18:41:01Z"), Updated: at("2024-10-30T18:36:49Z"),
		Description: "The security audit template grants access to read security configuration metadata. It is useful for software that audits the configuration of an AWS account."},
	{Name: "AWSLambdaBasicExecutionRole", Path: "/service-role/", ID: "ANPAJNCQGXC42545SKXIK", Version: 1,
		Created: at("2015-04-09T15:03:43Z"), Updated: at("2015-04-09T15:03:43Z"),
		Description: "Provides write permissions to CloudWatch Logs."},
	{Name: "AWSLambdaVPCAccessExecutionRole", Path: "/service-role/", ID: "ANPAJVTME3YLVNL72YR2K", Version: 3,
		Created: at("2016-02-11T23:15:26Z"), Updated: at("2024-01-05T22:38:26Z"),
		Description: "Provides minimum permissions for a Lambda function to execute while accessing a resource within a VPC - create, describe, delete network interfaces and write permissions to CloudWatch Logs. "},
}

func at(s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err) // a wrong literal
	}
	return t
}

var awsManagedByName = sync.OnceValue(func() map[string]*AWSManagedPolicy {
	m := make(map[string]*AWSManagedPolicy, len(awsManagedPolicies))
	for _, p := range awsManagedPolicies {
		m["policy"+p.Path+p.Name] = p
	}
	return m
})

// awsManaged finds AWS's policy with this ARN, in any partition; nil if there is none.
func awsManaged(arn string) *AWSManagedPolicy {
	_, resource, ok := strings.Cut(arn, ":iam::aws:")
	if !ok {
		return nil
	}
	return awsManagedByName()[resource]
}

// ARN is the policy's ARN in a partition.
func (p *AWSManagedPolicy) ARN(partition string) string {
	return arnOf(partition, "aws", "policy", p.Path, p.Name)
}

// Text is the policy document.
func (p *AWSManagedPolicy) Text() string {
	b, err := awsManagedTexts.ReadFile("awsmanaged/" + p.Name + ".json")
	if err != nil {
		panic(err) // part of this binary; a test reads them all
	}
	return string(b)
}

func (p *AWSManagedPolicy) set() *policy.Set {
	s, err := p.compiled.Set(p.Text(), policy.Identity, nil, p.ARN("aws"))
	if err != nil {
		panic(err)
	}
	return s
}

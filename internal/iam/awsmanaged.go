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

// awsManagedPolicies is the literal table; the documents are the files of their
// names. Ids, dates and versions are those that AWS shows.
var awsManagedPolicies = []*AWSManagedPolicy{
	{Name: "AdministratorAccess", Path: "/", ID: "ANPAIWMBCKSKIEE64ZLYK", Version: 1, Created: date("2015-02-06"), Updated: date("2015-02-06"),
		Description: "Provides full access to AWS services and resources."},
}

func date(s string) time.Time {
	t, err := time.Parse(time.DateOnly, s)
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

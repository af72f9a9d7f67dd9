// Package arn parses and builds Amazon Resource Names.
//
// Format: arn:partition:service:region:account:resource, where resource may
// itself contain colons. Source: "Identify AWS resources with Amazon Resource
// Names (ARNs)" in the AWS IAM user guide.
package arn

import (
	"errors"
	"strings"
)

// ARN is a parsed Amazon Resource Name. Fields are kept as written.
type ARN struct {
	Partition string
	Service   string
	Region    string // empty for global services such as IAM
	Account   string
	Resource  string // everything after the fifth colon
}

// ErrSyntax is returned by Parse for text that is not an ARN.
var ErrSyntax = errors.New("arn: not an Amazon Resource Name")

// Is reports whether s claims to be an ARN.
func Is(s string) bool { return strings.HasPrefix(s, "arn:") }

// Parse splits s. It checks that all six parts are there and that partition,
// service and resource are not empty; it does not know any service's rules.
func Parse(s string) (ARN, error) {
	var a ARN
	rest, ok := strings.CutPrefix(s, "arn:")
	if !ok {
		return ARN{}, ErrSyntax
	}
	for _, part := range []*string{&a.Partition, &a.Service, &a.Region, &a.Account} {
		*part, rest, ok = strings.Cut(rest, ":")
		if !ok {
			return ARN{}, ErrSyntax
		}
	}
	a.Resource = rest
	if a.Partition == "" || a.Service == "" || a.Resource == "" {
		return ARN{}, ErrSyntax
	}
	return a, nil
}

// String joins the parts.
func (a ARN) String() string {
	return "arn:" + a.Partition + ":" + a.Service + ":" + a.Region + ":" + a.Account + ":" + a.Resource
}

// Partition returns the partition that a region belongs to: "aws",
// "aws-cn", "aws-us-gov" or one of the isolated ones. Unknown regions are
// taken to be in "aws".
func Partition(region string) string {
	// Most regions are in "aws", and this is asked several times per call.
	if len(region) > 2 && region[2] == '-' && region[:2] != "cn" && region[:2] != "us" && region[:2] != "eu" {
		return "aws"
	}
	for _, p := range partitions {
		if strings.HasPrefix(region, p.prefix) {
			return p.name
		}
	}
	return "aws"
}

// Longest prefixes first: us-isob- before us-iso-. Source: the endpoints
// metadata that AWS publishes with its SDKs (partition regexes).
var partitions = []struct{ prefix, name string }{
	{"cn-", "aws-cn"},
	{"us-gov-", "aws-us-gov"},
	{"us-isob-", "aws-iso-b"},
	{"us-isof-", "aws-iso-f"},
	{"eu-isoe-", "aws-iso-e"},
	{"us-iso-", "aws-iso"},
	{"eusc-", "aws-eusc"},
}

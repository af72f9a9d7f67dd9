package arn_test

import (
	"testing"

	"coffer/internal/arn"
)

func TestParse(t *testing.T) {
	for _, tc := range []struct {
		in   string
		want arn.ARN
		ok   bool
	}{
		{"arn:aws:secretsmanager:eu-west-1:111122223333:secret:app/db-Xy12Zw", arn.ARN{"aws", "secretsmanager", "eu-west-1", "111122223333", "secret:app/db-Xy12Zw"}, true},
		{"arn:aws:iam::111122223333:root", arn.ARN{"aws", "iam", "", "111122223333", "root"}, true},
		{"arn:aws-cn:kms:cn-north-1:111122223333:key/1", arn.ARN{"aws-cn", "kms", "cn-north-1", "111122223333", "key/1"}, true},
		{"arn:aws:kms:eu-west-1:111122223333:", arn.ARN{}, false},
		{"arn:aws:kms:eu-west-1:111122223333", arn.ARN{}, false},
		{"arn:", arn.ARN{}, false},
		{"app/db", arn.ARN{}, false},
		{"", arn.ARN{}, false},
	} {
		got, err := arn.Parse(tc.in)
		if (err == nil) != tc.ok || got != tc.want {
			t.Errorf("Parse(%q) = %+v, %v; want %+v, ok %v", tc.in, got, err, tc.want, tc.ok)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("arn:aws:secretsmanager:eu-west-1:111122223333:secret:app/db-Xy12Zw")
	f.Add("arn:aws:iam::111122223333:root")
	f.Fuzz(func(t *testing.T, s string) {
		a, err := arn.Parse(s)
		if err == nil && a.String() != s {
			t.Errorf("Parse(%q).String() = %q", s, a.String())
		}
	})
}

func TestPartition(t *testing.T) {
	for region, want := range map[string]string{
		"eu-west-1": "aws", "cn-north-1": "aws-cn", "us-gov-west-1": "aws-us-gov",
		"us-iso-east-1": "aws-iso", "us-isob-east-1": "aws-iso-b", "mars-1": "aws",
	} {
		if got := arn.Partition(region); got != want {
			t.Errorf("Partition(%q) = %q, want %q", region, got, want)
		}
	}
}

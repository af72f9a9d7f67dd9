package iam

const (
	linkedPath = "/aws-service-role/"
	linkedName = "AWSServiceRoleFor"
)

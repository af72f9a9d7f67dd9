package main

import "strings"

// kindRules gives the fault.Kind of a modelled error by its name: the first
// rule of which the name contains a word wins. Kinds are for metrics and for
// our own code; clients see code and status, which come from the model.
var kindRules = []struct {
	kind  string
	words []string
}{
	{"Throttled", []string{"Throttl", "TooManyRequests", "RequestLimitExceeded"}},
	{"Unsupported", []string{"Unsupported", "NotSupported"}},
	{"NotFound", []string{"NotFound", "NoSuch", "DoesNotExist", "NotPresent"}},
	{"Exists", []string{"AlreadyExists", "ResourceExists", "Duplicate", "InUse", "AlreadyInUse"}},
	{"Limit", []string{"LimitExceeded", "TooMany", "Quota", "TooLarge", "StorageExceeded", "MaxSize"}},
	{"Denied", []string{"AccessDenied", "NotAuthorized", "Unauthorized", "ExpiredToken"}},
	{"Unavailable", []string{"Unavailable", "Timeout"}},
	{"Conflict", []string{
		"Conflict", "InvalidState", "Disabled", "PreconditionNotMet", "PreconditionFailed", "InProgress",
		"ConcurrentModification", "NotReady", "HasCMKs", "DecryptionFailure", "EncryptionFailure",
	}},
}

func faultKind(name string, s *shape) string {
	for _, r := range kindRules {
		for _, w := range r.words {
			if strings.Contains(name, w) {
				return r.kind
			}
		}
	}
	if s.Fault || s.Error != nil && s.Error.HTTPStatusCode >= 500 {
		return "Internal"
	}
	return "Invalid"
}

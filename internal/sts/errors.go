package sts

import (
	"strconv"

	"coffer/internal/api"
	stsapi "coffer/internal/api/sts"
	"coffer/internal/fault"
)

// invalidParameter is InvalidParameterValue, which STS sends and its model does
// not list.
func invalidParameter(message string) error {
	return fault.New(fault.Invalid, "InvalidParameterValue", message)
}

// denied is AWS's denial of everything that has to do with assuming a role. It
// gives no reason: with one, a role that does not exist would be told from one
// whose trust policy, identity policy or control policy refuses.
func denied(r *api.Request, action, resource string) string {
	return "User: " + r.Principal.ARN + " is not authorized to perform: " + action + " on resource: " + resource
}

func tooPacked(percent int) error {
	return stsapi.PackedPolicyTooLargeException("Packed policy consumes " + strconv.Itoa(percent) + "% of allotted space, please use smaller policy.")
}

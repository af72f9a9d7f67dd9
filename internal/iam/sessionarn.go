package iam

import (
	"coffer/internal/policy"
	"coffer/internal/session"
)

// SessionARN is the ARN of an assumed-role or federated session: the role's
// name in it has no path.
func SessionARN(partition string, s *session.Session) string {
	if s.Type == policy.FederatedSession {
		return "arn:" + partition + ":sts::" + s.Account + ":federated-user/" + s.Name
	}
	return "arn:" + partition + ":sts::" + s.Account + ":assumed-role/" + s.RoleName() + "/" + s.Name
}

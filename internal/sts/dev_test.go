package sts_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"coffer/internal/coffertest"
	"coffer/internal/coffertest/check"
	"coffer/internal/server"
)

// TestDev: a server that believes every access key makes sessions from them, too, and
// they may do no more than they should.
func TestDev(t *testing.T) {
	t.Parallel()
	w := &world{clock: &clock{}, Server: coffertest.Start(t, coffertest.With(func(c *server.Config) { c.Dev, c.Admin = true, "" }))}
	test := login{id: "test", secret: "test"}
	session := temporary(check.Must(t, w.sts(test).GetSessionToken, &sts.GetSessionTokenInput{}).Credentials)
	federated := temporary(check.Must(t, w.sts(test).GetFederationToken, &sts.GetFederationTokenInput{Name: new("bo"), Policy: new(document(allow("secretsmanager:ListSecrets", "*")))}).Credentials)
	const bo = "arn:aws:sts::000000000000:federated-user/bo"
	check.Run(t, []check.Rule{
		{"the session", func() string { return w.who(session) }, "arn:aws:iam::000000000000:root"},
		{"the federated user", func() string { return w.who(federated) }, bo},
		{"within its policy", check.Try(w.sm(federated).ListSecrets, &secretsmanager.ListSecretsInput{}), "ok"},
		{"beyond it", check.Try(w.sm(federated).GetRandomPassword, &secretsmanager.GetRandomPasswordInput{}),
			"AccessDeniedException: User: " + bo + " is not authorized to perform: secretsmanager:GetRandomPassword because no session policy allows the secretsmanager:GetRandomPassword action"},
	})
}

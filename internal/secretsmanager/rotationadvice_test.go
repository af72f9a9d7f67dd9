package secretsmanager_test

import (
	"strings"
	"testing"

	"coffer/internal/secretsmanager"
)

// TestAdvice: what is advised about attempts that failed, and what must not be, as it would
// have people look in the wrong place.
func TestAdvice(t *testing.T) {
	t.Parallel()
	const (
		postgres = "SecretsManagerRDSPostgreSQLRotationSingleUser"
		unable   = "ValueError: Unable to log into database with previous, current, or pending secret of secret arn x"
		refused  = "[ERROR]\t2026-01-02T03:04:05.000Z\tid\tsetSecret: Unable to log in as user 'app' with host: 'db:5432': "
		last     = "\n[ERROR]\t2026-01-02T03:04:05.000Z\tid\tsetSecret: " + unable + "\nEND RequestId: id\n"
	)
	for _, tt := range []struct {
		name, function, step, message, log string
		test                               bool
		want                               []string
		never                              string
	}{
		{"a test", postgres, "testSecret", "ValueError: Unable to log into database with pending secret of secret ARN x",
			"[ERROR]\tt\tid\ttestSecret: Unable to log in as user 'app' with host: 'db:5432': password authentication failed\n", true,
			[]string{"was a test", "sets no password", "nothing is tried again before the next window", "password authentication failed"}, "new password was set"},
		{"nothing was stored", "mine", "finishSecret", "the version has no value: createSecret did not store one", "", false,
			[]string{"no new value that it could move to", "PutSecretValue"}, "database"},
		{"nothing was moved", "mine", "finishSecret", "the function finished without moving AWSCURRENT to the new version", "", false,
			[]string{"UpdateSecretVersionStage"}, "database"},
		{"a function of one's own", "mine", "setSecret", "RuntimeError: no", "", false, []string{"What setSecret is to do", "function's log"}, "database"},
		{"of one's own that is slow", "mine", "setSecret", "Task timed out after 3.00 seconds", "", false, []string{"longer than its timeout"}, "database"},
		{"a value without a server", "SecretsManagerRotationTemplate", "createSecret", "KeyError: password key is missing from secret JSON", "", false, []string{"The message tells why"}, "database"},
		{"a key that is missing", postgres, "setSecret", "KeyError: masterarn key is missing from secret JSON", "", false, []string{"The message tells why; `coffer function " + postgres + " --help` shows the secret"}, "host"},
		{"a user who may not", "SecretsManagerElasticacheUserRotation", "setSecret", "DatabaseError: user weak may not change users (NOPERM)", "", false, []string{"The message tells why"}, "host"},
		{"a master that does not do", postgres, "setSecret", "ValueError: The master secret x cannot be used: it must be", "", false, []string{"The message tells why"}, "host"},
		{"nothing listens", postgres, "setSecret", unable, refused + "dial: connection refused" + last, false,
			[]string{"log says: Unable to log in as user 'app' with host: 'db:5432': dial: connection refused.", "Nothing listens there"}, "id\t"},
		{"no such host", postgres, "setSecret", unable, refused + "the host name cannot be resolved: no such host" + last, false, []string{"no such host", "resolves names"}, ""},
		{"a wrong password", postgres, "setSecret", unable, refused + "password authentication failed" + last, false, []string{"password authentication failed. If it is the password"}, ""},
		{"no TLS", postgres, "setSecret", unable, strings.Replace(refused, "Unable to log in as user 'app' with host: 'db:5432': ", "Unable to establish SSL/TLS handshake, SSL/TLS is not enabled on the host: db:5432 (no)", 1) + last, false,
			[]string{`"ssl": false`}, "If it is the password"},
		{"a log that is not there", postgres, "setSecret", unable, "", false, []string{"host, port, username"}, "log says"},
		{"AWS itself", "mine", "createSecret", `EndpointConnectionError: Could not connect to the endpoint URL: "https://secretsmanager.eu-west-1.amazonaws.com/"`, "", false, []string{"AWS_ENDPOINT_URL", "boto3"}, ""},
		{"a database at AWS", postgres, "setSecret", unable, strings.ReplaceAll(refused, "db:", "x.eu-west-1.rds.amazonaws.com:") + "no answer in time" + last, false, []string{"no answer in time"}, "AWS_ENDPOINT_URL"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := secretsmanager.Advice(secretsmanager.Outcome{
				Result: secretsmanager.Failed, Test: tt.test, Step: tt.step, Message: tt.message, Log: tt.log, Function: "arn:aws:lambda:eu-west-1:111122223333:function:" + tt.function,
			})
			for _, want := range tt.want {
				if !strings.Contains(got, want) {
					t.Errorf("the advice lacks %q:\n%s", want, got)
				}
			}
			if tt.never != "" && strings.Contains(got, tt.never) {
				t.Errorf("the advice has %q:\n%s", tt.never, got)
			}
		})
	}
}

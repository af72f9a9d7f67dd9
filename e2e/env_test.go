package e2e_test

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestEnv: after `coffer env` the commands that go through the API and those that go through
// the data directory mean the same server, and none is rotated while they do not.
func TestEnv(t *testing.T) {
	v := newVault(t)
	secret := v.create(t, "app", map[string]any{"password": marker + "-first"})
	v.rotate(t, secret, "SecretsManagerRotationTemplate")
	var vars map[string]string
	if err := json.Unmarshal([]byte(run(t, 0, "env", "--json", "--data-dir", string(v.dir))), &vars); err != nil {
		t.Fatal(err)
	}
	for name, value := range vars {
		t.Setenv(name, value)
	}
	run(t, 0, "rotation", "run", "--wait", "app")
	if out := run(t, 0, "rotation", "status", "app"); strings.Count(out, "rotation succeeded") != 2 {
		t.Errorf("status: %s", out)
	}
	before := v.labels(t, secret)["AWSCURRENT"]
	for _, wait := range []string{"--wait", "--wait=false"} {
		out := run(t, 1, "rotation", "run", "app", "--data-dir", t.TempDir(), wait)
		if !strings.Contains(out, "nothing was rotated: the secret is on the server at "+vars["AWS_ENDPOINT_URL"]) {
			t.Errorf("another server: %s", out)
		}
	}
	if after := v.status(t, secret); after.Running != nil || v.labels(t, secret)["AWSCURRENT"] != before {
		t.Errorf("rotated: %+v", after)
	}
}

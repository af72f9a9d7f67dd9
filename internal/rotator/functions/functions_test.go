package functions_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"coffer/internal/builtin"
	"coffer/internal/policy"
	"coffer/internal/rotator"
	"coffer/internal/rotator/functions"
	"coffer/internal/rotator/rotatortest"
)

// TestAll wants every function to do something, to be described, and to say what it rotates.
func TestAll(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range builtin.Functions {
		if _, ok := functions.Rotation(f.Name); !ok {
			t.Errorf("%s does nothing", f.Name)
		}
		if seen[f.Name] || f.Summary == "" || strings.HasSuffix(f.Summary, ".") || f.Timeout <= 0 || len(f.Variables) == 0 {
			t.Errorf("%s is not described, or twice", f.Name)
		}
		seen[f.Name] = true
		for what, text := range map[string]string{"secret": f.Secret, "master": f.Master} {
			if _, err := rotator.ParseSecret("arn", text); err != nil && !(what == "master" && text == "") {
				t.Errorf("the %s of %s: %v", what, f.Name, err)
			}
		}
		if strings.Contains(f.Secret, `"masterarn"`) != (f.Master != "") {
			t.Errorf("%s has a masterarn without a master secret, or the other way round", f.Name)
		}
	}
	if len(seen) != functions.Count() {
		t.Errorf("%d functions are described, %d do something", len(seen), functions.Count())
	}
}

// TestSecrets gives every database function its own example without one of the keys, with
// another engine, and as it is.
func TestSecrets(t *testing.T) {
	v := rotatortest.NewVault(t)
	create := func(r rotator.Rotation, name string, value map[string]any) *rotator.Failure {
		arn := v.Create(name, value)
		token := rotatortest.NewToken()
		f := v.Step(r, rotator.CreateSecret, arn, token)
		if f == nil {
			pending := v.Value(arn, token)
			if pending["password"] == "old" || pending["password"] == nil {
				t.Errorf("%s: the password is the old one", name)
			}
			for k, want := range value {
				if k != "password" && k != "username" && !equal(pending[k], want) {
					t.Errorf("%s: %s changed", name, k)
				}
			}
		}
		return f
	}
	for _, f := range builtin.Functions {
		r, _ := functions.Rotation(f.Name)
		var example map[string]any
		if err := json.Unmarshal([]byte(f.Secret), &example); err != nil {
			t.Fatal(err)
		}
		if example["engine"] == nil {
			continue
		}
		if failure := create(r, f.Name+"/as-it-is", example); failure != nil {
			t.Errorf("%s: its example: %s", f.Name, failure.Message)
		}
		for _, key := range []string{"engine", "host", "username", "password"} {
			value := maps.Clone(example)
			delete(value, key)
			failure := create(r, f.Name+"/no-"+key, value)
			if failure == nil || failure.Type != "KeyError" || failure.Message != key+" key is missing from secret JSON" {
				t.Errorf("%s without %s: %+v", f.Name, key, failure)
			}
		}
		value := maps.Clone(example)
		value["engine"] = "marker-engine"
		failure := create(r, f.Name+"/engine", value)
		if failure == nil || failure.Type != "KeyError" || !strings.HasPrefix(failure.Message, "Database engine must be set to '") || strings.Contains(failure.Message, "marker") {
			t.Errorf("%s with another engine: %+v", f.Name, failure)
		}
		value = maps.Clone(example)
		delete(value, "dbname")
		if failure := create(r, f.Name+"/dbname", value); (failure != nil) != strings.Contains(f.Name, "Oracle") {
			t.Errorf("%s without dbname: %+v", f.Name, failure)
		}
	}
}

// TestRole wants the role's documents to be ones.
func TestRole(t *testing.T) {
	if _, err := policy.Parse([]byte(builtin.RolePolicy), policy.Identity); err != nil {
		t.Error(err)
	}
	if _, err := policy.Parse([]byte(builtin.TrustPolicy), policy.Trust); err != nil {
		t.Error(err)
	}
}

func equal(a, b any) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return string(x) == string(y)
}

// TestNames is the list of names that secrets may give: to take one away breaks them.
func TestNames(t *testing.T) {
	var names []string
	for _, f := range builtin.Functions {
		names = append(names, f.Name)
	}
	slices.Sort(names)
	want := []string{
		"CofferHTTPAPIKeyRotation", "SecretsManagerElasticacheUserRotation", "SecretsManagerMemoryDBUserRotation",
		"SecretsManagerMongoDBRotationMultiUser", "SecretsManagerMongoDBRotationSingleUser",
		"SecretsManagerRDSMariaDBRotationMultiUser", "SecretsManagerRDSMariaDBRotationSingleUser",
		"SecretsManagerRDSMySQLRotationMultiUser", "SecretsManagerRDSMySQLRotationSingleUser",
		"SecretsManagerRDSOracleRotationMultiUser", "SecretsManagerRDSOracleRotationSingleUser",
		"SecretsManagerRDSPostgreSQLRotationMultiUser", "SecretsManagerRDSPostgreSQLRotationSingleUser",
		"SecretsManagerRDSSQLServerRotationMultiUser", "SecretsManagerRDSSQLServerRotationSingleUser",
		"SecretsManagerRedshiftRotationMultiUser", "SecretsManagerRedshiftRotationSingleUser", "SecretsManagerRotationTemplate",
	}
	if !slices.Equal(names, want) {
		t.Errorf("the functions are %q", names)
	}
}

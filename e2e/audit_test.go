package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"coffer/internal/coffertest"
	"coffer/internal/coffertest/check"
	"coffer/internal/server"
)

// TestAuditRecords: what is in the record of a call (integrations.md §1). That
// each call has exactly one, start checks for every test.
func TestAuditRecords(t *testing.T) {
	t.Parallel()
	h := start(t)
	b := h.account(t, "b")
	sm := smCalls{h.sm("eu-west-1")}
	made := must(sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{
		Name: new("s"), SecretString: value("one"), ClientRequestToken: token("v1"), Description: new("d"), Tags: []types.Tag{{Key: new("k"), Value: new("v")}},
	}))(t)
	must(sm.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: new("s"), SecretBinary: []byte(*value("two")), ClientRequestToken: token("v2")}))(t)
	must(sm.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: new("s"), VersionStage: new("AWSPREVIOUS")}))(t)
	must(sm.BatchGetSecretValue(ctx, &secretsmanager.BatchGetSecretValueInput{SecretIdList: []string{"s", "nobody"}}))(t)
	password := must(sm.GetRandomPassword(ctx, &secretsmanager.GetRandomPasswordInput{}))(t)
	h.secret(*password.RandomPassword, "a random password")
	must(sm.DeleteSecret(ctx, &secretsmanager.DeleteSecretInput{SecretId: new("s")}))(t)
	if sm.get("nobody") == nil || (smCalls{h.smAs("us-east-1", b)}).get(*made.ARN) == nil || (smCalls{h.smAs("eu-west-1", b)}).get(*made.ARN) == nil {
		t.Error("calls that must fail succeeded")
	}
	h.do(t, h.request(t, raw{target: "secretsmanager.GetSecretValue", body: `{"SecretId":"s","VersionId":"` + marker, unsigned: false}))
	h.do(t, h.request(t, raw{target: "secretsmanager.GetSecretValue", body: "{}", unsigned: true}))
	k := h.kms("eu-west-1")
	key := must(k.CreateKey(ctx, &kms.CreateKeyInput{}))(t).KeyMetadata
	must(k.Encrypt(ctx, &kms.EncryptInput{KeyId: key.KeyId, Plaintext: []byte(marker), EncryptionContext: map[string]string{"a": "1"}}))(t)
	h.HTTP.CloseIdleConnections()
	h.Stop(t)

	all := auditRecords(t, h.Dir)
	find := func(what string, match func(auditRecord) bool) auditRecord {
		t.Helper()
		i := slices.IndexFunc(all, match)
		if i < 0 {
			t.Fatalf("no record of %s", what)
		}
		return all[i]
	}
	of := func(event, code string) auditRecord {
		t.Helper()
		return find(event+" "+code, func(r auditRecord) bool {
			return r.EventName == event && r.ErrorCode == code && r.UserIdentity.InvokedBy == ""
		})
	}
	account := h.Credentials.Account
	ids := make(map[string]bool)
	for _, r := range all {
		if ids[r.EventID] || r.EventID == "" {
			t.Errorf("%s: event id %q is there twice or empty", r.EventName, r.EventID)
		}
		ids[r.EventID] = true
	}

	create := of("CreateSecret", "")
	check.Equal(t, "CreateSecret", fmt.Sprintln(create.EventSource, create.AWSRegion, create.RecipientAccountID, create.ReadOnly, create.SourceIPAddress, create.EventType),
		fmt.Sprintln("secretsmanager.amazonaws.com", "eu-west-1", account, false, "127.0.0.1", "AwsApiCall"))
	check.Equal(t, "identity", fmt.Sprint(create.UserIdentity.Type, create.UserIdentity.ARN, create.UserIdentity.AccountID, create.UserIdentity.AccessKeyID),
		fmt.Sprint("Root", "arn:aws:iam::"+account+":root", account, h.Credentials.AccessKeyID))
	check.Equal(t, "user agent", strings.HasPrefix(create.UserAgent, "aws-sdk-go-v2/"), true)
	parameters(t, create, `{"name":"s","description":"d","clientRequestToken":"`+*token("v1")+`","tags":[{"key":"k","value":"v"}]}`, "secretString")
	check.Equal(t, "responseElements name", create.ResponseElements["name"], any("s"))

	parameters(t, of("PutSecretValue", ""), `{"secretId":"s","clientRequestToken":"`+*token("v2")+`"}`, "secretBinary")
	get := of("GetSecretValue", "")
	parameters(t, get, `{"secretId":"s","versionStage":"AWSPREVIOUS"}`)
	check.Equal(t, "read only", get.ReadOnly, true)
	check.Equal(t, "no responseElements of a read", get.ResponseElements == nil, true)
	parameters(t, of("GetRandomPassword", ""), "")

	// A batch: its own record and one for each secret, under one request id.
	batch := of("BatchGetSecretValue", "")
	var each []string
	for _, r := range all {
		if r.RequestID == batch.RequestID && r.EventName == "GetSecretValue" {
			each = append(each, fmt.Sprint(r.RequestParameters["secretId"], r.ErrorCode))
		}
	}
	check.Equal(t, "records of a batch", strings.Join(each, " "), "s nobodyResourceNotFoundException")

	// KMS calls made for the caller: the same principal, invoked by the service.
	for event, of := range map[string]auditRecord{"GenerateDataKey": create, "Decrypt": get} {
		inner := find(event, func(r auditRecord) bool {
			return r.EventName == event && r.RequestID == of.RequestID && r.UserIdentity.InvokedBy == "secretsmanager.amazonaws.com"
		})
		check.Equal(t, event, fmt.Sprint(inner.EventSource, inner.SourceIPAddress, inner.UserAgent, inner.ReadOnly),
			fmt.Sprint("kms.amazonaws.com", "secretsmanager.amazonaws.com", "secretsmanager.amazonaws.com", true))
		check.Equal(t, event+" by", inner.UserIdentity.ARN, "arn:aws:iam::"+account+":root")
		parameters(t, inner, `{"encryptionContext":{"SecretARN":"`+*made.ARN+`","SecretVersionId":"`+*token("v1")+`"}}`, "plaintext", "ciphertextBlob")
		check.Equal(t, event+" resource", len(inner.Resources) == 1 && inner.Resources[0].Type == "AWS::KMS::Key", true)
	}
	parameters(t, find("Encrypt", func(r auditRecord) bool { return r.EventName == "Encrypt" && r.UserIdentity.InvokedBy == "" }), `{"encryptionContext":{"a":"1"}}`, "plaintext")

	del := of("DeleteSecret", "")
	check.Equal(t, "deleted name", del.ResponseElements["name"], any("s"))

	missing := of("GetSecretValue", "ResourceNotFoundException")
	check.Equal(t, "errorMessage", missing.ErrorMessage, textNoSecret)
	denied := of("GetSecretValue", "AccessDeniedException")
	check.Equal(t, "denied by", denied.UserIdentity.AccountID, b.Account)
	check.Equal(t, "denied message", strings.HasPrefix(denied.ErrorMessage, "User: arn:aws:iam::"+b.Account+":root is not authorized to perform: secretsmanager:GetSecretValue"), true)
	broken := of("GetSecretValue", "SerializationException")
	check.Equal(t, "a broken body has no parameters", broken.RequestParameters == nil, true)
	check.Equal(t, "its caller is known", broken.UserIdentity.AccountID, account)
	unsigned := of("GetSecretValue", "MissingAuthenticationTokenException")
	check.Equal(t, "an unsigned call has no account", unsigned.UserIdentity.AccountID, "")
}

// TestControlIsRecorded: what the command line changes over the control socket has
// records, and so has what it is refused.
func TestControlIsRecorded(t *testing.T) {
	t.Parallel()
	h := start(t)
	b := h.account(t, "b")
	backup := filepath.Join(t.TempDir(), "backup")
	scp := filepath.Join(t.TempDir(), "scp.json")
	if err := os.WriteFile(scp, []byte(document(deny("kms:*", "*"))), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"account", "keys", "b"}, {"account", "org", "create", "main"}, {"account", "org", "unit", "create", "/prod"},
		{"account", "org", "add", "b", "--unit", "/prod"}, {"account", "org", "policy", "put", "no-keys", scp},
		{"account", "org", "policy", "attach", "no-keys", "/prod"}, {"backup", backup},
	} {
		h.secret(run(t, 0, append(args, "--data-dir", string(h.Dir))...), "what "+args[0]+" printed")
	}
	run(t, 1, "account", "org", "policy", "attach", "nothing", "/prod", "--data-dir", string(h.Dir))
	h.Recorded(t)
	records := auditRecords(t, h.Dir)
	refused := records[len(records)-1]
	check.Equal(t, "code of what is refused", refused.ErrorCode, "Refused")
	if out := run(t, 0, "explain", refused.RequestID, "--data-dir", string(h.Dir)); !strings.Contains(out, "event    coffer.control AttachPolicy in ") ||
		!strings.Contains(out, "policy   nothing\n") || !strings.Contains(out, "answer   Refused organisation ") || strings.Contains(out, "decision") {
		t.Errorf("coffer explain of what was refused:\n%s", out)
	}
	h.Stop(t)

	var lines []string
	for _, r := range auditRecords(t, h.Dir) {
		if r.EventSource != "coffer.control" {
			continue
		}
		d := r.AdditionalEventData
		check.Equal(t, "type of "+r.EventName, r.EventType, "AwsServiceEvent")
		if runtime.GOOS == "linux" {
			check.Equal(t, "user of "+r.EventName, d.UID, strconv.Itoa(os.Getuid()))
		}
		if r.EventName == "CreateAccount" {
			check.Equal(t, "key of the account", d.AccessKeyID, b.AccessKeyID)
		}
		about := "b"
		if r.RecipientAccountID == h.Credentials.Account {
			about = "main"
		}
		lines = append(lines, strings.TrimSpace(r.EventName+" "+about+" "+strings.Join(strings.Fields(d.Name+" "+d.To+" "+r.ErrorMessage), " ")))
		if r.EventName == "PutPolicy" && d.Document != document(deny("kms:*", "*")) {
			t.Errorf("the policy that was put: %q", d.Document)
		}
	}
	want := []string{
		"CreateAccount b b", "RotateRootAccessKeys b", "CreateOrganization main", "CreateOrganizationalUnit main", "AddAccount main /prod",
		"PutPolicy main", "AttachPolicy main /prod", "CreateBackup main " + backup,
		"AttachPolicy main /prod organisation ORG has no control policy \"nothing\"; `coffer account org policy list` shows those that there are",
	}
	got := regexp.MustCompile(`\bo-[a-z0-9]+`).ReplaceAllString(strings.Join(lines, "\n"), "ORG")
	if want := strings.Join(want, "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// parameters checks that a record has the request parameters of want, with
// their values, and shows nothing of the sensitive ones.
func parameters(t *testing.T, r auditRecord, want string, sensitive ...string) {
	t.Helper()
	var m map[string]any
	if want != "" {
		if err := json.Unmarshal([]byte(want), &m); err != nil {
			t.Fatal(err)
		}
	}
	for k, v := range m {
		if fmt.Sprint(r.RequestParameters[k]) != fmt.Sprint(v) {
			t.Errorf("%s: parameter %s is %v, want %v", r.EventName, k, r.RequestParameters[k], v)
		}
	}
	for _, k := range sensitive {
		if v, ok := r.RequestParameters[k]; ok && !strings.Contains(fmt.Sprint(v), "HIDDEN") && fmt.Sprint(v) != "***" {
			t.Errorf("%s: parameter %s is there, as %v", r.EventName, k, v)
		}
	}
}

// TestAuditTampering: whatever is done to the log on disk, `coffer audit
// verify` says where; and it is clean before, and after a restart.
func TestAuditTampering(t *testing.T) {
	t.Parallel()
	h := start(t)
	for round := range 2 {
		sm := h.sm("eu-west-1")
		for i := range 5 {
			must(sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: new(fmt.Sprintf("s-%d-%d", round, i)), SecretString: value("x")}))(t)
		}
		out := run(t, 0, "audit", "verify", "--data-dir", string(h.Dir))
		check.Equal(t, "verified by the running server", strings.HasSuffix(out, ", 0 problems\n"), true)
		h.HTTP.CloseIdleConnections()
		h.Stop(t)
		if round == 0 {
			h = start(t, coffertest.InDir(h.Dir))
		}
	}
	out := run(t, 0, "audit", "verify", "--data-dir", string(h.Dir), "--json")
	var report server.VerifyReport
	if err := json.Unmarshal([]byte(out), &report); err != nil || report.Records < 20 || len(report.Problems) != 0 {
		t.Fatalf("%v: %s", err, out)
	}

	for what, change := range map[string]func(lines [][]byte) [][]byte{
		"a byte changed": func(l [][]byte) [][]byte {
			l[3] = bytes.Replace(l[3], []byte("eu-west-1"), []byte("eu-west-2"), 1)
			return l
		},
		"a record removed": func(l [][]byte) [][]byte { return slices.Delete(l, 3, 4) },
		"a record twice":   func(l [][]byte) [][]byte { return slices.Insert(l, 4, l[3]) },
		"two swapped":      func(l [][]byte) [][]byte { l[3], l[4] = l[4], l[3]; return l },
		"the end cut off":  func(l [][]byte) [][]byte { return l[:4] },
		"nonsense put in":  func(l [][]byte) [][]byte { return slices.Insert(l, 4, []byte("nonsense\n")) },
		"emptied":          func(l [][]byte) [][]byte { return nil },
	} {
		t.Run(what, func(t *testing.T) {
			dir := copyDir(t, h.Dir)
			file := segments(t, dir)[0]
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			lines := bytes.SplitAfter(b, []byte("\n"))
			if err := os.WriteFile(file, bytes.Join(change(lines), nil), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, args := range [][]string{{"audit", "verify", "--data-dir", string(dir)}, {"fsck", string(dir)}} {
				out := run(t, 3, args...)
				if !strings.Contains(out, filepath.Base(file)+" at byte ") {
					t.Errorf("coffer %s does not tell file and place:\n%s", args[0], out)
				}
			}
		})
	}
	t.Run("a segment removed", func(t *testing.T) {
		dir := copyDir(t, h.Dir)
		file := segments(t, dir)[0]
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		out := run(t, 3, "audit", "verify", "--data-dir", string(dir))
		if !strings.Contains(out, ": truncated: the log ends with record 0") {
			t.Errorf("not told:\n%s", out)
		}
	})
}

// copyDir copies a data directory, so that each test can damage its own.
func copyDir(t testing.TB, from server.Dir) server.Dir {
	t.Helper()
	to := filepath.Join(t.TempDir(), "data")
	err := filepath.WalkDir(string(from), func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		dst := filepath.Join(to, strings.TrimPrefix(path, string(from)))
		switch {
		case d.IsDir():
			return os.Mkdir(dst, 0o700)
		case !d.Type().IsRegular():
			return nil // the socket that a killed server leaves
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(dst, b, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	return server.Dir(to)
}

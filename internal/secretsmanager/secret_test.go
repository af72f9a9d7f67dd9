package secretsmanager_test

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"coffer/internal/api"
	smapi "coffer/internal/api/secretsmanager"
	"coffer/internal/fault"
	"coffer/internal/secretsmanager"
	"coffer/internal/table"
)

func TestCreateSecret(t *testing.T) {
	c := newWorld(t).root()
	out := c.create("app/db", "first")
	if !regexp.MustCompile(`^arn:aws:secretsmanager:eu-west-1:111122223333:secret:app/db-[A-Za-z0-9]{6}$`).MatchString(*out.ARN) {
		t.Errorf("ARN %s", *out.ARN)
	}
	if *out.Name != "app/db" || *out.VersionId != *token("v1") || out.ReplicationStatus != nil {
		t.Errorf("%s %s", *out.Name, *out.VersionId)
	}
	if got := c.labels("app/db"); got != "v1[AWSCURRENT]" {
		t.Error(got)
	}
	if out := c.create("empty", ""); out.VersionId != nil {
		t.Errorf("a version without a value: %s", *out.VersionId)
	}
	d := c.describe("empty")
	if d.VersionIdsToStages != nil || d.Description != nil || d.KmsKeyId != nil || d.Tags != nil || d.LastAccessedDate != nil || d.DeletedDate != nil || d.RotationEnabled != nil {
		t.Errorf("members without a value are there: %+v", d)
	}
	if !d.CreatedDate.Equal(c.time()) || !d.LastChangedDate.Equal(c.time()) {
		t.Errorf("dates %v %v", d.CreatedDate, d.LastChangedDate)
	}
	_, err := c.get("empty", "", "")
	wantFault[int](t, nil, err, "ResourceNotFoundException", "Secrets Manager can't find the specified secret value for staging label: AWSCURRENT")
	a := *c.create("new", "").ARN
	if _, err := call(c, smapi.DeleteSecret, &smapi.DeleteSecretInput{SecretId: new("new"), ForceDeleteWithoutRecovery: new(true)}); err != nil {
		t.Fatal(err)
	}
	if b := *c.create("new", "").ARN; a == b {
		t.Error("the same ARN after deletion")
	}
}

// Spec §5.1: what a repeated CreateSecret answers.
func TestCreateSecretAgain(t *testing.T) {
	c := newWorld(t).root()
	first := c.create("s", "value")
	c.put("s", "v2", "second")
	c.put("s", "v3", "third") // v1 is deprecated now
	before := *c.describe("s").LastChangedDate
	c.pass(time.Minute)
	again := func(id string, text, blob string) (*smapi.CreateSecretOutput, error) {
		in := &smapi.CreateSecretInput{Name: new("s"), ClientRequestToken: token(id), Description: new("other")}
		if text != "" {
			in.SecretString = api.Sensitive(text)
		}
		if blob != "" {
			in.SecretBinary = api.Sensitive(blob)
		}
		return call(c, smapi.CreateSecret, in)
	}
	taken := "The operation failed because the secret s already exists."
	inUse := func(id string) string {
		return "You can't use ClientRequestToken " + *token(id) + " because that value is already in use for a version of secret " + *first.ARN + "."
	}
	for _, tc := range []struct {
		rule, id, text, blob string
		code, message        string
	}{
		{rule: "the same call", id: "v1", text: "value"},
		{rule: "the token and value of a later version", id: "v3", text: "third"},
		{rule: "the token with another value", id: "v1", text: "other", code: "ResourceExistsException", message: inUse("v1")},
		{rule: "the token with the same bytes in the other member", id: "v1", blob: "value", code: "ResourceExistsException", message: inUse("v1")},
		{rule: "another token", id: "v9", text: "value", code: "ResourceExistsException", message: taken},
		{rule: "the token without a value", id: "v1", code: "ResourceExistsException", message: taken},
	} {
		out, err := again(tc.id, tc.text, tc.blob)
		if tc.code != "" {
			wantFault(t, out, err, tc.code, tc.message)
		} else if err != nil || *out.ARN != *first.ARN || *out.Name != "s" || *out.VersionId != *token(tc.id) {
			t.Errorf("%s: %v", tc.rule, err)
		}
	}
	if d := c.describe("s"); !d.LastChangedDate.Equal(before) || d.Description != nil {
		t.Error("a repeated call changed the secret")
	}
	if _, err := call(c, smapi.DeleteSecret, &smapi.DeleteSecretInput{SecretId: new("s")}); err != nil {
		t.Fatal(err)
	}
	out, err := again("v1", "value", "")
	wantFault(t, out, err, "InvalidRequestException", "You can't create this secret because a secret with this name is already scheduled for deletion.")
}

func TestCreateSecretRefusals(t *testing.T) {
	c := newWorld(t).root()
	for _, tc := range []struct {
		in         smapi.CreateSecretInput
		code, text string
	}{
		{smapi.CreateSecretInput{SecretString: api.Sensitive("a"), SecretBinary: api.Sensitive("a")}, "InvalidParameterException", "You can't specify both a binary secret value and a string secret value in the same secret."},
		{smapi.CreateSecretInput{AddReplicaRegions: []smapi.ReplicaRegionType{{Region: new("us-east-1")}}}, "InvalidParameterException", "Replicating secrets to other Regions isn't supported here."},
		{smapi.CreateSecretInput{Type: new("SnowflakePat")}, "InvalidParameterException", "Managed external secrets aren't supported here."},
	} {
		tc.in.Name, tc.in.ClientRequestToken = new("s"), token("v1")
		out, err := call(c, smapi.CreateSecret, &tc.in)
		wantFault(t, out, err, tc.code, tc.text)
	}
	if _, err := call(c, smapi.CreateSecret, &smapi.CreateSecretInput{Name: new("s"), Type: new(""), Description: new("")}); err != nil {
		t.Fatal(err)
	}
	if d := c.describe("s"); d.Description != nil {
		t.Error("an empty description is absent")
	}
}

// However many create one name at once, one of them makes it.
func TestConcurrentCreate(t *testing.T) {
	w := newWorld(t)
	w.twice = false
	n := 400
	if testing.Short() {
		n = 50
	}
	var wg sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		wg.Go(func() {
			_, errs[i] = call(w.root(), smapi.CreateSecret, &smapi.CreateSecretInput{
				Name: new("one"), ClientRequestToken: token(fmt.Sprint("v", i)), SecretString: api.Sensitive(fmt.Sprint(i))})
		})
	}
	wg.Wait()
	won := -1
	for i, err := range errs {
		switch {
		case err == nil && won >= 0:
			t.Fatalf("both %d and %d made it", won, i)
		case err == nil:
			won = i
		case fault.Code(err) != "ResourceExistsException":
			t.Errorf("%v", err)
		}
	}
	if v, err := w.root().get("one", "", ""); err != nil || v != fmt.Sprint(won) {
		t.Errorf("the value is not the winner's: %v", err)
	}
}

func TestUpdateSecret(t *testing.T) {
	c := newWorld(t).root()
	arn := *c.create("s", "1").ARN
	update := func(in smapi.UpdateSecretInput) *smapi.UpdateSecretOutput {
		t.Helper()
		c.pass(time.Second)
		in.SecretId = new("s")
		out, err := call(c, smapi.UpdateSecret, &in)
		if err != nil {
			t.Fatal(err)
		}
		if *out.ARN != arn || *out.Name != "s" {
			t.Errorf("answer %s %s", *out.ARN, *out.Name)
		}
		return out
	}
	changed := func() time.Time { return *c.describe("s").LastChangedDate }
	before := changed()
	if out := update(smapi.UpdateSecretInput{}); out.VersionId != nil || !changed().Equal(before) {
		t.Error("an update of nothing changed something")
	}
	if out := update(smapi.UpdateSecretInput{Description: new("d")}); out.VersionId != nil || !changed().Equal(c.time()) || *c.describe("s").Description != "d" {
		t.Error("a description alone makes no version")
	}
	update(smapi.UpdateSecretInput{Description: new("")})
	if c.describe("s").Description != nil {
		t.Error("an empty description clears it")
	}
	out := update(smapi.UpdateSecretInput{ClientRequestToken: token("v2"), SecretString: api.Sensitive("2"), Description: new("e")})
	if *out.VersionId != *token("v2") || c.labels("s") != "v1[AWSPREVIOUS] v2[AWSCURRENT]" {
		t.Errorf("labels %s", c.labels("s"))
	}
	before = changed()
	if out = update(smapi.UpdateSecretInput{ClientRequestToken: token("v2"), SecretString: api.Sensitive("2")}); *out.VersionId != *token("v2") || !changed().Equal(before) {
		t.Error("a repeated token is answered alike and changes nothing")
	}
	// An equal value under a new token is a change.
	update(smapi.UpdateSecretInput{ClientRequestToken: token("v3"), SecretString: api.Sensitive("2")})
	if !changed().Equal(c.time()) || c.labels("s") != "v1[] v2[AWSPREVIOUS] v3[AWSCURRENT]" {
		t.Errorf("labels %s", c.labels("s"))
	}
	bad, err := call(c, smapi.UpdateSecret, &smapi.UpdateSecretInput{SecretId: new("s"), ClientRequestToken: token("v2"), SecretString: api.Sensitive("3"), Description: new("lost")})
	wantFault(t, bad, err, "ResourceExistsException", "You can't use ClientRequestToken "+*token("v2")+" because that value is already in use for a version of secret "+arn+".")
	if *c.describe("s").Description != "e" {
		t.Error("a failed call changed the description")
	}
	bad, err = call(c, smapi.UpdateSecret, &smapi.UpdateSecretInput{SecretId: new("s"), ClientRequestToken: token("v4"), SecretString: api.Sensitive("3"), SecretBinary: api.Sensitive("3")})
	wantFault(t, bad, err, "InvalidParameterException", "You can't specify both a binary secret value and a string secret value in the same secret.")
}

func TestPutSecretValue(t *testing.T) {
	c := newWorld(t).root()
	arn := *c.create("s", "").ARN
	put := func(id string, value string, stages ...string) (*smapi.PutSecretValueOutput, error) {
		return call(c, smapi.PutSecretValue, &smapi.PutSecretValueInput{SecretId: new("s"), ClientRequestToken: token(id), SecretString: api.Sensitive(value), VersionStages: stages})
	}
	out, err := put("v1", "1")
	if err != nil || *out.ARN != arn || *out.Name != "s" || *out.VersionId != *token("v1") || fmt.Sprint(out.VersionStages) != "[AWSCURRENT]" {
		t.Fatalf("%v", err)
	}
	c.put("s", "v2", "2", "x")
	c.pass(time.Second)
	before := *c.describe("s").LastChangedDate
	// Repeated: the labels it has now, not those asked for.
	out, err = put("v2", "2", "y")
	if err != nil || fmt.Sprint(out.VersionStages) != "[x]" || !c.describe("s").LastChangedDate.Equal(before) {
		t.Errorf("%v", err)
	}
	out, err = put("v2", "other")
	wantFault(t, out, err, "ResourceExistsException", "You can't use ClientRequestToken "+*token("v2")+" because that value is already in use for a version of secret "+arn+".")
	out, err = call(c, smapi.PutSecretValue, &smapi.PutSecretValueInput{SecretId: new("s"), ClientRequestToken: token("v3")})
	wantFault(t, out, err, "InvalidRequestException", "You must provide either SecretString or SecretBinary.")
	out, err = call(c, smapi.PutSecretValue, &smapi.PutSecretValueInput{SecretId: new("s"), ClientRequestToken: token("v3"), SecretString: api.Sensitive("1"), SecretBinary: api.Sensitive("1")})
	wantFault(t, out, err, "InvalidParameterException", "You can't specify both a binary secret value and a string secret value in the same secret.")
}

// Spec §5.3: which version is read, and what is said when there is none.
func TestGetSecretValue(t *testing.T) {
	c := newWorld(t).root()
	arn := *c.create("s", "1").ARN
	made := c.time()
	c.pass(time.Minute)
	c.put("s", "v2", "2")
	c.put("s", "v3", "3", "x")
	for _, tc := range []struct{ id, stage, want, code, text string }{
		{want: "2"},
		{stage: "AWSCURRENT", want: "2"},
		{stage: "AWSPREVIOUS", want: "1"},
		{stage: "x", want: "3"},
		{id: "v1", want: "1"},
		{id: "v1", stage: "AWSPREVIOUS", want: "1"},
		{id: "v1", stage: "AWSCURRENT", code: "InvalidRequestException", text: "You provided a VersionStage that is not associated to the provided VersionId."},
		{id: "v1", stage: "none", code: "InvalidRequestException", text: "You provided a VersionStage that is not associated to the provided VersionId."},
		{stage: "AWSPENDING", code: "ResourceNotFoundException", text: "Secrets Manager can't find the specified secret value for staging label: AWSPENDING"},
		{stage: "awscurrent", code: "ResourceNotFoundException", text: "Secrets Manager can't find the specified secret value for staging label: awscurrent"},
		{id: "v9", code: "ResourceNotFoundException", text: "Secrets Manager can't find the specified secret value for VersionId: " + *token("v9")},
		{id: "v9", stage: "AWSPENDING", code: "ResourceNotFoundException", text: "Secrets Manager can't find the specified secret value for VersionId: " + *token("v9")},
	} {
		got, err := c.get("s", tc.id, tc.stage)
		if tc.code != "" {
			wantFault[int](t, nil, err, tc.code, tc.text)
		} else if err != nil || got != tc.want {
			t.Errorf("version %q stage %q: wrong value, %v", tc.id, tc.stage, err)
		}
	}
	out, err := call(c, smapi.GetSecretValue, &smapi.GetSecretValueInput{SecretId: new("s"), VersionId: token("v1")})
	if err != nil {
		t.Fatal(err)
	}
	if *out.ARN != arn || *out.Name != "s" || *out.VersionId != *token("v1") || !out.CreatedDate.Equal(made) || out.SecretBinary != nil || fmt.Sprint(out.VersionStages) != "[AWSPREVIOUS]" {
		t.Errorf("answer for v1: %v %v", out.CreatedDate, out.VersionStages)
	}
	c.put("s", "v4", "4")
	if out, err = call(c, smapi.GetSecretValue, &smapi.GetSecretValueInput{SecretId: new("s"), VersionId: token("v1")}); err != nil || out.VersionStages != nil {
		t.Errorf("a deprecated version has no labels: %v %v", out, err)
	}
}

// Values of every size and kind come back byte for byte, wherever they are kept.
func TestValues(t *testing.T) {
	c := newWorld(t).root()
	sizes := []int{1, 2, 4066, 4067, 4068, 4096, 4097, 10000, 65535, 65536}
	for i, n := range sizes {
		name := fmt.Sprint("s", n)
		c.create(name, "")
		blob := bytes.Repeat([]byte{byte(i), 0, 0xff}, n)[:n]
		if _, err := call(c, smapi.PutSecretValue, &smapi.PutSecretValueInput{SecretId: &name, ClientRequestToken: token("b"), SecretBinary: blob}); err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
		text := strings.Repeat("a\x00é", n)[:n]
		text = strings.ToValidUTF8(text, "?")
		c.put(name, "t", text)
		out, err := call(c, smapi.GetSecretValue, &smapi.GetSecretValueInput{SecretId: &name, VersionStage: new("AWSPREVIOUS")})
		if err != nil || !bytes.Equal(out.SecretBinary, blob) || out.SecretString != nil {
			t.Errorf("binary of %d bytes: %v", n, err)
		}
		out, err = call(c, smapi.GetSecretValue, &smapi.GetSecretValueInput{SecretId: &name})
		if err != nil || string(out.SecretString) != text || out.SecretBinary != nil {
			t.Errorf("text of %d bytes: %v", n, err)
		}
		// And when deprecated.
		c.put(name, "u", "x")
		out, err = call(c, smapi.GetSecretValue, &smapi.GetSecretValueInput{SecretId: &name, VersionId: token("b")})
		if err != nil || !bytes.Equal(out.SecretBinary, blob) {
			t.Errorf("deprecated binary of %d bytes: %v", n, err)
		}
	}
	large := "1 validation error detected: Value at '%s' failed to satisfy constraint: Member must have length less than or equal to 65536"
	// One byte too many, and a text that only bytes find too long: 65,536 characters.
	for _, in := range []smapi.PutSecretValueInput{
		{SecretString: api.Sensitive(strings.Repeat("a", 65537))},
		{SecretString: api.Sensitive(strings.Repeat("a", 65535) + "é")},
		{SecretBinary: api.Sensitive(strings.Repeat("a", 65537))},
	} {
		member := "secretString"
		if in.SecretBinary != nil {
			member = "secretBinary"
		}
		in.SecretId, in.ClientRequestToken = new("s1"), token("large")
		out, err := call(c, smapi.PutSecretValue, &in)
		wantFault(t, out, err, "ValidationException", fmt.Sprintf(large, member))
		out2, err := call(c, smapi.CreateSecret, &smapi.CreateSecretInput{Name: new("s0"), ClientRequestToken: in.ClientRequestToken, SecretString: in.SecretString, SecretBinary: in.SecretBinary})
		wantFault(t, out2, err, "ValidationException", fmt.Sprintf(large, member))
		out3, err := call(c, smapi.UpdateSecret, &smapi.UpdateSecretInput{SecretId: new("s1"), ClientRequestToken: in.ClientRequestToken, SecretString: in.SecretString, SecretBinary: in.SecretBinary})
		wantFault(t, out3, err, "ValidationException", fmt.Sprintf(large, member))
	}
}

// Twenty labelled versions of the largest size that is kept inline still make
// a row of bounded size, and all can be read.
func TestManyLargeVersions(t *testing.T) {
	c := newWorld(t).root()
	c.create("s", "1")
	for i := range 19 {
		c.put("s", fmt.Sprint("w", i), strings.Repeat("x", 4000+40*i), fmt.Sprint("l", i))
	}
	for i := range 19 {
		if v, err := c.get("s", "", fmt.Sprint("l", i)); err != nil || len(v) != 4000+40*i {
			t.Errorf("version %d: %v", i, err)
		}
	}
	err := c.db.View(context.Background(), func(tx *table.Tx) error {
		s, err := secretsmanager.Secrets.Load(tx, table.K(account, region, "s"))
		if err != nil {
			return err
		}
		n := 0
		for _, v := range s.Versions {
			n += len(v.Value)
		}
		if n > 16<<10 {
			t.Errorf("the row holds %d bytes of values", n)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// One call deprecates them all.
	stages := []string{}
	for i := range 19 {
		stages = append(stages, fmt.Sprint("l", i))
	}
	c.put("s", "all", strings.Repeat("y", 65536), stages...)
	if _, err := c.get("s", "w18", ""); err != nil {
		t.Error(err)
	}
	if _, err := call(c, smapi.DeleteSecret, &smapi.DeleteSecretInput{SecretId: new("s"), ForceDeleteWithoutRecovery: new(true)}); err != nil {
		t.Fatal(err)
	}
	c.work("secretsmanager.purge")
}

// The write that costs most: it takes all labels from nineteen versions with
// values of their own rows, removes old versions, and stores the largest
// value. It fits one transaction.
func TestTheLargestWrite(t *testing.T) {
	w := newWorld(t)
	w.twice = false
	c := w.root()
	key := w.kms.add(account, "k1")
	c.create("s", "1")
	c.pass(time.Second)
	for i := range 120 {
		c.put("s", fmt.Sprint("d", i), strings.Repeat("x", 5000))
	}
	var labels []string
	for i := range 18 {
		labels = append(labels, fmt.Sprint("l", i))
		c.put("s", fmt.Sprint("w", i), strings.Repeat("x", 5000), labels[i])
	}
	c.pass(48 * time.Hour)
	c.put("s", "all", strings.Repeat("y", 65536), labels...)
	if v, err := c.get("s", "w17", ""); err != nil || len(v) != 5000 {
		t.Error(err)
	}
	if _, err := c.get("s", "v1", ""); fault.Code(err) != "ResourceNotFoundException" {
		t.Errorf("nothing old was removed: %v", err)
	}
	if _, err := call(c, smapi.UpdateSecret, &smapi.UpdateSecretInput{SecretId: new("s"), KmsKeyId: &key, ClientRequestToken: token("last"), SecretString: api.Sensitive(strings.Repeat("z", 65536))}); err != nil {
		t.Error(err)
	}
	w.work("secretsmanager.clean")
	if n := len(strings.Fields(c.allLabels("s"))); n != 100 {
		t.Errorf("%d versions", n)
	}
}

func TestGetRandomPassword(t *testing.T) {
	c := newWorld(t).root()
	out, err := call(c, smapi.GetRandomPassword, &smapi.GetRandomPasswordInput{})
	if err != nil || len(out.RandomPassword) != 32 {
		t.Errorf("%v", err)
	}
	out, err = call(c, smapi.GetRandomPassword, &smapi.GetRandomPasswordInput{PasswordLength: new(int64(3))})
	wantFault(t, out, err, "InvalidParameterException", "Password length is too short based on the required types.")
	if _, err = call(c, smapi.GetRandomPassword, &smapi.GetRandomPasswordInput{PasswordLength: new(int64(3)), RequireEachIncludedType: new(false)}); err != nil {
		t.Error(err)
	}
}

package secretsmanager_test

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	smapi "coffer/internal/api/secretsmanager"
	"coffer/internal/fault"
	"coffer/internal/secretsmanager"
	"coffer/internal/table"
)

const day = 24 * time.Hour

func (c caller) delete(id string, window int64, force *bool) (*smapi.DeleteSecretOutput, error) {
	in := &smapi.DeleteSecretInput{SecretId: &id, ForceDeleteWithoutRecovery: force}
	if window != 0 {
		in.RecoveryWindowInDays = &window
	}
	return call(c, smapi.DeleteSecret, in)
}

func (c caller) gone(id string) bool {
	_, err := call(c, smapi.DescribeSecret, &smapi.DescribeSecretInput{SecretId: &id})
	return fault.Code(err) == "ResourceNotFoundException"
}

func TestDeleteSecretParameters(t *testing.T) {
	c := newWorld(t).root()
	c.create("s", "1")
	const both = "You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays."
	const window = "The RecoveryWindowInDays value must be between 7 and 30 days (inclusive)."
	for _, tc := range []struct {
		id         string
		window     int64
		force      *bool
		code, text string
	}{
		{"s", 6, nil, "InvalidParameterException", window},
		{"s", 31, nil, "InvalidParameterException", window},
		{"s", -1, nil, "InvalidParameterException", window},
		{"s", 7, new(true), "InvalidParameterException", both},
		{"none", 7, new(true), "InvalidParameterException", both},
		{"none", 6, nil, "ResourceNotFoundException", noSecret},
		{"none", 0, new(false), "ResourceNotFoundException", noSecret},
	} {
		out, err := c.delete(tc.id, tc.window, tc.force)
		wantFault(t, out, err, tc.code, tc.text)
	}
	// A window beside force=false is fine.
	out, err := c.delete("s", 7, new(false))
	if err != nil || !out.DeletionDate.Equal(c.time().Add(7*day)) {
		t.Errorf("%v", err)
	}
}

// The life cycle of spec §10.
func TestDeletionLifeCycle(t *testing.T) {
	w := newWorld(t)
	c := w.root()
	arn := *c.create("s", "1").ARN
	out, err := c.delete("s", 0, nil)
	if err != nil || *out.ARN != arn || *out.Name != "s" || !out.DeletionDate.Equal(c.time().Add(30*day)) {
		t.Fatalf("%v", err)
	}
	if d := c.describe("s"); !d.DeletedDate.Equal(*out.DeletionDate) || len(d.VersionIdsToStages) != 1 {
		t.Errorf("DeletedDate %v", d.DeletedDate)
	}
	if n := len(c.list(smapi.ListSecretsInput{})); n != 0 {
		t.Error("listed while marked")
	}
	if n := len(c.list(smapi.ListSecretsInput{IncludePlannedDeletion: new(true)})); n != 1 {
		t.Error("not listed when asked for")
	}
	for range 2 { // restoring a live secret succeeds, too
		if out, err := call(c, smapi.RestoreSecret, &smapi.RestoreSecretInput{SecretId: new("s")}); err != nil || *out.ARN != arn || *out.Name != "s" {
			t.Fatalf("%v", err)
		}
	}
	if c.describe("s").DeletedDate != nil {
		t.Error("DeletedDate stays")
	}
	if v, err := c.get("s", "", ""); err != nil || v != "1" {
		t.Error(err)
	}
	if _, err := c.delete("s", 7, nil); err != nil {
		t.Fatal(err)
	}
	c.pass(7*day - time.Second)
	w.work("secretsmanager.purge")
	if c.gone("s") {
		t.Error("purged before its time")
	}
	c.pass(2 * time.Second)
	w.work("secretsmanager.purge")
	if !c.gone("s") || !c.gone(arn) {
		t.Error("not purged")
	}
	if again := *c.create("s", "2").ARN; again == arn {
		t.Error("the ARN came back")
	}
	if v, err := c.get("s", "", ""); err != nil || v != "2" {
		t.Error(err)
	}
	if !c.gone(arn) {
		t.Error("the old ARN finds the new secret")
	}
}

func TestForceDelete(t *testing.T) {
	w := newWorld(t)
	c := w.root()
	// A secret that never was.
	out, err := c.delete("none", 0, new(true))
	if err != nil || !regexp.MustCompile(`^arn:aws:secretsmanager:eu-west-1:111122223333:secret:none-[A-Za-z0-9]{6}$`).MatchString(*out.ARN) || *out.Name != "none" || !out.DeletionDate.Equal(c.time()) {
		t.Fatalf("%v", err)
	}
	const whole = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:none-a1b2c3"
	if out, err = c.delete(whole, 0, new(true)); err != nil || *out.ARN != whole || *out.Name != "none" {
		t.Errorf("%v", err)
	}
	// Live, and marked.
	a := *c.create("live", "1").ARN
	c.create("marked", "1")
	if _, err := c.delete("marked", 0, nil); err != nil {
		t.Fatal(err)
	}
	if out, err = c.delete("live", 0, new(true)); err != nil || *out.ARN != a || !out.DeletionDate.Equal(c.time()) {
		t.Errorf("%v", err)
	}
	if _, err = c.delete("marked", 0, new(true)); err != nil {
		t.Errorf("%v", err)
	}
	if !c.gone("live") || !c.gone("marked") {
		t.Error("still there")
	}
	c.create("live", "2")
	c.create("marked", "2")
}

// The service events of deletions, version by version.
func TestDeletionEvents(t *testing.T) {
	w := newWorld(t)
	c := w.root()
	c.create("s", "1")
	c.put("s", "v2", "2")
	c.pass(time.Second)
	c.put("s", "v3", "3")
	expect := func(what, want string) {
		t.Helper()
		slices.Sort(w.events)
		if got := strings.Join(w.events, ", "); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", what, got, want)
		}
		w.events = nil
	}
	all := func(event string) string { return event + " v1, " + event + " v2, " + event + " v3" }
	expect("nothing is deleted", "")
	if _, err := c.delete("s", 7, nil); err != nil {
		t.Fatal(err)
	}
	expect("marked", all("StartSecretVersionDelete"))
	if _, err := call(c, smapi.RestoreSecret, &smapi.RestoreSecretInput{SecretId: new("s")}); err != nil {
		t.Fatal(err)
	}
	expect("restored", all("CancelSecretVersionDelete"))
	if _, err := c.delete("s", 7, nil); err != nil {
		t.Fatal(err)
	}
	w.events = nil
	c.pass(7 * day)
	w.work("secretsmanager.purge")
	expect("purged", all("EndSecretVersionDelete"))
	c.create("s", "1")
	if _, err := c.delete("s", 0, new(true)); err != nil {
		t.Fatal(err)
	}
	expect("by force", "EndSecretVersionDelete v1, StartSecretVersionDelete v1")
	c.create("s", "")
	if _, err := c.delete("s", 0, new(true)); err != nil {
		t.Fatal(err)
	}
	expect("no version, no event", "")
}

// rows counts everything the service stores.
func (w *world) rows() (n int) {
	w.t.Helper()
	err := w.db.View(context.Background(), func(tx *table.Tx) error {
		n = 0
		for _, err := range secretsmanager.Secrets.Scan(tx, table.Range{}) {
			n++
			if err != nil {
				return err
			}
		}
		for _, err := range secretsmanager.DeprecatedVersions.Scan(tx, table.Range{}) {
			n++
			if err != nil {
				return err
			}
		}
		for _, err := range secretsmanager.Values.Scan(tx, table.Range{}) {
			n++
			if err != nil {
				return err
			}
		}
		for _, err := range secretsmanager.Policies.Scan(tx, table.Range{}) {
			n++
			if err != nil {
				return err
			}
		}
		for _, err := range secretsmanager.Purges.Scan(tx, table.Range{}) {
			n++
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

// A secret with as many versions, labels and large values as there can be is
// purged completely, in steps that each fit a transaction, forced or due; and a
// new secret of the name lives beside the remains.
func TestPurgeOfTheLargestSecret(t *testing.T) {
	for _, force := range []bool{true, false} {
		t.Run(fmt.Sprint("force ", force), func(t *testing.T) {
			w := newWorld(t)
			w.twice = false
			c := w.root()
			c.create("s", strings.Repeat("1", 5000))
			for i := range 130 {
				c.put("s", fmt.Sprint("d", i), strings.Repeat("x", 10+i%2*5000))
			}
			for i := range 18 {
				c.put("s", fmt.Sprint("l", i), strings.Repeat("x", 5000), fmt.Sprint("label", i))
			}
			const policy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"secretsmanager:GetSecretValue","Resource":"*"}]}`
			if _, err := call(c, smapi.PutResourcePolicy, &smapi.PutResourcePolicyInput{SecretId: new("s"), ResourcePolicy: new(policy)}); err != nil {
				t.Fatal(err)
			}
			if n := w.rows(); n < 200 {
				t.Fatalf("only %d rows", n)
			}
			if force {
				if _, err := c.delete("s", 0, new(true)); err != nil {
					t.Fatal(err)
				}
				if !c.gone("s") {
					t.Error("a forced deletion did not take effect at once")
				}
				c.create("s", "new")
				for _, p := range w.problems() {
					t.Errorf("beside the remains: %s", p)
				}
			} else {
				if _, err := c.delete("s", 7, nil); err != nil {
					t.Fatal(err)
				}
				c.pass(7 * day)
			}
			w.work("secretsmanager.purge")
			want := 0
			if force {
				want = 1
				if v, err := c.get("s", "", ""); err != nil || v != "new" {
					t.Error(err)
				}
			}
			if n := w.rows(); n != want {
				t.Errorf("%d rows left, want %d", n, want)
			}
		})
	}
}

func TestPurgeOfMany(t *testing.T) {
	w := newWorld(t)
	w.twice = false
	c := w.root()
	for i := range 60 {
		name := fmt.Sprint("s", i)
		c.create(name, "1")
		for j := range i % 5 {
			c.put(name, fmt.Sprint("w", j), "2")
		}
		if i%3 != 0 {
			if _, err := c.delete(name, int64(7+i%2), nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.pass(7 * day)
	w.work("secretsmanager.purge")
	for i := range 60 {
		name := fmt.Sprint("s", i)
		if want := i%3 != 0 && i%2 == 0; c.gone(name) != want {
			t.Errorf("%s gone: %v", name, !want)
		}
	}
	w.pass(day)
	w.work("secretsmanager.purge")
	if n := len(c.list(smapi.ListSecretsInput{IncludePlannedDeletion: new(true)})); n != 20 {
		t.Errorf("%d secrets left", n)
	}
}

// LastAccessedDate: a day, written once a day, and only for reads that succeed.
func TestLastAccessed(t *testing.T) {
	w := newWorld(t)
	c := w.root()
	c.create("s", "1")
	c.create("never", "1")
	c.put("s", "v2", "2")
	c.put("s", "v3", "3") // v1 is deprecated
	midnight := c.time().Truncate(day)
	if _, err := c.get("s", "v9", ""); err == nil {
		t.Fatal("found v9")
	}
	w.work("secretsmanager.accessed")
	if c.describe("s").LastAccessedDate != nil {
		t.Error("a failed read counts")
	}
	changed := *c.describe("s").LastChangedDate
	c.pass(time.Minute)
	for range 3 {
		for _, id := range []string{"v1", "v3"} {
			if _, err := c.get("s", id, ""); err != nil {
				t.Fatal(err)
			}
		}
	}
	// It is shown at once, and a read writes nothing: the next process does not know.
	if d := c.describe("s").LastAccessedDate; d == nil || !d.Equal(midnight) {
		t.Errorf("accessed %v before it is written", d)
	}
	if d := w.restarted().root().describe("s").LastAccessedDate; d != nil {
		t.Errorf("a read wrote %v", d)
	}
	w.work("secretsmanager.accessed")
	if d := w.restarted().root().describe("s").LastAccessedDate; d == nil || !d.Equal(midnight) {
		t.Errorf("accessed %v after it was written", d)
	}
	d := c.describe("s")
	if d.LastAccessedDate == nil || !d.LastAccessedDate.Equal(midnight) || !d.LastChangedDate.Equal(changed) {
		t.Errorf("accessed %v changed %v", d.LastAccessedDate, d.LastChangedDate)
	}
	if c.describe("never").LastAccessedDate != nil {
		t.Error("never read")
	}
	out, err := call(c, smapi.ListSecretVersionIds, &smapi.ListSecretVersionIdsInput{SecretId: new("s"), IncludeDeprecated: new(true)})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range out.Versions {
		if read := short(*v.VersionId) != "v2"; read != (v.LastAccessedDate != nil) {
			t.Errorf("%s: %v", short(*v.VersionId), v.LastAccessedDate)
		}
	}
	// The next day counts anew; a new secret of the name is not mistaken for the old.
	c.pass(day)
	if _, err := c.get("s", "", ""); err != nil {
		t.Fatal(err)
	}
	w.work("secretsmanager.accessed")
	if d := c.describe("s"); !d.LastAccessedDate.Equal(midnight.Add(day)) {
		t.Errorf("accessed %v", d.LastAccessedDate)
	}
	c.pass(day)
	if _, err := c.get("s", "", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := c.delete("s", 0, new(true)); err != nil {
		t.Fatal(err)
	}
	c.create("s", "new")
	w.work("secretsmanager.accessed")
	if d := c.describe("s"); d.LastAccessedDate != nil {
		t.Errorf("the new secret was read %v", d.LastAccessedDate)
	}
}

func TestFlushOfMany(t *testing.T) {
	w := newWorld(t)
	w.twice = false
	c := w.root()
	for i := range 70 {
		name := fmt.Sprint("s", i)
		c.create(name, "1")
		for j := range 20 {
			if i == 0 {
				c.put(name, fmt.Sprint("w", j), "2")
			}
		}
		if _, err := c.get(name, "", ""); err != nil {
			t.Fatal(err)
		}
	}
	for j := range 20 {
		if _, err := c.get("s0", fmt.Sprint("w", j), ""); err != nil {
			t.Fatal(err)
		}
	}
	w.work("secretsmanager.accessed")
	for i := range 70 {
		if c.describe(fmt.Sprint("s", i)).LastAccessedDate == nil {
			t.Errorf("s%d was not flushed", i)
		}
	}
	out, err := call(c, smapi.ListSecretVersionIds, &smapi.ListSecretVersionIdsInput{SecretId: new("s0"), IncludeDeprecated: new(true)})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range out.Versions {
		if v.LastAccessedDate == nil && short(*v.VersionId) != "v1" {
			t.Errorf("%s was not flushed", short(*v.VersionId))
		}
	}
}

// Check finds what it is there to find.
func TestCheck(t *testing.T) {
	type S = secretsmanager.Secret
	secret := func(f func(s *S)) func(tx *table.Tx) error {
		return func(tx *table.Tx) error {
			s, err := secretsmanager.Secrets.Load(tx, table.K(account, region, "s"))
			if err != nil {
				return err
			}
			f(s)
			return secretsmanager.Secrets.Put(tx, s)
		}
	}
	for _, tc := range []struct {
		damage func(tx *table.Tx) error
		want   string
	}{
		{secret(func(s *S) { s.Versions[0].Stages = append(s.Versions[0].Stages, "AWSCURRENT") }), "label AWSCURRENT is on two versions"},
		{secret(func(s *S) { s.Versions[1].Stages = []string{"x"} }), "has values and no AWSCURRENT"},
		{secret(func(s *S) { s.Versions[0].Stages = nil }), "has no labels and is not deprecated"},
		{secret(func(s *S) { s.Versions = append(s.Versions, s.Versions[0]) }), "two versions have the id"},
		{secret(func(s *S) { s.Deprecated = 7 }), "counts 7 deprecated versions and has 1"},
		{secret(func(s *S) { s.HasPolicy = true }), "its resource policy is missing"},
		{secret(func(s *S) { s.Versions[0].DataKey = nil }), "has no data key"},
		{secret(func(s *S) { s.Versions[0].Value = nil }), "its value is missing"},
		{secret(func(s *S) {
			for i := range 21 {
				s.Versions[0].Stages = append(s.Versions[0].Stages, fmt.Sprint(i))
			}
		}), "23 labels"},
		{func(tx *table.Tx) error { return secretsmanager.Secrets.Delete(tx, table.K(account, region, "s")) }, "its secret does not exist"},
		{func(tx *table.Tx) error {
			return secretsmanager.Values.Put(tx, &secretsmanager.Value{Account: account, Region: region, UID: "u", Name: "s", Version: "v", Sealed: []byte("x")})
		}, "no version has it"},
		{func(tx *table.Tx) error {
			return secretsmanager.Policies.Put(tx, &secretsmanager.Policy{Account: account, Region: region, UID: "u", Name: "s", Text: "{}"})
		}, "no secret has it"},
	} {
		w := newWorld(t)
		c := w.root()
		c.create("s", "1")
		c.put("s", "v2", "2")
		c.put("s", "v3", "3")
		abort := fmt.Errorf("abort")
		var found []string
		w.db.Update(context.Background(), func(tx *table.Tx) error {
			if err := tc.damage(tx); err != nil {
				t.Fatal(err)
			}
			found = nil
			err := w.service.Check(context.Background(), tx, func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) })
			if err != nil {
				t.Fatal(err)
			}
			return abort
		})
		if !strings.Contains(strings.Join(found, "\n"), tc.want) {
			t.Errorf("want %q, found %q", tc.want, found)
		}
	}
}

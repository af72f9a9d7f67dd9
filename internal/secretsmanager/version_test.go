package secretsmanager_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"coffer/internal/api"
	smapi "coffer/internal/api/secretsmanager"
	"coffer/internal/fault"
)

func (c caller) stage(label, from, to string) (*smapi.UpdateSecretVersionStageOutput, error) {
	in := &smapi.UpdateSecretVersionStageInput{SecretId: new("s"), VersionStage: &label}
	if from != "" {
		in.RemoveFromVersionId = token(from)
	}
	if to != "" {
		in.MoveToVersionId = token(to)
	}
	return call(c, smapi.UpdateSecretVersionStage, in)
}

// The worked example of spec §4, line by line.
func TestWorkedExample(t *testing.T) {
	c := newWorld(t).root()
	steps := []struct {
		what string
		do   func()
		want string
	}{
		{"CreateSecret v1", func() { c.create("s", "1") },
			"v1[AWSCURRENT]"},
		{"PutSecretValue v2 stages[AWSPENDING]", func() { c.put("s", "v2", "2", "AWSPENDING") },
			"v1[AWSCURRENT] v2[AWSPENDING]"},
		{"UpdateSecretVersionStage CURRENT v1->v2", func() {
			if _, err := c.stage("AWSCURRENT", "v1", "v2"); err != nil {
				t.Fatal(err)
			}
		}, "v1[AWSPREVIOUS] v2[AWSCURRENT,AWSPENDING]"},
		{"PutSecretValue v3 (default)", func() { c.put("s", "v3", "3") },
			"v1[] v2[AWSPREVIOUS] v3[AWSCURRENT]"},
		{"PutSecretValue v4 stages[one,two]", func() { c.put("s", "v4", "4", "one", "two") },
			"v1[] v2[AWSPREVIOUS] v3[AWSCURRENT] v4[one,two]"},
		{"PutSecretValue v5 stages[two]", func() { c.put("s", "v5", "5", "two") },
			"v1[] v2[AWSPREVIOUS] v3[AWSCURRENT] v4[one] v5[two]"},
	}
	for _, s := range steps {
		s.do()
		if got := c.labels("s"); got != s.want {
			t.Fatalf("after %s\ngot  %s\nwant %s", s.what, got, s.want)
		}
		c.pass(time.Second)
	}
	// Deprecated: out of DescribeSecret, still readable by id.
	d := c.describe("s")
	if len(d.VersionIdsToStages) != 4 || d.VersionIdsToStages[*token("v1")] != nil {
		t.Errorf("DescribeSecret shows %v", d.VersionIdsToStages)
	}
	if v, err := c.get("s", "v1", ""); err != nil || v != "1" {
		t.Errorf("deprecated version: %v", err)
	}
}

// Every row of the label table of spec §4 that the worked example does not show.
func TestLabelMoves(t *testing.T) {
	put := func(id string, stages ...string) func(caller) error {
		return func(c caller) error {
			_, err := call(c, smapi.PutSecretValue, &smapi.PutSecretValueInput{
				SecretId: new("s"), ClientRequestToken: token(id), SecretString: api.Sensitive("v " + id), VersionStages: stages})
			return err
		}
	}
	move := func(label, from, to string) func(caller) error {
		return func(c caller) error { _, err := c.stage(label, from, to); return err }
	}
	update := func(id string) func(caller) error {
		return func(c caller) error {
			_, err := call(c, smapi.UpdateSecret, &smapi.UpdateSecretInput{
				SecretId: new("s"), ClientRequestToken: token(id), SecretString: api.Sensitive("v " + id)})
			return err
		}
	}
	type steps []func(caller) error
	for _, tc := range []struct {
		rule string
		do   steps
		want string
	}{
		{"the first version gets AWSCURRENT in addition to the labels given",
			steps{put("a", "AWSPENDING")}, "a[AWSCURRENT,AWSPENDING]"},
		{"and to custom ones",
			steps{put("a", "one", "two")}, "a[AWSCURRENT,one,two]"},
		{"the default is AWSCURRENT",
			steps{put("a"), put("b")}, "a[AWSPREVIOUS] b[AWSCURRENT]"},
		{"AWSCURRENT listed with others",
			steps{put("a"), put("b", "AWSCURRENT", "x")}, "a[AWSPREVIOUS] b[AWSCURRENT,x]"},
		{"AWSPREVIOUS leaves the version that had it, which is deprecated",
			steps{put("a"), put("b"), put("c")}, "a[] b[AWSPREVIOUS] c[AWSCURRENT]"},
		{"but not when it has another label",
			steps{put("a", "keep"), put("b"), put("c")}, "a[keep] b[AWSPREVIOUS] c[AWSCURRENT]"},
		{"a new current version takes AWSPENDING off another",
			steps{put("a"), put("b", "AWSPENDING"), put("c")}, "a[AWSPREVIOUS] b[] c[AWSCURRENT]"},
		{"so does UpdateSecret",
			steps{put("a"), put("b", "AWSPENDING"), update("c")}, "a[AWSPREVIOUS] b[] c[AWSCURRENT]"},
		{"a version may take both",
			steps{put("a"), put("b", "AWSPENDING"), put("c", "AWSCURRENT", "AWSPENDING")}, "a[AWSPREVIOUS] b[] c[AWSCURRENT,AWSPENDING]"},
		{"labels without AWSCURRENT leave AWSCURRENT and AWSPREVIOUS where they are",
			steps{put("a"), put("b"), put("c", "x")}, "a[AWSPREVIOUS] b[AWSCURRENT] c[x]"},
		{"an explicit label moves silently",
			steps{put("a"), put("b", "x"), put("c", "x")}, "a[AWSCURRENT] b[] c[x]"},
		{"AWSPREVIOUS can be given by name",
			steps{put("a"), put("b"), put("c", "AWSPREVIOUS")}, "a[] b[AWSCURRENT] c[AWSPREVIOUS]"},
		{"but not together with AWSCURRENT: the old value stays within reach",
			steps{put("a"), put("b", "AWSCURRENT", "AWSPREVIOUS")}, "a[AWSPREVIOUS] b[AWSCURRENT]"},
		{"AWSSOMETHING is an ordinary label",
			steps{put("a"), put("b", "AWSSOMETHING")}, "a[AWSCURRENT] b[AWSSOMETHING]"},
		{"a label named twice is one label",
			steps{put("a"), put("b", "x", "x")}, "a[AWSCURRENT] b[x]"},
		{"moving AWSCURRENT leaves AWSPENDING and custom labels",
			steps{put("a", "x"), put("b", "AWSPENDING", "y"), move("AWSCURRENT", "a", "b")}, "a[AWSPREVIOUS,x] b[AWSCURRENT,AWSPENDING,y]"},
		{"rolling back swaps the two",
			steps{put("a"), put("b"), move("AWSCURRENT", "b", "a")}, "a[AWSCURRENT] b[AWSPREVIOUS]"},
		{"moving AWSCURRENT takes AWSPREVIOUS from a third version",
			steps{put("a"), put("b"), put("c", "x"), move("AWSCURRENT", "b", "c")}, "a[] b[AWSPREVIOUS] c[AWSCURRENT,x]"},
		{"moving a custom label never touches AWSPREVIOUS",
			steps{put("a"), put("b", "AWSCURRENT", "x"), move("x", "b", "a")}, "a[AWSPREVIOUS,x] b[AWSCURRENT]"},
		{"detaching the last label deprecates",
			steps{put("a"), put("b", "x"), move("x", "b", "")}, "a[AWSCURRENT] b[]"},
		{"a deprecated version can come back",
			steps{put("a"), put("b"), put("c"), move("x", "", "a")}, "a[x] b[AWSPREVIOUS] c[AWSCURRENT]"},
		{"even as the current one",
			steps{put("a"), put("b"), put("c"), move("AWSCURRENT", "c", "a")}, "a[AWSCURRENT] b[] c[AWSPREVIOUS]"},
	} {
		c := newWorld(t).root()
		c.create("s", "")
		for i, step := range tc.do {
			if err := step(c); err != nil {
				t.Errorf("%s: step %d: %v", tc.rule, i+1, err)
			}
			c.pass(time.Second)
		}
		if got := c.labels("s"); got != tc.want {
			t.Errorf("%s\ngot  %s\nwant %s", tc.rule, got, tc.want)
		}
	}
}

// The table of spec §5.7 in full, and what it says about unknown versions.
func TestUpdateSecretVersionStage(t *testing.T) {
	const before = "v1[AWSPREVIOUS,old] v2[AWSCURRENT,x]"
	notAttached := func(label, id string) string {
		return "The parameter RemoveFromVersionId isn't valid. Staging label " + label + " isn't attached to version " + *token(id) + "."
	}
	for _, tc := range []struct {
		rule, label, from, to string
		want                  string // labels after success
		code, text            string
	}{
		{rule: "attach a label that is nowhere", label: "new", to: "v1", want: "v1[AWSPREVIOUS,new,old] v2[AWSCURRENT,x]"},
		{rule: "attach where it is already", label: "x", to: "v2", want: before},
		{rule: "attach AWSCURRENT where it is already", label: "AWSCURRENT", to: "v2", want: before},
		{rule: "attach what is elsewhere", label: "x", to: "v1", code: "InvalidParameterException",
			text: "The parameter RemoveFromVersionId can't be empty. Staging label x is currently attached to version " + *token("v2") + ", so you must explicitly reference that version in RemoveFromVersionId."},
		{rule: "the same for AWSCURRENT", label: "AWSCURRENT", to: "v1", code: "InvalidParameterException",
			text: "The parameter RemoveFromVersionId can't be empty. Staging label AWSCURRENT is currently attached to version " + *token("v2") + ", so you must explicitly reference that version in RemoveFromVersionId."},
		{rule: "move", label: "x", from: "v2", to: "v1", want: "v1[AWSPREVIOUS,old,x] v2[AWSCURRENT]"},
		{rule: "move AWSCURRENT", label: "AWSCURRENT", from: "v2", to: "v1", want: "v1[AWSCURRENT,old] v2[AWSPREVIOUS,x]"},
		{rule: "move to where it is", label: "x", from: "v2", to: "v2", want: before},
		{rule: "move from the wrong version", label: "x", from: "v1", to: "v2", code: "InvalidParameterException", text: notAttached("x", "v1")},
		{rule: "move a label that is nowhere", label: "none", from: "v1", to: "v2", code: "InvalidParameterException", text: notAttached("none", "v1")},
		{rule: "detach", label: "x", from: "v2", want: "v1[AWSPREVIOUS,old] v2[AWSCURRENT]"},
		{rule: "detach AWSPREVIOUS", label: "AWSPREVIOUS", from: "v1", want: "v1[old] v2[AWSCURRENT,x]"},
		{rule: "detach from the wrong version", label: "x", from: "v1", code: "InvalidParameterException", text: notAttached("x", "v1")},
		{rule: "detach AWSCURRENT", label: "AWSCURRENT", from: "v2", code: "InvalidParameterException",
			text: "You can only move staging label AWSCURRENT to a different secret version. It can’t be completely removed."},
		{rule: "neither version", label: "x", code: "InvalidParameterException", text: "You must provide MoveToVersionId, RemoveFromVersionId, or both."},
		{rule: "move to an unknown version", label: "x", to: "v9", code: "ResourceNotFoundException",
			text: "Secrets Manager can't find the specified secret value for VersionId: " + *token("v9")},
		{rule: "remove from an unknown version", label: "x", from: "v9", to: "v1", code: "ResourceNotFoundException",
			text: "Secrets Manager can't find the specified secret value for VersionId: " + *token("v9")},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			c := newWorld(t).root()
			c.create("s", "1")
			c.put("s", "v2", "2", "AWSCURRENT", "x")
			if _, err := c.stage("old", "", "v1"); err != nil {
				t.Fatal(err)
			}
			if got := c.labels("s"); got != before {
				t.Fatalf("set up %s", got)
			}
			out, err := c.stage(tc.label, tc.from, tc.to)
			want := tc.want
			if tc.code != "" {
				wantFault(t, out, err, tc.code, tc.text)
				want = before
			} else if err != nil {
				t.Fatal(err)
			} else if *out.Name != "s" || *out.ARN != *c.describe("s").ARN {
				t.Errorf("answer %v %v", *out.Name, *out.ARN)
			}
			if got := c.labels("s"); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

func TestLabelQuota(t *testing.T) {
	c := newWorld(t).root()
	c.create("s", "1")
	var nineteen []string
	for i := range 19 {
		nineteen = append(nineteen, fmt.Sprint("l", i))
	}
	c.put("s", "v2", "2", nineteen...) // twenty with AWSCURRENT
	out, err := c.stage("more", "", "v1")
	wantFault(t, out, err, "LimitExceededException", "You can't attach more than 20 staging labels to the versions of a secret.")
	out2, err := call(c, smapi.PutSecretValue, &smapi.PutSecretValueInput{SecretId: new("s"), ClientRequestToken: token("v3"), SecretString: api.Sensitive("3")})
	wantFault(t, out2, err, "LimitExceededException", "You can't attach more than 20 staging labels to the versions of a secret.")
	c.put("s", "v4", "4", nineteen...) // moving is fine
	if got := strings.Count(c.labels("s"), "l"); got != 19 {
		t.Errorf("%d custom labels", got)
	}
}

// More than 100 versions: deprecated ones go, the oldest first, but none
// younger than a day; and there is an end to how many may wait.
func TestVersionRetention(t *testing.T) {
	w := newWorld(t)
	w.twice = false
	c := w.root()
	c.create("s", "0")
	ids := func() int { return len(strings.Fields(c.allLabels("s"))) }
	n := 1
	put := func() error {
		n++
		_, err := call(c, smapi.PutSecretValue, &smapi.PutSecretValueInput{SecretId: new("s"), ClientRequestToken: token(fmt.Sprint("v", n)), SecretString: api.Sensitive("x")})
		return err
	}
	for n < 150 {
		if err := put(); err != nil {
			t.Fatal(err)
		}
		c.pass(time.Minute)
	}
	err := put()
	wantFault[int](t, nil, err, "LimitExceededException", "You've reached the quota of versions for this secret. Versions that were created in the last 24 hours aren't removed.")
	n--
	w.work("secretsmanager.clean")
	if got := ids(); got != 150 {
		t.Errorf("%d versions: young ones were removed", got)
	}
	// A day after the first ten were made, they may go.
	c.pass(24*time.Hour - 140*time.Minute)
	if err := put(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.get("s", "v1", ""); fault.Code(err) != "ResourceNotFoundException" {
		t.Errorf("the oldest version is still there: %v", err)
	}
	w.work("secretsmanager.clean")
	if got := ids(); got < 130 || got > 145 {
		t.Errorf("%d versions while most are young", got)
	}
	c.pass(24 * time.Hour)
	changed := *c.describe("s").LastChangedDate
	w.work("secretsmanager.clean")
	if got := ids(); got != 100 {
		t.Errorf("%d versions left, want 100", got)
	}
	if now := *c.describe("s").LastChangedDate; now != changed {
		t.Errorf("cleaning changed LastChangedDate")
	}
	if v, err := c.get("s", "", "AWSPREVIOUS"); err != nil || v != "x" {
		t.Errorf("AWSPREVIOUS: %v", err)
	}
}

// allLabels is labels over all pages.
func (c caller) allLabels(id string) string {
	c.t.Helper()
	var vs []string
	var next *string
	for {
		out, err := call(c, smapi.ListSecretVersionIds, &smapi.ListSecretVersionIdsInput{SecretId: &id, IncludeDeprecated: new(true), MaxResults: new(int64(7)), NextToken: next})
		if err != nil {
			c.t.Fatal(err)
		}
		for _, v := range out.Versions {
			vs = append(vs, short(*v.VersionId))
		}
		if next = out.NextToken; next == nil {
			return strings.Join(vs, " ")
		}
	}
}

// Whatever is called in whatever order: a label is on one version at most,
// AWSCURRENT is there once there is a value, there are at most 20 labels, and every
// version that has not been purged gives the value it was made with.
func TestLabelInvariants(t *testing.T) {
	labels := []string{"AWSCURRENT", "AWSPREVIOUS", "AWSPENDING", "a", "b", "c", "d"}
	rounds := 40
	if testing.Short() {
		rounds = 5
	}
	for seed := range uint64(rounds) {
		rng := rand.New(rand.NewPCG(seed, 1))
		w := newWorld(t)
		w.twice = false
		c := w.root()
		c.create("s", "")
		values := map[string]string{}
		pickID := func() string { return fmt.Sprint("v", rng.IntN(12)) }
		for step := range 60 {
			c.pass(time.Duration(rng.IntN(3)) * time.Second)
			id := pickID()
			switch rng.IntN(3) {
			case 0:
				n := rng.IntN(4)
				stages := make([]string, n)
				for i := range stages {
					stages[i] = labels[rng.IntN(len(labels))]
				}
				value := fmt.Sprint("value ", id)
				if rng.IntN(4) == 0 {
					value += strings.Repeat(".", 5000)
				}
				if old, ok := values[id]; ok {
					value = old
				}
				in := &smapi.PutSecretValueInput{SecretId: new("s"), ClientRequestToken: token(id), SecretString: api.Sensitive(value)}
				if n > 0 {
					in.VersionStages = stages
				}
				if _, err := call(c, smapi.PutSecretValue, in); err != nil {
					t.Fatalf("seed %d step %d: %v", seed, step, err)
				}
				values[id] = value
			default:
				from, to := pickID(), id
				if rng.IntN(3) == 0 {
					from = ""
				}
				if rng.IntN(4) == 0 {
					to = ""
				}
				c.stage(labels[rng.IntN(len(labels))], from, to) // many fail, and change nothing
			}
			seen := map[string]string{}
			for id, stages := range c.describe("s").VersionIdsToStages {
				for _, l := range stages {
					if seen[l] != "" {
						t.Fatalf("seed %d step %d: %s on %s and %s", seed, step, l, seen[l], id)
					}
					seen[l] = id
				}
			}
			if len(values) > 0 && seen["AWSCURRENT"] == "" {
				t.Fatalf("seed %d step %d: no AWSCURRENT", seed, step)
			}
			if len(seen) > 20 {
				t.Fatalf("seed %d step %d: %d labels", seed, step, len(seen))
			}
		}
		for id, want := range values {
			if got, err := c.get("s", id, ""); err != nil || got != want {
				t.Errorf("seed %d: version %s does not give its value: %v", seed, id, err)
			}
		}
	}
}

func TestListSecretVersionIds(t *testing.T) {
	c := newWorld(t).root()
	key := c.kms.add(account, "k1")
	c.create("s", "1")
	start := c.time()
	c.pass(time.Minute)
	c.put("s", "v2", "2")
	c.pass(time.Minute)
	if _, err := call(c, smapi.UpdateSecret, &smapi.UpdateSecretInput{SecretId: new("s"), KmsKeyId: &key}); err != nil {
		t.Fatal(err)
	}
	c.put("s", "v3", "3")
	if _, err := c.get("s", "v3", ""); err != nil {
		t.Fatal(err)
	}
	c.work("secretsmanager.accessed")
	list := func(in smapi.ListSecretVersionIdsInput) *smapi.ListSecretVersionIdsOutput {
		t.Helper()
		in.SecretId = new("s")
		out, err := call(c, smapi.ListSecretVersionIds, &in)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	out := list(smapi.ListSecretVersionIdsInput{})
	if len(out.Versions) != 2 || out.NextToken != nil || *out.Name != "s" || *out.ARN != *c.describe("s").ARN {
		t.Errorf("without deprecated: %d versions", len(out.Versions))
	}
	out = list(smapi.ListSecretVersionIdsInput{IncludeDeprecated: new(true)})
	if len(out.Versions) != 3 {
		t.Fatalf("%d versions", len(out.Versions))
	}
	v1, v2, v3 := out.Versions[0], out.Versions[1], out.Versions[2]
	if short(*v1.VersionId) != "v1" || v1.VersionStages != nil || !v1.CreatedDate.Equal(start) || v1.LastAccessedDate != nil {
		t.Errorf("deprecated version %v %v", *v1.VersionId, v1.VersionStages)
	}
	// v1 had AWSPREVIOUS when the key changed, so it moved with it.
	if want := []string{"DefaultEncryptionKey", key}; !slices.Equal(v1.KmsKeyIds, want) || !slices.Equal(v2.KmsKeyIds, want) {
		t.Errorf("keys %v %v", v1.KmsKeyIds, v2.KmsKeyIds)
	}
	if !slices.Equal(v3.KmsKeyIds, []string{key}) || v3.LastAccessedDate == nil || !v3.LastAccessedDate.Equal(start.Truncate(24*time.Hour)) {
		t.Errorf("v3: %v %v", v3.KmsKeyIds, v3.LastAccessedDate)
	}
	page := list(smapi.ListSecretVersionIdsInput{IncludeDeprecated: new(true), MaxResults: new(int64(2))})
	if len(page.Versions) != 2 || page.NextToken == nil {
		t.Fatalf("page of 2: %d", len(page.Versions))
	}
	bad, err := call(c, smapi.ListSecretVersionIds, &smapi.ListSecretVersionIdsInput{SecretId: new("s"), NextToken: page.NextToken})
	wantFault(t, bad, err, "InvalidNextTokenException", "The NextToken value is invalid.")
	page = list(smapi.ListSecretVersionIdsInput{IncludeDeprecated: new(true), NextToken: page.NextToken})
	if len(page.Versions) != 1 || short(*page.Versions[0].VersionId) != "v3" || page.NextToken != nil {
		t.Errorf("second page: %d", len(page.Versions))
	}
}

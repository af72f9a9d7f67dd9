package e2e_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"coffer/internal/coffertest/check"
	"coffer/internal/rotator/rotatortest"
	sm "coffer/internal/secretsmanager"
)

// The functions of the tests.
const (
	postgresSingle = "SecretsManagerRDSPostgreSQLRotationSingleUser"
	postgresMulti  = "SecretsManagerRDSPostgreSQLRotationMultiUser"
	mariadbSingle  = "SecretsManagerRDSMariaDBRotationSingleUser"
	redisUser      = "SecretsManagerElasticacheUserRotation"
)

// vault is a server, a process of its own, whose secrets are rotated.
type vault struct {
	*process
	sm    *secretsmanager.Client
	leaks *host // what must appear nowhere
}

// newVault starts one. When the test ends, no password of its secrets may be anywhere in
// logs and files, those of functions included.
func newVault(t testing.TB) *vault {
	t.Helper()
	v := &vault{leaks: &host{log: &syncBuffer{}, needles: map[string]string{marker: "a password"}}}
	dir := newDir(t)
	t.Cleanup(func() {
		// Where functions are when the server is root: its directory is closed to them.
		sum := sha256.Sum256([]byte(filepath.Join(string(dir), "functions")))
		os.RemoveAll(fmt.Sprintf("/var/cache/coffer-functions/%x", sum[:6]))
	})
	v.process = &process{dir: dir, output: &syncBuffer{}}
	v.start(t)
	return v
}

// start starts the process again after it ended.
func (v *vault) start(t testing.TB) {
	t.Helper()
	v.leaks.log.Write(v.output.Bytes())
	v.process = spawn(t, v.dir, "--region", "eu-west-1")
	if v.ended() {
		t.Fatalf("the server does not start:\n%s", v.output.Bytes())
	}
	v.sm = secretsmanager.NewFromConfig(v.config())
	v.leaks.secret(v.creds.SecretAccessKey, "the root secret access key")
	current := v.process
	t.Cleanup(func() { // runs before spawn's, which kills
		if v.process == current && !t.Failed() {
			v.check(t)
		}
	})
}

// check stops the server and looks at what it leaves.
func (v *vault) check(t testing.TB) {
	v.checkLogs(t)
	v.stop(t)
	v.leaks.log.Write(v.output.Bytes())
	v.leaks.checkLeaks(t, v.dir)
	checkDir(t, v.dir)
}

func (v *vault) function(name string) *string {
	return aws.String("arn:aws:lambda:eu-west-1:" + v.creds.Account + ":function:" + name)
}

// create makes a secret, whose value is a JSON object, and returns its ARN.
func (v *vault) create(t testing.TB, name string, value map[string]any) string {
	t.Helper()
	if p, ok := value["password"].(string); ok {
		v.leaks.secret(p, "the first password of "+name)
	}
	text := string(must(json.Marshal(value))(t))
	return *must(v.sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: &name, SecretString: &text}))(t).ARN
}

// value is the value under a label; a password in it is kept as one that must be nowhere.
func (v *vault) value(t testing.TB, secret, stage string) map[string]string {
	t.Helper()
	out := must(v.sm.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &secret, VersionStage: &stage}))(t)
	var all map[string]any
	if err := json.Unmarshal([]byte(*out.SecretString), &all); err != nil {
		t.Fatal(err)
	}
	text := map[string]string{"version": *out.VersionId}
	for k, x := range all {
		text[k] = fmt.Sprint(x)
	}
	v.leaks.secret(text["password"], "a password of "+secret)
	return text
}

// labels is AWSCURRENT, AWSPREVIOUS and AWSPENDING of a secret, by label.
func (v *vault) labels(t testing.TB, secret string) map[string]string {
	t.Helper()
	d := must(v.sm.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &secret}))(t)
	by := map[string]string{}
	for id, stages := range d.VersionIdsToStages {
		for _, s := range stages {
			by[s] = id
		}
	}
	return by
}

// rotate has a secret rotated and waits for it. It returns the new value.
func (v *vault) rotate(t testing.TB, secret, function string) map[string]string {
	t.Helper()
	in := &secretsmanager.RotateSecretInput{SecretId: &secret}
	if function != "" {
		in.RotationLambdaARN = v.function(function)
	}
	before := v.labels(t, secret)["AWSCURRENT"]
	version := *must(v.sm.RotateSecret(ctx, in))(t).VersionId
	v.await(t, secret, version)
	labels := v.labels(t, secret)
	want := map[string]string{"AWSCURRENT": version, "AWSPREVIOUS": before}
	if !maps.Equal(labels, want) {
		t.Errorf("%s: labels %v, want %v", secret, labels, want)
	}
	return v.value(t, secret, "AWSCURRENT")
}

// await waits until a version is current and its rotation has ended.
func (v *vault) await(t testing.TB, secret, version string) {
	t.Helper()
	for end := time.Now().Add(40 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		labels := v.labels(t, secret)
		if labels["AWSCURRENT"] == version && labels["AWSPENDING"] == "" {
			return
		}
		if st := v.status(t, secret); len(st.Ended) > 0 && st.Ended[0].Version == version && st.Ended[0].Result != sm.Succeeded || time.Now().After(end) {
			t.Fatalf("%s is not rotated:\n%s", secret, v.run(t, 0, "rotation", "status", secret))
		}
	}
}

// run runs a command of the command line beside the server.
func (v *vault) run(t testing.TB, code int, args ...string) string {
	t.Helper()
	return run(t, code, append(args[:2:2], append([]string{"--data-dir", string(v.dir)}, args[2:]...)...)...)
}

func (v *vault) status(t testing.TB, secret string) (st sm.RotationStatus) {
	t.Helper()
	if err := json.Unmarshal([]byte(v.run(t, 0, "rotation", "status", "--json", secret)), &st); err != nil {
		t.Fatal(err)
	}
	return st
}

// checkLogs wants functions to have logged, and no password in it.
func (v *vault) checkLogs(t testing.TB) {
	t.Helper()
	logs := cloudwatchlogs.NewFromConfig(v.config())
	var groups []types.LogGroup
	eventually(t, "a function has logged", func() bool { // its lines come in batches
		groups = must(logs.DescribeLogGroups(ctx, &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: aws.String("/aws/lambda/")}))(t).LogGroups
		return len(groups) > 0
	})
	for _, g := range groups {
		n := 0
		for pages := cloudwatchlogs.NewFilterLogEventsPaginator(logs, &cloudwatchlogs.FilterLogEventsInput{LogGroupName: g.LogGroupName}); pages.HasMorePages(); {
			for _, e := range must(pages.NextPage(ctx))(t).Events {
				n++
				for p, what := range v.leaks.needles {
					if strings.Contains(*e.Message, p) {
						t.Errorf("%s holds %s", *g.LogGroupName, what)
					}
				}
			}
		}
		if n == 0 {
			t.Errorf("%s has no events", *g.LogGroupName)
		}
	}
}

// events are the events of a secret's rotations in the audit log.
func (v *vault) events(t testing.TB, secret string) (names []string) {
	t.Helper()
	for _, r := range auditRecords(t, v.dir) {
		if r.EventType == "AwsServiceEvent" && strings.HasPrefix(r.RequestID, "Rotation-"+secret+"-") {
			names = append(names, r.EventName)
		}
	}
	return names
}

// wantEvents waits for the events: the last follows its transaction.
func (v *vault) wantEvents(t testing.TB, secret string, want ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s has the events %v", secret, want), func() bool { return slices.Equal(v.events(t, secret), want) })
}

// TestRotationPostgres: RotateSecret with the name of a function that AWS has is all it
// takes to change a password in a database.
func TestRotationPostgres(t *testing.T) {
	t.Parallel()
	db, v := rotatortest.MustStartPostgres(t), newVault(t)
	v.leaks.secret(db.Password, "the superuser's password")
	first := marker + ` '"\ %s`
	quoted := strings.ReplaceAll(first, `'`, `''`)
	db.Exec(t, `CREATE ROLE single LOGIN PASSWORD '`+quoted+`'; CREATE ROLE multi LOGIN PASSWORD '`+quoted+`'`)
	secret := func(user, password string) map[string]any {
		return map[string]any{"engine": "postgres", "host": rotatortest.Host, "port": db.Port, "username": user, "password": password, "note": "kept"}
	}
	works := func(value map[string]string) bool {
		who, err := db.As(value["username"], value["password"], "postgres", "SELECT session_user")
		return err == nil && who == value["username"]
	}
	old := map[string]string{"username": "single", "password": first}

	t.Run("single user", func(t *testing.T) {
		arn := v.create(t, "single", secret("single", first))
		for range 2 {
			value := v.rotate(t, arn, postgresSingle)
			if value["note"] != "kept" || value["username"] != "single" || value["password"] == old["password"] {
				t.Error("the new value is not the old one with another password")
			}
			check.Equal(t, "the new password works", works(value), true)
			check.Equal(t, "the old password works", works(old), false)
			old = value
		}
		v.wantEvents(t, arn, "RotationStarted", "RotationSucceeded", "RotationStarted", "RotationSucceeded")
	})
	t.Run("alternating users", func(t *testing.T) {
		master := secret("postgres", db.Password)
		value := secret("multi", first)
		value["masterarn"] = v.create(t, "master", master)
		arn := v.create(t, "multi", value)
		old := map[string]string{"username": "multi", "password": first}
		for _, user := range []string{"multi_clone", "multi", "multi_clone"} {
			value := v.rotate(t, arn, postgresMulti)
			check.Equal(t, "user", value["username"], user)
			check.Equal(t, "the new user and password work", works(value), true)
			check.Equal(t, "the previous user and password work", works(old), true)
			check.Equal(t, "AWSPREVIOUS", v.value(t, arn, "AWSPREVIOUS")["username"], old["username"])
			old = value
		}
		v.wantEvents(t, arn, "RotationStarted", "RotationSucceeded", "RotationStarted", "RotationSucceeded", "RotationStarted", "RotationSucceeded")
	})
	t.Run("command line", func(t *testing.T) {
		out := v.run(t, 0, "rotation", "run", "--wait", "single")
		value := v.value(t, "single", "AWSCURRENT")
		check.Equal(t, "coffer rotation run", out, "single has rotated to version "+value["version"]+"\n")
		check.Equal(t, "the new password works", works(value), true)
		st := v.status(t, "single")
		check.Equal(t, "function", st.Function, *v.function(postgresSingle))
		if !st.Configured || !st.Enabled || st.Running != nil || st.Last == nil || len(st.Ended) != 3 || st.Ended[0].Version != value["version"] || st.Ended[0].Result != sm.Succeeded || len(st.Ended[0].Done) != 4 {
			t.Errorf("status %+v", st)
		}
		text := v.run(t, 0, "rotation", "status", "single")
		for _, want := range []string{"rotation      on\n", "schedule      none: it rotates when RotateSecret is called\n", "last rotated  ", "  rotation succeeded\n"} {
			if !strings.Contains(text, want) {
				t.Errorf("status lacks %q:\n%s", want, text)
			}
		}
	})
}

// TestRotationMariaDB and TestRotationRedis are the same of other databases, in short.
func TestRotationMariaDB(t *testing.T) {
	if testing.Short() {
		t.Skip("another database, the same server")
	}
	t.Parallel()
	db, v := rotatortest.MustStartMariaDB(t), newVault(t)
	db.Exec(t, `CREATE USER app@'%' IDENTIFIED BY '`+marker+`-first'`)
	works := func(password string) bool {
		who, err := db.As("app", password, "", "SELECT USER()", nil)
		return err == nil && strings.HasPrefix(who, "app@")
	}
	arn := v.create(t, "app", map[string]any{"engine": "mariadb", "host": rotatortest.Host, "port": db.Port, "username": "app", "password": marker + "-first"})
	value := v.rotate(t, arn, mariadbSingle)
	check.Equal(t, "the new password works", works(value["password"]), true)
	check.Equal(t, "the old password works", works(marker+"-first"), false)
	v.wantEvents(t, arn, "RotationStarted", "RotationSucceeded")
}

func TestRotationRedis(t *testing.T) {
	if testing.Short() {
		t.Skip("another database, the same server")
	}
	t.Parallel()
	db, v := rotatortest.MustStartRedis(t), newVault(t)
	v.leaks.secret(db.Password, "the superuser's password")
	db.Do(t, "ACL", "SETUSER", "app", "on", ">"+marker+"-first", "~k", "+get")
	works := func(password string) bool {
		_, err := db.As("app", password, "GET", "k")
		return err == nil
	}
	secret := func(user, password string) map[string]any {
		return map[string]any{"engine": "redis", "host": rotatortest.Host, "port": db.Port, "username": user, "password": password, "ssl": false}
	}
	value := secret("app", marker+"-first")
	value["masterarn"] = v.create(t, "master", secret("super", db.Password))
	arn := v.create(t, "app", value)
	second := v.rotate(t, arn, redisUser)["password"]
	check.Equal(t, "the new password works", works(second), true)
	check.Equal(t, "the previous password works", works(marker+"-first"), true) // a Redis user has two
	third := v.rotate(t, arn, redisUser)["password"]
	check.Equal(t, "the new password works", works(third), true)
	check.Equal(t, "the previous password works", works(second), true)
	check.Equal(t, "the one before works", works(marker+"-first"), false)
	v.wantEvents(t, arn, "RotationStarted", "RotationSucceeded", "RotationStarted", "RotationSucceeded")
}

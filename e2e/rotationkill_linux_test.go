package e2e_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"coffer/internal/rotator/rotatortest"
)

// point is a moment of a rotation, as seen from outside.
type point struct {
	name string
	seen func(view) bool

	// unheard: what follows is that the server is stopped, and killed when the function's
	// answer lies in its socket, unread.
	unheard bool
}

// view is what can be seen of a rotation: the audit log from its start, what the database
// has logged since, and how many steps its row says are done.
type view struct {
	audit, database []byte
	done            func() int
}

// records is the moment of the n-th record of an event.
func records(n int, event string) func(view) bool {
	word := eventNamed(event)
	return func(v view) bool { return bytes.Count(v.audit, word) >= n }
}

func eventNamed(name string) []byte { return []byte(`"eventName":"` + name + `"`) }

// done is the moment at which the row says that n steps are done.
func done(n int) func(view) bool { return func(v view) bool { return v.done() >= n } }

// killPoints walks the steps. A function's first call in each is DescribeSecret. The record
// of Invoke is written when the function has answered, and before the row says so.
var killPoints = []point{
	{"createSecret is next", done(0), false},
	{"createSecret runs", records(1, "DescribeSecret"), false},
	{"createSecret has stored the value", records(1, "PutSecretValue"), false},
	{"createSecret has answered", records(1, "Invoke"), false},
	{"setSecret is next", done(1), false},
	{"setSecret runs", func(v view) bool {
		_, after, found := bytes.Cut(v.audit, eventNamed("PutSecretValue"))
		return found && bytes.Contains(after, eventNamed("GetSecretValue"))
	}, false},
	{"setSecret changes the password", setting, false},
	{"setSecret answers, and nobody hears it", setting, true},
	{"setSecret has answered", records(2, "Invoke"), false},
	{"testSecret is next", done(2), false},
	{"testSecret runs", func(v view) bool { return runs(v.audit, 2) }, false},
	{"testSecret answers, and nobody hears it", func(v view) bool { return bytes.Contains(v.database, []byte("SELECT pg_catalog.now()")) }, true},
	{"testSecret has answered", records(3, "Invoke"), false},
	{"finishSecret is next", done(3), false},
	{"finishSecret runs", func(v view) bool { return runs(v.audit, 3) }, false},
	{"finishSecret has moved AWSCURRENT", records(1, "UpdateSecretVersionStage"), false},
	{"finishSecret has answered", records(4, "Invoke"), false},
}

// setting is the moment at which the database takes the new password.
func setting(v view) bool { return bytes.Contains(v.database, []byte("PASSWORD 'SCRAM")) }

// runs reports whether after n invocations the function has been heard of again.
func runs(audit []byte, n int) bool {
	for range n {
		_, after, found := bytes.Cut(audit, eventNamed("Invoke"))
		if !found {
			return false
		}
		audit = after
	}
	return bytes.Contains(audit, eventNamed("DescribeSecret"))
}

// TestKillRotation: kill -9 of the server at every step of a rotation, before the function
// is invoked, while it runs, and when it has answered and nobody has taken note. After
// the next start the rotation ends by itself: the database and AWSCURRENT agree.
func TestKillRotation(t *testing.T) {
	t.Parallel()
	points := killPoints
	if testing.Short() {
		points = []point{killPoints[1], killPoints[7], killPoints[15]}
	}
	for _, function := range []string{postgresSingle, postgresMulti} {
		t.Run(strings.TrimPrefix(function, "SecretsManagerRDSPostgreSQLRotation"), func(t *testing.T) {
			t.Parallel()
			db, v := rotatortest.MustStartPostgres(t), newVault(t)
			v.leaks.secret(db.Password, "the superuser's password")
			db.Exec(t, `CREATE ROLE app LOGIN PASSWORD '`+marker+`-first'`)
			secret := map[string]any{"engine": "postgres", "host": rotatortest.Host, "port": db.Port, "username": "postgres", "password": db.Password}
			master := v.create(t, "master", secret)
			secret["username"], secret["password"], secret["masterarn"] = "app", marker+"-first", master
			arn := v.create(t, "app", secret)
			v.rotate(t, arn, function)
			for _, at := range points {
				if v.killAt(t, db, arn, at); t.Failed() {
					t.Fatalf("killed when %s", at.name)
				}
			}
		})
	}
}

// killAt rotates a secret, kills the server at a moment, starts it again and wants the
// rotation to end.
func (v *vault) killAt(t *testing.T, db *rotatortest.Postgres, secret string, at point) {
	t.Helper()
	before := v.value(t, secret, "AWSCURRENT")
	file := segments(t, v.dir)[len(segments(t, v.dir))-1]
	auditFrom, databaseFrom := len(must(os.ReadFile(file))(t)), len(db.Log(t))
	version := *must(v.sm.RotateSecret(ctx, &secretsmanager.RotateSecretInput{SecretId: &secret}))(t).VersionId
	look := func() view {
		all := must(os.ReadFile(file))(t)[auditFrom:]
		// What RotateSecret itself does comes before.
		_, audit, _ := bytes.Cut(all, eventNamed("RotationStarted"))
		return view{audit: audit, database: []byte(db.Log(t)[databaseFrom:]), done: func() int {
			if u := v.status(t, secret).Running; u != nil {
				return len(u.Done)
			}
			return len(killPoints) // it was missed, and has ended
		}}
	}
	for end := time.Now().Add(20 * time.Second); !at.seen(look()); {
		if time.Now().After(end) {
			t.Fatalf("never seen: %s", at.name)
		}
	}
	family := v.killFamily(t, at.unheard)
	for _, f := range family {
		eventually(t, fmt.Sprintf("process %s has ended with the server", f), func() bool { return !f.alive() })
	}
	v.start(t)
	v.await(t, secret, version)
	now := v.value(t, secret, "AWSCURRENT")
	if now["version"] != version || now["password"] == before["password"] {
		t.Errorf("%s: AWSCURRENT is not the new version", at.name)
	}
	if got := v.labels(t, secret); got["AWSPREVIOUS"] != before["version"] || got["AWSPENDING"] != "" {
		t.Errorf("%s: labels %v", at.name, got)
	}
	who, err := db.As(now["username"], now["password"], "postgres", "SELECT session_user")
	if err != nil || who != now["username"] {
		t.Errorf("%s: the database and AWSCURRENT do not agree: %v", at.name, err)
	}
	if now["username"] != before["username"] {
		if _, err := db.As(before["username"], before["password"], "postgres", "SELECT 1"); err != nil {
			t.Errorf("%s: alternating, the previous user cannot log in: %v", at.name, err)
		}
	}
}

// relative is a process that came of the server. Its start time tells it from a later
// one with the same id.
type relative struct {
	pid     int
	parent  int
	started string
	command string
}

func (r relative) String() string { return fmt.Sprintf("%d (%s)", r.pid, r.command) }

func (r relative) alive() bool {
	now, ok := relativeAt(r.pid)
	return ok && now.started == r.started
}

// relativeAt reads /proc/PID/stat; zombies count as ended.
func relativeAt(pid int) (relative, bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return relative{}, false
	}
	i := bytes.LastIndexByte(b, ')') // the name before it may hold anything
	fields := strings.Fields(string(b[i+1:]))
	if i < 0 || len(fields) < 20 || fields[0] == "Z" {
		return relative{}, false
	}
	parent, _ := strconv.Atoi(fields[1])
	command, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return relative{pid, parent, fields[19], string(bytes.ReplaceAll(command, []byte{0}, []byte{' '}))}, true
}

// killFamily kills the server, which is stopped first so that it starts nothing more, and
// returns the processes that had come of it. If it is to be unheard, a function has
// answered it by then, unless it was heard already.
func (v *vault) killFamily(t testing.TB, unheard bool) []relative {
	t.Helper()
	if err := v.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if unheard {
		// On a crowded machine the answer may have been read just before the stop: then this is
		// one more kill at another moment.
		for end := time.Now().Add(2 * time.Second); !unread(t, v.cmd.Process.Pid) && time.Now().Before(end); time.Sleep(time.Millisecond) {
		}
	}
	family := descendants(t, v.cmd.Process.Pid)
	v.kill()
	return family
}

// unread reports whether bytes wait in a TCP socket of a process.
func unread(t testing.TB, pid int) bool {
	t.Helper()
	own := map[string]bool{}
	for _, fd := range must(filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid)))(t) {
		if target, err := os.Readlink(fd); err == nil {
			own[target] = true
		}
	}
	table := must(os.ReadFile(fmt.Sprintf("/proc/%d/net/tcp", pid)))(t)
	for line := range strings.Lines(string(table)) {
		const established = "01"
		f := strings.Fields(line) // sl local remote st tx:rx tr:when retrnsmt uid timeout inode
		if len(f) < 10 || f[3] != established || !own["socket:["+f[9]+"]"] {
			continue
		}
		if _, received, _ := strings.Cut(f[4], ":"); strings.Trim(received, "0") != "" {
			return true
		}
	}
	return false
}

func descendants(t testing.TB, of int) (all []relative) {
	t.Helper()
	children := map[int][]relative{}
	for _, name := range must(filepath.Glob("/proc/[0-9]*"))(t) {
		pid, err := strconv.Atoi(filepath.Base(name))
		if err != nil {
			continue
		}
		if r, ok := relativeAt(pid); ok {
			children[r.parent] = append(children[r.parent], r)
		}
	}
	for next := []int{of}; len(next) > 0; next = next[1:] {
		for _, r := range children[next[0]] {
			all, next = append(all, r), append(slices.Clip(next), r.pid)
		}
	}
	return all
}

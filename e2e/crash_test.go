package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	smithymiddleware "github.com/aws/smithy-go/middleware"

	"coffer/internal/server"
)

// ack is one write that the server has acknowledged, and how to see that it is there.
type ack struct {
	request string // its id
	secret  string
	version string // "" for a secret that was deleted
	tag     string // or a tag that was set
}

// TestKill: kill -9 under 16 writers, again and again on the same directory.
// What was acknowledged is there after the next start, with its audit record,
// and both the store and the log are whole.
//
//	go test ./e2e -run TestKill -crash-rounds 200 -timeout 1h
func TestKill(t *testing.T) {
	t.Parallel()
	rounds := *crashRounds
	if testing.Short() {
		rounds = 1
	}
	dir := newDir(t)
	var all []ack
	for round := range rounds {
		p := spawn(t, dir)
		if p.ended() {
			t.Fatalf("round %d: the server does not start:\n%s", round, p.output.Bytes())
		}
		if round > 0 {
			verifyAcks(t, p, all[max(0, len(all)-400):]) // of the last round; all of them at the end
		}
		// Somewhere in the middle of the work, at another place each time.
		acks := writeUntilKilled(t, p, round, 150+rand.IntN(250))
		all = append(all, acks...)
		if t.Failed() {
			t.Fatalf("round %d", round)
		}
		checkDir(t, dir)
	}
	p := spawn(t, dir)
	verifyAcks(t, p, all)
	p.stop(t)
	checkDir(t, dir)

	records := make(map[string]int)
	for _, r := range auditRecords(t, dir) {
		if r.UserIdentity.InvokedBy == "" {
			records[r.RequestID]++
		}
	}
	for _, a := range all {
		if records[a.request] != 1 {
			t.Errorf("the acknowledged write %s has %d audit records", a.request, records[a.request])
		}
	}
	t.Logf("%d rounds, %d acknowledged writes", rounds, len(all))
}

// writeUntilKilled lets 16 writers write until n writes are acknowledged, kills
// the server at that moment and returns what was acknowledged.
func writeUntilKilled(t *testing.T, p *process, round, n int) (acks []ack) {
	var mu sync.Mutex
	var count atomic.Int64
	enough := make(chan struct{})
	sm := secretsmanager.NewFromConfig(p.config())
	took := func(a ack) {
		mu.Lock()
		acks = append(acks, a)
		mu.Unlock()
		if count.Add(1) == int64(n) {
			close(enough)
		}
	}
	id := func(m smithymiddleware.Metadata) string {
		id, _ := middleware.GetRequestIDMetadata(m)
		return id
	}
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for i := 0; ; i++ {
				name := fmt.Sprintf("r%d-w%d-%d", round, w, i)
				v1, v2 := token("v1-"+name), token("v2-"+name)
				made, err := sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: &name, SecretString: value(*v1), ClientRequestToken: v1})
				if err != nil {
					break
				}
				took(ack{request: id(made.ResultMetadata), secret: name, version: *v1})
				put, err := sm.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: &name, SecretString: value(*v2), ClientRequestToken: v2})
				if err != nil {
					break
				}
				took(ack{request: id(put.ResultMetadata), secret: name, version: *v2})
				tagged, err := sm.TagResource(ctx, &secretsmanager.TagResourceInput{SecretId: &name, Tags: []types.Tag{{Key: new("done"), Value: &name}}})
				if err != nil {
					break
				}
				took(ack{request: id(tagged.ResultMetadata), secret: name, tag: name})
				other := name + "-gone"
				if _, err := sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: &other, SecretString: value("gone")}); err != nil {
					break
				}
				gone, err := sm.DeleteSecret(ctx, &secretsmanager.DeleteSecretInput{SecretId: &other, ForceDeleteWithoutRecovery: new(true)})
				if err != nil {
					break
				}
				took(ack{request: id(gone.ResultMetadata), secret: other})
			}
		})
	}
	select {
	case <-enough:
	case <-p.done:
		t.Errorf("the server ended by itself: %v\n%s", p.err, p.output.Bytes())
	}
	p.kill()
	wg.Wait()
	return acks
}

// verifyAcks looks for everything acknowledged.
func verifyAcks(t *testing.T, p *process, acks []ack) {
	t.Helper()
	sm := smCalls{secretsmanager.NewFromConfig(p.config())}
	var wg sync.WaitGroup
	work := make(chan ack)
	for range 8 {
		wg.Go(func() {
			for a := range work {
				switch {
				case a.version != "":
					got, err := sm.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &a.secret, VersionId: &a.version})
					if err != nil {
						t.Errorf("acknowledged version %s of %s: %v", a.version, a.secret, err)
					} else if *got.SecretString != *value(a.version) {
						t.Errorf("acknowledged version %s of %s has another value", a.version, a.secret)
					}
				case a.tag != "":
					d, err := sm.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &a.secret})
					if err != nil || len(d.Tags) != 1 || *d.Tags[0].Value != a.tag {
						t.Errorf("acknowledged tag of %s: %v", a.secret, err)
					}
				default:
					fails(t, "acknowledged deletion of "+a.secret, sm.get(a.secret), "ResourceNotFoundException", textNoSecret)
				}
			}
		})
	}
	for _, a := range acks {
		work <- a
	}
	close(work)
	wg.Wait()
}

// TestDamagedFiles: flipped bits and torn ends in the store's files. Either
// they are reported, by fsck and by the server, with the file's name, or they
// did no harm and everything is served. Nothing wrong is ever served.
func TestDamagedFiles(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	const secrets = 40
	for range 2 { // the second start turns the first one's log into a table
		p := spawn(t, dir)
		sm := smCalls{secretsmanager.NewFromConfig(p.config())}
		for i := range secrets {
			name := fmt.Sprint("s", i)
			if err := sm.put(secretsmanager.PutSecretValueInput{SecretId: &name, SecretString: value(name)}); err != nil {
				must(sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: &name, SecretString: value(name)}))(t)
			}
		}
		p.kill()
	}
	places := 2
	if testing.Short() {
		places = 1
	}
	random := rand.New(rand.NewPCG(1, 2)) // the same places each time
	kinds := map[string]int{}
	for _, pattern := range []string{"*.sst", "*.log", "MANIFEST-*"} {
		file := largest(t, filepath.Join(dir.Store(), pattern))
		for i := range places {
			for kind, damage := range map[string]func([]byte) []byte{
				"bit flipped": func(b []byte) []byte { b[len(b)/places*i+random.IntN(len(b)/places)] ^= 1 << random.IntN(8); return b },
				"torn":        func(b []byte) []byte { return b[:len(b)/places*i+random.IntN(len(b)/places)] },
				"zeroed": func(b []byte) []byte {
					from := len(b)/places*i + random.IntN(len(b)/places)
					clear(b[from:min(len(b), from+4096)])
					return b
				},
			} {
				what := fmt.Sprintf("%s %s %d", pattern, kind, i)
				bad := copyDir(t, dir)
				path := filepath.Join(bad.Store(), filepath.Base(file))
				b := must(os.ReadFile(path))(t)
				if err := os.WriteFile(path, damage(b), 0o600); err != nil {
					t.Fatal(err)
				}
				if reported := outcome(t, what, bad, filepath.Base(file), secrets); reported {
					kinds[pattern]++
				}
			}
		}
	}
	for _, pattern := range []string{"*.sst", "*.log", "MANIFEST-*"} {
		if kinds[pattern] == 0 {
			t.Errorf("no damage to %s was ever reported", pattern)
		}
	}
	t.Log("reported:", kinds)
}

// outcome runs fsck and the server on a damaged directory.
func outcome(t *testing.T, what string, dir server.Dir, file string, secrets int) (reported bool) {
	t.Helper()
	cmd := coffer(t, "fsck", string(dir))
	out, _ := cmd.CombinedOutput()
	code := cmd.ProcessState.ExitCode()
	// A table or log may be named with its number alone. A manifest's zeroed
	// end looks like space that was never written, so what is missing is noticed by
	// what it should have held, not where it was.
	named := strings.Contains(string(out), file) || strings.Contains(string(out), strings.TrimSuffix(file, filepath.Ext(file)))
	switch {
	case code == 0:
	case code != 1 && code != 3:
		t.Errorf("%s: fsck ended with %d:\n%s", what, code, out)
	case !named && !strings.HasPrefix(what, "MANIFEST-* zeroed"):
		t.Errorf("%s: fsck reports damage, but not that it is in %s:\n%s", what, file, out)
	}
	if strings.Contains(string(out), marker) || strings.Contains(string(out), "goroutine ") {
		t.Errorf("%s: fsck prints\n%s", what, out)
	}
	p := spawn(t, dir)
	defer p.kill()
	if p.ended() {
		if code == 0 {
			t.Errorf("%s: fsck is clean, and the server does not start:\n%s", what, p.output.Bytes())
		}
		return true
	}
	sm := smCalls{secretsmanager.NewFromConfig(p.config())}
	for i := range secrets {
		name := fmt.Sprint("s", i)
		got, err := sm.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &name})
		switch {
		case err == nil && *got.SecretString != *value(name):
			t.Fatalf("%s: a wrong value was served", what)
		case err != nil && code == 0:
			t.Errorf("%s: fsck is clean, but %s cannot be read: %v", what, name, err)
		}
	}
	return code != 0
}

// largest is the largest file that matches.
func largest(t testing.TB, pattern string) (best string) {
	t.Helper()
	var size int64 = -1
	for _, name := range must(filepath.Glob(pattern))(t) {
		if info := must(os.Stat(name))(t); info.Size() > size {
			best, size = name, info.Size()
		}
	}
	if best == "" {
		t.Fatalf("no %s", pattern)
	}
	return best
}

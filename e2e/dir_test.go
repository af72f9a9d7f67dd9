package e2e_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"coffer/internal/coffertest/check"
	"coffer/internal/server"
)

// filled is a stopped data directory with one secret, "kept", in it.
func filled(t testing.TB, flags ...string) server.Dir {
	t.Helper()
	dir := newDir(t)
	p := spawn(t, dir, flags...)
	if p.ended() {
		t.Fatalf("the server does not start:\n%s", p.output.Bytes())
	}
	must(secretsmanager.NewFromConfig(p.config()).CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: new("kept"), SecretString: value("kept")}))(t)
	p.stop(t)
	return dir
}

// intact starts a directory that filled made and looks for the secret.
func intact(t testing.TB, dir server.Dir, flags ...string) {
	t.Helper()
	p := spawn(t, dir, flags...)
	if p.ended() {
		t.Fatalf("the server does not start again:\n%s", p.output.Bytes())
	}
	got := must(secretsmanager.NewFromConfig(p.config()).GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: new("kept")}))(t)
	check.Equal(t, "the secret", *got.SecretString, *value("kept"))
	p.stop(t)
	if bytes.Contains(p.output.Bytes(), []byte(marker)) {
		t.Error("the server's output holds a secret")
	}
}

// TestRefusals: what keeps a server from starting is said clearly, with what
// to do, and nothing is lost by it.
func TestRefusals(t *testing.T) {
	t.Parallel()
	good := filled(t)
	other := string(must(os.ReadFile(filled(t).RootKey()))(t)) // a good key, but not the right one
	for _, tc := range []struct {
		what   string
		break_ func(t *testing.T, dir server.Dir)
		want   string
	}{
		{"wrong root key", func(t *testing.T, d server.Dir) { write(t, d.RootKey(), other) }, "this was wrapped by root key "},
		{"missing root key", func(t *testing.T, d server.Dir) { must("", os.Remove(d.RootKey()))(t) }, "is missing, and the store in "},
		{"root key that others may read", func(t *testing.T, d server.Dir) { chmod(t, d.RootKey(), 0o644) }, "so others may read or replace it; run: chmod 600 "},
		{"damaged root key", func(t *testing.T, d server.Dir) { write(t, d.RootKey(), other[:len(other)/2]) }, "put it back from your backup"},
		{"empty root key", func(t *testing.T, d server.Dir) { write(t, d.RootKey(), "") }, "the file is empty"},
		{"passphrase for a key file", func(*testing.T, server.Dir) {}, "the store was made with a root key file"},
	} {
		t.Run(tc.what, func(t *testing.T) {
			t.Parallel()
			dir := copyDir(t, good)
			key := must(os.ReadFile(dir.RootKey()))(t)
			tc.break_(t, dir)
			var flags []string
			if strings.HasPrefix(tc.what, "passphrase") {
				flags = []string{"--passphrase-file", passphrase(t, "correct horse battery staple")}
			}
			p := spawn(t, dir, flags...)
			p.refused(t, 1, tc.want)
			if bytes.Contains(p.output.Bytes(), bytes.TrimSpace(key)) {
				t.Error("the output holds the root key")
			}
			write(t, dir.RootKey(), string(key))
			chmod(t, dir.RootKey(), 0o600)
			chmod(t, string(dir), 0o700)
			intact(t, dir)
			checkDir(t, dir)
		})
	}
}

// TestPassphrase: a store under a passphrase, the wrong one, and none.
func TestPassphraseStore(t *testing.T) {
	t.Parallel()
	const right, wrong = "correct horse battery staple", "incorrect horse battery staple"
	good := []string{"--passphrase-file", passphrase(t, right)}
	dir := filled(t, good...)
	p := spawn(t, dir, "--passphrase-file", passphrase(t, wrong))
	p.refused(t, 1, "the passphrase is not the one this store was made with")
	for _, s := range []string{right, wrong} {
		if bytes.Contains(p.output.Bytes(), []byte(s)) {
			t.Error("the output holds a passphrase")
		}
	}
	spawn(t, dir).refused(t, 1, "was made with a passphrase; start with --passphrase-file or COFFER_PASSPHRASE")
	spawn(t, dir, "--passphrase-file", filepath.Join(t.TempDir(), "nowhere")).refused(t, 1, "no such file")
	intact(t, dir, good...)
	checkDir(t, dir, good...)
	if _, err := os.Stat(dir.RootKey()); err == nil {
		t.Error("there is a root key file beside the passphrase")
	}
}

// TestSecondServer: one process per data directory.
func TestSecondServer(t *testing.T) {
	t.Parallel()
	dir := filled(t)
	first := spawn(t, dir)
	spawn(t, dir).refused(t, 1, "is in use: a server runs on it")
	if out := run(t, 1, "fsck", string(dir)); !strings.Contains(out, "is in use: a server runs on it") {
		t.Errorf("fsck: %s", out)
	}
	// The first one has not noticed.
	must(secretsmanager.NewFromConfig(first.config()).GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: new("kept")}))(t)
	run(t, 0, "account", "list", "--data-dir", string(dir))
	first.stop(t)
	intact(t, dir)
	checkDir(t, dir)
}

// TestNotADirectory: a path that cannot be a data directory.
func TestNotADirectory(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, "x")
	spawn(t, server.Dir(file)).refused(t, 1, "name another with --data-dir")
	spawn(t, server.Dir(filepath.Join(file, "below"))).refused(t, 1, "name another with --data-dir")
}

func passphrase(t testing.TB, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "passphrase")
	write(t, file, text+"\n")
	return file
}

func write(t testing.TB, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func chmod(t testing.TB, file string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(file, mode); err != nil {
		t.Fatal(err)
	}
}

// copyFile is for giving a program to another user.
func copyFile(t testing.TB, to, from string, mode os.FileMode) {
	t.Helper()
	in := must(os.Open(from))(t)
	defer in.Close()
	out := must(os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, mode))(t)
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

package rotatortest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
)

// Redis is a Redis server, with TLS at a second port.
type Redis struct {
	Port, TLSPort int
	Password      string // of the superuser, super
	CA            *CA

	dir     string
	program string
	proc    *process
}

var quiet = sync.OnceFunc(logging.Disable)

// MustStartRedis starts a server that keeps its users in an ACL file.
func MustStartRedis(t testing.TB) *Redis {
	t.Helper()
	quiet()
	r := &Redis{Password: `super'secret'\marker`, CA: NewCA(t), dir: directory(t), program: program(t, "redis-server", "redis-server")}
	r.CA.write(t, r.dir)
	r.Port, r.TLSPort = freePort(t), freePort(t)
	for name, text := range map[string]string{
		"users.acl":  "user default off\nuser super on >" + r.Password + " ~* &* +@all\n",
		"redis.conf": fmt.Sprintf("bind %s\nport %d\ntls-port %d\ntls-auth-clients no\ntls-cert-file server.crt\ntls-key-file server.key\ntls-ca-cert-file ca.crt\naclfile users.acl\nsave \"\"\n", Host, r.Port, r.TLSPort),
	} {
		file := filepath.Join(r.dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		give(t, file)
	}
	r.Start(t)
	t.Cleanup(func() { r.proc.stop() })
	return r
}

// Start starts the server again after Stop, at the same ports.
func (r *Redis) Start(t testing.TB) {
	t.Helper()
	logFile := filepath.Join(r.dir, "log")
	f, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := exec.Command(r.program, "redis.conf")
	cmd.Dir, cmd.Stdout, cmd.Stderr = r.dir, f, f
	r.proc = start(t, cmd)
	await(t, "Redis", logFile, r.proc, func() error {
		_, err := r.As("super", r.Password, "PING")
		return err
	})
}

// Stop ends the server at once.
func (r *Redis) Stop() { r.proc.stop() }

// Do runs a command as the superuser.
func (r *Redis) Do(t testing.TB, command ...any) any {
	t.Helper()
	v, err := r.As("super", r.Password, command...)
	if err != nil {
		t.Fatalf("%v in %v", err, command[:min(2, len(command))])
	}
	return v
}

// ACL is the line of ACL LIST about a user.
func (r *Redis) ACL(t testing.TB, user string) string {
	t.Helper()
	for _, l := range r.Do(t, "ACL", "LIST").([]any) {
		if strings.HasPrefix(l.(string), "user "+user+" ") {
			return l.(string)
		}
	}
	return ""
}

// As runs a command as another user, without TLS. Nothing is nil.
func (r *Redis) As(user, password string, command ...any) (any, error) {
	c := redis.NewClient(&redis.Options{Addr: fmt.Sprintf("%s:%d", Host, r.Port), Username: user, Password: password, MaxRetries: -1, DialerRetries: 1, DisableIdentity: true, PoolSize: 1, Protocol: 2})
	defer c.Close()
	v, err := c.Do(context.Background(), command...).Result()
	if errors.Is(err, redis.Nil) {
		err = nil
	}
	return v, err
}

// Package redis changes the passwords of users of Redis and Valkey servers (ACL).
//
// AWS's function asks ElastiCache's API to do that; this one asks the server. A server
// keeps the SHA-256 of each password, and takes that in place of the password: so no
// command holds one.
package redis

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	"coffer/internal/rotator"
)

// Engine is Redis from 6 on, and Valkey.
type Engine struct{}

// Kind is what is fixed about Redis.
func (Engine) Kind() rotator.Kind {
	return rotator.Kind{Name: "Redis", Engines: []string{"redis", "valkey"}, Port: 6379, Exclude: `/@"'\`}
}

// quiet keeps the driver from writing to the function's log on its own.
var quiet = sync.OnceFunc(logging.Disable)

// Login opens a session. The protocol sends the password as it is, so without TLS it goes
// out only if the secret says so.
func (Engine) Login(ctx context.Context, l rotator.Login) (rotator.PasswordsSession, error) {
	if l.TLS == nil && !l.WantsPlain() {
		return nil, &rotator.LoginError{Reason: rotator.Unsafe, Text: `Redis sends passwords as they are: without TLS that is done only with "ssl": false in the secret`}
	}
	quiet()
	client := redis.NewClient(&redis.Options{
		Addr: l.Addr(), Username: l.User, Password: string(l.Password),
		Dialer: func(ctx context.Context, _, _ string) (net.Conn, error) { return rotator.Dial(ctx, l) },
		// RESP2, which knows no push messages; and nothing twice.
		Protocol: 2, MaxRetries: -1, DialerRetries: 1, PoolSize: 1, PipelinePoolSize: -1, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		DialTimeout:              rotator.ConnectTime, ReadTimeout: rotator.StatementTime, WriteTimeout: rotator.StatementTime, ContextTimeoutEnabled: true,
	})
	s := &session{client: client, c: client.Conn(), l: l}
	if err := s.c.Do(ctx, "PING").Err(); err != nil && !isPermission(err) {
		s.Close()
		return nil, loginError(err)
	}
	return s, nil
}

type session struct {
	client *redis.Client
	c      *redis.Conn
	l      rotator.Login
}

func isPermission(err error) bool { return strings.HasPrefix(err.Error(), "NOPERM") }

// loginError sorts the reasons why a login failed.
func loginError(err error) error {
	var (
		server redis.Error
		dial   *rotator.LoginError
	)
	switch {
	case errors.As(err, &dial):
		return dial
	case !errors.As(err, &server):
		return rotator.NetworkError(err)
	}
	e := &rotator.LoginError{Reason: rotator.Refused, Text: server.Error()}
	for _, busy := range []string{"LOADING", "MASTERDOWN", "CLUSTERDOWN", "ERR max number of clients"} {
		if strings.HasPrefix(server.Error(), busy) {
			e.Reason = rotator.Unreachable
		}
	}
	return e
}

// Login is what the session was opened with.
func (s *session) Login() rotator.Login { return s.l }

// Close ends the session.
func (s *session) Close() {
	s.c.Close() // a broken one is closed as well
	s.client.Close()
}

// Check sends a PING. A user who may not do even that is logged in all the same.
func (s *session) Check(ctx context.Context) error {
	err := s.c.Do(ctx, "PING").Err()
	if err != nil && isPermission(err) {
		return nil
	}
	return statementError(err)
}

// SetPasswords makes the user have these passwords and no others, in one command, and
// the server keep that over a restart.
func (s *session) SetPasswords(ctx context.Context, user string, passwords ...rotator.Password) error {
	return setPasswords(ctx, s, user, passwords)
}

// do runs a command.
func (s *session) do(ctx context.Context, args ...string) (any, error) {
	all := make([]any, len(args))
	for i, a := range args {
		all[i] = a
	}
	v, err := s.c.Do(ctx, all...).Result()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	return v, statementError(err)
}

func (s *session) warnf(format string, args ...any) { s.l.Warnf(format, args...) }

func (s *session) name() string { return s.l.User }

// conn runs commands.
type conn interface {
	do(ctx context.Context, args ...string) (any, error)
	warnf(format string, args ...any)
	name() string // of the session's user
}

func setPasswords(ctx context.Context, c conn, user string, passwords []rotator.Password) error {
	u, err := find(ctx, c, user)
	if err != nil {
		return may(c, err)
	}
	switch {
	case u == nil:
		return rotator.DatabaseErrorf("there is no user %s", user)
	case slices.Contains(u.flags, "nopass"):
		return rotator.DatabaseErrorf("user %s gets in with any password (nopass): a rotation would change nothing", user)
	case slices.Contains(u.flags, "off"):
		return rotator.DatabaseErrorf("user %s is off", user)
	}
	command := []string{"ACL", "SETUSER", user}
	var hashes []string
	for _, p := range passwords {
		h := sha256.Sum256([]byte(p))
		hashes = append(hashes, hex.EncodeToString(h[:]))
		command = append(command, "#"+hashes[len(hashes)-1])
	}
	for _, old := range u.passwords {
		if !slices.Contains(hashes, old) {
			command = append(command, "!"+old)
		}
	}
	if _, err := c.do(ctx, command...); err != nil {
		return may(c, err)
	}
	return save(ctx, c)
}

// save writes the users to where the server reads them when it starts: its ACL file, or
// its configuration.
func save(ctx context.Context, c conn) error {
	_, err := c.do(ctx, "ACL", "SAVE")
	if err == nil || !strings.Contains(err.Error(), "not configured to use an ACL file") {
		return may(c, err)
	}
	_, err = c.do(ctx, "CONFIG", "REWRITE")
	if err != nil && strings.Contains(err.Error(), "without a config file") {
		c.warnf("The server has neither an ACL file nor a configuration file: it forgets its users' passwords when it restarts.")
		return nil
	}
	return may(c, err)
}

// user is what ACL GETUSER tells.
type user struct{ flags, passwords []string }

func find(ctx context.Context, c conn, name string) (*user, error) {
	v, err := c.do(ctx, "ACL", "GETUSER", name)
	if err != nil || v == nil {
		return nil, err
	}
	fields, ok := v.([]any)
	if !ok {
		return nil, rotator.DatabaseErrorf("the server's answer to ACL GETUSER cannot be read")
	}
	u, found := &user{}, 0
	for i := 0; i+1 < len(fields); i += 2 {
		var into *[]string
		switch fields[i] {
		case "flags":
			into = &u.flags
		case "passwords":
			into = &u.passwords
		default:
			continue
		}
		list, ok := fields[i+1].([]any)
		if !ok {
			return nil, rotator.DatabaseErrorf("the server's answer to ACL GETUSER cannot be read")
		}
		found++
		for _, e := range list {
			text, ok := e.(string)
			if !ok {
				return nil, rotator.DatabaseErrorf("the server's answer to ACL GETUSER cannot be read")
			}
			*into = append(*into, text)
		}
	}
	if found != 2 {
		return nil, rotator.DatabaseErrorf("the server's answer to ACL GETUSER cannot be read")
	}
	return u, nil
}

// may turns the server's refusal into what to do about it.
func may(c conn, err error) error {
	if err != nil && isPermission(err) {
		return rotator.DatabaseErrorf("user %s may not change users (%v): ACL SETUSER %s +acl|getuser +acl|setuser +acl|save +config|rewrite, or name another one by masterarn", c.name(), err, c.name())
	}
	return err
}

// statementError is what the server said, without what quotes arguments.
func statementError(err error) error {
	var server redis.Error
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &server):
		return rotator.Lost(err)
	}
	text := server.Error()
	if i := strings.LastIndex(text, "': "); strings.Contains(text, "ACL SETUSER modifier") && i >= 0 {
		text = "ERR Error in ACL SETUSER: " + text[i+3:]
	}
	return rotator.DatabaseError(text)
}

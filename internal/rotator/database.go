package rotator

import (
	"cmp"
	"context"
	"encoding/json"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// logins reads secrets of database users.
type logins[S Session] struct {
	engine Engine[S]
}

// version is a version of the job's secret.
func (d logins[S]) version(ctx context.Context, j *Job, label string) (Login, error) {
	l, ok, err := d.find(ctx, j, label)
	if err == nil && !ok {
		err = missing(label)
	}
	return l, err
}

// find is version for one that may be missing.
func (d logins[S]) find(ctx context.Context, j *Job, label string) (Login, bool, error) {
	value, ok, err := j.Value(ctx, label)
	if err != nil || !ok {
		return Login{}, false, err
	}
	l, err := d.read(j, j.SecretId, value)
	return l, err == nil, err
}

// read makes a Login of a secret's value. What it complains of is told by key, never
// by value.
func (d logins[S]) read(j *Job, arn string, value Password) (Login, error) {
	k := d.engine.Kind()
	s, err := ParseSecret(arn, string(value))
	if err != nil {
		return Login{}, err
	}
	l := Login{Secret: arn, Keys: s, Warnf: j.Warnf, Port: k.Port, Database: k.Database, mode: modeOf(s.Raw("ssl"))}
	if l.Host, err = s.Required("host"); err != nil {
		return Login{}, err
	}
	if l.User, err = s.Required("username"); err != nil {
		return Login{}, err
	}
	password, err := s.Required("password")
	if err != nil {
		return Login{}, err
	}
	l.Password = Password(password)
	j.Conceal(l.Password)
	engine, err := s.Required("engine")
	if err != nil {
		return Login{}, err
	}
	if !slices.Contains(k.Engines, engine) {
		return Login{}, KeyErrorf("Database engine must be set to '%s' in order to use this rotation lambda", k.Engines[0])
	}
	// A driver may take a path for a socket, where the function's own user would be let in, or a
	// list of hosts, or options.
	if !isHost(l.Host) {
		return Login{}, ValueErrorf("host must be a host name or an IP address in secret JSON")
	}
	if raw := s.Raw("port"); raw != nil && string(raw) != "null" {
		if l.Port, err = readPort(raw); err != nil {
			return Login{}, err
		}
	}
	name, ok, err := s.Text("dbname")
	if err != nil {
		return Login{}, err
	}
	if ok && name != "" {
		l.Database = name
	} else if k.DatabaseRequired {
		return Login{}, KeyErrorf("dbname key is missing from secret JSON")
	}
	return l, nil
}

// readPort reads a number, or a string that holds one.
func readPort(raw json.RawMessage) (int, error) {
	text := string(raw)
	if raw[0] == '"' {
		if err := json.Unmarshal(raw, &text); err != nil {
			text = ""
		}
	}
	n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 16)
	if err != nil || n == 0 {
		return 0, ValueErrorf("port must be a number from 1 to 65535 in secret JSON")
	}
	return int(n), nil
}

// isHost tells whether s is a host name or an IP address.
func isHost(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	if len(s) > 253 || s[0] == '-' || s[0] == '.' {
		return false
	}
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '.', c == '_':
		default:
			return false
		}
	}
	return true
}

// create puts a pending value, made of the current one by change, unless there is one.
func (d logins[S]) create(ctx context.Context, j *Job, change func(current Login) (user string, err error)) error {
	current, err := d.version(ctx, j, Current)
	if err != nil {
		return err
	}
	if _, ok, err := d.find(ctx, j, Pending); err != nil {
		return err
	} else if ok {
		j.Infof("Successfully retrieved secret for %s.", j.SecretId)
		return nil
	}
	user, err := change(current)
	if err != nil {
		return err
	}
	k := d.engine.Kind()
	password, err := j.NewPassword(ctx, k.Exclude, cmp.Or(k.PasswordLength, 32))
	if err != nil {
		return err
	}
	pending := current.Keys.Clone()
	pending.SetText("username", user)
	pending.SetText("password", string(password))
	return j.Put(ctx, Password(pending.JSON()))
}

// toSet reads both values. done says that the pending one works already: an earlier try at
// setting it was only not heard of.
func (d logins[S]) toSet(ctx context.Context, j *Job) (current, pending Login, done bool, err error) {
	if current, err = d.version(ctx, j, Current); err != nil {
		return current, pending, false, err
	}
	if pending, err = d.version(ctx, j, Pending); err != nil {
		return current, pending, false, err
	}
	s, failure, err := login(ctx, j, d.engine, pending)
	if err != nil || failure != nil {
		return current, pending, false, err
	}
	s.Close()
	j.Infof("AWSPENDING secret is already set as password in %s DB for secret arn %s.", d.engine.Kind().Name, j.SecretId)
	return current, pending, true, nil
}

// Test logs in with the pending value and asks something simple. It is the same for
// all strategies.
func (d logins[S]) Test(ctx context.Context, j *Job) error {
	pending, err := d.version(ctx, j, Pending)
	if err != nil {
		return err
	}
	s, failure, err := login(ctx, j, d.engine, pending)
	if err != nil {
		return err
	}
	if failure != nil {
		return ValueErrorf("Unable to log into database with pending secret of secret ARN %s", j.SecretId)
	}
	defer s.Close()
	if err := s.Check(ctx); err != nil {
		return err
	}
	j.Infof("Successfully signed into %s DB with AWSPENDING secret in %s.", d.engine.Kind().Name, j.SecretId)
	return nil
}

// alternate is the name of the other user.
func (k Kind) alternate(j *Job, user string) (string, error) {
	limit := k.MaxUser
	if k.MaxUserVariable != "" {
		n, err := strconv.Atoi(j.Getenv(k.MaxUserVariable, strconv.Itoa(limit)))
		if err != nil || n < 1 {
			return "", ValueErrorf("%s must be a number", k.MaxUserVariable)
		}
		limit = n
	}
	length := k.UserLength
	if length == nil {
		length = utf8.RuneCountInString
	}
	other, is := strings.CutSuffix(user, k.Suffix)
	if !is {
		other = user + k.Suffix
	}
	// A name that is too long even now is one that a server may cut: then it
	// would log in somebody else than it says.
	if limit > 0 && (length(other) > limit || length(user) > limit) {
		return "", ValueErrorf("Unable to clone user, username length with %s appended would exceed %d characters", k.Suffix, limit)
	}
	if other == "" {
		return "", ValueErrorf("Unable to clone user %s: nothing is left of the name without %s", user, k.Suffix)
	}
	return other, nil
}

// Package mongo changes the passwords of users of MongoDB and Amazon DocumentDB.
//
// A user there belongs to the database by which it authenticates, the secret's dbname.
package mongo

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"coffer/internal/rotator"
)

// Engine is MongoDB, and what is like it.
type Engine struct{}

// Kind is what is fixed about MongoDB.
func (Engine) Kind() rotator.Kind {
	return rotator.Kind{
		Name: "MongoDB", Engines: []string{"mongo", "docdb"}, Port: 27017, Database: "admin", Exclude: `/@"'\`, Suffix: "_clone",
	}
}

// Login opens a session with the one server that the secret names. SCRAM proves the
// password without showing it, and that the server knows it, too.
func (Engine) Login(ctx context.Context, l rotator.Login) (rotator.UserSession, error) {
	d := &dialer{l: l}
	ctx, d.giveUp = context.WithCancel(ctx)
	defer d.giveUp()
	client, err := mongo.Connect(options.Client().
		SetHosts([]string{l.Addr()}).SetDirect(true).SetDialer(d).
		SetAuth(options.Credential{AuthSource: l.Database, Username: l.User, Password: string(l.Password), PasswordSet: true}).
		SetAppName("coffer rotation").SetMaxPoolSize(1).SetServerMonitoringMode("poll").
		SetServerSelectionTimeout(rotator.ConnectTime).SetTimeout(rotator.StatementTime).
		SetRetryReads(false).SetRetryWrites(false))
	if err != nil {
		return nil, &rotator.LoginError{Reason: rotator.Unsafe, Text: "the driver does not take the secret's values"}
	}
	s := &session{client: client, l: l}
	if err := s.Check(ctx); err != nil {
		s.Close()
		return nil, d.loginError(err)
	}
	return s, nil
}

// dialer notes why it could not connect, and ends the login then: the driver would go on
// trying until its time is over.
type dialer struct {
	l      rotator.Login
	giveUp context.CancelFunc

	mu     sync.Mutex
	failed *rotator.LoginError
}

// DialContext connects to the server that the login is for, whatever the driver says.
func (d *dialer) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	c, err := rotator.Dial(ctx, d.l)
	if err != nil && ctx.Err() == nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		if !errors.As(err, &d.failed) {
			d.failed = rotator.NetworkError(err)
		}
		d.giveUp()
	}
	return c, err
}

// Codes of errors: https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml
const (
	codeFailedToParse        = 9
	codeUserNotFound         = 11
	codeUnauthorized         = 13
	codeAuthenticationFailed = 18
	codeFeatureNotSupported  = 303
	codeUnknownField         = 40415
)

// loginError sorts the reasons why a login failed.
func (d *dialer) loginError(err error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var server *rotator.ServerError
	switch {
	case d.failed != nil:
		return d.failed
	case errors.As(err, &server):
		return &rotator.LoginError{Reason: rotator.Refused, Text: server.Text}
	}
	return &rotator.LoginError{Reason: rotator.Unreachable, Text: err.Error()}
}

type session struct {
	client *mongo.Client
	l      rotator.Login
}

// Login is what the session was opened with.
func (s *session) Login() rotator.Login { return s.l }

// Close ends the session.
func (s *session) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	s.client.Disconnect(ctx) // a broken connection is closed as well
}

// Check asks who is logged in.
func (s *session) Check(ctx context.Context) error {
	answer, err := s.run(ctx, bson.D{{Key: "connectionStatus", Value: 1}})
	if err != nil {
		return err
	}
	var status struct {
		AuthInfo struct {
			Users []struct{ User, DB string } `bson:"authenticatedUsers"`
		} `bson:"authInfo"`
	}
	if err := bson.Unmarshal(answer, &status); err != nil {
		return rotator.DatabaseErrorf("the server's answer to connectionStatus cannot be read")
	}
	for _, u := range status.AuthInfo.Users {
		if u.User == s.l.User && u.DB == s.l.Database {
			return nil
		}
	}
	return &rotator.ServerError{Number: codeAuthenticationFailed, Text: "the server does not say that the user is logged in"}
}

// SetPassword changes the password of the session's user, who needs the privilege
// changeOwnPassword for that.
func (s *session) SetPassword(ctx context.Context, password rotator.Password) error {
	_, err := s.run(ctx, bson.D{{Key: "updateUser", Value: s.l.User}, {Key: "pwd", Value: string(password)}})
	if rotator.ErrorNumber(err) == codeUnauthorized {
		return rotator.DatabaseErrorf("user %s may not change its own password (%v): give it a role with the privilege changeOwnPassword on database %s", s.l.User, err, s.l.Database)
	}
	return err
}

// user is a user as usersInfo tells.
type user struct {
	Roles                      []role
	Mechanisms                 []string
	CustomData                 bson.Raw      `bson:"customData"`
	AuthenticationRestrictions bson.RawValue `bson:"authenticationRestrictions"`
}

type role struct{ Role, DB string }

// Clone makes the user, or changes the one there is, in one command.
func (s *session) Clone(ctx context.Context, current rotator.UserSession, pending rotator.Login) error {
	database := current.Login().Database
	if pending.Database != database {
		return rotator.ValueErrorf("Attempting to modify user of database %s other than current database %s", pending.Database, database)
	}
	from, err := s.find(ctx, database, current.Login().User)
	if err != nil {
		return err
	}
	if from == nil {
		return rotator.DatabaseErrorf("there is no user %s in database %s to clone", current.Login().User, database)
	}
	to, err := s.find(ctx, database, pending.User)
	if err != nil {
		return err
	}
	verb := "createUser"
	if to != nil {
		verb = "updateUser"
		if r, ok := more(to.Roles, from.Roles); ok {
			return rotator.DatabaseErrorf("user %s exists and has the role %s of database %s, which %s has not: it is not taken for its clone", pending.User, r.Role, r.DB, current.Login().User)
		}
	}
	_, err = s.runIn(ctx, database, from.command(verb, pending))
	if rotator.ErrorNumber(err) == codeUnauthorized {
		return rotator.DatabaseErrorf("the superuser of secret %s may not %s (%v): grant it userAdmin on database %s, or userAdminAnyDatabase", s.l.Secret, verb, err, database)
	}
	return err
}

// command gives a user what from has, and the password.
func (from *user) command(verb string, pending rotator.Login) bson.D {
	roles := bson.A{}
	for _, r := range from.Roles {
		roles = append(roles, bson.D{{Key: "role", Value: r.Role}, {Key: "db", Value: r.DB}})
	}
	c := bson.D{{Key: verb, Value: pending.User}, {Key: "pwd", Value: string(pending.Password)}, {Key: "roles", Value: roles}}
	if len(from.CustomData) > 0 {
		c = append(c, bson.E{Key: "customData", Value: from.CustomData})
	}
	if len(from.Mechanisms) > 0 {
		c = append(c, bson.E{Key: "mechanisms", Value: from.Mechanisms})
	}
	if list, ok := from.AuthenticationRestrictions.ArrayOK(); ok && len(list) > 5 { // an empty array has 5 bytes
		c = append(c, bson.E{Key: "authenticationRestrictions", Value: from.AuthenticationRestrictions})
	}
	return c
}

// more is a role that these have and those have not.
func more(these, those []role) (role, bool) {
	has := map[role]bool{}
	for _, r := range those {
		has[r] = true
	}
	for _, r := range these {
		if !has[r] {
			return r, true
		}
	}
	return role{}, false
}

// find is nil if there is no such user. DocumentDB knows no restrictions and refuses to be asked.
func (s *session) find(ctx context.Context, database, name string) (*user, error) {
	who := bson.E{Key: "usersInfo", Value: bson.D{{Key: "user", Value: name}, {Key: "db", Value: database}}}
	answer, err := s.runIn(ctx, database, bson.D{who, {Key: "showAuthenticationRestrictions", Value: true}})
	switch rotator.ErrorNumber(err) {
	case codeFeatureNotSupported, codeFailedToParse, codeUnknownField:
		answer, err = s.runIn(ctx, database, bson.D{who})
	case codeUserNotFound:
		return nil, nil
	}
	if rotator.ErrorNumber(err) == codeUnauthorized {
		return nil, rotator.DatabaseErrorf("the superuser of secret %s may not read users (%v): grant it userAdmin on database %s, or userAdminAnyDatabase", s.l.Secret, err, database)
	}
	if err != nil {
		return nil, err
	}
	var info struct{ Users []user }
	if err := bson.Unmarshal(answer, &info); err != nil || len(info.Users) > 1 {
		return nil, rotator.DatabaseErrorf("the server's answer to usersInfo cannot be read")
	}
	if len(info.Users) == 0 {
		return nil, nil
	}
	return &info.Users[0], nil
}

func (s *session) run(ctx context.Context, command bson.D) (bson.Raw, error) {
	return s.runIn(ctx, s.l.Database, command)
}

func (s *session) runIn(ctx context.Context, database string, command bson.D) (bson.Raw, error) {
	answer, err := s.client.Database(database).RunCommand(ctx, command).Raw()
	return answer, statementError(err)
}

func statementError(err error) error {
	var server mongo.CommandError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &server) && server.Code != 0:
		text, _, _ := strings.Cut(server.Message, "{") // "not authorized on admin to execute command { createUser: ..."
		return &rotator.ServerError{Number: int(server.Code), Text: strings.TrimSpace(text) + " (" + server.Name + ")"}
	case strings.Contains(err.Error(), "AuthenticationFailed"), strings.Contains(err.Error(), "unable to authenticate"):
		return &rotator.ServerError{Number: codeAuthenticationFailed, Text: "Authentication failed. (AuthenticationFailed)"}
	}
	return rotator.Lost(err)
}

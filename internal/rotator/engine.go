package rotator

import (
	"context"
	"crypto/tls"
	"net"
	"strconv"
	"time"
)

// Engine is a kind of database server, as far as the passwords of its users go. An
// engine is a value without state, safe for concurrent use; it keeps no
// connection beyond a Session.
type Engine[S Session] interface {
	// Kind is what is fixed about the engine.
	Kind() Kind

	// Login opens a session as l says, no other way: the host, port, user, password,
	// database and TLS settings of l are used and nothing from the environment, files or
	// defaults of a driver. It must fail when the server lets the user in without
	// proof of the password, since others rely on that proof, and it must not give the
	// password away in clear to whoever answers without TLS. Its errors are *LoginError.
	Login(ctx context.Context, l Login) (S, error)
}

// Session is a user who is logged in. Its methods return a DatabaseError, or another
// error of this package; the texts show no statement.
type Session interface {
	// Check runs a simple query.
	Check(ctx context.Context) error

	// Login is what the session was opened with.
	Login() Login

	// Close ends the session. It does not wait for the server for more than a moment.
	Close()
}

// UserSession is a session at a server whose users have one password each.
type UserSession interface {
	Session

	// SetPassword changes the password of the session's own user.
	SetPassword(ctx context.Context, password Password) error

	// Clone is called on the session of a superuser. It makes the user pending.User
	// able to do what the user of current is able to, creating it if it is
	// missing, and gives it the password pending.Password.
	//
	// It must change no other user. It must refuse when pending.User exists and is more
	// powerful than the user of current: whoever holds current is about to get it. Whatever is done
	// in several steps that do not take effect together, the password comes last: a pending
	// password that works is taken as a sign that all is done.
	Clone(ctx context.Context, current UserSession, pending Login) error
}

// PasswordsSession is a session at a server whose users can have several passwords at
// once.
type PasswordsSession interface {
	Session

	// SetPasswords gives a user these passwords and no other, all at once. It must refuse
	// if the user gets in with any password.
	SetPasswords(ctx context.Context, user string, passwords ...Password) error
}

// Kind is what is fixed about an engine.
type Kind struct {
	Name     string   // as AWS's templates write it: "PostgreSQL"
	Engines  []string // values of the secret's key engine; texts name the first
	Port     int      // unless the secret has one
	Database string   // unless the secret has one
	Exclude  string   // characters that a new password has not, unless EXCLUDE_CHARACTERS is set

	// PasswordLength is how long a new password is, unless PASSWORD_LENGTH is set; 0: 32.
	PasswordLength int

	// DatabaseRequired says that the secret must have the key dbname.
	DatabaseRequired bool
	// Suffix makes the name of the other user with alternating users.
	Suffix string
	// MaxUser is the length of the longest name with the suffix; 0: no limit is
	// known. MaxUserVariable names the variable that sets it otherwise, if any.
	MaxUser         int
	MaxUserVariable string
	// UserLength counts a name as the engine does; nil counts characters.
	UserLength func(string) int
}

// Login is who logs in where.
type Login struct {
	Secret   string // the secret that this is from, for messages
	Host     string // a name or an IP address, nothing else
	Port     int    // 1 to 65535
	Database string // may be empty
	User     string
	Password Password
	TLS      *tls.Config // nil: without TLS
	Keys     *Secret     // the whole secret, for keys that are an engine's own

	// Warnf tells what is odd in the function's log.
	Warnf func(format string, args ...any)

	mode   tlsMode
	untold bool // nothing is logged about it: it holds what the secret that is rotated does not
}

// WantsPlain tells whether the secret says "ssl": false. Engines whose protocol sends
// passwords as they are do so without TLS only then.
func (l Login) WantsPlain() bool { return l.mode == tlsOff }

// Addr is host:port.
func (l Login) Addr() string { return net.JoinHostPort(l.Host, strconv.Itoa(l.Port)) }

// Times that waiting for a network may take.
const (
	connectTime = 5 * time.Second // as in the templates
	// StatementTime is how long one statement may take.
	StatementTime = 10 * time.Second
)

// ConnectTime is how long it may take to connect and log in.
const ConnectTime = connectTime

// Reason is why a login failed.
type Reason int

const (
	// Refused: the server says that the user, the password or the database is wrong.
	Refused Reason = iota + 1
	// Unreachable: there is no server, or it does not answer.
	Unreachable
	// NoTLS: the server has no TLS, or not for this user.
	NoTLS
	// TLSRequired: the server takes TLS only, at least for this user.
	TLSRequired
	// Untrusted: the server's certificate cannot be verified.
	Untrusted
	// BadTLS: the TLS handshake failed in another way.
	BadTLS
	// Unsafe: to go on would prove nothing, or give the password away.
	Unsafe
)

// LoginError is why a login failed. Text is for the log.
type LoginError struct {
	Reason Reason
	Text   string
}

// Error returns the text.
func (e *LoginError) Error() string { return e.Text }

// Package lambda is AWS Lambda as far as rotation functions need it: functions with
// versions, aliases and layers, their code and their policies, and Invoke.
package lambda

import (
	"context"
	"errors"
	"io"
	"time"

	"coffer/internal/api"
)

// Runner runs functions. Package runner is the one that does, in child processes.
type Runner interface {
	// Run gives event to a process of f, a new one or one that is free, and waits
	// for its answer. An error of the function itself, from a crash to a timeout, is an
	// Answer; an error means that the function did not get the event: ErrThrottled, ErrOff,
	// a *CodeError, or something wrong with this machine. Safe for concurrent use.
	Run(ctx context.Context, f *Executable, event Event) (*Answer, error)
}

// Executable is one version of a function as it is to be run. A runner may keep
// processes for the next event of the same Revision.
type Executable struct {
	ARN      string // of the function, without qualifier
	Account  string
	Region   string
	Name     string
	Version  string // "$LATEST" or a number
	Revision string // another for every change of code or configuration

	Runtime string // "python3.12", "nodejs20.x", "provided.al2023"
	Handler string // "lambda_function.lambda_handler"; of a built-in function, its name
	BuiltIn bool   // a function of this binary: no code, runtime or layers
	Code    *Package
	Layers  []*Package // unpacked over each other into /opt, in this order

	Timeout     time.Duration // of one event, 1 s to 15 min
	Memory      int           // MiB, 128 to 10240
	Storage     int           // MiB of /tmp, 512 to 10240
	Concurrency int           // most events at once; 0: no limit of its own
	LogGroup    string

	// Start gives what a new process needs, its own variables and the credentials of its
	// role: before Run returns and by Run's own goroutine. A process is not used
	// beyond the end of its credentials. An error of it is one of Run, as it is.
	Start func(context.Context) (Environment, Credentials, error)
}

// Environment is a function's own variables. They print as a placeholder: they often
// hold passwords.
type Environment map[string]api.Sensitive

// Package is a zip file.
type Package struct {
	Digest [32]byte // SHA-256
	Size   int64    // bytes
	Open   func(context.Context) (io.ReadCloser, error)
}

// Credentials are those of the session of a function's role.
type Credentials struct {
	AccessKeyID     string
	SecretAccessKey api.Sensitive
	SessionToken    api.Sensitive
	Expires         time.Time
}

// Event is what a function is invoked with.
type Event struct {
	RequestID     string
	InvokedARN    string // as the caller named the function, qualified if so
	Payload       []byte // JSON, at most 6 MiB
	ClientContext string // JSON, or empty
}

// Answer is how an invocation ended.
type Answer struct {
	Payload []byte // JSON: what the function returned, or its error object
	Failed  bool   // X-Amz-Function-Error: Unhandled
	Log     []byte // the last 4 KiB of the log of this invocation, START to REPORT
}

// What a Runner refuses with.
var (
	ErrThrottled = errors.New("lambda: all processes that may run at once are busy")
	ErrOff       = errors.New("lambda: functions are switched off")
)

// CodeError says that a package cannot be run: a zip bomb, a path out of the package, too
// large when unpacked. Text is for the caller.
type CodeError struct{ Text string }

func (e *CodeError) Error() string { return "lambda: " + e.Text }

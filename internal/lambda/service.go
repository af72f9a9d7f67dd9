package lambda

import (
	"cmp"
	"crypto/rand"
	"slices"
	"time"

	"coffer/internal/api"
	lambdaapi "coffer/internal/api/lambda"
	"coffer/internal/envelope"
	"coffer/internal/table"
)

// Config says what a Service needs.
type Config struct {
	// Runner runs functions; nil: functions are switched off, and Invoke says so.
	Runner Runner

	// BuiltIns are the functions that every account has in every region.
	BuiltIns []BuiltIn

	// BuiltInRole gives the ARN of the role that built-in functions have in an account,
	// which it makes if there is none. It is called in a transaction that writes.
	BuiltInRole func(tx *table.Tx, account, region string, now time.Time) (string, error)

	// BuiltInRoleARN is the ARN of that role, which need not be there yet.
	BuiltInRoleARN func(account, region string) string

	// MarkKey makes marks of environment variables by which equal ones are known. Derive
	// it from the keyring; without one, equal ones are not known after a restart.
	MarkKey []byte

	// LocationKey seals the links that GetFunction gives to code, and is for that alone; without
	// one there are none.
	LocationKey envelope.Key

	// MaxCode is how many bytes of code an account may have in a region; 0: AWS's 75 GB.
	MaxCode int64
}

// Service is Lambda. Safe for concurrent use.
type Service struct {
	runner         Runner
	builtIns       map[string]*BuiltIn
	builtInRole    func(tx *table.Tx, account, region string, now time.Time) (string, error)
	builtInRoleARN func(account, region string) string
	markKey        []byte
	maxCode        int64
	locations      *envelope.RunKeys // nil: no links to code
	woken          chan struct{}     // an event was queued; see event.go
}

// maxCode is the quota "function and layer storage", in bytes.
const maxCode = 75 << 30

// New returns a Service.
func New(cfg Config) *Service {
	s := &Service{
		runner: cfg.Runner, builtIns: make(map[string]*BuiltIn), builtInRole: cfg.BuiltInRole, builtInRoleARN: cfg.BuiltInRoleARN,
		markKey: cfg.MarkKey, maxCode: cmp.Or(cfg.MaxCode, maxCode), locations: locationKeys(cfg.LocationKey), woken: make(chan struct{}, 1),
	}
	if len(s.markKey) == 0 {
		s.markKey = make([]byte, 32)
		rand.Read(s.markKey) // never fails (Go 1.24)
	}
	for _, b := range cfg.BuiltIns {
		s.builtIns[b.Name] = b.made()
	}
	return s
}

// Operations returns the served operations with their handlers.
func (s *Service) Operations() []api.Bound {
	return slices.Concat(
		s.functionOperations(),
		s.versionOperations(),
		s.invokeOperations(),
		s.eventConfigOperations(),
		s.managementOperations(),
		s.aliasOperations(),
		s.policyOperations(),
		s.layerOperations(),
		s.tagOperations(),
		s.concurrencyOperations(),
	)
}

// Tasks returns the service's background work, for the scheduler.
func (s *Service) Tasks() []api.Task {
	return []api.Task{
		{Name: "lambda.packages", Service: lambdaapi.Service, Every: 10 * time.Minute, Run: s.cleanPackages},
		{Name: "lambda.purge", Service: lambdaapi.Service, Every: time.Minute, Run: s.purge},
	}
}

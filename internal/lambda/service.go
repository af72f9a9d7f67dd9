package lambda

import (
	"cmp"
	"slices"
	"time"

	"coffer/internal/api"
	lambdaapi "coffer/internal/api/lambda"
)

// Config says what a Service needs.
type Config struct {
	// Runner runs functions; nil: functions are switched off, and Invoke says so.
	Runner Runner

	// BuiltIns are the functions that every account has in every region.
	BuiltIns []BuiltIn

	// MaxCode is how many bytes of code an account may have in a region; 0: AWS's 75 GB.
	MaxCode int64
}

// Service is Lambda. Safe for concurrent use.
type Service struct {
	runner   Runner
	builtIns map[string]*BuiltIn
	maxCode  int64
	woken    chan struct{} // an event was queued; see event.go
}

// maxCode is the quota "function and layer storage", in bytes.
const maxCode = 75 << 30

// New returns a Service.
func New(cfg Config) *Service {
	s := &Service{runner: cfg.Runner, builtIns: make(map[string]*BuiltIn), maxCode: cmp.Or(cfg.MaxCode, maxCode), woken: make(chan struct{}, 1)}
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
	}
}

// The operations of the files that are named like these.
func (s *Service) functionOperations() []api.Bound { return nil }
func (s *Service) versionOperations() []api.Bound  { return nil }
func (s *Service) invokeOperations() []api.Bound   { return nil }

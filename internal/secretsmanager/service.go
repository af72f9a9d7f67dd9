package secretsmanager

import (
	"crypto/rand"
	"sync"
	"time"

	"coffer/internal/api"
	smapi "coffer/internal/api/secretsmanager"
)

// Config says what a Service needs. The zero value works.
type Config struct {
	// TokenKey authenticates page tokens. Derive it from the keyring, so
	// that tokens survive a restart and are good on every node; without one
	// they are good until the process ends.
	TokenKey []byte
}

// Service is Secrets Manager. Safe for concurrent use.
type Service struct {
	tokenKey []byte

	mu      sync.Mutex
	notes   map[string]accessNote // of reads not yet written, by the secret's UID; see accessed.go
	noted   int                   // versions in notes
	hurried map[hurry]bool        // failed rotations to be tried again now; see run.go
	woken   chan struct{}
}

// New returns a Service.
func New(cfg Config) *Service {
	s := &Service{tokenKey: cfg.TokenKey, notes: make(map[string]accessNote), woken: make(chan struct{}, 1)}
	if len(s.tokenKey) == 0 {
		s.tokenKey = make([]byte, 32)
		rand.Read(s.tokenKey) // never fails (Go 1.24)
	}
	return s
}

// Operations returns the served operations with their handlers.
func (s *Service) Operations() []api.Bound {
	return []api.Bound{
		api.Bind(smapi.BatchGetSecretValue, resolveBatchGetSecretValue, s.batchGetSecretValue),
		api.Bind(smapi.CancelRotateSecret, resolveCancelRotateSecret, cancelRotateSecret),
		api.Bind(smapi.CreateSecret, resolveCreateSecret, createSecret),
		api.Bind(smapi.DeleteResourcePolicy, resolveDeleteResourcePolicy, deleteResourcePolicy),
		api.Bind(smapi.DeleteSecret, resolveDeleteSecret, deleteSecret),
		api.Bind(smapi.DescribeSecret, resolveDescribeSecret, s.describeSecret),
		api.Bind(smapi.GetRandomPassword, resolveGetRandomPassword, getRandomPassword),
		api.Bind(smapi.GetResourcePolicy, resolveGetResourcePolicy, getResourcePolicy),
		api.Bind(smapi.GetSecretValue, resolveGetSecretValue, s.getSecretValue),
		api.Bind(smapi.ListSecretVersionIds, resolveListSecretVersionIds, s.listSecretVersionIds),
		api.Bind(smapi.ListSecrets, resolveListSecrets, s.listSecrets),
		api.Bind(smapi.PutResourcePolicy, resolvePutResourcePolicy, putResourcePolicy),
		api.Bind(smapi.PutSecretValue, resolvePutSecretValue, putSecretValue),
		api.Bind(smapi.RestoreSecret, resolveRestoreSecret, restoreSecret),
		api.Bind(smapi.RotateSecret, resolveRotateSecret, s.rotateSecret),
		api.Bind(smapi.TagResource, resolveTagResource, tagResource),
		api.Bind(smapi.UntagResource, resolveUntagResource, untagResource),
		api.Bind(smapi.UpdateSecret, resolveUpdateSecret, updateSecret),
		api.Bind(smapi.UpdateSecretVersionStage, resolveUpdateSecretVersionStage, updateSecretVersionStage),
		api.Bind(smapi.ValidateResourcePolicy, resolveValidateResourcePolicy, validateResourcePolicy),
	}
}

// Tasks returns the service's background work, for the scheduler.
func (s *Service) Tasks() []api.Task {
	return []api.Task{
		// Often: what is not flushed is lost with the process. But paced: on the first
		// reads of a day of a million secrets, at most 2,000 dates are written a second.
		{Name: "secretsmanager.accessed", Service: smapi.Service, Every: 10 * time.Second, Pause: 10 * time.Millisecond, Run: s.FlushAccessed},
		{Name: "secretsmanager.purge", Service: smapi.Service, Every: time.Minute, Run: s.PurgeDue},
		{Name: "secretsmanager.clean", Service: smapi.Service, Every: 10 * time.Minute, Run: s.CleanDeprecated},
	}
}

func getRandomPassword(r *api.Request, in *smapi.GetRandomPasswordInput, _ struct{}) (*smapi.GetRandomPasswordOutput, error) {
	spec := passwordSpec{
		Length:             defaultPasswordLength,
		ExcludeCharacters:  api.Value(in.ExcludeCharacters),
		ExcludeNumbers:     api.Value(in.ExcludeNumbers),
		ExcludePunctuation: api.Value(in.ExcludePunctuation),
		ExcludeUppercase:   api.Value(in.ExcludeUppercase),
		ExcludeLowercase:   api.Value(in.ExcludeLowercase),
		IncludeSpace:       api.Value(in.IncludeSpace),
		RequireEachType:    in.RequireEachIncludedType == nil || *in.RequireEachIncludedType,
	}
	if in.PasswordLength != nil {
		spec.Length = int(*in.PasswordLength)
	}
	password, err := randomPassword(spec)
	if err != nil {
		return nil, err
	}
	return &smapi.GetRandomPasswordOutput{RandomPassword: password}, nil
}

func resolveGetRandomPassword(r *api.Request, _ *smapi.GetRandomPasswordInput) (struct{}, api.Access, error) {
	return struct{}{}, everything(r), nil
}

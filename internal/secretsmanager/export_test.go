package secretsmanager

import "coffer/internal/api"

// What tests outside the package need of its inside.

// ParseSecretID is parseSecretID with what it finds as plain values.
func ParseSecretID(id string, r *api.Request) (account, name, suffix, arn string, err error) {
	ref, err := parseSecretID(id, r)
	return ref.account, ref.name, ref.suffix, ref.arn, err
}

// SplitSuffix is splitSuffix.
func SplitSuffix(s string) (name, suffix string) { return splitSuffix(s) }

// SealToken and OpenToken are the page tokens of a purpose.
func (s *Service) SealToken(purpose []string, part, name string) string {
	return *s.token(purpose, position{part, name})
}

// OpenToken is openToken with what it finds as plain values.
func (s *Service) OpenToken(purpose []string, token string) (part, name string, err error) {
	at, err := s.openToken(purpose, &token)
	if err != nil {
		return "", "", err
	}
	return at.part, at.name, nil
}

// Advice is what the status of a rotation advises about an attempt.
func Advice(o Outcome) string { return o.advice() }

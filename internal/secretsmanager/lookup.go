package secretsmanager

import (
	"errors"
	"strings"

	"coffer/internal/api"
	smapi "coffer/internal/api/secretsmanager"
	"coffer/internal/arn"
	"coffer/internal/table"
)

// Texts of the real service (spec §2, §3).
const (
	textInvalidName    = "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!"
	textNoSecret       = "Secrets Manager can't find the specified secret."
	textMarked         = "You can't perform this operation on the secret because it was marked for deletion."
	textNoToken        = "You must provide a ClientRequestToken value. We recommend a UUID-type value."
	textNameTaken      = "The operation failed because the secret %s already exists."
	textNameScheduled  = "You can't create this secret because a secret with this name is already scheduled for deletion."
	textTokenTaken     = "You can't use ClientRequestToken %s because that value is already in use for a version of secret %s."
	textValueTooLarge  = "1 validation error detected: Value at '%s' failed to satisfy constraint: Member must have length less than or equal to 65536"
	textBothValues     = "You can't specify both a binary secret value and a string secret value in the same secret."
	textNoValue        = "You must provide either SecretString or SecretBinary."
	textNoValueOfStage = "Secrets Manager can't find the specified secret value for staging label: "
	textNoValueOfID    = "Secrets Manager can't find the specified secret value for VersionId: "
)

// suffixLength is the number of random characters in an ARN behind the name.
const suffixLength = 6

// anySuffix stands for the suffix of a secret that is not there: policies are about it as
// about one that is. Else a Deny of "db-??????" would deny what exists and let the caller be told
// what does not.
const anySuffix = "-??????"

// validName reports whether a name has only the characters that names may
// have. Owned secrets have "!" in theirs (rds!db-...), so looking one up is fine.
func validName(name string, lookup bool) bool {
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte("/_+=.@-", c) >= 0:
		case c == '!' && lookup:
		default:
			return false
		}
	}
	return name != ""
}

// reference is a SecretId taken apart.
type reference struct {
	sent    string // as it came
	account string // the owner: of the ARN, or the caller for a name
	name    string // empty: names nothing here
	suffix  string // of a complete ARN; empty matches any
	arn     string // what to authorize on as long as no secret is found
}

// parseSecretID takes a SecretId apart (spec §3). An ARN that ends in a hyphen
// and six alphanumerics is complete, always, and never tried as a partial one:
// hence a secret whose own name ends that way is not found by its partial
// ARN. That is how the real service does it, and recorded.
func parseSecretID(id string, r *api.Request) (reference, error) {
	ref := reference{sent: id, account: r.Account}
	if !arn.Is(id) {
		if !validName(id, true) {
			return ref, api.ValidationException(textInvalidName)
		}
		ref.name = id
		ref.arn = "arn:" + r.Partition() + ":secretsmanager:" + r.Region + ":" + r.Account + ":secret:" + id // as arnPrefix, in one allocation
		return ref, nil
	}
	// Not an ARN of a secret: it names nothing, which is for handle to say. It is
	// authorized as if it were a name, so that the answer tells no more than
	// it does for a name.
	ref.arn = arnPrefix(r.Partition(), r.Region, r.Account) + id
	a, err := arn.Parse(id)
	if err != nil || a.Service != "secretsmanager" || !isAccount(a.Account) {
		return ref, nil
	}
	ref.arn, ref.account = id, a.Account
	name, ok := strings.CutPrefix(a.Resource, "secret:")
	if !ok || a.Region != r.Region || a.Partition != r.Partition() {
		return ref, nil
	}
	ref.name, ref.suffix = splitSuffix(name)
	return ref, nil
}

// splitSuffix parts a complete ARN's name from its suffix; without one, all of
// it is the name.
func splitSuffix(s string) (name, suffix string) {
	i := len(s) - suffixLength - 1
	if i < 0 || s[i] != '-' {
		return s, ""
	}
	for _, c := range []byte(s[i+1:]) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9') {
			return s, ""
		}
	}
	return s[:i], s[i+1:]
}

func isAccount(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return len(s) == 12
}

// target is what resolve found: the secret and its ARN, or no secret. It answers
// for the condition keys of its request.
type target struct {
	reference
	secret *Secret
	r      *api.Request
	failed error // met while answering for a condition key
}

// read resolves a SecretId for an operation that changes nothing. The secret
// is shared: not to be changed.
func read(r *api.Request, id *string) (*target, api.Access, error) {
	return resolve(r, id, Secrets.Get)
}

// write resolves a SecretId; the secret is a private copy, to be changed.
func write(r *api.Request, id *string) (*target, api.Access, error) {
	return resolve(r, id, Secrets.Edit)
}

func resolve(r *api.Request, id *string, get func(*table.Tx, table.Key) (*Secret, error)) (*target, api.Access, error) {
	ref, err := parseSecretID(api.Value(id), r)
	if err != nil {
		return nil, api.Access{}, err
	}
	t := &target{reference: ref, r: r}
	access := api.Access{Resource: ref.arn, Account: ref.account, Named: ref.sent, Keys: t}
	if ref.name == "" {
		return t, access, nil
	}
	s, err := get(r.Tx, table.K(ref.account, r.Region, ref.name))
	if errors.Is(err, table.ErrNotFound) {
		if ref.suffix == "" {
			t.arn += anySuffix
			access.Resource = t.arn
		}
		return t, access, nil
	}
	if err != nil {
		return t, access, err
	}
	if ref.suffix != "" && ref.suffix != s.Suffix {
		return t, access, nil
	}
	t.secret, t.arn = s, s.arn()
	access.Resource, access.Tags = t.arn, s.Tags
	access.Policy, err = s.policy(r.Tx)
	return t, access, err
}

// existing gives the secret, marked for deletion or not.
func (t *target) existing() (*Secret, error) {
	if t.secret == nil {
		return nil, smapi.ResourceNotFoundException(textNoSecret)
	}
	return t.secret, nil
}

// live gives the secret unless it is marked for deletion.
func (t *target) live() (*Secret, error) {
	s, err := t.existing()
	if err == nil && s.Deleted != 0 {
		return nil, smapi.InvalidRequestException(textMarked)
	}
	return s, err
}

// everything is the access of operations that are about no resource.
func everything(r *api.Request) api.Access {
	return api.Access{Resource: "*", Account: r.Account}
}

package sts

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	"coffer/internal/api"
	stsapi "coffer/internal/api/sts"
	"coffer/internal/arn"
	"coffer/internal/iam"
	"coffer/internal/policy"
	"coffer/internal/session"
	"coffer/internal/table"
)

// What the three ways to assume a role have in common.

const (
	usualRoleSession = time.Hour
	maxChained       = time.Hour // of a role assumed with the credentials of another role
)

// assumption is a role about to be assumed: what is asked for, and what is known of who asks.
// It answers for the condition keys of the decision.
type assumption struct {
	arn  arn.ARN
	text string    // of the ARN
	role *iam.Role // shared; nil: there is none

	name           string // of the session
	duration       *int64
	policies       sessionPolicies
	tags           sessionTags
	sourceIdentity string
	externalID     *string
	chained        bool // by the session of a role
	mfa            bool // a code of a device was right

	provider string              // ARN of the identity provider that vouches; empty: the caller signs
	claims   map[string][]string // of its token or assertion, by condition key in lower case
}

var roleResource = regexp.MustCompile(`^role/([\x21-\x7E]{1,510}/)?[\w+=,.@-]{1,64}$`)

// parseRoleARN reads the ARN of a role. ok is false for everything else.
func parseRoleARN(text string) (arn.ARN, bool) {
	a, err := arn.Parse(text)
	return a, err == nil && a.Service == "iam" && a.Region == "" && iam.IsAccountID(a.Account) && roleResource.MatchString(a.Resource)
}

// newAssumption checks what a request asks for, as far as no role need be known.
// from is the calling session, nil for none.
func newAssumption(in *stsapi.AssumeRoleInput, a arn.ARN, from *session.Session) (*assumption, error) {
	q := &assumption{arn: a, text: *in.RoleArn, name: *in.RoleSessionName, duration: in.DurationSeconds, sourceIdentity: api.Value(in.SourceIdentity), externalID: in.ExternalId}
	var err error
	if q.tags, err = newSessionTags(in.Tags, in.TransitiveTagKeys, from); err != nil {
		return nil, err
	}
	if q.policies, err = newSessionPolicies(in.Policy, in.PolicyArns); err != nil {
		return nil, err
	}
	if from != nil && from.Type == policy.AssumedRole {
		q.chained = true
	}
	return q, nil
}

// find looks for the role. That there is none is never told.
func (q *assumption) find(tx *table.Tx, partition string) error {
	role, err := iam.FindRole(tx, partition, q.text)
	if errors.Is(err, table.ErrNotFound) {
		return nil
	}
	q.role = role
	return err
}

// access is what must be allowed: to assume the role, and to set tags and source
// identity if the session has any. All of it is the trust policy's to grant. A
// role that does not exist has none, and one that is a service's own none for others.
func (q *assumption) access(r *api.Request) (api.Access, error) {
	a := api.Access{
		Resource: q.text, Account: q.arn.Account, Named: q.text, Denied: q.denied(r, r.Op.Action()), Governs: true,
		RequestTags: q.tags.passed, Keys: q, MFA: q.mfa,
	}
	if q.role != nil && (q.role.Service == "" || q.role.Service == r.Principal.Service) {
		trust, err := q.role.TrustPolicy()
		if err != nil {
			return a, err
		}
		a.Policy, a.Tags = trust, q.role.Tags
	}
	var also []api.Access
	add := func(action string) {
		more := a
		more.Action, more.Denied = action, q.denied(r, action)
		also = append(also, more)
	}
	if len(q.tags.passed)+len(q.tags.inherited) > 0 {
		add("sts:TagSession")
	}
	if q.sourceIdentity != "" {
		add("sts:SetSourceIdentity")
	}
	a.Also = also
	return a, nil
}

func (q *assumption) denied(r *api.Request, action string) string {
	if q.provider != "" {
		return notAuthorized(r)
	}
	return denied(r, action, q.text)
}

// notAuthorized is the denial to those whom an identity provider vouches for.
func notAuthorized(r *api.Request) string { return "Not authorized to perform " + r.Op.Action() }

// Values implements policy.Context ("IAM and AWS STS condition context keys").
func (q *assumption) Values(dst []string, key string) ([]string, bool) {
	switch key {
	case "sts:rolesessionname":
		return append(dst, q.name), true
	case "sts:sourceidentity":
		return append(dst, q.sourceIdentity), q.sourceIdentity != ""
	case "sts:externalid":
		if q.externalID != nil {
			return append(dst, *q.externalID), true
		}
	case "sts:transitivetagkeys":
		return append(dst, q.tags.transitive...), len(q.tags.transitive) > 0
	default:
		vs, ok := q.claims[key]
		return append(dst, vs...), ok
	}
	return dst, false
}

// Err implements api.Keys: nothing is looked up.
func (q *assumption) Err() error { return nil }

// session makes the session of an assumption that was allowed. read is a transaction.
func (q *assumption) session(r *api.Request, read func(func(*table.Tx) error) error) (ses *session.Session, life time.Duration, err error) {
	if q.role == nil {
		return nil, 0, api.AccessDeniedException(q.denied(r, r.Op.Action())) // no decision allows what does not exist
	}
	life = seconds(q.duration, usualRoleSession)
	switch {
	case life > time.Duration(q.role.MaxSession)*time.Second:
		return nil, 0, api.ValidationException("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	case q.chained && life > maxChained:
		return nil, 0, api.ValidationException("The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.")
	}
	if len(q.policies.arns) > 0 {
		err := read(func(tx *table.Tx) error { return q.policies.exist(tx, q.role.Account, r.Partition()) })
		if err != nil {
			return nil, 0, err
		}
	}
	ses = &session.Session{
		Type: policy.AssumedRole, Account: q.role.Account, EntityID: q.role.ID, Entity: strings.TrimPrefix(q.role.Path, "/") + q.role.Name,
		Name: q.name, Tags: q.tags.all(), Transitive: q.tags.transitive, SourceIdentity: q.sourceIdentity, Chained: q.chained, Provider: q.provider,
	}
	q.policies.into(ses)
	return ses, life, nil
}

// assumed is what the three operations answer alike.
type assumed struct {
	credentials    *stsapi.Credentials
	user           *stsapi.AssumedRoleUser
	packed         *int64 // nil without policies and tags
	sourceIdentity *string
}

// take issues the credentials.
func (s *Service) take(r *api.Request, ses *session.Session, life time.Duration) (out assumed, err error) {
	size, err := packed(ses)
	if err != nil {
		return out, err
	}
	if size > 0 {
		out.packed = &size
	}
	if ses.SourceIdentity != "" {
		out.sourceIdentity = &ses.SourceIdentity
	}
	names := ses.Names(r.Partition())
	out.user = &stsapi.AssumedRoleUser{Arn: &names.ARN, AssumedRoleId: &names.UserID}
	out.credentials, err = s.issue(r, ses, life)
	return out, err
}

// sorted is a map's keys in order: what is made from a token must not depend on luck.
func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

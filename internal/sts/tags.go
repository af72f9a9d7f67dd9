package sts

import (
	"slices"
	"strings"

	stsapi "coffer/internal/api/sts"
	"coffer/internal/policy"
	"coffer/internal/session"
)

// sessionTags are the tags that a session gets ("Pass session tags in AWS STS").
type sessionTags struct {
	passed     []policy.Tag // by the request
	inherited  []policy.Tag // from the calling session, whose tags they are
	transitive []string     // keys that sessions assumed with this one inherit
}

// newSessionTags checks tags that are passed. from is the calling session, nil
// for none.
func newSessionTags(tags []stsapi.Tag, transitive []string, from *session.Session) (t sessionTags, err error) {
	for i := range tags {
		key := *tags[i].Key
		if len(key) >= 4 && strings.EqualFold(key[:4], "aws:") {
			return t, invalidParameter("Tag keys beginning with aws: are reserved for system use.")
		}
		if hasTag(t.passed, key) {
			return t, invalidParameter("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
		}
		t.passed = append(t.passed, policy.Tag{Key: key, Value: *tags[i].Value})
	}
	for _, key := range transitive {
		i := slices.IndexFunc(t.passed, func(p policy.Tag) bool { return strings.EqualFold(p.Key, key) })
		if i < 0 {
			return t, invalidParameter("The specified transitive tag key must be included in the requested tags.")
		}
		if key = t.passed[i].Key; !slices.Contains(t.transitive, key) {
			t.transitive = append(t.transitive, key)
		}
	}
	if from == nil {
		return t, nil
	}
	for _, tag := range from.Tags {
		if !slices.Contains(from.Transitive, tag.Key) {
			continue
		}
		if hasTag(t.passed, tag.Key) {
			return t, invalidParameter("One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session.")
		}
		t.inherited = append(t.inherited, tag)
		t.transitive = append(t.transitive, tag.Key)
	}
	return t, nil
}

func hasTag(tags []policy.Tag, key string) bool {
	return slices.ContainsFunc(tags, func(t policy.Tag) bool { return strings.EqualFold(t.Key, key) })
}

// all are the tags of the session.
func (t *sessionTags) all() []policy.Tag { return slices.Concat(t.inherited, t.passed) }

package iam

import (
	"slices"
	"strings"

	iamapi "coffer/internal/api/iam"
	"coffer/internal/policy"
	"coffer/internal/table"
)

// maxTags is how many tags an entity can have ("IAM and AWS STS quotas").
const maxTags = 50

// mergeTags returns old with the tags of add; old is not changed. Keys that differ in case
// alone are the same key ("Tags for IAM resources"). Tags are kept sorted by key,
// as they are listed.
func mergeTags(old []policy.Tag, add []iamapi.Tag) ([]policy.Tag, error) {
	if len(add) > maxTags { // bounds the search below, too
		return nil, tooManyTags()
	}
	for i := range add {
		key := *add[i].Key
		if len(key) >= 4 && strings.EqualFold(key[:4], "aws:") {
			return nil, iamapi.InvalidInputException("Tag keys beginning with aws: are reserved for system use.")
		}
		for j := range add[:i] {
			if strings.EqualFold(*add[j].Key, key) {
				return nil, iamapi.InvalidInputException("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
			}
		}
	}
	tags := slices.Clone(old)
	for i := range add {
		t := policy.Tag{Key: *add[i].Key, Value: *add[i].Value}
		tags = slices.DeleteFunc(tags, func(o policy.Tag) bool { return strings.EqualFold(o.Key, t.Key) })
		at, _ := slices.BinarySearchFunc(tags, t, compareTags)
		tags = slices.Insert(tags, at, t)
	}
	if len(tags) > maxTags {
		return nil, tooManyTags()
	}
	return tags, nil
}

func compareTags(a, b policy.Tag) int { return strings.Compare(fold(a.Key), fold(b.Key)) }

func tooManyTags() error {
	return iamapi.LimitExceededException("The number of tags has reached the maximum limit.")
}

// withoutTags returns old without the tags of these keys; old is not changed.
func withoutTags(old []policy.Tag, keys []string) []policy.Tag {
	return slices.DeleteFunc(slices.Clone(old), func(t policy.Tag) bool {
		return slices.ContainsFunc(keys, func(k string) bool { return strings.EqualFold(k, t.Key) })
	})
}

// shownTags are tags as answers show them; nil if there are none.
func shownTags(tags []policy.Tag) (out []iamapi.Tag) {
	for i := range tags {
		out = append(out, iamapi.Tag{Key: &tags[i].Key, Value: &tags[i].Value})
	}
	return out
}

// tagPage is one page of a listing of tags. The list is there even without tags: the
// model requires it.
func tagPage(tags []policy.Tag, from *string, items *int64) (shown []iamapi.Tag, next *string, err error) {
	part, next, err := part(tags, func(t *policy.Tag) table.Key { return table.K(fold(t.Key)) }, from, items)
	return append([]iamapi.Tag{}, shownTags(part)...), next, err
}

package secretsmanager

import (
	"fmt"
	"testing"

	smapi "coffer/internal/api/secretsmanager"
	"coffer/internal/fault"
)

func manyTags(n int) []smapi.Tag {
	tags := make([]smapi.Tag, n)
	for i := range tags {
		tags[i] = smapi.Tag{Key: new(fmt.Sprint("k", i)), Value: new("v")}
	}
	return tags
}

// What is wrong with a list of tags is found in order of the list, and that it
// is too long only then: whatever its length.
func TestTooManyTags(t *testing.T) {
	const many = 50_000
	with := func(at int, key string) []smapi.Tag {
		tags := manyTags(many)
		tags[at].Key = &key
		return tags
	}
	for _, tc := range []struct {
		rule string
		tags []smapi.Tag
		text string
	}{
		{"fifty", manyTags(maxTags), ""},
		{"one more", manyTags(maxTags + 1), textTooManyTags},
		{"tens of thousands", manyTags(many), textTooManyTags},
		{"twice the same, far behind", with(many-1, "k0"), textDuplicateTag},
		{"reserved, far behind", with(many-1, "AWS:x"), textReservedTag},
		{"bad text, far behind", with(many-1, "#"), textTagText},
		{"no key, far behind", with(many-1, ""), textNoTagKey},
	} {
		var s Secret
		err := s.addTags(tc.tags)
		if tc.text == "" {
			if err != nil || len(s.Tags) != len(tc.tags) {
				t.Errorf("%s: %d tags, %v", tc.rule, len(s.Tags), err)
			}
			continue
		}
		if f, ok := fault.As(err); !ok || f.Code != "InvalidParameterException" || f.Message != tc.text {
			t.Errorf("%s: %v, want %s", tc.rule, err, tc.text)
		}
		if len(s.Tags) > maxTags {
			t.Errorf("%s: %d tags were put together before it was refused", tc.rule, len(s.Tags))
		}
	}
	// Those that are overwritten do not count twice.
	s := Secret{Tags: []Tag{{Key: "k0", Value: "old"}, {Key: "other"}}}
	if err := s.addTags(manyTags(maxTags - 1)); err != nil || len(s.Tags) != maxTags || s.Tags[0].Value != "v" {
		t.Errorf("%d tags, %v", len(s.Tags), err)
	}
	if f, ok := fault.As(s.addTags([]smapi.Tag{{Key: new("new")}})); !ok || f.Message != textTooManyTags {
		t.Errorf("the 51st: %v", f)
	}
}

func TestRemoveManyTags(t *testing.T) {
	var s Secret
	if err := s.addTags(manyTags(maxTags)); err != nil {
		t.Fatal(err)
	}
	var keys []string
	for i := range 50_000 {
		if i != 7 {
			keys = append(keys, fmt.Sprint("k", i), fmt.Sprint("k", i))
		}
	}
	if s.removeTags(keys); len(s.Tags) != 1 || s.Tags[0].Key != "k7" || !s.Tagged {
		t.Errorf("left: %v", s.Tags)
	}
	if s.removeTags(nil); len(s.Tags) != 1 {
		t.Errorf("left: %v", s.Tags)
	}
}

func BenchmarkTooManyTags(b *testing.B) {
	tags := manyTags(50_000)
	for b.Loop() {
		var s Secret
		if s.addTags(tags) == nil {
			b.Fatal("accepted")
		}
	}
}

package kms_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	kmsapi "coffer/internal/api/kms"
)

func (c client) tags(key string, limit int64) (text string) {
	c.Helper()
	in := kmsapi.ListResourceTagsInput{KeyId: &key, Limit: &limit}
	for {
		out := must(c, kmsapi.ListResourceTags, &in)
		for _, tag := range out.Tags {
			text += *tag.TagKey + "=" + *tag.TagValue + " "
		}
		if in.Marker = out.NextMarker; in.Marker == nil {
			return strings.TrimSpace(text)
		}
	}
}

func tagList(kv ...string) (tags []kmsapi.Tag) {
	for i := 0; i < len(kv); i += 2 {
		tags = append(tags, kmsapi.Tag{TagKey: new(kv[i]), TagValue: new(kv[i+1])})
	}
	return tags
}

func TestTags(t *testing.T) {
	c := newWorld(t).in(ours, eu)
	id := *c.createKey().KeyId
	tag := func(kv ...string) {
		t.Helper()
		must(c, kmsapi.TagResource, &kmsapi.TagResourceInput{KeyId: &id, Tags: tagList(kv...)})
	}
	tag("b", "1", "a", "", "C", "3")
	tag("b", "2", "d", "4")
	for limit := range int64(6) {
		if got := c.tags(id, limit+1); got != "C=3 a= b=2 d=4" {
			t.Errorf("pages of %d: %s", limit+1, got)
		}
	}
	must(c, kmsapi.UntagResource, &kmsapi.UntagResourceInput{KeyId: &id, TagKeys: []string{"a", "unknown", "d"}})
	if got := c.tags(id, 50); got != "C=3 b=2" {
		t.Error(got)
	}

	refuse(c, kmsapi.TagResource, &kmsapi.TagResourceInput{KeyId: &id, Tags: tagList("aws:x", "")}, "TagException", "Tags beginning with aws: are reserved")
	refuse(c, kmsapi.TagResource, &kmsapi.TagResourceInput{KeyId: &id, Tags: tagList("AWS:x", "")}, "TagException", "Tags beginning with aws: are reserved")
	refuse(c, kmsapi.TagResource, &kmsapi.TagResourceInput{KeyId: &id, Tags: tagList("x", "1", "x", "2")}, "TagException", "Duplicate tag keys")
	refuse(c, kmsapi.TagResource, &kmsapi.TagResourceInput{KeyId: &id, Tags: tagList("x", "1", strings.Repeat("k", 129), "2")}, "ValidationException",
		"1 validation error detected: Value '"+strings.Repeat("k", 129)+"' at 'tags.2.member.tagKey' failed to satisfy constraint: Member must have length less than or equal to 128")
	tag("awsome", "yes", "x", "1", "X", "2")

	var many []string
	for i := range 51 {
		many = append(many, fmt.Sprintf("m%02d", i), "")
	}
	refuse(c, kmsapi.TagResource, &kmsapi.TagResourceInput{KeyId: &id, Tags: tagList(many...)}, "TagException", "Too many tags")
	refuse(c, kmsapi.TagResource, &kmsapi.TagResourceInput{KeyId: &id, Tags: tagList(many[:2*46]...)}, "TagException", "Too many tags")
	tag(many[:2*45]...)
	tag("m00", "changed") // at the limit, what is there can change
	refuse(c, kmsapi.TagResource, &kmsapi.TagResourceInput{KeyId: &id, Tags: tagList("one", "more")}, "TagException", "Too many tags")
	refuse(c, kmsapi.CreateKey, &kmsapi.CreateKeyInput{Tags: tagList(many...)}, "TagException", "Too many tags")
	nobody := c
	nobody.user = "ana" // it is told before anything is decided
	refuse(nobody, kmsapi.TagResource, &kmsapi.TagResourceInput{KeyId: &id, Tags: tagList(many...)}, "TagException", "Too many tags")
	refuse(nobody, kmsapi.UntagResource, &kmsapi.UntagResourceInput{KeyId: &id, TagKeys: slices.Repeat([]string{"k"}, 51)}, "TagException", "Too many tags")
	if n := len(strings.Fields(c.tags(id, 7))); n != 50 {
		t.Errorf("%d tags, want 50", n)
	}

	// Tags that go between pages do not disturb the rest.
	first := must(c, kmsapi.ListResourceTags, &kmsapi.ListResourceTagsInput{KeyId: &id, Limit: new(int64(10))})
	last := *first.Tags[9].TagKey
	must(c, kmsapi.UntagResource, &kmsapi.UntagResourceInput{KeyId: &id, TagKeys: []string{last, *first.Tags[0].TagKey}})
	rest := must(c, kmsapi.ListResourceTags, &kmsapi.ListResourceTagsInput{KeyId: &id, Marker: first.NextMarker})
	if len(rest.Tags) != 40 || *rest.Tags[0].TagKey <= last {
		t.Errorf("%d tags from %s on, want 40 behind %s", len(rest.Tags), *rest.Tags[0].TagKey, last)
	}
}

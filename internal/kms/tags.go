package kms

import (
	"slices"
	"strings"

	"coffer/internal/api"
	kmsapi "coffer/internal/api/kms"
)

const maxTags = 50

// mergeTags returns old with the tags of add, by key; old is not changed.
func mergeTags(old []Tag, add []kmsapi.Tag) ([]Tag, error) {
	for i := range add {
		key := *add[i].TagKey
		if len(key) >= 4 && strings.EqualFold(key[:4], "aws:") {
			return nil, kmsapi.TagException("Tags beginning with aws: are reserved")
		}
		for j := range add[:i] {
			if *add[j].TagKey == key {
				return nil, kmsapi.TagException("Duplicate tag keys")
			}
		}
		// Bounds the quadratic search above as well.
		if i >= maxTags {
			return nil, kmsapi.TagException("Too many tags")
		}
	}
	tags := slices.Clone(old)
	for i := range add {
		t := Tag{Key: *add[i].TagKey, Value: *add[i].TagValue}
		at, ok := findTag(tags, t.Key)
		if ok {
			tags[at] = t
		} else {
			tags = slices.Insert(tags, at, t)
		}
	}
	if len(tags) > maxTags {
		return nil, kmsapi.TagException("Too many tags")
	}
	return tags, nil
}

// checkTags refuses a request with more tags, or keys of tags, than a key can have, before they are
// compared with policies.
func checkTags(n int) error {
	if n > maxTags {
		return kmsapi.TagException("Too many tags")
	}
	return nil
}

// requestTags are the tags that a request gives, for condition keys.
func requestTags(tags []kmsapi.Tag) []Tag {
	out := make([]Tag, 0, len(tags))
	for i := range tags {
		out = append(out, Tag{Key: *tags[i].TagKey, Value: *tags[i].TagValue})
	}
	return out
}

func findTag(tags []Tag, key string) (int, bool) {
	return slices.BinarySearchFunc(tags, key, func(t Tag, key string) int { return strings.Compare(t.Key, key) })
}

func resolveTagResource(r *api.Request, in *kmsapi.TagResourceInput) (target, api.Access, error) {
	if err := checkTags(len(in.Tags)); err != nil {
		return target{}, api.Access{}, err
	}
	t, err := locate(r, *in.KeyId, false)
	a := t.access("")
	a.RequestTags = requestTags(in.Tags)
	return t, a, err
}

func resolveUntagResource(r *api.Request, in *kmsapi.UntagResourceInput) (target, api.Access, error) {
	if err := checkTags(len(in.TagKeys)); err != nil {
		return target{}, api.Access{}, err
	}
	t, err := locate(r, *in.KeyId, false)
	a := t.access("")
	a.TagKeys = in.TagKeys
	return t, a, err
}

func tagResource(r *api.Request, in *kmsapi.TagResourceInput, t target) (*kmsapi.TagResourceOutput, error) {
	k, err := t.change(r)
	if err != nil {
		return nil, err
	}
	if err := k.notPending(); err != nil {
		return nil, err
	}
	if k.Tags, err = mergeTags(k.Tags, in.Tags); err != nil {
		return nil, err
	}
	return &kmsapi.TagResourceOutput{}, Keys.Put(r.Tx, k)
}

// untagResource does not mind keys that are not there.
func untagResource(r *api.Request, in *kmsapi.UntagResourceInput, t target) (*kmsapi.UntagResourceOutput, error) {
	k, err := t.change(r)
	if err != nil {
		return nil, err
	}
	if err := k.notPending(); err != nil {
		return nil, err
	}
	for _, key := range in.TagKeys {
		if at, ok := findTag(k.Tags, key); ok {
			k.Tags = slices.Delete(k.Tags, at, at+1)
		}
	}
	return &kmsapi.UntagResourceOutput{}, Keys.Put(r.Tx, k)
}

func listResourceTags(r *api.Request, in *kmsapi.ListResourceTagsInput, t target) (*kmsapi.ListResourceTagsOutput, error) {
	k, err := t.found(r, r.Op.Action())
	if err != nil {
		return nil, err
	}
	p, err := newPage(r, in.Limit, in.Marker, 50, k.ID)
	if err != nil {
		return nil, err
	}
	out := &kmsapi.ListResourceTagsOutput{Tags: []kmsapi.Tag{}}
	from := 0
	if p.After != "" {
		at, ok := findTag(k.Tags, p.After)
		if from = at; ok {
			from++
		}
	}
	for _, tag := range k.Tags[from:] {
		if len(out.Tags) == p.Limit {
			out.NextMarker = p.Next(*out.Tags[p.Limit-1].TagKey)
			break
		}
		out.Tags = append(out.Tags, kmsapi.Tag{TagKey: new(tag.Key), TagValue: new(tag.Value)})
	}
	out.Truncated = new(out.NextMarker != nil)
	return out, nil
}

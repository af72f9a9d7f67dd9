package cloudwatchlogs

import (
	"fmt"
	"slices"
	"strings"

	"coffer/internal/api"
	logsapi "coffer/internal/api/logs"
	"coffer/internal/fault"
)

const (
	maxTags = 50

	textTooManyTags = "A resource can have no more than 50 tags."
	textReservedTag = "aws: prefixed tag key names are not allowed for external use."
	textBadResource = "The specified resource ARN is invalid: %s"
	textNoResource  = "The specified resource does not exist."
)

// tagList gives the tags of an input in order, for condition keys.
func tagList(tags map[string]string) []Tag {
	list := make([]Tag, 0, len(tags))
	for k, v := range tags {
		list = append(list, Tag{Key: k, Value: v})
	}
	slices.SortFunc(list, func(a, b Tag) int { return strings.Compare(a.Key, b.Key) })
	return list
}

// tag adds tags and replaces those with the same key. tooMany makes the error of the operation.
func (g *Group) tag(tags map[string]string, tooMany func(text string) error) error {
	for _, t := range tagList(tags) {
		if len(t.Key) >= 4 && strings.EqualFold(t.Key[:4], "aws:") {
			return invalid(textReservedTag)
		}
		at, ok := g.findTag(t.Key)
		if ok {
			g.Tags[at] = t
		} else {
			g.Tags = slices.Insert(g.Tags, at, t)
		}
	}
	if len(g.Tags) > maxTags {
		return tooMany(textTooManyTags)
	}
	return nil
}

func (g *Group) findTag(key string) (int, bool) {
	return slices.BinarySearchFunc(g.Tags, key, func(t Tag, key string) int { return strings.Compare(t.Key, key) })
}

// untag does not mind keys that are not there.
func (g *Group) untag(keys []string) {
	for _, k := range keys {
		if at, ok := g.findTag(k); ok {
			g.Tags = slices.Delete(g.Tags, at, at+1)
		}
	}
}

func (g *Group) tagMap() map[string]string {
	m := make(map[string]string, len(g.Tags))
	for _, t := range g.Tags {
		m[t.Key] = t.Value
	}
	return m
}

// tagged reports whether every filter finds a tag of its key with one of its values.
func (g *Group) tagged(filters []logsapi.TagFilter) bool {
	for i := range filters {
		at, ok := g.findTag(api.Value(filters[i].Key))
		if !ok || len(filters[i].Values) > 0 && !slices.ContainsFunc(filters[i].Values, func(want string) bool { return valueMatches(want, g.Tags[at].Value) }) {
			return false
		}
	}
	return true
}

// valueMatches: "! as a prefix for negation. Exact matching and negation are case-sensitive.
// Wildcard matching is case-insensitive."
func valueMatches(want, value string) bool {
	want, not := strings.CutPrefix(want, "!")
	if strings.HasPrefix(want, "*") || strings.HasSuffix(want, "*") {
		value = strings.ToLower(value)
		text := strings.ToLower(want)
		text, open := strings.CutPrefix(text, "*")
		text, close := strings.CutSuffix(text, "*")
		switch {
		case open && close:
			return strings.Contains(value, text) != not
		case open:
			return strings.HasSuffix(value, text) != not
		default:
			return strings.HasPrefix(value, text) != not
		}
	}
	return (want == value) != not
}

// onResource resolves an operation that names its group by ARN, and is decided on that.
func onResource(r *api.Request, resource *string) (*target, api.Access, error) {
	if !strings.HasPrefix(*resource, "arn:") {
		return nil, api.Access{}, invalid(fmt.Sprintf(textBadResource, *resource))
	}
	t, err := locate(r, nil, resource)
	if _, ok := fault.As(err); ok {
		return nil, api.Access{}, invalid(fmt.Sprintf(textBadResource, *resource))
	}
	if err != nil {
		return nil, api.Access{}, err
	}
	return t, t.own(), nil
}

// taggable gives the group of a resource ARN, to be changed.
func (t *target) taggable(r *api.Request) (*Group, error) {
	if t.group == nil {
		return nil, logsapi.ResourceNotFoundException(textNoResource)
	}
	return t.change(r)
}

func resolveTagResource(r *api.Request, in *logsapi.TagResourceInput) (*target, api.Access, error) {
	t, a, err := onResource(r, in.ResourceArn)
	a.RequestTags = tagList(in.Tags)
	return t, a, err
}

func tagResource(r *api.Request, in *logsapi.TagResourceInput, t *target) (*logsapi.TagResourceOutput, error) {
	g, err := t.taggable(r)
	if err != nil {
		return nil, err
	}
	if err := g.tag(in.Tags, func(text string) error { return logsapi.TooManyTagsException(text) }); err != nil {
		return nil, err
	}
	return &logsapi.TagResourceOutput{}, Groups.Put(r.Tx, g)
}

func resolveUntagResource(r *api.Request, in *logsapi.UntagResourceInput) (*target, api.Access, error) {
	t, a, err := onResource(r, in.ResourceArn)
	a.TagKeys = in.TagKeys
	return t, a, err
}

func untagResource(r *api.Request, in *logsapi.UntagResourceInput, t *target) (*logsapi.UntagResourceOutput, error) {
	g, err := t.taggable(r)
	if err != nil {
		return nil, err
	}
	g.untag(in.TagKeys)
	return &logsapi.UntagResourceOutput{}, Groups.Put(r.Tx, g)
}

func resolveListTagsForResource(r *api.Request, in *logsapi.ListTagsForResourceInput) (*target, api.Access, error) {
	return onResource(r, in.ResourceArn)
}

func listTagsForResource(_ *api.Request, _ *logsapi.ListTagsForResourceInput, t *target) (*logsapi.ListTagsForResourceOutput, error) {
	if t.group == nil {
		return nil, logsapi.ResourceNotFoundException(textNoResource)
	}
	return &logsapi.ListTagsForResourceOutput{Tags: t.group.tagMap()}, nil
}

func resolveTagLogGroup(r *api.Request, in *logsapi.TagLogGroupInput) (*target, api.Access, error) {
	t, err := locate(r, in.LogGroupName, nil)
	if err != nil {
		return nil, api.Access{}, err
	}
	a := t.access("")
	a.RequestTags = tagList(in.Tags)
	return t, a, nil
}

func tagLogGroup(r *api.Request, in *logsapi.TagLogGroupInput, t *target) (*logsapi.TagLogGroupOutput, error) {
	g, err := t.change(r)
	if err != nil {
		return nil, err
	}
	if err := g.tag(in.Tags, invalid); err != nil {
		return nil, err
	}
	return &logsapi.TagLogGroupOutput{}, Groups.Put(r.Tx, g)
}

// untagLogGroup: its keys are no condition keys in AWS ("UntagLogGroup").
func untagLogGroup(r *api.Request, in *logsapi.UntagLogGroupInput, t *target) (*logsapi.UntagLogGroupOutput, error) {
	g, err := t.change(r)
	if err != nil {
		return nil, err
	}
	g.untag(in.Tags)
	return &logsapi.UntagLogGroupOutput{}, Groups.Put(r.Tx, g)
}

func listTagsLogGroup(_ *api.Request, _ *logsapi.ListTagsLogGroupInput, t *target) (*logsapi.ListTagsLogGroupOutput, error) {
	g, err := t.existing()
	if err != nil {
		return nil, err
	}
	return &logsapi.ListTagsLogGroupOutput{Tags: g.tagMap()}, nil
}

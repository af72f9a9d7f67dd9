package lambda

import (
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"coffer/internal/api"
	lambdaapi "coffer/internal/api/lambda"
	"coffer/internal/arn"
	"coffer/internal/policy"
)

const (
	// maxTags is how many tags a function can have, maxTagKey and maxTagValue how many
	// characters they have ("Using tags on Lambda functions").
	maxTags     = 50
	maxTagKey   = 128
	maxTagValue = 256

	textTooManyTags = "Number of tags exceeds resource tag limit."
	textTagTarget   = "Tags on function aliases and versions are not supported. Please specify a function ARN."
	textNoTags      = "An error occurred and the request cannot be processed."
	textReservedTag = "Tag keys starting with 'aws:' are reserved for system use"
	textTagKey      = "Tag keys must have 1 to 128 characters."
	textTagValue    = "Tag values must have at most 256 characters."
	textTagText     = "Tag keys and values can contain letters, numbers, spaces, and any of the following: _.:/=+-@"
)

func (s *Service) tagOperations() []api.Bound {
	return []api.Bound{
		api.Bind(lambdaapi.ListTags, s.resolveListTags, listTags),
		api.Bind(lambdaapi.TagResource, s.resolveTagResource, tagResource),
		api.Bind(lambdaapi.UntagResource, s.resolveUntagResource, untagResource),
	}
}

// tagged resolves the operations on tags. Of what can have tags, only functions exist here.
func (s *Service) tagged(r *api.Request, resource string, find func(reference) (*target, error)) (t *target, a api.Access, err error) {
	parsed, err := arn.Parse(resource)
	if err != nil {
		return nil, a, noSuchName(resource)
	}
	if !strings.HasPrefix(parsed.Resource, "function:") {
		t = &target{reference: reference{region: parsed.Region, account: parsed.Account}, r: r, tx: r.Tx, arn: resource}
		a, err = t.access()
		return t, a, err
	}
	ref, err := parseName(r, resource)
	if err != nil {
		return nil, a, err
	}
	if ref.qualifier != "" {
		return nil, a, lambdaapi.InvalidParameterValueException(textTagTarget)
	}
	if t, err = find(ref); err != nil {
		return nil, a, err
	}
	a, err = t.access()
	return t, a, err
}

// tags is the function whose tags are meant.
func (t *target) tags() (*Function, error) {
	if t.name == "" {
		return nil, lambdaapi.ResourceNotFoundException(textNoResource)
	}
	return t.existing()
}

func (s *Service) resolveListTags(r *api.Request, in *lambdaapi.ListTagsInput) (*target, api.Access, error) {
	return s.tagged(r, *in.Resource, func(ref reference) (*target, error) { return s.read(r, r.Tx, ref) })
}

func (s *Service) resolveTagResource(r *api.Request, in *lambdaapi.TagResourceInput) (*target, api.Access, error) {
	t, a, err := s.tagged(r, *in.Resource, func(ref reference) (*target, error) { return s.write(r, ref) })
	a.RequestTags = sortedTags(in.Tags)
	return t, a, err
}

func (s *Service) resolveUntagResource(r *api.Request, in *lambdaapi.UntagResourceInput) (*target, api.Access, error) {
	t, a, err := s.tagged(r, *in.Resource, func(ref reference) (*target, error) { return s.write(r, ref) })
	a.TagKeys = in.TagKeys
	return t, a, err
}

// listTags shows that built-in functions have none.
func listTags(_ *api.Request, _ *lambdaapi.ListTagsInput, t *target) (*lambdaapi.ListTagsOutput, error) {
	out := &lambdaapi.ListTagsOutput{Tags: map[string]string{}}
	if t.function == nil && t.builtIn != nil {
		return out, nil
	}
	f, err := t.tags()
	if err != nil {
		return nil, err
	}
	if len(f.Tags) > 0 {
		out.Tags = tagMap(f.Tags)
	}
	return out, nil
}

func tagResource(r *api.Request, in *lambdaapi.TagResourceInput, t *target) (*lambdaapi.TagResourceOutput, error) {
	f, err := t.tags()
	if err != nil {
		return nil, err
	}
	if len(in.Tags) == 0 {
		return nil, lambdaapi.InvalidParameterValueException(textNoTags)
	}
	if f.Tags, err = mergeTags(f.Tags, in.Tags); err != nil {
		return nil, err
	}
	return &lambdaapi.TagResourceOutput{}, Functions.Put(r.Tx, f)
}

// untagResource does not mind keys that are not there.
func untagResource(r *api.Request, in *lambdaapi.UntagResourceInput, t *target) (*lambdaapi.UntagResourceOutput, error) {
	f, err := t.tags()
	if err != nil {
		return nil, err
	}
	if len(in.TagKeys) == 0 {
		return nil, lambdaapi.InvalidParameterValueException(textNoTags)
	}
	for _, key := range in.TagKeys {
		if reserved(key) {
			return nil, lambdaapi.InvalidParameterValueException(textReservedTag)
		}
		if at, ok := findTag(f.Tags, key); ok {
			f.Tags = slices.Delete(f.Tags, at, at+1)
		}
	}
	return &lambdaapi.UntagResourceOutput{}, Functions.Put(r.Tx, f)
}

// mergeTags returns old with the tags of add, by key; old is not changed.
func mergeTags(old []policy.Tag, add map[string]string) ([]policy.Tag, error) {
	tags := slices.Clone(old)
	for _, t := range sortedTags(add) {
		if err := checkTag(t); err != nil {
			return nil, err
		}
		at, ok := findTag(tags, t.Key)
		if ok {
			tags[at] = t
		} else {
			tags = slices.Insert(tags, at, t)
		}
		// Bounds the work above as well.
		if len(tags) > maxTags {
			return nil, lambdaapi.InvalidParameterValueException(textTooManyTags)
		}
	}
	return tags, nil
}

// checkTags checks the tags of something new.
func checkTags(tags map[string]string) error {
	_, err := mergeTags(nil, tags)
	return err
}

func checkTag(t policy.Tag) error {
	text := ""
	switch n := utf8.RuneCountInString(t.Key); {
	case reserved(t.Key):
		text = textReservedTag
	case n == 0 || n > maxTagKey:
		text = textTagKey
	case utf8.RuneCountInString(t.Value) > maxTagValue:
		text = textTagValue
	case strings.ContainsFunc(t.Key, notInTags) || strings.ContainsFunc(t.Value, notInTags):
		text = textTagText
	default:
		return nil
	}
	return lambdaapi.InvalidParameterValueException(text)
}

func reserved(key string) bool { return len(key) >= 4 && strings.EqualFold(key[:4], "aws:") }

func notInTags(c rune) bool {
	return !unicode.IsLetter(c) && !unicode.IsNumber(c) && !unicode.Is(unicode.Zs, c) && !strings.ContainsRune("_.:/=+-@", c)
}

func findTag(tags []policy.Tag, key string) (int, bool) {
	return slices.BinarySearchFunc(tags, key, func(t policy.Tag, key string) int { return strings.Compare(t.Key, key) })
}

// sortedTags are tags as they are stored, and as a request gives them: by key.
func sortedTags(tags map[string]string) []policy.Tag {
	out := make([]policy.Tag, 0, len(tags))
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		out = append(out, policy.Tag{Key: key, Value: tags[key]})
	}
	return out
}

// tagMap are tags as answers show them; nil if there are none.
func tagMap(tags []policy.Tag) map[string]string {
	if len(tags) == 0 {
		return nil
	}
	out := make(map[string]string, len(tags))
	for _, t := range tags {
		out[t.Key] = t.Value
	}
	return out
}

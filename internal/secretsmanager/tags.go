package secretsmanager

import (
	"slices"
	"strings"
	"unicode"

	"coffer/internal/api"
	smapi "coffer/internal/api/secretsmanager"
)

// maxTags is the quota on tags of a secret.
const maxTags = 50

const (
	textTooManyTags  = "You can't add more than 50 tags to a secret."
	textTooManyKeys  = "You can't remove more than 50 tags from a secret."
	textDuplicateTag = "You can't use the same tag key twice in one request."
	textReservedTag  = "aws: prefixed tag key names are not allowed for external use."
	textTagText      = "Tag keys and values can contain letters, numbers, spaces, and any of the following: _.:/=+-@"
	textNoTagKey     = "You must provide a key for each tag."
)

// checkTags refuses more tags than a secret can have before anything is decided: decisions compare
// them with policies, and there could be a hundred thousand.
func checkTags(n int, text string) error {
	if n > maxTags {
		return smapi.InvalidParameterException(text)
	}
	return nil
}

// requestTags are the tags that a request gives, for condition keys.
func requestTags(tags []smapi.Tag) []Tag {
	out := make([]Tag, 0, len(tags))
	for i := range tags {
		out = append(out, Tag{Key: api.Value(tags[i].Key), Value: api.Value(tags[i].Value)})
	}
	return out
}

func resolveTagResource(r *api.Request, in *smapi.TagResourceInput) (*target, api.Access, error) {
	if err := checkTags(len(in.Tags), textTooManyTags); err != nil {
		return nil, api.Access{}, err
	}
	t, access, err := write(r, in.SecretId)
	access.RequestTags = requestTags(in.Tags)
	return t, access, err
}

func tagResource(r *api.Request, in *smapi.TagResourceInput, t *target) (*smapi.TagResourceOutput, error) {
	s, err := t.live()
	if err != nil {
		return nil, err
	}
	if err := s.addTags(in.Tags); err != nil {
		return nil, err
	}
	if err := t.keepsAccess(r, api.Access{RequestTags: requestTags(in.Tags)}); err != nil {
		return nil, err
	}
	return &smapi.TagResourceOutput{}, save(r, s)
}

func resolveUntagResource(r *api.Request, in *smapi.UntagResourceInput) (*target, api.Access, error) {
	if err := checkTags(len(in.TagKeys), textTooManyKeys); err != nil {
		return nil, api.Access{}, err
	}
	t, access, err := write(r, in.SecretId)
	access.TagKeys = in.TagKeys
	return t, access, err
}

func untagResource(r *api.Request, in *smapi.UntagResourceInput, t *target) (*smapi.UntagResourceOutput, error) {
	s, err := t.live()
	if err != nil {
		return nil, err
	}
	for _, k := range in.TagKeys {
		if reserved(k) {
			return nil, smapi.InvalidParameterException(textReservedTag)
		}
	}
	s.removeTags(in.TagKeys)
	if err := t.keepsAccess(r, api.Access{TagKeys: in.TagKeys}); err != nil {
		return nil, err
	}
	return &smapi.UntagResourceOutput{}, save(r, s)
}

// keepsAccess refuses a change of tags after which the caller could not do the
// same again: "if you use tags for access control and the change would take away
// your permission to the secret, the operation fails" (API reference of
// TagResource).
func (t *target) keepsAccess(r *api.Request, a api.Access) (err error) {
	a.Resource, a.Account, a.Named, a.Tags, a.Keys = t.arn, t.account, t.sent, t.secret.Tags, t
	if a.Policy, err = t.secret.policy(r.Tx); err != nil {
		return err
	}
	_, err = r.Caller.Authorize(r, &a)
	return err
}

// addTags adds or overwrites tags (spec §9). The model bounds the list by the
// size of the request alone: tens of thousands of tags are checked, each once,
// and only as many as a secret may have are compared with those it has.
func (s *Secret) addTags(tags []smapi.Tag) error {
	seen := make(map[string]bool, len(tags))
	for i := range tags {
		key, value := api.Value(tags[i].Key), api.Value(tags[i].Value)
		switch {
		case key == "":
			return smapi.InvalidParameterException(textNoTagKey) // the model does not require it
		case reserved(key):
			return smapi.InvalidParameterException(textReservedTag)
		case !tagText(key) || !tagText(value):
			return smapi.InvalidParameterException(textTagText)
		case seen[key]:
			return smapi.InvalidParameterException(textDuplicateTag)
		}
		seen[key] = true
	}
	if len(tags) > maxTags { // they are distinct
		return smapi.InvalidParameterException(textTooManyTags)
	}
	for i := range tags {
		key, value := api.Value(tags[i].Key), api.Value(tags[i].Value)
		s.Tagged = true
		if j := slices.IndexFunc(s.Tags, func(t Tag) bool { return t.Key == key }); j >= 0 {
			s.Tags[j].Value = value
		} else {
			s.Tags = append(s.Tags, Tag{Key: key, Value: value})
		}
	}
	if len(s.Tags) > maxTags {
		return smapi.InvalidParameterException(textTooManyTags)
	}
	return nil
}

// removeTags goes through keys once: there may be a hundred thousand.
func (s *Secret) removeTags(keys []string) {
	gone := make(map[string]bool, len(s.Tags))
	for i := range s.Tags {
		gone[s.Tags[i].Key] = false
	}
	for _, k := range keys {
		if _, ok := gone[k]; ok {
			gone[k] = true
		}
	}
	s.Tags = slices.DeleteFunc(s.Tags, func(t Tag) bool { return gone[t.Key] })
}

// reserved: the prefix aws:, in any case, is for tags that services set. What
// CloudFormation sets comes through its own door, not through this call.
func reserved(key string) bool {
	return len(key) >= 4 && strings.EqualFold(key[:4], "aws:")
}

func tagText(s string) bool {
	for _, c := range s {
		if !unicode.IsLetter(c) && !unicode.IsNumber(c) && !unicode.Is(unicode.Zs, c) && !strings.ContainsRune("_.:/=+-@", c) {
			return false
		}
	}
	return true
}

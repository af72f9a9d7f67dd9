package iam

import (
	"slices"
	"strings"

	"coffer/internal/api"
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

func (s *Service) tagOperations() []api.Bound {
	return []api.Bound{
		api.Bind(iamapi.TagUser, resolveTagUser, tagUser),
		api.Bind(iamapi.UntagUser, resolveUntagUser, untagUser),
		api.Bind(iamapi.ListUserTags, resolveListUserTags, listUserTags),
		api.Bind(iamapi.TagRole, resolveTagRole, tagRole),
		api.Bind(iamapi.UntagRole, resolveUntagRole, untagRole),
		api.Bind(iamapi.ListRoleTags, resolveListRoleTags, listRoleTags),
		api.Bind(iamapi.TagInstanceProfile, resolveTagInstanceProfile, tagInstanceProfile),
		api.Bind(iamapi.UntagInstanceProfile, resolveUntagInstanceProfile, untagInstanceProfile),
		api.Bind(iamapi.ListInstanceProfileTags, resolveListInstanceProfileTags, listInstanceProfileTags),
		api.Bind(iamapi.TagMFADevice, resolveTagMFADevice, tagMFADevice),
		api.Bind(iamapi.UntagMFADevice, resolveUntagMFADevice, untagMFADevice),
		api.Bind(iamapi.ListMFADeviceTags, resolveListMFADeviceTags, listMFADeviceTags),
	}
}

// tagging adds to what was resolved the tags that a request gives, for condition keys.
func tagging[T any](tags []iamapi.Tag) func(T, api.Access, error) (T, api.Access, error) {
	return func(t T, a api.Access, err error) (T, api.Access, error) {
		a.RequestTags = requestTags(tags)
		return t, a, err
	}
}

// untagging adds the keys of the tags that a request takes away.
func untagging[T any](keys []string) func(T, api.Access, error) (T, api.Access, error) {
	return func(t T, a api.Access, err error) (T, api.Access, error) {
		a.TagKeys = keys
		return t, a, err
	}
}

// retag puts the user with other tags, which decisions may depend on.
func (t *userTarget) retag(change func([]policy.Tag) ([]policy.Tag, error)) error {
	u, err := t.edit()
	if err != nil {
		return err
	}
	if u.Tags, err = change(u.Tags); err != nil {
		return err
	}
	return t.put(u)
}

// retag puts the role, which may be a service's, with other tags.
func (t *roleTarget) retag(change func([]policy.Tag) ([]policy.Tag, error)) error {
	role, err := t.editLinked()
	if err != nil {
		return err
	}
	if role.Tags, err = change(role.Tags); err != nil {
		return err
	}
	return t.put(role)
}

func (t *profileTarget) retag(change func([]policy.Tag) ([]policy.Tag, error)) error {
	p, err := t.edit()
	if err != nil {
		return err
	}
	if p.Tags, err = change(p.Tags); err != nil {
		return err
	}
	return InstanceProfiles.Put(t.r.Tx, p)
}

func (t *deviceTarget) retag(change func([]policy.Tag) ([]policy.Tag, error)) error {
	d, err := t.found()
	if err != nil {
		return err
	}
	if d, err = MFADevices.Edit(t.r.Tx, MFADevices.Key(d)); err != nil {
		return err
	}
	if d.Tags, err = change(d.Tags); err != nil {
		return err
	}
	return MFADevices.Put(t.r.Tx, d)
}

// adding and removing are the changes that retag makes.
func adding(tags []iamapi.Tag) func([]policy.Tag) ([]policy.Tag, error) {
	return func(old []policy.Tag) ([]policy.Tag, error) { return mergeTags(old, tags) }
}

func removing(keys []string) func([]policy.Tag) ([]policy.Tag, error) {
	return func(old []policy.Tag) ([]policy.Tag, error) { return withoutTags(old, keys), nil }
}

func resolveTagUser(r *api.Request, in *iamapi.TagUserInput) (*userTarget, api.Access, error) {
	return tagging[*userTarget](in.Tags)(onUser(r, in.UserName))
}

func tagUser(_ *api.Request, in *iamapi.TagUserInput, t *userTarget) (*iamapi.TagUserOutput, error) {
	return &iamapi.TagUserOutput{}, t.retag(adding(in.Tags))
}

func resolveUntagUser(r *api.Request, in *iamapi.UntagUserInput) (*userTarget, api.Access, error) {
	return untagging[*userTarget](in.TagKeys)(onUser(r, in.UserName))
}

func untagUser(_ *api.Request, in *iamapi.UntagUserInput, t *userTarget) (*iamapi.UntagUserOutput, error) {
	return &iamapi.UntagUserOutput{}, t.retag(removing(in.TagKeys))
}

func resolveListUserTags(r *api.Request, in *iamapi.ListUserTagsInput) (*userTarget, api.Access, error) {
	return onUser(r, in.UserName)
}

func listUserTags(_ *api.Request, in *iamapi.ListUserTagsInput, t *userTarget) (out *iamapi.ListUserTagsOutput, err error) {
	if _, err := t.found(); err != nil {
		return nil, err
	}
	out = &iamapi.ListUserTagsOutput{}
	out.Tags, out.Marker, err = tagPage(t.tags, in.Marker, in.MaxItems)
	out.IsTruncated = new(out.Marker != nil)
	return out, err
}

func resolveTagRole(r *api.Request, in *iamapi.TagRoleInput) (*roleTarget, api.Access, error) {
	return tagging[*roleTarget](in.Tags)(onRole(r, in.RoleName))
}

func tagRole(_ *api.Request, in *iamapi.TagRoleInput, t *roleTarget) (*iamapi.TagRoleOutput, error) {
	return &iamapi.TagRoleOutput{}, t.retag(adding(in.Tags))
}

func resolveUntagRole(r *api.Request, in *iamapi.UntagRoleInput) (*roleTarget, api.Access, error) {
	return untagging[*roleTarget](in.TagKeys)(onRole(r, in.RoleName))
}

func untagRole(_ *api.Request, in *iamapi.UntagRoleInput, t *roleTarget) (*iamapi.UntagRoleOutput, error) {
	return &iamapi.UntagRoleOutput{}, t.retag(removing(in.TagKeys))
}

func resolveListRoleTags(r *api.Request, in *iamapi.ListRoleTagsInput) (*roleTarget, api.Access, error) {
	return onRole(r, in.RoleName)
}

func listRoleTags(_ *api.Request, in *iamapi.ListRoleTagsInput, t *roleTarget) (out *iamapi.ListRoleTagsOutput, err error) {
	if _, err := t.found(); err != nil {
		return nil, err
	}
	out = &iamapi.ListRoleTagsOutput{}
	out.Tags, out.Marker, err = tagPage(t.tags, in.Marker, in.MaxItems)
	out.IsTruncated = new(out.Marker != nil)
	return out, err
}

func resolveTagInstanceProfile(r *api.Request, in *iamapi.TagInstanceProfileInput) (*profileTarget, api.Access, error) {
	return tagging[*profileTarget](in.Tags)(onProfile(r, in.InstanceProfileName))
}

func tagInstanceProfile(_ *api.Request, in *iamapi.TagInstanceProfileInput, t *profileTarget) (*iamapi.TagInstanceProfileOutput, error) {
	return &iamapi.TagInstanceProfileOutput{}, t.retag(adding(in.Tags))
}

func resolveUntagInstanceProfile(r *api.Request, in *iamapi.UntagInstanceProfileInput) (*profileTarget, api.Access, error) {
	return untagging[*profileTarget](in.TagKeys)(onProfile(r, in.InstanceProfileName))
}

func untagInstanceProfile(_ *api.Request, in *iamapi.UntagInstanceProfileInput, t *profileTarget) (*iamapi.UntagInstanceProfileOutput, error) {
	return &iamapi.UntagInstanceProfileOutput{}, t.retag(removing(in.TagKeys))
}

func resolveListInstanceProfileTags(r *api.Request, in *iamapi.ListInstanceProfileTagsInput) (*profileTarget, api.Access, error) {
	return onProfile(r, in.InstanceProfileName)
}

func listInstanceProfileTags(_ *api.Request, in *iamapi.ListInstanceProfileTagsInput, t *profileTarget) (out *iamapi.ListInstanceProfileTagsOutput, err error) {
	if _, err := t.found(); err != nil {
		return nil, err
	}
	out = &iamapi.ListInstanceProfileTagsOutput{}
	out.Tags, out.Marker, err = tagPage(t.tags, in.Marker, in.MaxItems)
	out.IsTruncated = new(out.Marker != nil)
	return out, err
}

func resolveTagMFADevice(r *api.Request, in *iamapi.TagMFADeviceInput) (*deviceTarget, api.Access, error) {
	return tagging[*deviceTarget](in.Tags)(onDevice(r, in.SerialNumber))
}

func tagMFADevice(_ *api.Request, in *iamapi.TagMFADeviceInput, t *deviceTarget) (*iamapi.TagMFADeviceOutput, error) {
	return &iamapi.TagMFADeviceOutput{}, t.retag(adding(in.Tags))
}

func resolveUntagMFADevice(r *api.Request, in *iamapi.UntagMFADeviceInput) (*deviceTarget, api.Access, error) {
	return untagging[*deviceTarget](in.TagKeys)(onDevice(r, in.SerialNumber))
}

func untagMFADevice(_ *api.Request, in *iamapi.UntagMFADeviceInput, t *deviceTarget) (*iamapi.UntagMFADeviceOutput, error) {
	return &iamapi.UntagMFADeviceOutput{}, t.retag(removing(in.TagKeys))
}

func resolveListMFADeviceTags(r *api.Request, in *iamapi.ListMFADeviceTagsInput) (*deviceTarget, api.Access, error) {
	return onDevice(r, in.SerialNumber)
}

func listMFADeviceTags(_ *api.Request, in *iamapi.ListMFADeviceTagsInput, t *deviceTarget) (out *iamapi.ListMFADeviceTagsOutput, err error) {
	d, err := t.found()
	if err != nil {
		return nil, err
	}
	out = &iamapi.ListMFADeviceTagsOutput{}
	out.Tags, out.Marker, err = tagPage(d.Tags, in.Marker, in.MaxItems)
	out.IsTruncated = new(out.Marker != nil)
	return out, err
}

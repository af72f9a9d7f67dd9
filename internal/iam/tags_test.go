package iam_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"coffer/internal/coffertest/check"
)

// tags are "key=value".
func tags(pairs ...string) (out []types.Tag) {
	for _, p := range pairs {
		k, v, _ := strings.Cut(p, "=")
		out = append(out, types.Tag{Key: &k, Value: &v})
	}
	return out
}

func texts(tags []types.Tag) string {
	var out []string
	for _, t := range tags {
		out = append(out, *t.Key+"="+*t.Value)
	}
	return strings.Join(out, " ")
}

// tagged is a kind of entity that has tags.
type tagged struct {
	kind  string
	tag   func([]types.Tag) func() string
	untag func(...string) func() string
	list  func(*testing.T, *string, *int32) ([]types.Tag, *string)
}

func TestTags(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := new("n")
	check.Must(t, w.CreateUser, &iam.CreateUserInput{UserName: n})
	check.Must(t, w.CreateRole, &iam.CreateRoleInput{RoleName: n, AssumeRolePolicyDocument: new(trust(w.account))})
	check.Must(t, w.CreateInstanceProfile, &iam.CreateInstanceProfileInput{InstanceProfileName: n})
	serial := check.Must(t, w.CreateVirtualMFADevice, &iam.CreateVirtualMFADeviceInput{VirtualMFADeviceName: n}).VirtualMFADevice.SerialNumber
	for _, e := range []tagged{
		{"user",
			func(tags []types.Tag) func() string {
				return check.Try(w.TagUser, &iam.TagUserInput{UserName: n, Tags: tags})
			},
			func(keys ...string) func() string {
				return check.Try(w.UntagUser, &iam.UntagUserInput{UserName: n, TagKeys: keys})
			},
			func(t *testing.T, from *string, items *int32) ([]types.Tag, *string) {
				out := check.Must(t, w.ListUserTags, &iam.ListUserTagsInput{UserName: n, Marker: from, MaxItems: items})
				return out.Tags, out.Marker
			}},
		{"role",
			func(tags []types.Tag) func() string {
				return check.Try(w.TagRole, &iam.TagRoleInput{RoleName: n, Tags: tags})
			},
			func(keys ...string) func() string {
				return check.Try(w.UntagRole, &iam.UntagRoleInput{RoleName: n, TagKeys: keys})
			},
			func(t *testing.T, from *string, items *int32) ([]types.Tag, *string) {
				out := check.Must(t, w.ListRoleTags, &iam.ListRoleTagsInput{RoleName: n, Marker: from, MaxItems: items})
				return out.Tags, out.Marker
			}},
		{"instance profile",
			func(tags []types.Tag) func() string {
				return check.Try(w.TagInstanceProfile, &iam.TagInstanceProfileInput{InstanceProfileName: n, Tags: tags})
			},
			func(keys ...string) func() string {
				return check.Try(w.UntagInstanceProfile, &iam.UntagInstanceProfileInput{InstanceProfileName: n, TagKeys: keys})
			},
			func(t *testing.T, from *string, items *int32) ([]types.Tag, *string) {
				out := check.Must(t, w.ListInstanceProfileTags, &iam.ListInstanceProfileTagsInput{InstanceProfileName: n, Marker: from, MaxItems: items})
				return out.Tags, out.Marker
			}},
		{"MFA device",
			func(tags []types.Tag) func() string {
				return check.Try(w.TagMFADevice, &iam.TagMFADeviceInput{SerialNumber: serial, Tags: tags})
			},
			func(keys ...string) func() string {
				return check.Try(w.UntagMFADevice, &iam.UntagMFADeviceInput{SerialNumber: serial, TagKeys: keys})
			},
			func(t *testing.T, from *string, items *int32) ([]types.Tag, *string) {
				out := check.Must(t, w.ListMFADeviceTags, &iam.ListMFADeviceTagsInput{SerialNumber: serial, Marker: from, MaxItems: items})
				return out.Tags, out.Marker
			}},
	} {
		t.Run(e.kind, func(t *testing.T) { e.test(t) })
	}
}

func (e tagged) test(t *testing.T) {
	all := func() string {
		tags, _ := e.list(t, nil, nil)
		return texts(tags)
	}
	const duplicate = "InvalidInput: Duplicate tag keys found. Please note that Tag keys are case insensitive."
	var fifty []string
	for i := range 50 {
		fifty = append(fifty, fmt.Sprintf("k%02d=", i))
	}
	check.Run(t, []check.Rule{
		{"none", all, ""},
		{"add", e.tag(tags("Team=blue", "cost=1")), "ok"},
		{"sorted by key", all, "cost=1 Team=blue"},
		{"overwrite, in another case", e.tag(tags("team=red")), "ok"},
		{"the key as last written", all, "cost=1 team=red"},
		{"an empty value", e.tag(tags("cost=")), "ok"},
		{"other scripts", e.tag(tags("Ämter=Ω α")), "ok"},
		{"twice", e.tag(tags("a=1", "a=2")), duplicate},
		{"twice in two cases", e.tag(tags("a=1", "A=2")), duplicate},
		{"AWS's own", e.tag(tags("aws:x=1")), "InvalidInput: Tag keys beginning with aws: are reserved for system use."},
		{"in another case", e.tag(tags("Aws:x=1")), "InvalidInput: Tag keys beginning with aws: are reserved for system use."},
		{"nothing of it was added", all, "cost= team=red Ämter=Ω α"},
		{"a character that is not allowed", e.tag(tags("a;b=1")), `ValidationError: 1 validation error detected: Value 'a;b' at 'tags.1.member.key' failed to satisfy constraint: Member must satisfy regular expression pattern: [\p{L}\p{Z}\p{N}_.:/=+\-@]+`},
		{"a key of 129", e.tag(tags(strings.Repeat("k", 129) + "=")), "ValidationError: 1 validation error detected: Value '" + strings.Repeat("k", 129) + "' at 'tags.1.member.key' failed to satisfy constraint: Member must have length less than or equal to 128"},
		{"take away, in any case", e.untag("TEAM", "missing"), "ok"},
		{"gone", all, "cost= Ämter=Ω α"},
		{"too many together", e.tag(tags(fifty...)), "LimitExceeded: The number of tags has reached the maximum limit."},
		{"take the rest away", e.untag("cost", "ämter"), "ok"},
		{"fifty", e.tag(tags(fifty...)), "ok"},
		{"one of the fifty", e.tag(tags("K07=x")), "ok"},
		{"one more", e.tag(tags("k50=")), "LimitExceeded: The number of tags has reached the maximum limit."},
	})
	var pages []types.Tag
	var from *string
	for {
		page, next := e.list(t, from, new(int32(20)))
		pages = append(pages, page...)
		if from = next; from == nil {
			break
		}
	}
	check.Equal(t, "pages", len(pages), 50)
	check.Equal(t, "in order", texts(pages[6:9]), "k06= K07=x k08=")
}

func TestTagsOnCreation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ana := w.user(t, "ana", `{"Effect":"Allow","Action":["iam:CreateUser","iam:CreateRole","iam:CreateInstanceProfile","iam:CreateVirtualMFADevice"],"Resource":"*"}`)
	no := func(action, on string) string {
		return "AccessDenied: User: " + w.arn("user/ana") + " is not authorized to perform: iam:" + action + " on resource: " + w.arn(on) + " because no identity-based policy allows the iam:" + action + " action"
	}
	blue := tags("team=blue")
	check.Run(t, []check.Rule{
		{"no tags", check.Try(ana.CreateUser, &iam.CreateUserInput{UserName: new("x")}), "ok"},
		{"tags", check.Try(ana.CreateUser, &iam.CreateUserInput{UserName: new("y"), Tags: blue}), no("TagUser", "user/y")},
		{"of a role", check.Try(ana.CreateRole, &iam.CreateRoleInput{RoleName: new("y"), AssumeRolePolicyDocument: new(trust(w.account)), Tags: blue}), no("TagRole", "role/y")},
		{"of an instance profile", check.Try(ana.CreateInstanceProfile, &iam.CreateInstanceProfileInput{InstanceProfileName: new("y"), Tags: blue}), no("TagInstanceProfile", "instance-profile/y")},
		{"of a device", check.Try(ana.CreateVirtualMFADevice, &iam.CreateVirtualMFADeviceInput{VirtualMFADeviceName: new("y"), Tags: blue}), no("TagMFADevice", "mfa/y")},
		{"twice", check.Try(w.CreateUser, &iam.CreateUserInput{UserName: new("y"), Tags: tags("a=", "A=")}), "InvalidInput: Duplicate tag keys found. Please note that Tag keys are case insensitive."},
	})
}

// Policies restrict by the tags that things have and get, and by their keys.
func TestTagsDecide(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, team := range map[string]string{"bo": "blue", "ro": "red"} {
		check.Must(t, w.CreateUser, &iam.CreateUserInput{UserName: &name, Tags: tags("team=" + team)})
		check.Must(t, w.CreateRole, &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: new(trust(w.account)), Tags: tags("team=" + team)})
	}
	is := func(key string) string { return `"Condition":{"StringEquals":{"` + key + `":"blue"}}` }
	ana := w.user(t, "ana",
		allow("iam:GetUser", "*", is("iam:ResourceTag/team")),
		allow("iam:GetRole", "*", is("aws:ResourceTag/Team")),
		allow("iam:TagUser", "*", `"Condition":{"StringEquals":{"aws:RequestTag/team":"blue"},"ForAllValues:StringEquals":{"aws:TagKeys":["team","x"]}}`),
		allow("iam:UntagUser", "*", `"Condition":{"ForAllValues:StringEquals":{"aws:TagKeys":["x"]}}`),
		allow("iam:ListUserTags", "*", `"Condition":{"StringEquals":{"aws:PrincipalTag/team":"${aws:ResourceTag/team}"}}`),
	)
	no := func(action, on string) string {
		return "AccessDenied: User: " + w.arn("user/ana") + " is not authorized to perform: iam:" + action + " on resource: " + on + " because no identity-based policy allows the iam:" + action + " action"
	}
	tag := func(pairs ...string) func() string {
		return check.Try(ana.TagUser, &iam.TagUserInput{UserName: new("bo"), Tags: tags(pairs...)})
	}
	check.Run(t, []check.Rule{
		{"a blue user", check.Try(ana.GetUser, &iam.GetUserInput{UserName: new("bo")}), "ok"},
		{"a red user", check.Try(ana.GetUser, &iam.GetUserInput{UserName: new("ro")}), no("GetUser", "user ro")},
		{"nobody", check.Try(ana.GetUser, &iam.GetUserInput{UserName: new("nobody")}), no("GetUser", "user nobody")},
		{"a blue role", check.Try(ana.GetRole, &iam.GetRoleInput{RoleName: new("bo")}), "ok"},
		{"a red role", check.Try(ana.GetRole, &iam.GetRoleInput{RoleName: new("ro")}), no("GetRole", "role ro")},
		{"tag blue", tag("team=blue", "x=1"), "ok"},
		{"tag red", tag("team=red"), no("TagUser", "user bo")},
		{"tag another key", tag("team=blue", "y=1"), no("TagUser", "user bo")},
		{"untag", check.Try(ana.UntagUser, &iam.UntagUserInput{UserName: new("bo"), TagKeys: []string{"x"}}), "ok"},
		{"untag another key", check.Try(ana.UntagUser, &iam.UntagUserInput{UserName: new("bo"), TagKeys: []string{"x", "team"}}), no("UntagUser", "user bo")},
		{"of no team", check.Try(ana.ListUserTags, &iam.ListUserTagsInput{UserName: new("bo")}), no("ListUserTags", "user bo")},
		{"into the team", check.Try(w.TagUser, &iam.TagUserInput{UserName: new("ana"), Tags: tags("team=blue")}), "ok"},
		{"of the team", check.Try(ana.ListUserTags, &iam.ListUserTagsInput{UserName: new("bo")}), "ok"},
	})
}

package iam_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"coffer/internal/coffertest/check"
)

const thumbprint = "0123456789abcdef0123456789ABCDEF01234567"

func TestOIDCProvider(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made := check.Must(t, w.CreateOpenIDConnectProvider, &iam.CreateOpenIDConnectProviderInput{
		Url: new("https://token.actions.example.com/org/A"), ClientIDList: []string{"sts.amazonaws.com", "sts.amazonaws.com"},
		ThumbprintList: []string{thumbprint, strings.ToLower(thumbprint)}, Tags: tags("team=blue"),
	})
	arn := *made.OpenIDConnectProviderArn
	check.Equal(t, "ARN", arn, w.arn("oidc-provider/token.actions.example.com/org/A"))
	check.Equal(t, "tags", texts(made.Tags), "team=blue")
	got := check.Must(t, w.GetOpenIDConnectProvider, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: &arn})
	check.Equal(t, "URL without scheme", *got.Url, "token.actions.example.com/org/A")
	check.Equal(t, "audiences, each once", strings.Join(got.ClientIDList, " "), "sts.amazonaws.com")
	check.Equal(t, "thumbprints", strings.Join(got.ThumbprintList, " "), strings.ToLower(thumbprint))
	check.Equal(t, "tags", texts(got.Tags), "team=blue")
	check.Equal(t, "created", got.CreateDate.IsZero(), false)

	show := func() string {
		got := check.Must(t, w.GetOpenIDConnectProvider, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: &arn})
		return strings.Join(got.ClientIDList, " ") + " / " + strings.Join(got.ThumbprintList, " ")
	}
	add := func(id string) func() string {
		return check.Try(w.AddClientIDToOpenIDConnectProvider, &iam.AddClientIDToOpenIDConnectProviderInput{OpenIDConnectProviderArn: &arn, ClientID: &id})
	}
	remove := func(id string) func() string {
		return check.Try(w.RemoveClientIDFromOpenIDConnectProvider, &iam.RemoveClientIDFromOpenIDConnectProviderInput{OpenIDConnectProviderArn: &arn, ClientID: &id})
	}
	thumbprints := func(list ...string) func() string {
		return check.Try(w.UpdateOpenIDConnectProviderThumbprint, &iam.UpdateOpenIDConnectProviderThumbprintInput{OpenIDConnectProviderArn: &arn, ThumbprintList: list})
	}
	tagged := func() string {
		return texts(check.Must(t, w.ListOpenIDConnectProviderTags, &iam.ListOpenIDConnectProviderTagsInput{OpenIDConnectProviderArn: &arn}).Tags)
	}
	list := func() string {
		var arns []string
		for _, p := range check.Must(t, w.ListOpenIDConnectProviders, &iam.ListOpenIDConnectProvidersInput{}).OpenIDConnectProviderList {
			arns = append(arns, *p.Arn)
		}
		return strings.Join(arns, " ")
	}
	a, b := strings.Repeat("a", 40), strings.Repeat("b", 40)
	drop := check.Try(w.DeleteOpenIDConnectProvider, &iam.DeleteOpenIDConnectProviderInput{OpenIDConnectProviderArn: &arn})
	check.Run(t, []check.Rule{
		{"an audience", add("my-app"), "ok"}, {"again", add("my-app"), "ok"}, {"and another", add("x"), "ok"},
		{"take one away", remove("sts.amazonaws.com"), "ok"}, {"again", remove("sts.amazonaws.com"), "ok"},
		{"other thumbprints", thumbprints(a, b), "ok"}, {"what there is", show, "my-app x / " + a + " " + b},
		{"six", thumbprints(a, a, a, a, a, a), "InvalidInput: Thumbprint list must contain fewer than 5 entries."},
		{"a short one", thumbprints(a[1:]), "ValidationError: 1 validation error detected: Value '[" + a[1:] + "]' at 'thumbprintList' failed to satisfy constraint: Member must satisfy constraint: [Member must have length less than or equal to 40, Member must have length greater than or equal to 40, Member must not be null]"},
		{"not hexadecimal", thumbprints(strings.Repeat("x", 40)), "InvalidInput: Invalid thumbprint"},
		{"tag", check.Try(w.TagOpenIDConnectProvider, &iam.TagOpenIDConnectProviderInput{OpenIDConnectProviderArn: &arn, Tags: tags("TEAM=red", "a=b")}), "ok"},
		{"tags", tagged, "a=b TEAM=red"},
		{"untag", check.Try(w.UntagOpenIDConnectProvider, &iam.UntagOpenIDConnectProviderInput{OpenIDConnectProviderArn: &arn, TagKeys: []string{"team"}}), "ok"},
		{"tags", tagged, "a=b"},
		{"list", list, arn},
		{"delete", drop, "ok"}, {"delete again", drop, "ok"},
		{"it is gone", check.Try(w.GetOpenIDConnectProvider, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: &arn}), "NoSuchEntity: OpenIDConnect Provider not found for arn " + arn},
		{"no audiences", add("y"), "NoSuchEntity: OpenIDConnect Provider not found for arn " + arn},
		{"list", list, ""},
	})
}

func TestOIDCProviderRules(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	create := func(url string) func() string {
		return check.Try(w.CreateOpenIDConnectProvider, &iam.CreateOpenIDConnectProviderInput{Url: &url})
	}
	const invalid = "InvalidInput: Invalid Open ID Connect Provider URL"
	for _, good := range []string{
		"https://a.example", "https://a.example/", "https://a.example/x/y", "https://a-b.example.com:8443/realms/x", "https://10.0.0.1:8443", "https://[::1]:8443/x", "https://localhost", "https://A.Example/~x",
	} {
		check.Run(t, []check.Rule{{good, create(good), "ok"}, {good + " again", create(good), "EntityAlreadyExists: Provider with url " + good + " already exists."}})
	}
	for _, bad := range []string{
		"http://a.example", "a.example", "https://", "https:///x", "https://a.example?x=1", "https://a.example#x", "https://user@a.example", "https://u:p@a.example",
		"https://a..example", "https://-a.example", "https://a.example/%2e", "https://a.example/x y", "https://a.example/*", "https://a.example/\u00fc", "https://a.example:x", "https://a.example/\"", "HTTPS://a.example", "https://a.example/a,b", "https://a.example/$x", "https://a_b.example!/",
	} {
		check.Equal(t, bad, create(bad)(), invalid)
	}
	var hundred []string
	for i := range 101 {
		hundred = append(hundred, fmt.Sprintf("client-%d", i))
	}
	many := check.Try(w.CreateOpenIDConnectProvider, &iam.CreateOpenIDConnectProviderInput{Url: new("https://b.example"), ClientIDList: hundred})
	fits := check.Try(w.CreateOpenIDConnectProvider, &iam.CreateOpenIDConnectProviderInput{Url: new("https://b.example"), ClientIDList: hundred[:100]})
	arn := w.arn("oidc-provider/b.example")
	check.Run(t, []check.Rule{
		{"101 audiences", many, "LimitExceeded: Cannot exceed quota for ClientIdsPerOpenIdConnectProvider: 100"},
		{"100 audiences", fits, "ok"},
		{"one more", check.Try(w.AddClientIDToOpenIDConnectProvider, &iam.AddClientIDToOpenIDConnectProviderInput{OpenIDConnectProviderArn: &arn, ClientID: new("more")}), "LimitExceeded: Cannot exceed quota for ClientIdsPerOpenIdConnectProvider: 100"},
		{"no ARN", check.Try(w.GetOpenIDConnectProvider, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: new("oidc-provider/b.example")}), "ValidationError: Invalid ARN:  Could not be parsed!"},
		{"another ARN", check.Try(w.GetOpenIDConnectProvider, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: new(w.arn("saml-provider/b.example"))}), "InvalidInput: ARN " + w.arn("saml-provider/b.example") + " is not valid."},
		{"another account", check.Try(w.GetOpenIDConnectProvider, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: new("arn:aws:iam::999999999999:oidc-provider/b.example")}), "AccessDenied: User: " + w.arn("root") + " is not authorized to perform: iam:GetOpenIDConnectProvider on resource: arn:aws:iam::999999999999:oidc-provider/b.example because no resource-based policy allows the iam:GetOpenIDConnectProvider action"},
	})
	for i := 10; i <= 100; i++ {
		check.Run(t, []check.Rule{{"provider", create(fmt.Sprintf("https://p%d.example", i)), "ok"}})
	}
	check.Run(t, []check.Rule{{"the 101st", create("https://more.example"), "LimitExceeded: Cannot exceed quota for OpenIdConnectProvidersPerAccount: 100"}})

	ana := w.user(t, "ana", allow("iam:CreateOpenIDConnectProvider", "*"), allow("iam:*OpenIDConnectProvider*", w.arn("oidc-provider/p1?.example")))
	denied := func(action, arn string) string {
		return "AccessDenied: User: " + w.arn("user/ana") + " is not authorized to perform: iam:" + action + " on resource: " + arn + " because no identity-based policy allows the iam:" + action + " action"
	}
	check.Run(t, []check.Rule{
		{"get what may be", check.Try(ana.GetOpenIDConnectProvider, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: new(w.arn("oidc-provider/p10.example"))}), "ok"},
		{"and what may not", check.Try(ana.GetOpenIDConnectProvider, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: &arn}), denied("GetOpenIDConnectProvider", arn)},
		{"nor with tags", check.Try(ana.CreateOpenIDConnectProvider, &iam.CreateOpenIDConnectProviderInput{Url: new("https://x.example"), Tags: tags("a=b")}), denied("TagOpenIDConnectProvider", w.arn("oidc-provider/x.example"))},
	})
}

// TestOIDCProviderOfAnotherPartition: an ARN of another partition is not the provider that
// has the rest of it, neither to be authorized by its tags nor to be deleted.
func TestOIDCProviderOfAnotherPartition(t *testing.T) {
	w := newWorld(t)
	arn := check.Must(t, w.CreateOpenIDConnectProvider, &iam.CreateOpenIDConnectProviderInput{
		Url: new("https://example.com/x"), Tags: []types.Tag{{Key: new("protected"), Value: new("yes")}},
	}).OpenIDConnectProviderArn
	ann := w.user(t, "ann", allow("iam:*", "*"), `{"Effect":"Deny","Action":"iam:DeleteOpenIDConnectProvider","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/protected":"yes"}}}`)
	if got := check.Now(ann.DeleteOpenIDConnectProvider, &iam.DeleteOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn}); !strings.HasPrefix(got, "AccessDenied: ") {
		t.Errorf("deleting what is protected: %s", got)
	}
	check.Must(t, ann.DeleteOpenIDConnectProvider, &iam.DeleteOpenIDConnectProviderInput{OpenIDConnectProviderArn: new(strings.Replace(*arn, "arn:aws:", "arn:aws-cn:", 1))})
	check.Must(t, w.GetOpenIDConnectProvider, &iam.GetOpenIDConnectProviderInput{OpenIDConnectProviderArn: arn})
}

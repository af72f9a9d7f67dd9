package e2e_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"coffer/internal/coffertest/check"
)

const (
	textNoSecret    = "Secrets Manager can't find the specified secret."
	textInvalidName = "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!"
	textBothValues  = "You can't specify both a binary secret value and a string secret value in the same secret."
)

// smCalls makes short calls, for tables of rules.
type smCalls struct{ *secretsmanager.Client }

func (c smCalls) create(in secretsmanager.CreateSecretInput) error {
	_, err := c.CreateSecret(ctx, &in)
	return err
}

func (c smCalls) put(in secretsmanager.PutSecretValueInput) error {
	_, err := c.PutSecretValue(ctx, &in)
	return err
}

func (c smCalls) update(in secretsmanager.UpdateSecretInput) error {
	_, err := c.UpdateSecret(ctx, &in)
	return err
}

func (c smCalls) get(id string) error {
	_, err := c.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &id})
	return err
}

func (c smCalls) version(id string, version, stage *string) error {
	_, err := c.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &id, VersionId: version, VersionStage: stage})
	return err
}

// rule is one call and what it must answer; an empty code is success.
type rule struct {
	what          string
	err           error
	code, message string
}

// violation is the message of a broken constraint. Values are repeated up to
// 256 characters: a message must not grow with what was sent.
func violation(value, path, must string) string {
	if len(value) > 256 {
		value = value[:256] + "..."
	}
	return "1 validation error detected: Value '" + value + "' at '" + path + "' failed to satisfy constraint: Member must " + must
}

func refuses(t *testing.T, rules []rule) {
	t.Helper()
	for _, r := range rules {
		fails(t, r.what, r.err, r.code, r.message)
	}
}

// TestTokens: a repeated ClientRequestToken makes a call idempotent, or is
// refused when it stands for something else (spec §5.1, §5.5, §5.6).
func TestTokens(t *testing.T) {
	eachDriver(t, func(t *testing.T, h *host) {
		sm := smCalls{h.sm("eu-west-1")}
		name, tok := new("s"), token("first")
		created := must(sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: name, SecretString: value("a"), ClientRequestToken: tok}))(t)
		again := must(sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: name, SecretString: value("a"), ClientRequestToken: tok}))(t)
		check.Equal(t, "the repeated answer", *again.ARN+*again.Name+*again.VersionId, *created.ARN+*created.Name+*created.VersionId)
		before := must(sm.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: name}))(t)

		const exists = "ResourceExistsException"
		inUse := "You can't use ClientRequestToken " + *tok + " because that value is already in use for a version of secret " + *created.ARN + "."
		taken := "The operation failed because the secret s already exists."
		refuses(t, []rule{
			{"create, other value", sm.create(secretsmanager.CreateSecretInput{Name: name, SecretString: value("b"), ClientRequestToken: tok}), exists, inUse},
			{"create, same bytes but binary", sm.create(secretsmanager.CreateSecretInput{Name: name, SecretBinary: []byte(*value("a")), ClientRequestToken: tok}), exists, inUse},
			{"create, other token", sm.create(secretsmanager.CreateSecretInput{Name: name, SecretString: value("a")}), exists, taken},
			{"put, same value", sm.put(secretsmanager.PutSecretValueInput{SecretId: name, SecretString: value("a"), ClientRequestToken: tok}), "", ""},
			{"put, other value", sm.put(secretsmanager.PutSecretValueInput{SecretId: name, SecretString: value("b"), ClientRequestToken: tok}), exists, inUse},
			{"put, same value, labels are ignored", sm.put(secretsmanager.PutSecretValueInput{SecretId: name, SecretString: value("a"), ClientRequestToken: tok, VersionStages: []string{"x"}}), "", ""},
			{"update, same value", sm.update(secretsmanager.UpdateSecretInput{SecretId: name, SecretString: value("a"), ClientRequestToken: tok}), "", ""},
			{"update, other value", sm.update(secretsmanager.UpdateSecretInput{SecretId: name, SecretString: value("b"), ClientRequestToken: tok}), exists, inUse},
			{"token of 31", sm.put(secretsmanager.PutSecretValueInput{SecretId: name, SecretString: value("a"), ClientRequestToken: new(strings.Repeat("a", 31))}), "ValidationException",
				violation(strings.Repeat("a", 31), "clientRequestToken", "have length greater than or equal to 32")},
			{"token of 65", sm.put(secretsmanager.PutSecretValueInput{SecretId: name, SecretString: value("a"), ClientRequestToken: new(strings.Repeat("a", 65))}), "ValidationException",
				violation(strings.Repeat("a", 65), "clientRequestToken", "have length less than or equal to 64")},
			{"token of 64, not a UUID", sm.put(secretsmanager.PutSecretValueInput{SecretId: name, SecretString: value("z"), ClientRequestToken: new("terraform-" + strings.Repeat("0", 54)), VersionStages: []string{"tf"}}), "", ""},
		})
		d := must(sm.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: name}))(t)
		check.Equal(t, "labels", len(d.VersionIdsToStages[*tok]), 1)
		if !d.LastChangedDate.After(*before.LastChangedDate) {
			t.Error("LastChangedDate did not change")
		}
	})
}

// TestLookup: names, full ARNs, partial ARNs, and the six characters at the end
// that make the difference (spec §3).
func TestLookup(t *testing.T) {
	eachDriver(t, func(t *testing.T, h *host) {
		sm := smCalls{h.sm("eu-west-1")}
		const notFound = "ResourceNotFoundException"
		partial := "arn:aws:secretsmanager:eu-west-1:" + h.Credentials.Account + ":secret:"
		arns := make(map[string]string)
		for _, name := range []string{"x", "x-a1b2c3", "x-a1b2", "x-a1b2c3-", "dir/x.y@z=+_", strings.Repeat("n", 512)} {
			out := must(sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: &name, SecretString: value(name)}))(t)
			arns[name] = *out.ARN
			refuses(t, []rule{
				{"by name " + name, sm.get(name), "", ""},
				{"by ARN of " + name, sm.get(*out.ARN), "", ""},
			})
		}
		swapped := func(arn string) string { // the same suffix in other letters
			b := []byte(arn)
			for i := len(b) - 6; i < len(b); i++ {
				if b[i] >= 'a' && b[i] <= 'z' || b[i] >= 'A' && b[i] <= 'Z' {
					b[i] ^= 0x20
					return string(b)
				}
			}
			b[len(b)-1] = 'x'
			return string(b)
		}
		refuses(t, []rule{
			{"partial ARN", sm.get(partial + "x"), "", ""},
			{"partial ARN of a name that ends like a full one", sm.get(partial + "x-a1b2c3"), notFound, textNoSecret},
			{"partial ARN, four characters", sm.get(partial + "x-a1b2"), "", ""},
			{"partial ARN, a hyphen behind", sm.get(partial + "x-a1b2c3-"), "", ""},
			{"the suffix is case-sensitive", sm.get(swapped(arns["x"])), notFound, textNoSecret},
			{"names are case-sensitive", sm.get("X"), notFound, textNoSecret},
			{"ARN of another region", sm.get(strings.Replace(arns["x"], "eu-west-1", "us-east-1", 1)), notFound, textNoSecret},
			{"no such name", sm.get("nothing"), notFound, textNoSecret},
			{"! is legal in a lookup", sm.get("rds!db"), notFound, textNoSecret},
			{"blank", sm.get("a b"), "ValidationException", textInvalidName},
			{"leading blank", sm.get(" a"), "ValidationException", textInvalidName},
			{"star", sm.get("a*"), "ValidationException", textInvalidName},
			{"backslash", sm.get(`a\b`), "ValidationException", textInvalidName},
			{"umlaut", sm.get("ä"), "ValidationException", textInvalidName},
			{"create with !", sm.create(secretsmanager.CreateSecretInput{Name: new("a!b"), SecretString: value("")}), "ValidationException", textInvalidName},
			{"create with ?", sm.create(secretsmanager.CreateSecretInput{Name: new("a?"), SecretString: value("")}), "ValidationException", textInvalidName},
			{"empty id", sm.get(""), "ValidationException", "1 validation error detected: Value '' at 'secretId' failed to satisfy constraint: Member must have length greater than or equal to 1"},
			{"id of 2048", sm.get(strings.Repeat("a", 2048)), notFound, textNoSecret},
			{"id of 2049", sm.get(strings.Repeat("a", 2049)), "ValidationException",
				violation(strings.Repeat("a", 2049), "secretId", "have length less than or equal to 2048")},
			{"name of 513", sm.create(secretsmanager.CreateSecretInput{Name: new(strings.Repeat("a", 513)), SecretString: value("")}), "ValidationException",
				violation(strings.Repeat("a", 513), "name", "have length less than or equal to 512")},
			{"two constraints", sm.version("", new("short"), nil), "ValidationException", "2 validation errors detected: *"},
		})
	})
}

// TestVersions: which version GetSecretValue finds (spec §5.3).
func TestVersions(t *testing.T) {
	eachDriver(t, func(t *testing.T, h *host) {
		sm := smCalls{h.sm("eu-west-1")}
		const notFound = "ResourceNotFoundException"
		must(sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: new("s"), SecretString: value("1"), ClientRequestToken: token("v1")}))(t)
		empty := must(sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: new("empty")}))(t)
		check.Equal(t, "no value, no VersionId", empty.VersionId == nil, true)
		label := "Secrets Manager can't find the specified secret value for staging label: "
		id := "Secrets Manager can't find the specified secret value for VersionId: "
		refuses(t, []rule{
			{"both, fitting", sm.version("s", token("v1"), new("AWSCURRENT")), "", ""},
			{"both, not fitting", sm.version("s", token("v1"), new("AWSPENDING")), "InvalidRequestException", "You provided a VersionStage that is not associated to the provided VersionId."},
			{"both, no such version", sm.version("s", token("v2"), new("AWSCURRENT")), notFound, id + *token("v2")},
			{"no such label", sm.version("s", nil, new("nobody")), notFound, label + "nobody"},
			{"no such version", sm.version("s", token("v2"), nil), notFound, id + *token("v2")},
			{"no version at all", sm.get("empty"), notFound, label + "AWSCURRENT"},
			{"update with nothing", sm.update(secretsmanager.UpdateSecretInput{SecretId: new("s")}), "", ""},
			{"put with nothing", sm.put(secretsmanager.PutSecretValueInput{SecretId: new("s")}), "InvalidRequestException", "You must provide either SecretString or SecretBinary."},
			{"create with both", sm.create(secretsmanager.CreateSecretInput{Name: new("t"), SecretString: value("1"), SecretBinary: []byte(*value("1"))}), "InvalidParameterException", textBothValues},
			{"put with both", sm.put(secretsmanager.PutSecretValueInput{SecretId: new("s"), SecretString: value("1"), SecretBinary: []byte(*value("1"))}), "InvalidParameterException", textBothValues},
			{"update with both", sm.update(secretsmanager.UpdateSecretInput{SecretId: new("s"), SecretString: value("1"), SecretBinary: []byte(*value("1"))}), "InvalidParameterException", textBothValues},
		})
		d := must(sm.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: new("empty")}))(t)
		check.Equal(t, "no versions", d.VersionIdsToStages == nil, true)
		// The first version gets AWSCURRENT in addition to what was asked for (spec §4).
		put := must(sm.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: new("empty"), SecretString: value("1"), ClientRequestToken: token("v1"), VersionStages: []string{"mine"}}))(t)
		check.Equal(t, "first version's labels", stages(map[string][]string{"v1": put.VersionStages}), "v1[AWSCURRENT,mine]")
	})
}

// TestValues: sizes at their limits, and bytes that other systems trip over.
func TestValues(t *testing.T) {
	eachDriver(t, func(t *testing.T, h *host) {
		sm := smCalls{h.sm("eu-west-1")}
		pad := func(n int, with string) *string {
			s := marker + strings.Repeat(with, (n-len(marker))/len(with))
			return new(s + strings.Repeat("x", n-len(s)))
		}
		const limit = 65536
		// The member is sensitive, so the message leaves the value out. The model
		// counts characters and the quota bytes; both say it in the same words.
		tooLong := func(member string) string {
			return "1 validation error detected: Value at '" + member + "' failed to satisfy constraint: Member must have length less than or equal to 65536"
		}
		round := func(what string, in string) {
			t.Helper()
			name := new("v" + what)
			must(sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: name, SecretString: &in}))(t)
			got := must(sm.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: name}))(t)
			check.Equal(t, "text "+what+" comes back as it went", *got.SecretString == in, true)
			must(sm.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: name, SecretBinary: []byte(in)}))(t)
			got = must(sm.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: name}))(t)
			check.Equal(t, "bytes "+what+" come back as they went", string(got.SecretBinary) == in, true)
		}
		round("1", "x")
		round("65536", *pad(limit, "a"))
		round("65536-of-3-bytes-each", *pad(limit, "€"))
		round("nul", marker+"\x00\x00")
		round("control", marker+"\x01\x1f\u007f\u0080\u2028\ufeff")
		round("emoji", marker+"👩‍👩‍👧‍👦")
		round("json", `{"username":"a","password":"`+marker+`\"<>&"}`)
		binary := make([]byte, 256)
		for i := range binary {
			binary[i] = byte(i)
		}
		must(sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: new("all-bytes"), SecretBinary: binary}))(t)
		got := must(sm.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: new("all-bytes")}))(t)
		check.Equal(t, "all bytes", string(got.SecretBinary) == string(binary), true)

		const invalid = "ValidationException"
		id := new("all-bytes")
		refuses(t, []rule{
			{"create 65537 ASCII", sm.create(secretsmanager.CreateSecretInput{Name: new("n"), SecretString: pad(limit+1, "a")}), invalid, tooLong("secretString")},
			{"create 65537 in characters of 3 bytes", sm.create(secretsmanager.CreateSecretInput{Name: new("n"), SecretString: pad(limit+1, "€")}), invalid, tooLong("secretString")},
			{"create 65537 binary", sm.create(secretsmanager.CreateSecretInput{Name: new("n"), SecretBinary: []byte(*pad(limit+1, "a"))}), invalid, tooLong("secretBinary")},
			{"put 65537", sm.put(secretsmanager.PutSecretValueInput{SecretId: id, SecretString: pad(limit+1, "a")}), invalid, tooLong("secretString")},
			{"put 65537 binary", sm.put(secretsmanager.PutSecretValueInput{SecretId: id, SecretBinary: []byte(*pad(limit+1, "a"))}), invalid, tooLong("secretBinary")},
			{"update 65537", sm.update(secretsmanager.UpdateSecretInput{SecretId: id, SecretString: pad(limit+1, "€")}), invalid, tooLong("secretString")},
			{"create empty", sm.create(secretsmanager.CreateSecretInput{Name: new("n"), SecretString: new("")}), invalid,
				"1 validation error detected: Value at 'secretString' failed to satisfy constraint: Member must have length greater than or equal to 1"},
			{"description of 2048", sm.create(secretsmanager.CreateSecretInput{Name: new("d"), Description: new(strings.Repeat("ä", 2048))}), "", ""},
			{"description of 2049", sm.update(secretsmanager.UpdateSecretInput{SecretId: new("d"), Description: new(strings.Repeat("d", 2049))}), invalid, "1 validation error detected: *"},
			{"empty description clears", sm.update(secretsmanager.UpdateSecretInput{SecretId: new("d"), Description: new("")}), "", ""},
			{"label of 256", sm.put(secretsmanager.PutSecretValueInput{SecretId: id, SecretString: value("l"), VersionStages: []string{strings.Repeat("l", 256)}}), "", ""},
			{"label of 257", sm.put(secretsmanager.PutSecretValueInput{SecretId: id, SecretString: value("l"), VersionStages: []string{strings.Repeat("l", 257)}}), invalid, "1 validation error detected: *"},
			{"no labels", sm.put(secretsmanager.PutSecretValueInput{SecretId: id, SecretString: value("l"), VersionStages: []string{}}), invalid, "1 validation error detected: *"},
		})
		d := must(sm.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: new("d")}))(t)
		check.Equal(t, "cleared description", d.Description == nil, true)
	})
}

// TestTags: spec §9.
func TestTags(t *testing.T) {
	eachDriver(t, func(t *testing.T, h *host) {
		sm := h.sm("eu-west-1")
		must(sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: new("s")}))(t)
		tag := func(kv ...string) error {
			in := &secretsmanager.TagResourceInput{SecretId: new("s")}
			for i := 0; i < len(kv); i += 2 {
				in.Tags = append(in.Tags, types.Tag{Key: &kv[i], Value: &kv[i+1]})
			}
			_, err := sm.TagResource(ctx, in)
			return err
		}
		describe := func() *secretsmanager.DescribeSecretOutput {
			return must(sm.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: new("s")}))(t)
		}
		check.Equal(t, "never tagged: absent", describe().Tags == nil, true)
		var fifty []string
		for i := range 50 {
			fifty = append(fifty, fmt.Sprint("k", i), "v")
		}
		const param, invalid = "InvalidParameterException", "ValidationException"
		refuses(t, []rule{
			{"key of 128, value of 256", tag(strings.Repeat("k", 128), strings.Repeat("v", 256)), "", ""},
			{"key of 129", tag(strings.Repeat("k", 129), "v"), invalid,
				violation(strings.Repeat("k", 129), "tags.1.member.key", "have length less than or equal to 128")},
			{"value of 257", tag("k", strings.Repeat("v", 257)), invalid,
				violation(strings.Repeat("v", 257), "tags.1.member.value", "have length less than or equal to 256")},
			{"aws: is reserved", tag("aws:x", "v"), param, "*"},
			{"AWS: too", tag("AWS:x", "v"), param, "*"},
			{"twice in one call", tag("a", "1", "a", "2"), param, "*"},
			{"49 and 2", tag(fifty[:100]...), param, "*"}, // one is there, 50 more are too many
			{"49 more", tag(fifty[:98]...), "", ""},
			{"overwriting at the limit", tag("k0", "other"), "", ""},
			{"one over the limit", tag("k49", "v"), param, "*"},
		})
		check.Equal(t, "tags", len(describe().Tags), 50)
		var keys []string
		for _, tag := range describe().Tags {
			keys = append(keys, *tag.Key)
		}
		must(sm.UntagResource(ctx, &secretsmanager.UntagResourceInput{SecretId: new("s"), TagKeys: keys}))(t)
		d := describe()
		check.Equal(t, "the last one removed: an empty list", d.Tags != nil && len(d.Tags) == 0, true)
	})
}

// TestResourcePolicy: spec §8.
func TestResourcePolicy(t *testing.T) {
	eachDriver(t, func(t *testing.T, h *host) {
		sm := h.sm("eu-west-1")
		must(sm.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: new("s")}))(t)
		root := "arn:aws:iam::" + h.Credentials.Account + ":root"
		doc := func(effect, principal string) string {
			return `{"Version":"2012-10-17","Statement":[{"Effect":"` + effect + `","Principal":` + principal + `,"Action":"secretsmanager:*","Resource":"*"}]}`
		}
		put := func(policy string, block bool) error {
			_, err := sm.PutResourcePolicy(ctx, &secretsmanager.PutResourcePolicyInput{SecretId: new("s"), ResourcePolicy: &policy, BlockPublicPolicy: &block})
			return err
		}
		const malformed = "MalformedPolicyDocumentException"
		syntax := "This resource policy contains a syntax error."
		broad := "You can't attach a resource-based policy that allows broad access to the secret."
		lockout := "Your requested changes will not allow you to manage this secret in the future."
		refuses(t, []rule{
			{"own root", put(doc("Allow", `{"AWS":"`+root+`"}`), true), "", ""},
			{"account id", put(doc("Allow", `{"AWS":"`+h.Credentials.Account+`"}`), true), "", ""},
			{"everybody", put(doc("Allow", `"*"`), false), "", ""},
			{"everybody, blocked", put(doc("Allow", `"*"`), true), "PublicPolicyException", broad},
			{"everybody as AWS, blocked", put(doc("Allow", `{"AWS":"*"}`), true), "PublicPolicyException", broad},
			{"deny everybody", put(doc("Deny", `"*"`), true), "InvalidRequestException", lockout},
			{"effect", put(doc("Maybe", `"*"`), false), malformed, syntax},
			{"version", put(strings.Replace(doc("Allow", `"*"`), "2012-10-17", "2020-01-01", 1), false), malformed, syntax},
			{"no principal", put(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`, false), malformed, syntax},
			{"not JSON", put(`{`, false), malformed, syntax},
			{"no statement", put(`{"Version":"2012-10-17"}`, false), malformed, syntax},
			{"unknown service", put(doc("Allow", `{"Service":"nosuch.example.com"}`), false), malformed, "This resource policy contains an unsupported service principal."},
			{"broken principal", put(doc("Allow", `{"AWS":"somebody"}`), false), malformed, "This resource policy contains an unsupported principal."},
			{"20481 characters", put(doc("Allow", `"*"`)+strings.Repeat(" ", 20481), false), "ValidationException", "1 validation error detected: *"},
			{"delete", func() error {
				_, err := sm.DeleteResourcePolicy(ctx, &secretsmanager.DeleteResourcePolicyInput{SecretId: new("s")})
				return err
			}(), "", ""},
			{"delete again", func() error {
				_, err := sm.DeleteResourcePolicy(ctx, &secretsmanager.DeleteResourcePolicyInput{SecretId: new("s")})
				return err
			}(), "", ""},
		})
		for policy, want := range map[string]string{
			doc("Allow", `{"AWS":"`+root+`"}`): "",
			doc("Maybe", `"*"`):                syntax,
			doc("Allow", `"*"`):                broad,
			doc("Deny", `"*"`):                 lockout,
		} {
			out := must(sm.ValidateResourcePolicy(ctx, &secretsmanager.ValidateResourcePolicyInput{SecretId: new("s"), ResourcePolicy: &policy}))(t)
			check.Equal(t, "passed "+policy, out.PolicyValidationPassed, want == "")
			if want != "" && (len(out.ValidationErrors) != 1 || *out.ValidationErrors[0].ErrorMessage != want) {
				t.Errorf("%s: got %v, want %s", policy, out.ValidationErrors, want)
			}
		}
	})
}

// TestBatch: some of a batch may fail without failing it (spec §5.4).
func TestBatch(t *testing.T) {
	eachDriver(t, func(t *testing.T, h *host) {
		sm := h.sm("eu-west-1")
		for _, name := range []string{"a", "b", "marked", "empty", "other"} {
			in := &secretsmanager.CreateSecretInput{Name: &name, SecretString: value(name)}
			if name == "empty" {
				in.SecretString = nil
			}
			must(sm.CreateSecret(ctx, in))(t)
		}
		must(sm.DeleteSecret(ctx, &secretsmanager.DeleteSecretInput{SecretId: new("marked")}))(t)
		out := must(sm.BatchGetSecretValue(ctx, &secretsmanager.BatchGetSecretValueInput{SecretIdList: []string{"b", "nobody", "marked", "a", "empty"}}))(t)
		var got []string
		for _, v := range out.SecretValues {
			check.Equal(t, "value of "+*v.Name, *v.SecretString, *value(*v.Name))
			got = append(got, *v.Name)
		}
		check.Equal(t, "values in the order asked for", strings.Join(got, " "), "b a")
		got = nil
		for _, e := range out.Errors {
			got = append(got, *e.SecretId+" "+*e.ErrorCode+" "+*e.Message)
		}
		check.Equal(t, "errors", strings.Join(got, "\n"), strings.Join([]string{
			"nobody ResourceNotFoundException " + textNoSecret,
			"marked InvalidRequestException You can't perform this operation on the secret because it was marked for deletion.",
			"empty ResourceNotFoundException Secrets Manager can't find the specified secret value for staging label: AWSCURRENT",
		}, "\n"))

		// By filters, a page at a time.
		in := &secretsmanager.BatchGetSecretValueInput{Filters: []types.Filter{{Key: "name", Values: []string{"a", "b", "o"}}}, MaxResults: new(int32(1))}
		got = nil
		for {
			page := must(sm.BatchGetSecretValue(ctx, in))(t)
			for _, v := range page.SecretValues {
				got = append(got, *v.Name)
			}
			if page.NextToken == nil {
				break
			}
			in.NextToken = page.NextToken
		}
		check.Equal(t, "by filters", strings.Join(got, " "), "a b other")

		call := func(in secretsmanager.BatchGetSecretValueInput) error {
			_, err := sm.BatchGetSecretValue(ctx, &in)
			return err
		}
		const param, invalid = "InvalidParameterException", "ValidationException"
		filter := []types.Filter{{Key: "name", Values: []string{"a"}}}
		refuses(t, []rule{
			{"neither", call(secretsmanager.BatchGetSecretValueInput{}), param, "Either 'SecretIdList' or 'Filters' must be provided, but not both."},
			{"both", call(secretsmanager.BatchGetSecretValueInput{SecretIdList: []string{"a"}, Filters: filter}), param, "Either 'SecretIdList' or 'Filters' must be provided, but not both."},
			{"MaxResults without Filters", call(secretsmanager.BatchGetSecretValueInput{SecretIdList: []string{"a"}, MaxResults: new(int32(1))}), param,
				"'Filters' not specified. 'Filters' must also be specified when 'MaxResults' is provided."},
			{"21 ids", call(secretsmanager.BatchGetSecretValueInput{SecretIdList: strings.Split(strings.Repeat("a,", 20)+"a", ",")}), invalid, "1 validation error detected: *"},
			{"bad token", call(secretsmanager.BatchGetSecretValueInput{Filters: filter, NextToken: new("bad")}), "InvalidNextTokenException", "*"},
		})
	})
}

// TestPassword: spec §5.10. The rules of drawing have their own tests; here only the refusals.
func TestPassword(t *testing.T) {
	eachDriver(t, func(t *testing.T, h *host) {
		sm := h.sm("eu-west-1")
		call := func(in secretsmanager.GetRandomPasswordInput) error {
			out, err := sm.GetRandomPassword(ctx, &in)
			if err == nil {
				h.secret(*out.RandomPassword, "a random password")
				if want := in.PasswordLength; want != nil && int64(len(*out.RandomPassword)) != *want {
					t.Errorf("a password of %d characters, want %d", len(*out.RandomPassword), *want)
				}
			}
			return err
		}
		refuses(t, []rule{
			{"default", call(secretsmanager.GetRandomPasswordInput{}), "", ""},
			{"longest", call(secretsmanager.GetRandomPasswordInput{PasswordLength: new(int64(4096))}), "", ""},
			{"too long", call(secretsmanager.GetRandomPasswordInput{PasswordLength: new(int64(4097))}), "ValidationException",
				"1 validation error detected: Value '4097' at 'passwordLength' failed to satisfy constraint: Member must have value less than or equal to 4096"},
			{"zero", call(secretsmanager.GetRandomPasswordInput{PasswordLength: new(int64(0))}), "ValidationException",
				"1 validation error detected: Value '0' at 'passwordLength' failed to satisfy constraint: Member must have value greater than or equal to 1"},
			{"shorter than its kinds", call(secretsmanager.GetRandomPasswordInput{PasswordLength: new(int64(3))}), "InvalidParameterException", "Password length is too short based on the required types."},
			{"nothing left", call(secretsmanager.GetRandomPasswordInput{ExcludeLowercase: new(true), ExcludeUppercase: new(true), ExcludeNumbers: new(true), ExcludePunctuation: new(true)}), "InvalidParameterException", "*"},
		})
	})
}

//lint:file-ignore SA1019 the model has PackedPolicySize and not its successor, SessionTokenUtilization

package sts_test

import (
	"crypto/elliptic"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/go-jose/go-jose/v4"

	"coffer/internal/coffertest"
	"coffer/internal/coffertest/check"
	"coffer/internal/jwt/jwttest"
	"coffer/internal/server"
)

const issuer = "https://issuer.example/id/Cluster"

// federation is a world with an issuer whose keys are in a file, registered in the main account.
type federation struct {
	*world
	key      *jwttest.Key
	provider string // its ARN
}

func newFederation(t *testing.T) *federation {
	t.Helper()
	key := jwttest.NewRSA("k1")
	file := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(file, key.JWKS(), 0o600); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, coffertest.With(func(c *server.Config) {
		c.OIDCKeys = map[string]string{issuer: file, "https://unregistered.example": file}
	}))
	p := check.Must(t, w.main.CreateOpenIDConnectProvider, &iam.CreateOpenIDConnectProviderInput{Url: new(issuer), ClientIDList: []string{"sts.amazonaws.com", "web"}})
	return &federation{w, key, *p.OpenIDConnectProviderArn}
}

// claims are those of a right token, changed by name and value; a nil removes.
func (f *federation) claims(change ...any) map[string]any {
	now := f.Now().Unix()
	c := map[string]any{
		"iss": issuer, "sub": "system:serviceaccount:shop:web", "aud": []string{"sts.amazonaws.com"}, "iat": now, "nbf": now, "exp": now + 600,
	}
	for i := 0; i < len(change); i += 2 {
		name := change[i].(string)
		if change[i+1] == nil {
			delete(c, name)
			continue
		}
		c[name] = change[i+1]
	}
	return c
}

func (f *federation) token(change ...any) string { return f.key.Sign(f.claims(change...)) }

func webAsking(role, token string, edit ...func(*sts.AssumeRoleWithWebIdentityInput)) *sts.AssumeRoleWithWebIdentityInput {
	in := &sts.AssumeRoleWithWebIdentityInput{RoleArn: &role, RoleSessionName: new("web-1"), WebIdentityToken: &token}
	for _, e := range edit {
		e(in)
	}
	return in
}

var web = []string{"sts:AssumeRoleWithWebIdentity"}

func federated(arn string) string { return fmt.Sprintf(`"Federated":%q`, arn) }

const mayNot = "AccessDenied: Not authorized to perform sts:AssumeRoleWithWebIdentity"

func TestWebIdentity(t *testing.T) {
	t.Parallel()
	f := newFederation(t)
	host := strings.TrimPrefix(issuer, "https://")
	role := f.main.role(t, "r", []string{trust(federated(f.provider), web, `"Condition":{"StringEquals":{"`+host+`:aud":"sts.amazonaws.com","`+host+`:sub":"system:serviceaccount:shop:web"}}`)},
		allow("secretsmanager:ListSecrets", "*", condition("StringEquals", "aws:FederatedProvider", f.provider)),
		allow("secretsmanager:GetRandomPassword", "*", condition("StringEquals", host+":sub", "system:serviceaccount:shop:web")))
	before := f.Now()
	out := check.Must(t, f.sts(login{}).AssumeRoleWithWebIdentity, webAsking(role, f.token()))
	session := "arn:aws:sts::" + f.main.id + ":assumed-role/r/web-1"
	check.Equal(t, "answer", strings.Join([]string{*out.Provider, *out.Audience, *out.SubjectFromWebIdentityToken, *out.AssumedRoleUser.Arn}, " "),
		f.provider+" sts.amazonaws.com system:serviceaccount:shop:web "+session)
	check.Equal(t, "life", out.Credentials.Expiration.Sub(before).Round(time.Minute), time.Hour)
	l := temporary(out.Credentials)
	check.Run(t, []check.Rule{
		{"who", func() string { return f.who(l) }, session},
		{"aws:FederatedProvider", check.Try(f.sm(l).ListSecrets, &secretsmanager.ListSecretsInput{}), "ok"},
		{"a claim in a later condition", check.Try(f.sm(l).GetRandomPassword, &secretsmanager.GetRandomPasswordInput{}), "ok"},
		{"a signed caller may, too", check.Try(f.sts(f.main.user(t, "ana")).AssumeRoleWithWebIdentity, webAsking(role, f.token())), "ok"},
		{"longer", check.Try(f.sts(login{}).AssumeRoleWithWebIdentity, webAsking(role, f.token(), func(in *sts.AssumeRoleWithWebIdentityInput) { in.DurationSeconds = new(int32(43200)) })), "ok"},
	})

	records, log := f.records(t, "AssumeRoleWithWebIdentity")
	r := records[0]
	check.Equal(t, "record", fmt.Sprint(r.UserIdentity, r.RecipientAccountID, r.ReadOnly, r.Resources),
		fmt.Sprint(struct{ Type, PrincipalID, ARN, AccountID, UserName, IdentityProvider string }{
			"WebIdentityUser", f.provider + ":sts.amazonaws.com:system:serviceaccount:shop:web", "", "", "system:serviceaccount:shop:web", f.provider,
		}, f.main.id, true, []struct{ ARN, Type string }{{role, "AWS::IAM::Role"}}))
	issued, _ := r.ResponseElements["credentials"].(map[string]any)
	check.Equal(t, "the key in the record", fmt.Sprint(issued["accessKeyId"]), *out.Credentials.AccessKeyId)
	for _, secret := range []string{*out.Credentials.SecretAccessKey, *out.Credentials.SessionToken, f.token()[:60]} {
		check.Equal(t, "a secret in the log", strings.Contains(log, secret), false)
	}
}

// TestBadWebIdentities: each is refused with its error, recorded, and learns no
// more than that.
func TestBadWebIdentities(t *testing.T) {
	t.Parallel()
	f := newFederation(t)
	host := strings.TrimPrefix(issuer, "https://")
	role := f.main.role(t, "r", []string{trust(federated(f.provider), web, condition("StringEquals", host+":sub", "system:serviceaccount:shop:web"))})
	foreign := f.other.role(t, "r", []string{trust(federated(f.provider), web)})
	plain := f.main.role(t, "plain", []string{trust(principal(f.main.arn("root")), assume)})
	now := f.Now().Unix()
	as := func(role, token string, edit ...func(*sts.AssumeRoleWithWebIdentityInput)) func() string {
		return check.Try(f.sts(login{}).AssumeRoleWithWebIdentity, webAsking(role, token, edit...))
	}
	const (
		notJWT  = "InvalidIdentityToken: The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)"
		noKey   = "InvalidIdentityToken: Couldn't retrieve verification key from your identity provider,  please reference AssumeRoleWithWebIdentity documentation for requirements"
		invalid = "InvalidIdentityToken: The web identity token that was passed could not be validated by Amazon Web Services. Get a new identity token from the identity provider and then retry the request."
		aud     = "InvalidIdentityToken: Incorrect token audience"
	)
	good := f.token()
	header := func(alg string) map[string]any { return map[string]any{"alg": alg, "kid": "k1", "typ": "JWT"} }
	rules := []check.Rule{
		{"genuine", as(role, good), "ok"},
		{"algorithm none", as(role, jwttest.Unsigned(header("none"), f.claims(), nil)), notJWT},
		{"algorithm HS256", as(role, jwttest.Unsigned(header("HS256"), f.claims(), []byte(strings.Repeat("x", 32)))), notJWT},
		{"an access token", as(role, "2YotnFZFEjr1zCsicMWpAA"), notJWT},
		{"truncated", as(role, good[:len(good)-20]), invalid},
		{"forged", as(role, jwttest.NewRSA("k1").Sign(f.claims())), invalid},
		{"forged with a curve", as(role, jwttest.NewECDSA("k1", elliptic.P256(), jose.ES256).Sign(f.claims())), noKey},
		{"an unknown key id", as(role, f.key.As(jose.RS256, "k2").Sign(f.claims())), noKey},
		{"an unknown issuer", as(role, f.token("iss", "https://evil.example")), "InvalidIdentityToken: No OpenIDConnect provider found in your account for https://evil.example"},
		{"an issuer that is not registered", as(role, f.token("iss", "https://unregistered.example")), "InvalidIdentityToken: No OpenIDConnect provider found in your account for https://unregistered.example"},
		{"the issuer with a slash", as(role, f.token("iss", issuer+"/")), "InvalidIdentityToken: No OpenIDConnect provider found in your account for " + issuer + "/"},
		{"the issuer in another case", as(role, f.token("iss", strings.ToLower(issuer))), "InvalidIdentityToken: No OpenIDConnect provider found in your account for " + strings.ToLower(issuer)},
		{"the issuer without TLS", as(role, f.token("iss", "http"+issuer[5:])), "InvalidIdentityToken: No OpenIDConnect provider found in your account for http" + issuer[5:]},
		{"no issuer", as(role, f.token("iss", nil)), "InvalidIdentityToken: No OpenIDConnect provider found in your account for "},
		{"a role of another account", as(foreign, good), "InvalidIdentityToken: No OpenIDConnect provider found in your account for " + issuer},
		{"another audience", as(role, f.token("aud", "vault")), aud},
		{"another authorized party", as(role, f.token("azp", "vault")), aud},
		{"an authorized party of ours, whatever the audience", as(role, f.token("aud", "vault", "azp", "web")), "ok"},
		{"one audience of several", as(role, f.token("aud", []string{"vault", "web"})), "ok"},
		{"no audience", as(role, f.token("aud", nil)), "InvalidIdentityToken: Missing a required claim: aud"},
		{"no subject", as(role, f.token("sub", nil)), "InvalidIdentityToken: Missing a required claim: sub"},
		{"no end", as(role, f.token("exp", nil)), "InvalidIdentityToken: Missing a required claim: exp"},
		{"no beginning", as(role, f.token("iat", nil)), "InvalidIdentityToken: Missing a required claim: iat"},
		{"an expired one, just so", as(role, f.token("exp", now-30)), "ok"},
		{"of tomorrow, just so", as(role, f.token("nbf", now+30, "iat", now+30)), "ok"},
		{"another subject", as(role, f.token("sub", "system:serviceaccount:shop:db")), mayNot},
		{"a role for others", as(plain, good), mayNot},
		{"a role that does not exist", as(f.main.arn("role/none"), good), mayNot},
		{"no role", as(f.main.arn("user/r"), good), "ValidationError: Request ARN is invalid"},
		{"tags where none may be set", as(role, f.token("https://aws.amazon.com/tags", map[string]any{"principal_tags": map[string]any{"a": []string{"b"}}})), mayNot},
		{"a source identity where none may be set", as(role, f.token("https://aws.amazon.com/source_identity", "ana")), mayNot},
		{"a tag with two values", as(role, f.token("https://aws.amazon.com/tags", map[string]any{"principal_tags": map[string]any{"a": []string{"b", "c"}}})), "IDPRejectedClaim: A session tag must have one value."},
		{"a tag key that cannot be", as(role, f.token("https://aws.amazon.com/tags", map[string]any{"principal_tags": map[string]any{"<": []string{"b"}}})),
			`IDPRejectedClaim: 1 validation error detected: Value '<' at 'tags.1.member.key' failed to satisfy constraint: Member must satisfy regular expression pattern: [\p{L}\p{Z}\p{N}_.:/=+\-@]+`},
		{"claims that are too long", as(role, f.token("sub", strings.Repeat("s", 5000))), "IDPRejectedClaim: The claims that condition keys are about are too long."},
		{"a claim of another type", as(role, f.token("sub", 7)), invalid},
		{"a provider id", as(role, good, func(in *sts.AssumeRoleWithWebIdentityInput) { in.ProviderId = new("www.amazon.com") }), "ValidationError: ProviderId is for OAuth 2.0 access tokens, which Coffer does not take."},
	}
	const tooLong = "ValidationError: 1 validation error detected: Value at 'webIdentityToken' failed to satisfy constraint: Member must have length less than or equal to 20000"
	rules = append(rules, check.Rule{"too long", as(role, f.token("x", strings.Repeat("x", 20000))), tooLong})
	check.Run(t, rules)
	f.advance(12 * time.Minute)
	if got := as(role, good)(); !strings.HasPrefix(got, "ExpiredTokenException: Token expired: current date/time ") || !strings.HasSuffix(got, fmt.Sprint(" must be before the expiration date/time ", now+600)) {
		t.Errorf("expired: %s", got)
	}
	f.advance(-12*time.Minute - 2*time.Minute)
	if got := as(role, good)(); !strings.HasPrefix(got, "IDPRejectedClaim: Token not yet valid: ") {
		t.Errorf("not yet valid: %s", got)
	}

	records, log := f.records(t, "AssumeRoleWithWebIdentity")
	refused := 0
	for _, r := range records {
		if r.ErrorCode == "" {
			continue
		}
		refused++
		// Nobody is named before the signature was verified.
		verified := r.ErrorCode == "AccessDenied" || r.ErrorCode == "ExpiredTokenException" || r.ErrorCode == "IDPRejectedClaim" ||
			strings.HasPrefix(r.ErrorMessage, "Missing a required") || r.ErrorMessage == "Incorrect token audience"
		if verified != (r.UserIdentity.Type == "WebIdentityUser") {
			t.Errorf("record of %s %q: identity %+v", r.ErrorCode, r.ErrorMessage, r.UserIdentity)
		}
	}
	if refused < 30 {
		t.Errorf("%d refusals are recorded", refused)
	}
	for _, part := range strings.Split(good, ".")[1:] {
		check.Equal(t, "a token in the log", strings.Contains(log, part), false)
	}
}

// TestWebIdentityKeys are the condition keys that a token gives.
func TestWebIdentityKeys(t *testing.T) {
	t.Parallel()
	f := newFederation(t)
	host := strings.TrimPrefix(issuer, "https://")
	role := f.main.role(t, "r", []string{trust(federated(f.provider), append([]string{"sts:TagSession", "sts:SetSourceIdentity"}, web...))})
	full := f.token("azp", "web", "email", "ana@example.org", "amr", []string{"pwd", "otp"},
		"https://aws.amazon.com/tags", map[string]any{"principal_tags": map[string]any{"team": []string{"blue"}, "cost": []string{"1"}}, "transitive_tag_keys": []string{"team"}},
		"https://aws.amazon.com/source_identity", "ana")
	try1 := func(token, c string) bool {
		t.Helper()
		check.Must(t, f.main.UpdateAssumeRolePolicy, &iam.UpdateAssumeRolePolicyInput{RoleName: new("r"), PolicyDocument: new(document(
			trust(federated(f.provider), web, c), trust(federated(f.provider), []string{"sts:TagSession", "sts:SetSourceIdentity"})))})
		got := check.Try(f.sts(login{}).AssumeRoleWithWebIdentity, webAsking(role, token))()
		if got != "ok" && got != mayNot {
			t.Fatal(got)
		}
		return got == "ok"
	}
	for c, want := range map[string]bool{
		condition("StringEquals", host+":aud", "web"):                                             true,
		condition("StringEquals", host+":aud", "sts.amazonaws.com"):                               false,
		condition("ForAnyValue:StringEquals", host+":oaud", "sts.amazonaws.com"):                  true,
		condition("StringEquals", host+":azp", "web"):                                             true,
		condition("StringEquals", strings.ToUpper(host)+":sub", "system:serviceaccount:shop:web"): true,
		condition("StringLike", host+":sub", "system:serviceaccount:*"):                           true,
		condition("StringLike", host+":sub", "system:serviceaccount:bank:*"):                      false,
		condition("StringEquals", "other.example:sub", "system:serviceaccount:shop:web"):          false,
		condition("StringEquals", host+":email", "ana@example.org"):                               true,
		condition("ForAnyValue:StringEquals", host+":amr", "otp"):                                 true,
		condition("ForAllValues:StringEquals", host+":amr", "otp"):                                false,
		condition("StringEquals", "aws:RequestTag/team", "blue"):                                  true,
		condition("ForAllValues:StringEquals", "aws:TagKeys", "team", "cost"):                     true,
		condition("ForAllValues:StringEquals", "sts:TransitiveTagKeys", "team"):                   true,
		condition("ForAllValues:StringEquals", "sts:TransitiveTagKeys", "cost"):                   false,
		condition("StringEquals", "sts:SourceIdentity", "ana"):                                    true,
		condition("StringEquals", "sts:RoleSessionName", "web-1"):                                 true,
		condition("StringEquals", "aws:FederatedProvider", f.provider):                            true,
		condition("Null", host+":name", "true"):                                                   true,
	} {
		if got := try1(full, c); got != want {
			t.Errorf("%s: %v", c, got)
		}
	}
	if !try1(f.token(), condition("StringEquals", host+":aud", "sts.amazonaws.com")) {
		t.Error("without an authorized party the audience is the token's")
	}

	// Session tags and the source identity go into the session, and on from there.
	check.Must(t, f.main.UpdateAssumeRolePolicy, &iam.UpdateAssumeRolePolicyInput{RoleName: new("r"), PolicyDocument: new(document(trust(federated(f.provider), append([]string{"sts:TagSession", "sts:SetSourceIdentity"}, web...))))})
	check.Must(t, f.main.PutRolePolicy, &iam.PutRolePolicyInput{RoleName: new("r"), PolicyName: new("p"), PolicyDocument: new(document(
		allow("sts:*", "*"), allow("secretsmanager:ListSecrets", "*", `"Condition":{"StringEquals":{"aws:PrincipalTag/cost":"1","aws:SourceIdentity":"ana"}}`)))})
	out := check.Must(t, f.sts(login{}).AssumeRoleWithWebIdentity, webAsking(role, full))
	check.Equal(t, "source identity", *out.SourceIdentity, "ana")
	check.Equal(t, "packed size", out.PackedPolicySize != nil && *out.PackedPolicySize > 0, true)
	l := temporary(out.Credentials)
	next := f.main.role(t, "next", []string{trust(principal(role), setting)}, allow("secretsmanager:ListSecrets", "*", condition("StringEquals", "aws:PrincipalTag/team", "blue")))
	list := func(l login) string { return check.Try(f.sm(l).ListSecrets, &secretsmanager.ListSecretsInput{})() }
	check.Equal(t, "tags and source identity", list(l), "ok")
	check.Equal(t, "transitive tags", list(f.assume(t, l, next, "s2")), "ok")
}

func TestWebIdentitySessionPolicy(t *testing.T) {
	t.Parallel()
	f := newFederation(t)
	role := f.main.role(t, "r", []string{trust(federated(f.provider), web)}, allow("secretsmanager:*", "*"))
	with := func(edit func(*sts.AssumeRoleWithWebIdentityInput)) *sts.AssumeRoleWithWebIdentityInput {
		return webAsking(role, f.token(), edit)
	}
	out := check.Must(t, f.sts(login{}).AssumeRoleWithWebIdentity, with(func(in *sts.AssumeRoleWithWebIdentityInput) {
		in.Policy = new(document(allow("secretsmanager:ListSecrets", "*")))
	}))
	l := temporary(out.Credentials)
	check.Run(t, []check.Rule{
		{"in the policy", check.Try(f.sm(l).ListSecrets, &secretsmanager.ListSecretsInput{}), "ok"},
		{"not in it", check.Try(f.sm(l).GetRandomPassword, &secretsmanager.GetRandomPasswordInput{}),
			"AccessDeniedException: User: " + *out.AssumedRoleUser.Arn + " is not authorized to perform: secretsmanager:GetRandomPassword because no session policy allows the secretsmanager:GetRandomPassword action"},
		{"a policy that is not there", check.Try(f.sts(login{}).AssumeRoleWithWebIdentity, with(func(in *sts.AssumeRoleWithWebIdentityInput) {
			in.PolicyArns = []types.PolicyDescriptorType{{Arn: new(f.main.arn("policy/none"))}}
		})), "ValidationError: The policy " + f.main.arn("policy/none") + " does not exist or is not attachable."},
		{"a day", check.Try(f.sts(login{}).AssumeRoleWithWebIdentity, with(func(in *sts.AssumeRoleWithWebIdentityInput) { in.DurationSeconds = new(int32(50000)) })),
			"ValidationError: 1 validation error detected: Value '50000' at 'durationSeconds' failed to satisfy constraint: Member must have value less than or equal to 43200"},
	})
}

// TestStrangersRecords: who holds a genuine token of a public issuer can be anybody, so
// that refusals are not recorded without end, nor as long as they like.
func TestStrangersRecords(t *testing.T) {
	t.Parallel()
	f := newFederation(t)
	role := f.main.role(t, "r", []string{trust(principal(f.main.arn("root")), assume)})
	client := f.sts(login{})
	long := webAsking(role, f.token(), func(in *sts.AssumeRoleWithWebIdentityInput) {
		in.Policy = new(document(allow("s3:*", "arn:aws:s3:::"+noise(1, 1900))))
	})
	const requests, burst, perSecond = 700, 500, 20 // of what is recorded of one address
	begun := time.Now()
	for range requests {
		if _, err := client.AssumeRoleWithWebIdentity(ctx, webAsking(role, f.token("sub", strings.Repeat("s", 3000)))); check.Outcome(err) != mayNot {
			t.Fatal(check.Outcome(err))
		}
	}
	records, _ := f.records(t, "AssumeRoleWithWebIdentity")
	most := burst + perSecond*int(time.Since(begun).Seconds()+2)
	if n := len(records); n < burst || n > min(most, requests) {
		t.Errorf("%d of %d refusals are recorded singly, want %d to %d", n, requests, burst, most)
	}
	for _, r := range records {
		if len(r.UserIdentity.UserName) > 256 || len(r.UserIdentity.PrincipalID) > 600 {
			t.Fatalf("a record of %d and %d bytes", len(r.UserIdentity.UserName), len(r.UserIdentity.PrincipalID))
		}
	}
	f.advance(time.Hour)
	long.WebIdentityToken = new(f.token())
	if _, err := client.AssumeRoleWithWebIdentity(ctx, long); check.Outcome(err) != mayNot {
		t.Fatal(check.Outcome(err))
	}
	records, _ = f.records(t, "AssumeRoleWithWebIdentity")
	last := records[len(records)-1]
	check.Equal(t, "the record", last.ErrorCode+" "+last.UserIdentity.UserName, "AccessDenied system:serviceaccount:shop:web")
	check.Equal(t, "parameters recorded of a long request", len(last.RequestParameters), 0)
}

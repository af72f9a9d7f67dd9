package e2e_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"coffer/internal/coffertest/check"
)

// door is an operation that takes a policy.
type door struct {
	name      string
	members   string              // of a statement that goes through it
	put       func(string) string // the policy, and what it comes to
	limit     int                 // characters
	tooLong   string              // answer to one more
	malformed func(json bool) string
}

// doors are all operations that take a policy, of all services.
func doors(t *testing.T, w *realm) []door {
	a := w.ours
	a.makes("s")
	key := a.makesKey()
	ana := a.user("ana", allow("*", "*"))
	a.user("bo")
	role := a.role("r", ana.arn)
	managed := a.managed("p", allow("s3:*", "*"))
	must(a.iam.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: new("g")}))(t)
	identity := `"Effect":"Allow","Action":"s3:*","Resource":"*"`
	resource := `"Effect":"Allow","Principal":{"AWS":"` + a.id + `"},"Action":"secretsmanager:*","Resource":"*"`
	ofKey := strings.Replace(resource, "secretsmanager", "kms", 1)
	ofRole := `"Effect":"Allow","Principal":{"AWS":"` + ana.arn + `"},"Action":"sts:AssumeRole"`
	name, again := new("p"), 0
	fresh := func(kind string) *string { again++; return new(kind + strings.Repeat("x", again)) }

	quota := func(what string) string { return "LimitExceeded: Cannot exceed quota for " + what }
	const (
		tooLong   = "ValidationError: 1 validation error detected: Value at 'policy' failed to satisfy constraint: Member must have length less than or equal to 2048"
		federated = "ValidationError: 1 validation error detected: Value '*' at 'policy' failed to satisfy constraint: Member must have length less than or equal to 2048"
		simulated = "ValidationError: 1 validation error detected: Value '[*' at 'policyInputList' failed to satisfy constraint: Member must satisfy constraint: [Member must have length less than or equal to 131072, Member must have length greater than or equal to 1, Member must satisfy regular expression pattern: [\\u0009\\u000A\\u000D\\u0020-\\u00FF]+, Member must not be null]"
		secret    = "ValidationException: 1 validation error detected: Value '*' at 'resourcePolicy' failed to satisfy constraint: Member must have length less than or equal to 20480"
	)
	ofSecret := func(bool) string {
		return "MalformedPolicyDocumentException: This resource policy contains a syntax error."
	}
	ofKMS := func(bool) string { return "MalformedPolicyDocumentException: " }
	ofIAM := func(json bool) string {
		if !json {
			return "MalformedPolicyDocument: This policy contains invalid Json"
		}
		return "MalformedPolicyDocument: Syntax errors in policy."
	}
	ofSimulation := func(json bool) string {
		return strings.Replace(ofIAM(json), "MalformedPolicyDocument: ", "InvalidInput: Invalid policy PolicyInputList.1: ", 1)
	}
	return []door{
		{"PutResourcePolicy", resource, func(p string) string {
			return check.Now(a.sm.PutResourcePolicy, &secretsmanager.PutResourcePolicyInput{SecretId: new("s"), ResourcePolicy: &p})
		}, 20480, secret, ofSecret},
		{"ValidateResourcePolicy", resource, func(p string) string {
			out, err := a.sm.ValidateResourcePolicy(ctx, &secretsmanager.ValidateResourcePolicyInput{SecretId: new("s"), ResourcePolicy: &p})
			if err == nil && !out.PolicyValidationPassed {
				return "MalformedPolicyDocumentException: " + *out.ValidationErrors[0].ErrorMessage
			}
			return check.Outcome(err)
		}, 20480, secret, ofSecret},
		{"CreateKey", ofKey, func(p string) string { return check.Now(a.kms.CreateKey, &kms.CreateKeyInput{Policy: &p}) }, 32768, "LimitExceededException: The key policy is longer than 32768 characters.", ofKMS},
		{"PutKeyPolicy", ofKey, func(p string) string {
			return check.Now(a.kms.PutKeyPolicy, &kms.PutKeyPolicyInput{KeyId: &key, Policy: &p})
		}, 32768, "LimitExceededException: The key policy is longer than 32768 characters.", ofKMS},
		{"CreatePolicy", identity, func(p string) string {
			return check.Now(a.iam.CreatePolicy, &iam.CreatePolicyInput{PolicyName: fresh("p"), PolicyDocument: &p})
		}, 6144, quota("PolicySize: 6144"), ofIAM},
		{"CreatePolicyVersion", identity, func(p string) string {
			return check.Now(a.iam.CreatePolicyVersion, &iam.CreatePolicyVersionInput{PolicyArn: &managed, PolicyDocument: &p})
		}, 6144, quota("PolicySize: 6144"), ofIAM},
		{"PutUserPolicy", identity, func(p string) string {
			return check.Now(a.iam.PutUserPolicy, &iam.PutUserPolicyInput{UserName: new("bo"), PolicyName: name, PolicyDocument: &p})
		}, 2048, "LimitExceeded: Maximum policy size of 2048 bytes exceeded for user bo", ofIAM},
		{"PutGroupPolicy", identity, func(p string) string {
			return check.Now(a.iam.PutGroupPolicy, &iam.PutGroupPolicyInput{GroupName: new("g"), PolicyName: name, PolicyDocument: &p})
		}, 5120, "LimitExceeded: Maximum policy size of 5120 bytes exceeded for group g", ofIAM},
		{"PutRolePolicy", identity, func(p string) string {
			return check.Now(a.iam.PutRolePolicy, &iam.PutRolePolicyInput{RoleName: new("r"), PolicyName: name, PolicyDocument: &p})
		}, 10240, "LimitExceeded: Maximum policy size of 10240 bytes exceeded for role r", ofIAM},
		{"CreateRole", ofRole, func(p string) string {
			return check.Now(a.iam.CreateRole, &iam.CreateRoleInput{RoleName: fresh("r"), AssumeRolePolicyDocument: &p})
		}, 2048, quota("ACLSizePerRole: 2048"), ofIAM},
		{"UpdateAssumeRolePolicy", ofRole, func(p string) string {
			return check.Now(a.iam.UpdateAssumeRolePolicy, &iam.UpdateAssumeRolePolicyInput{RoleName: new("r"), PolicyDocument: &p})
		}, 2048, quota("ACLSizePerRole: 2048"), ofIAM},
		{"SimulateCustomPolicy", identity, func(p string) string {
			return check.Now(a.iam.SimulateCustomPolicy, &iam.SimulateCustomPolicyInput{PolicyInputList: []string{p}, ActionNames: []string{"s3:GetObject"}})
		}, 131072, simulated, ofSimulation},
		{"GetContextKeysForCustomPolicy", identity, func(p string) string {
			return check.Now(a.iam.GetContextKeysForCustomPolicy, &iam.GetContextKeysForCustomPolicyInput{PolicyInputList: []string{p}})
		}, 131072, simulated, ofSimulation},
		{"AssumeRole", identity, func(p string) string {
			return ana.mayAssume(role, "s1", func(in *sts.AssumeRoleInput) { in.Policy = &p })
		}, 2048, tooLong, ofIAM},
		{"GetFederationToken", identity, func(p string) string {
			return check.Now(ana.sts.GetFederationToken, &sts.GetFederationTokenInput{Name: new("fay"), Policy: &p})
		}, 2048, federated, ofIAM},
	}
}

// TestBadPolicies: what is no policy is refused at every door in the words of its service,
// recorded, and changes nothing.
func TestBadPolicies(t *testing.T) {
	t.Parallel()
	w := newRealm(t, drivers[0].opts...)
	all := doors(t, w)
	stored := func() string {
		out := must(w.ours.sm.GetResourcePolicy(ctx, &secretsmanager.GetResourcePolicyInput{SecretId: new("s")}))(t)
		role := must(w.ours.iam.GetRole(ctx, &iam.GetRoleInput{RoleName: new("r")}))(t)
		return *out.ResourcePolicy + *role.Role.AssumeRolePolicyDocument
	}
	for _, d := range all {
		hold(t, []fact{{d.name + ": a policy", d.put(`{"Version":"2012-10-17","Statement":{` + d.members + `}}`), ok}})
	}
	before := stored()
	for _, bad := range []struct {
		what string
		text string // {} stands for the members of a good statement
		json bool   // and no policy
	}{
		{"nothing but a brace", `{`, false},
		{"cut off", `{"Version":"2012-10-17","Statement":[{{}}`, false},
		{"two documents", `{"Statement":{{}}}{"Statement":{{}}}`, false},
		{"a comment", `{"Statement":{{}}/**/}`, false},
		{"single quotes", `{'Statement':{{}}}`, false},
		{"a comma too many", `{"Statement":[{{}},]}`, false},
		{"the same key twice", `{"Version":"2012-10-17","Version":"2012-10-17","Statement":{{}}}`, false},
		{"two lists of statements", `{"Statement":{{}},"Statement":[]}`, false},
		{"two effects", `{"Statement":{"Effect":"Deny",{}}}`, false},
		{"two effects, one escaped", `{"Statement":{"\u0045ffect":"Deny",{}}}`, false},
		{"two values of an operator", `{"Statement":{{},"Condition":{"Null":{"aws:x":"true","aws:x":"false"}}}}`, false},
		{"a lone surrogate", `{"Id":"\ud800","Statement":{{}}}`, false},
		{"lists in lists", `{"Statement":` + strings.Repeat("[", 400) + `{{}}` + strings.Repeat("]", 400) + `}`, false},
		{"a deep condition", `{"Statement":{{},"Condition":` + strings.Repeat(`{"a":`, 300) + `1` + strings.Repeat("}", 300) + `}}`, false},

		{"a text", `"Allow"`, true},
		{"a list", `[{{}}]`, true},
		{"an unknown element", `{"Statement":{{}},"Extra":{}}`, true},
		{"an unknown element of a statement", `{"Statement":{{},"Extra":1}}`, true},
		{"an unknown operator", `{"Statement":{{},"Condition":{"StringIs":{"aws:username":"a"}}}}`, true},
		{"an operator in another case", `{"Statement":{{},"Condition":{"stringequals":{"aws:username":"a"}}}}`, true},
		{"a set of no operator", `{"Statement":{{},"Condition":{"ForSomeValues:StringEquals":{"aws:username":"a"}}}}`, true},
		{"Null that may be missing", `{"Statement":{{},"Condition":{"NullIfExists":{"aws:username":"true"}}}}`, true},
		{"no address", `{"Statement":{{},"Condition":{"IpAddress":{"aws:SourceIp":"home"}}}}`, true},
		{"a variable without end", `{"Statement":{{},"Condition":{"StringEquals":{"aws:username":"${aws:username"}}},"Version":"2012-10-17"}`, true},
		{"an object for a value", `{"Statement":{{},"Condition":{"StringEquals":{"aws:username":{"a":"b"}}}}}`, true},
		{"null for an effect", `{"Statement":{"Effect":null}}`, true},
	} {
		for _, d := range all {
			text := strings.ReplaceAll(bad.text, "{{}", "{"+d.members)
			text = strings.ReplaceAll(text, ",{}", ","+d.members)
			hold(t, []fact{{d.name + ": " + bad.what + ": " + text[:min(len(text), 200)], d.put(text), d.malformed(bad.json)}})
		}
	}
	check.Equal(t, "what is stored", stored(), before)
}

// TestPolicySizes: as long as AWS takes them, and not a character longer.
func TestPolicySizes(t *testing.T) {
	t.Parallel()
	w := newRealm(t, drivers[0].opts...)
	for _, d := range doors(t, w) {
		head, tail := `{"Statement":{"Sid":"`, `",`+d.members+`}}`
		text := func(n int) string { return head + strings.Repeat("x", n-len(head)-len(tail)) + tail }
		hold(t, []fact{{d.name + " of its limit", d.put(text(d.limit)), ok}})
		got, long := d.put(text(d.limit+1)), text(d.limit+1)
		got = strings.NewReplacer("'"+long[:256]+"...", "'*", "'["+long[:255]+"...", "'[*").Replace(got) // what was sent is repeated
		hold(t, []fact{{d.name + ", one character more", got, d.tooLong}})
	}
}

package lambda_test

import (
	"encoding/json"
	"strings"
	"testing"

	lambdaapi "coffer/internal/api/lambda"
	"coffer/internal/fault"
	"coffer/internal/lambda"
)

// allow lets Secrets Manager invoke a function.
func allow(name, sid string) *lambdaapi.AddPermissionInput {
	return &lambdaapi.AddPermissionInput{FunctionName: &name, StatementId: &sid, Action: new("lambda:InvokeFunction"), Principal: new("secretsmanager.amazonaws.com")}
}

func (c client) policy(name, qualifier string) (text, revision string) {
	c.Helper()
	in := &lambdaapi.GetPolicyInput{FunctionName: &name}
	if qualifier != "" {
		in.Qualifier = &qualifier
	}
	out := must(c, lambdaapi.GetPolicy, in)
	return *out.Policy, *out.RevisionId
}

// Statements are as AWS prints them.
func TestAddPermissionStatement(t *testing.T) {
	t.Parallel()
	const head = `{"Sid":"s","Effect":"Allow","Principal":`
	const tail = `,"Action":"lambda:InvokeFunction","Resource":"` + prefix + `function:f"`
	for _, tc := range []struct {
		rule string
		set  func(*lambdaapi.AddPermissionInput)
		want string
	}{
		{"a service", func(in *lambdaapi.AddPermissionInput) {}, head + `{"Service":"secretsmanager.amazonaws.com"}` + tail + `}`},
		{"a source account", func(in *lambdaapi.AddPermissionInput) { in.SourceAccount = new(ours) },
			head + `{"Service":"secretsmanager.amazonaws.com"}` + tail + `,"Condition":{"StringEquals":{"AWS:SourceAccount":"` + ours + `"}}}`},
		{"a source", func(in *lambdaapi.AddPermissionInput) { in.SourceArn = new("arn:aws:s3:::bucket") },
			head + `{"Service":"secretsmanager.amazonaws.com"}` + tail + `,"Condition":{"ArnLike":{"AWS:SourceArn":"arn:aws:s3:::bucket"}}}`},
		{"both", func(in *lambdaapi.AddPermissionInput) {
			in.SourceAccount, in.SourceArn = new(ours), new("arn:aws:s3:::bucket")
		}, head + `{"Service":"secretsmanager.amazonaws.com"}` + tail + `,"Condition":{"StringEquals":{"AWS:SourceAccount":"` + ours + `"},"ArnLike":{"AWS:SourceArn":"arn:aws:s3:::bucket"}}}`},
		{"an account", func(in *lambdaapi.AddPermissionInput) { in.Principal = new(theirs) }, head + `{"AWS":"arn:aws:iam::` + theirs + `:root"}` + tail + `}`},
		{"an account's root", func(in *lambdaapi.AddPermissionInput) { in.Principal = new("arn:aws:iam::" + theirs + ":root") },
			head + `{"AWS":"arn:aws:iam::` + theirs + `:root"}` + tail + `}`},
		{"a user", func(in *lambdaapi.AddPermissionInput) { in.Principal = new("arn:aws:iam::" + ours + ":user/ann") },
			head + `{"AWS":"arn:aws:iam::` + ours + `:user/ann"}` + tail + `}`},
		{"an organization", func(in *lambdaapi.AddPermissionInput) {
			in.Principal, in.PrincipalOrgID = new("*"), new("o-abcdefghij")
		}, head + `"*"` + tail + `,"Condition":{"StringEquals":{"aws:PrincipalOrgID":"o-abcdefghij"}}}`},
		{"a token", func(in *lambdaapi.AddPermissionInput) { in.EventSourceToken = new("abc") },
			head + `{"Service":"secretsmanager.amazonaws.com"}` + tail + `,"Condition":{"StringEquals":{"lambda:EventSourceToken":"abc"}}}`},
		{"a function URL", func(in *lambdaapi.AddPermissionInput) {
			in.Principal, in.Action = new("*"), new("lambda:InvokeFunctionUrl")
			in.FunctionUrlAuthType, in.InvokedViaFunctionUrl = new("NONE"), new(true)
		}, head + `"*"` + strings.Replace(tail, "InvokeFunction", "InvokeFunctionUrl", 1) +
			`,"Condition":{"StringEquals":{"lambda:FunctionUrlAuthType":"NONE"},"Bool":{"lambda:InvokedViaFunctionUrl":"true"}}}`},
		{"quotes", func(in *lambdaapi.AddPermissionInput) { in.SourceArn = new(`arn:aws:s3:::a"b\c`) },
			head + `{"Service":"secretsmanager.amazonaws.com"}` + tail + `,"Condition":{"ArnLike":{"AWS:SourceArn":"arn:aws:s3:::a\"b\\c"}}}`},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			c := newWorld(t, lambda.Config{}).root()
			c.function("f")
			c.named("ann", 1)
			in := allow("f", "s")
			tc.set(in)
			if got := *must(c, lambdaapi.AddPermission, in).Statement; got != tc.want {
				t.Errorf("statement\n got %s\nwant %s", got, tc.want)
			}
			got, _ := c.policy("f", "")
			if want := `{"Version":"2012-10-17","Id":"default","Statement":[` + tc.want + `]}`; got != want {
				t.Errorf("policy\n got %s\nwant %s", got, want)
			}
		})
	}
}

func TestAddPermissionRefusals(t *testing.T) {
	t.Parallel()
	c := newWorld(t, lambda.Config{}).root()
	c.function("f")
	must(c, lambdaapi.AddPermission, allow("f", "taken"))
	const principal = "The provided principal was invalid. Please check the principal and try again."
	const revised = "The Revision Id provided does not match the latest Revision Id. Call the GetPolicy API to retrieve the latest Revision Id"
	for _, tc := range []struct {
		rule       string
		set        func(*lambdaapi.AddPermissionInput)
		code, text string
	}{
		{"a statement id twice", func(in *lambdaapi.AddPermissionInput) { in.StatementId = new("taken") }, "ResourceConflictException",
			"The statement id (taken) provided already exists. Please provide a new statement id, or remove the existing statement."},
		{"no such function", func(in *lambdaapi.AddPermissionInput) { in.FunctionName = new("g") }, "ResourceNotFoundException",
			"Function not found: " + prefix + "function:g"},
		{"no such version", func(in *lambdaapi.AddPermissionInput) { in.Qualifier = new("7") }, "ResourceNotFoundException",
			"Function not found: " + prefix + "function:f:7"},
		{"no such alias", func(in *lambdaapi.AddPermissionInput) { in.FunctionName = new("f:live") }, "ResourceNotFoundException",
			"Function not found: " + prefix + "function:f:live"},
		{"two qualifiers", func(in *lambdaapi.AddPermissionInput) { in.FunctionName, in.Qualifier = new("f:1"), new("2") }, "InvalidParameterValueException",
			"The derived qualifier from the function name does not match the specified qualifier."},
		{"$LATEST", func(in *lambdaapi.AddPermissionInput) { in.Qualifier = new("$LATEST") }, "InvalidParameterValueException",
			"We currently do not support adding policies for $LATEST."},
		{"no principal", func(in *lambdaapi.AddPermissionInput) { in.Principal = new("somebody") }, "InvalidParameterValueException", principal},
		{"a user who does not exist", func(in *lambdaapi.AddPermissionInput) { in.Principal = new("arn:aws:iam::" + ours + ":user/bob") },
			"InvalidParameterValueException", principal},
		{"a pattern", func(in *lambdaapi.AddPermissionInput) { in.Principal = new("arn:aws:iam::" + ours + ":user/*") }, "InvalidParameterValueException", principal},
		{"a group", func(in *lambdaapi.AddPermissionInput) { in.Principal = new("arn:aws:iam::" + ours + ":group/g") }, "InvalidParameterValueException", principal},
		{"a unique id", func(in *lambdaapi.AddPermissionInput) { in.Principal = new("AIDAABCDEFGHIJKLMNOPQ") }, "InvalidParameterValueException", principal},
		{"an auth type without URL", func(in *lambdaapi.AddPermissionInput) { in.FunctionUrlAuthType = new("NONE") }, "InvalidParameterValueException",
			"FunctionUrlAuthType is only supported for lambda:InvokeFunctionUrl action"},
		{"another revision", func(in *lambdaapi.AddPermissionInput) { in.RevisionId = new("0") }, "PreconditionFailedException", revised},
		{"an odd action", func(in *lambdaapi.AddPermissionInput) { in.Action = new("s3:GetObject") }, "ValidationException",
			"1 validation error detected: Value 's3:GetObject' at 'action' failed to satisfy constraint: Member must satisfy regular expression pattern: (lambda:[*]|lambda:[a-zA-Z]+|[*])"},
		{"a source that can never be compared", func(in *lambdaapi.AddPermissionInput) { in.SourceArn = new("arn:aws:s3:::${") }, "InvalidParameterValueException",
			"The provided source ARN was invalid. Please check the source ARN and try again."},
	} {
		in := allow("f", "s")
		tc.set(in)
		t.Run(tc.rule, func(t *testing.T) {
			c := c
			c.world = c.world.in(t)
			refuse(c, lambdaapi.AddPermission, in, tc.code, tc.text)
		})
	}
}

func TestRemovePermission(t *testing.T) {
	t.Parallel()
	c := newWorld(t, lambda.Config{}).root()
	c.function("f")
	remove := func(sid string) *lambdaapi.RemovePermissionInput {
		return &lambdaapi.RemovePermissionInput{FunctionName: new("f"), StatementId: &sid}
	}
	const none = "The resource you requested does not exist."
	refuse(c, lambdaapi.GetPolicy, &lambdaapi.GetPolicyInput{FunctionName: new("f")}, "ResourceNotFoundException", none)
	refuse(c, lambdaapi.RemovePermission, remove("a"), "ResourceNotFoundException", none)
	must(c, lambdaapi.AddPermission, allow("f", "a"))
	_, first := c.policy("f", "")
	in := allow("f", "b")
	in.RevisionId = &first
	must(c, lambdaapi.AddPermission, in)
	_, second := c.policy("f", "")
	if first == second {
		t.Error("the revision stays")
	}
	// It is the function's own as well.
	if got := *must(c, lambdaapi.GetFunctionConfiguration, &lambdaapi.GetFunctionConfigurationInput{FunctionName: new("f")}).RevisionId; got != second {
		t.Error("the function has another revision")
	}
	stale := remove("a")
	stale.RevisionId = &first
	refuse(c, lambdaapi.RemovePermission, stale, "PreconditionFailedException",
		"The Revision Id provided does not match the latest Revision Id. Call the GetPolicy API to retrieve the latest Revision Id")
	refuse(c, lambdaapi.RemovePermission, remove("z"), "ResourceNotFoundException", "Statement z is not found in resource policy.")
	must(c, lambdaapi.RemovePermission, remove("a"))
	if text, _ := c.policy("f", ""); strings.Contains(text, `"Sid":"a"`) || !strings.Contains(text, `"Sid":"b"`) {
		t.Error(text)
	}
	must(c, lambdaapi.RemovePermission, remove("b"))
	refuse(c, lambdaapi.GetPolicy, &lambdaapi.GetPolicyInput{FunctionName: new("f")}, "ResourceNotFoundException", none)
	// A policy does not outlive its function.
	must(c, lambdaapi.AddPermission, allow("f", "a"))
	must(c, lambdaapi.DeleteFunction, &lambdaapi.DeleteFunctionInput{FunctionName: new("f")})
	c.function("f")
	refuse(c, lambdaapi.GetPolicy, &lambdaapi.GetPolicyInput{FunctionName: new("f")}, "ResourceNotFoundException", none)
}

// The limit is on the policy as GetPolicy shows it.
func TestPolicyLimit(t *testing.T) {
	t.Parallel()
	c := newWorld(t, lambda.Config{}).root()
	c.function("f")
	in := allow("f", "a")
	in.SourceArn = new("arn:aws:s3:::a")
	must(c, lambdaapi.AddPermission, in)
	text, _ := c.policy("f", "")
	must(c, lambdaapi.RemovePermission, &lambdaapi.RemovePermissionInput{FunctionName: new("f"), StatementId: new("a")})
	fits := "arn:aws:s3:::a" + strings.Repeat("a", 20480-len(text))
	in.SourceArn = new(fits + "a")
	refuse(c, lambdaapi.AddPermission, in, "PolicyLengthExceededException", "The final policy size (20481) is bigger than the limit (20480).")
	in.SourceArn = &fits
	must(c, lambdaapi.AddPermission, in)
	if text, _ := c.policy("f", ""); len(text) != 20480 {
		t.Errorf("%d bytes", len(text))
	}
}

// invocable is what a dry run of Invoke answers: "" or an error's code.
func (c client) invocable(name string) string {
	c.Helper()
	out, err := call(c, lambdaapi.Invoke, &lambdaapi.InvokeInput{FunctionName: &name, InvocationType: new("DryRun")})
	if err == nil && *out.StatusCode != 204 {
		c.Errorf("status %d", *out.StatusCode)
	}
	return fault.Code(err)
}

// Secrets Manager may invoke exactly what the policy of what it names lets it.
func TestPolicyDecides(t *testing.T) {
	t.Parallel()
	const secret = "arn:aws:secretsmanager:" + here + ":" + ours + ":secret:db-AbCdEf"
	const other = "arn:aws:secretsmanager:" + here + ":" + theirs + ":secret:db-AbCdEf"
	with := func(set ...func(*lambdaapi.AddPermissionInput)) *lambdaapi.AddPermissionInput {
		in := allow("f", "s")
		for _, f := range set {
			f(in)
		}
		return in
	}
	on := func(qualifier string) func(*lambdaapi.AddPermissionInput) {
		return func(in *lambdaapi.AddPermissionInput) { in.Qualifier = &qualifier }
	}
	const denied = "AccessDeniedException"
	for _, tc := range []struct {
		rule            string
		in              *lambdaapi.AddPermissionInput // nil: no permission
		name            string
		service, source string // in place of them an account:
		account         string
		want            string
	}{
		{"no permission", nil, "f", "secretsmanager.amazonaws.com", secret, "", denied},
		{"a permission", with(), "f", "secretsmanager.amazonaws.com", secret, "", ""},
		{"the function by its ARN", with(), prefix + "function:f", "secretsmanager.amazonaws.com", secret, "", ""},
		{"another service", with(), "f", "sns.amazonaws.com", secret, "", denied},
		{"for its account", with(func(in *lambdaapi.AddPermissionInput) { in.SourceAccount = new(ours) }), "f", "secretsmanager.amazonaws.com", secret, "", ""},
		{"for another account", with(func(in *lambdaapi.AddPermissionInput) { in.SourceAccount = new(ours) }), "f", "secretsmanager.amazonaws.com", other, "", denied},
		{"for the secret", with(func(in *lambdaapi.AddPermissionInput) { in.SourceArn = new(secret) }), "f", "secretsmanager.amazonaws.com", secret, "", ""},
		{"for secrets of a pattern", with(func(in *lambdaapi.AddPermissionInput) { in.SourceArn = new(strings.Replace(secret, "AbCdEf", "*", 1)) }),
			"f", "secretsmanager.amazonaws.com", secret, "", ""},
		{"for another secret", with(func(in *lambdaapi.AddPermissionInput) { in.SourceArn = new(secret + "x") }), "f", "secretsmanager.amazonaws.com", secret, "", denied},
		{"to do something else", with(func(in *lambdaapi.AddPermissionInput) { in.Action = new("lambda:GetFunction") }), "f", "secretsmanager.amazonaws.com", secret, "", denied},
		{"to do anything", with(func(in *lambdaapi.AddPermissionInput) { in.Action = new("lambda:*") }), "f", "secretsmanager.amazonaws.com", secret, "", ""},
		{"of an organization, to a service", with(func(in *lambdaapi.AddPermissionInput) { in.PrincipalOrgID = new("o-abcdefghij") }),
			"f", "secretsmanager.amazonaws.com", secret, "", denied},
		{"with a token", with(func(in *lambdaapi.AddPermissionInput) { in.EventSourceToken = new("abc") }), "f", "secretsmanager.amazonaws.com", secret, "", denied},
		{"on the function, for a version", with(), "f:1", "secretsmanager.amazonaws.com", secret, "", denied},
		{"on the function, for $LATEST", with(), "f:$LATEST", "secretsmanager.amazonaws.com", secret, "", denied},
		{"on a version, for it", with(on("1")), "f:1", "secretsmanager.amazonaws.com", secret, "", ""},
		{"on a version, for another", with(on("1")), "f:2", "secretsmanager.amazonaws.com", secret, "", denied},
		{"on a version, for an alias of it", with(on("1")), "f:live", "secretsmanager.amazonaws.com", secret, "", denied},
		{"on a version, for the function", with(on("1")), "f", "secretsmanager.amazonaws.com", secret, "", denied},
		{"on an alias, for it", with(on("live")), "f:live", "secretsmanager.amazonaws.com", secret, "", ""},
		{"on an alias, for its version", with(on("live")), "f:1", "secretsmanager.amazonaws.com", secret, "", denied},
		{"for a function that is not there", with(), "g", "secretsmanager.amazonaws.com", secret, "", denied},
		{"another account, not allowed", with(), prefix + "function:f", "", "", theirs, denied},
		{"another account, allowed", with(func(in *lambdaapi.AddPermissionInput) { in.Principal = new(theirs) }), prefix + "function:f", "", "", theirs, ""},
		{"everybody", with(func(in *lambdaapi.AddPermissionInput) { in.Principal = new("*") }), prefix + "function:f", "", "", theirs, ""},
		{"its own account", nil, "f", "", "", ours, ""},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, lambda.Config{})
			c := w.root()
			c.function("f")
			c.publish("f", "one")
			c.publish("f", "two")
			must(c, lambdaapi.CreateAlias, &lambdaapi.CreateAliasInput{FunctionName: new("f"), Name: new("live"), FunctionVersion: new("1")})
			if tc.in != nil {
				must(c, lambdaapi.AddPermission, tc.in)
			}
			caller := w.as(tc.account)
			if tc.service != "" {
				caller = w.aws(tc.service, tc.source)
				caller.account = ours
			}
			if got := caller.invocable(tc.name); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// A statement means the user that there was, not one made later under the same name.
func TestPolicyMeansTheUserThatWas(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lambda.Config{})
	c := w.root()
	c.function("f")
	ann := c.named("ann", 1)
	in := allow("f", "s")
	in.Principal = new(ann.principal().ARN)
	must(c, lambdaapi.AddPermission, in)
	if got := ann.invocable(prefix + "function:f"); got != "" {
		t.Errorf("the user is refused: %s", got)
	}
	bob := c.named("bob", 1)
	if text, _ := c.policy("f", ""); !strings.Contains(text, `{"AWS":"`+bob.principal().ARN+`"}`) {
		t.Errorf("after the user was renamed: %s", text)
	}
	if got := bob.invocable("f"); got != "" {
		t.Errorf("the renamed user is refused: %s", got)
	}
	if got := c.named("ann", 2).invocable("f"); got != "AccessDeniedException" {
		t.Errorf("another user of the name may invoke: %q", got)
	}
	bob.gone()
	if text, _ := c.policy("f", ""); !strings.Contains(text, `{"AWS":"`+bob.user.ID+`"}`) {
		t.Errorf("after the user is gone: %s", text)
	}
}

// A built-in function may rotate every secret of the account. Only Secrets Manager has it
// run, and for the secret that it calls for; others may ask whether it could be invoked.
func TestBuiltInIsInvokedBySecretsManagerOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lambda.Config{BuiltIns: []lambda.BuiltIn{{Name: "Rotator", Timeout: 30e9, Memory: 128}}})
	const secret = "arn:aws:secretsmanager:" + here + ":" + ours + ":secret:db-AbCdEf"
	service := w.aws("secretsmanager.amazonaws.com", secret)
	service.account = ours
	const invalid = "InvalidParameterValueException"
	const reserved = "The function Rotator comes with Coffer and is invoked by Secrets Manager only: call RotateSecret."
	const passed = "Functions are switched off on this server." // there is nothing to run it here
	for _, tc := range []struct {
		rule          string
		c             client
		payload, text string
	}{
		{"the root", w.root(), `{"SecretId":"` + secret + `"}`, reserved},
		{"for its secret", service, `{"SecretId":"` + secret + `"}`, passed},
		{"for another secret", service, `{"SecretId":"` + secret + `2"}`, reserved},
		{"for none", service, `{}`, reserved},
	} {
		for _, kind := range []string{lambdaapi.InvocationTypeRequestResponse, lambdaapi.InvocationTypeEvent} {
			c := tc.c
			t.Log(tc.rule, kind)
			refuse(c, lambdaapi.Invoke, &lambdaapi.InvokeInput{FunctionName: new("Rotator"), InvocationType: new(kind), Payload: []byte(tc.payload)}, invalid, tc.text)
		}
	}
	must(w.root(), lambdaapi.Invoke, &lambdaapi.InvokeInput{FunctionName: new("Rotator"), InvocationType: new(lambdaapi.InvocationTypeDryRun)})
}

// What comes with Coffer shows its policy and takes no changes.
func TestBuiltInIsFixed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, lambda.Config{BuiltIns: []lambda.BuiltIn{{Name: "Rotator", Timeout: 30e9, Memory: 128}}})
	c := w.root()
	text, _ := c.policy("Rotator", "")
	var doc struct {
		Statement []struct{ Principal struct{ Service string } }
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil || len(doc.Statement) != 1 || doc.Statement[0].Principal.Service != "secretsmanager.amazonaws.com" {
		t.Errorf("policy %s: %v", text, err)
	}
	for _, tc := range []struct{ source, want string }{
		{"arn:aws:secretsmanager:" + here + ":" + ours + ":secret:db-AbCdEf", ""},
		{"arn:aws:secretsmanager:" + here + ":" + theirs + ":secret:db-AbCdEf", "AccessDeniedException"},
	} {
		caller := w.aws("secretsmanager.amazonaws.com", tc.source)
		caller.account = ours
		if got := caller.invocable("Rotator"); got != tc.want {
			t.Errorf("for %s: %q", tc.source, got)
		}
	}
	const invalid, text2 = "InvalidParameterValueException", `The function Rotator comes with Coffer and cannot be changed. Create a function of another name: see docs/rotation.md, "Variables and a role of your own".`
	refuse(c, lambdaapi.AddPermission, allow("Rotator", "s"), invalid, text2)
	refuse(c, lambdaapi.RemovePermission, &lambdaapi.RemovePermissionInput{FunctionName: new("Rotator"), StatementId: new("SecretsManagerAccess")}, invalid, text2)
	refuse(c, lambdaapi.CreateAlias, &lambdaapi.CreateAliasInput{FunctionName: new("Rotator"), Name: new("a"), FunctionVersion: new("$LATEST")}, invalid, text2)
	refuse(c, lambdaapi.TagResource, &lambdaapi.TagResourceInput{Resource: new(prefix + "function:Rotator"), Tags: map[string]string{"a": "1"}}, invalid, text2)
	refuse(c, lambdaapi.PutFunctionConcurrency, &lambdaapi.PutFunctionConcurrencyInput{FunctionName: new("Rotator"), ReservedConcurrentExecutions: new(int64(1))}, invalid, text2)
	if got := c.tags("Rotator"); len(got) != 0 {
		t.Errorf("tags %v", got)
	}
	if got := must(c, lambdaapi.ListAliases, &lambdaapi.ListAliasesInput{FunctionName: new("Rotator")}).Aliases; len(got) != 0 {
		t.Errorf("aliases %v", got)
	}
	if got := c.reserved("Rotator"); got != -1 {
		t.Errorf("reserved %d", got)
	}
	versions := must(c, lambdaapi.ListVersionsByFunction, &lambdaapi.ListVersionsByFunctionInput{FunctionName: new("Rotator")}).Versions
	if len(versions) != 1 || *versions[0].Version != "$LATEST" || *versions[0].FunctionArn != prefix+"function:Rotator:$LATEST" || *versions[0].Timeout != 30 {
		t.Errorf("versions %v", versions)
	}
	if got := must(c, lambdaapi.ListFunctionEventInvokeConfigs, &lambdaapi.ListFunctionEventInvokeConfigsInput{FunctionName: new("Rotator")}).FunctionEventInvokeConfigs; len(got) != 0 {
		t.Errorf("event configurations %v", got)
	}
	const absent = "ResourceNotFoundException"
	refuse(c, lambdaapi.GetFunctionEventInvokeConfig, &lambdaapi.GetFunctionEventInvokeConfigInput{FunctionName: new("Rotator")}, absent,
		"The function "+prefix+"function:Rotator:$LATEST doesn't have an EventInvokeConfig")
	refuse(c, lambdaapi.GetAlias, &lambdaapi.GetAliasInput{FunctionName: new("Rotator"), Name: new("a")}, absent, "Cannot find alias arn: "+prefix+"function:Rotator:a")
	refuse(c, lambdaapi.GetPolicy, &lambdaapi.GetPolicyInput{FunctionName: new("Rotator"), Qualifier: new("$LATEST")}, absent, "The resource you requested does not exist.")
}

// Whatever is permitted, the policy is JSON with one statement that says it.
func FuzzAddPermission(f *testing.F) {
	f.Add("secretsmanager.amazonaws.com", "arn:aws:s3:::bucket")
	f.Add("*", `arn:aws:s3:::a"},"Effect":"Deny`)
	f.Add("*", "arn:aws:s3:::two bad bytes \xa3\xb8")
	f.Add(theirs, "arn:aws:s3:::\u0000\xff${aws:username}*?\u2028")
	f.Add("arn:aws:iam::"+theirs+":role/x/y", "arn:aws:s3:::${")
	f.Fuzz(func(t *testing.T, principal, source string) {
		c := newWorld(t, lambda.Config{}).root()
		c.function("f")
		in := allow("f", "s")
		in.Principal, in.SourceArn = &principal, &source
		if _, err := call(c, lambdaapi.AddPermission, in); err != nil {
			return // with a code of the model: call looks
		}
		text, _ := c.policy("f", "")
		var doc struct {
			Statement []struct {
				Sid, Effect, Action, Resource string
				Condition                     map[string]map[string]string
			}
		}
		if err := json.Unmarshal([]byte(text), &doc); err != nil || len(doc.Statement) != 1 {
			t.Fatalf("%s: %v", text, err)
		}
		s := doc.Statement[0]
		if s.Sid != "s" || s.Effect != "Allow" || s.Action != "lambda:InvokeFunction" || s.Resource != prefix+"function:f" || s.Condition["ArnLike"]["AWS:SourceArn"] != string([]rune(source)) { // each bad byte is one U+FFFD
			t.Fatal(text)
		}
	})
}

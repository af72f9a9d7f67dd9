package lambda_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	lambdaapi "coffer/internal/api/lambda"
	"coffer/internal/lambda"
)

func (c client) tags(name string) map[string]string {
	c.Helper()
	return must(c, lambdaapi.ListTags, &lambdaapi.ListTagsInput{Resource: new(prefix + "function:" + name)}).Tags
}

func TestTags(t *testing.T) {
	t.Parallel()
	c := newWorld(t, lambda.Config{}).root()
	c.function("f")
	expect := func(want map[string]string) {
		t.Helper()
		if got := c.tags("f"); got == nil || !maps.Equal(got, want) {
			t.Errorf("tags %v, want %v", got, want)
		}
	}
	tag := func(tags map[string]string) {
		t.Helper()
		must(c, lambdaapi.TagResource, &lambdaapi.TagResourceInput{Resource: new(prefix + "function:f"), Tags: tags})
	}
	untag := func(keys ...string) {
		t.Helper()
		must(c, lambdaapi.UntagResource, &lambdaapi.UntagResourceInput{Resource: new(prefix + "function:f"), TagKeys: keys})
	}
	expect(map[string]string{})
	tag(map[string]string{"a": "1", "b": ""})
	tag(map[string]string{"b": "2", "A": "3", "é x_.:/=+-@9": "ü"})
	expect(map[string]string{"a": "1", "b": "2", "A": "3", "é x_.:/=+-@9": "ü"})
	if got := must(c, lambdaapi.GetFunction, &lambdaapi.GetFunctionInput{FunctionName: new("f")}).Tags; !maps.Equal(got, c.tags("f")) {
		t.Errorf("GetFunction shows %v", got)
	}
	untag("none", "a", "é x_.:/=+-@9")
	expect(map[string]string{"b": "2", "A": "3"})
	untag("b", "A")
	expect(map[string]string{})
}

func TestTagRefusals(t *testing.T) {
	t.Parallel()
	c := newWorld(t, lambda.Config{}).root()
	c.function("f")
	c.publish("f", "one")
	many := func(n int) map[string]string {
		out := make(map[string]string)
		for i := range n {
			out[fmt.Sprintf("k%02d", i)] = ""
		}
		return out
	}
	const invalid, absent = "InvalidParameterValueException", "ResourceNotFoundException"
	const reserved = "Tag keys starting with 'aws:' are reserved for system use"
	const characters = "Tag keys and values can contain letters, numbers, spaces, and any of the following: _.:/=+-@"
	const onVersion = "Tags on function aliases and versions are not supported. Please specify a function ARN."
	for _, tc := range []struct {
		rule, resource string
		tags           map[string]string
		code, text     string
	}{
		{"none", "function:f", map[string]string{}, invalid, "An error occurred and the request cannot be processed."},
		{"too many", "function:f", many(51), invalid, "Number of tags exceeds resource tag limit."},
		{"reserved", "function:f", map[string]string{"aws:x": "1"}, invalid, reserved},
		{"reserved in capitals", "function:f", map[string]string{"AWS:x": "1"}, invalid, reserved},
		{"no key", "function:f", map[string]string{"": "1"}, invalid, "Tag keys must have 1 to 128 characters."},
		{"long key", "function:f", map[string]string{strings.Repeat("ü", 129): "1"}, invalid, "Tag keys must have 1 to 128 characters."},
		{"long value", "function:f", map[string]string{"a": strings.Repeat("ü", 257)}, invalid, "Tag values must have at most 256 characters."},
		{"odd key", "function:f", map[string]string{"a&b": ""}, invalid, characters},
		{"odd value", "function:f", map[string]string{"a": "tab\t"}, invalid, characters},
		{"of a version", "function:f:1", map[string]string{"a": "1"}, invalid, onVersion},
		{"of an alias", "function:f:live", map[string]string{"a": "1"}, invalid, onVersion},
		{"of $LATEST", "function:f:$LATEST", map[string]string{"a": "1"}, invalid, onVersion},
		{"no such function", "function:g", map[string]string{"a": "1"}, absent, "Function not found: " + prefix + "function:g"},
		{"what there is not", "event-source-mapping:0c1d2e3f-0000-0000-0000-000000000000", map[string]string{"a": "1"}, absent, "The resource you requested does not exist."},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			c := c
			c.world = c.world.in(t)
			refuse(c, lambdaapi.TagResource, &lambdaapi.TagResourceInput{Resource: new(prefix + tc.resource), Tags: tc.tags}, tc.code, tc.text)
		})
	}
	untag := func(keys ...string) *lambdaapi.UntagResourceInput {
		return &lambdaapi.UntagResourceInput{Resource: new(prefix + "function:f"), TagKeys: keys}
	}
	refuse(c, lambdaapi.UntagResource, untag("aws:x"), invalid, reserved)
	refuse(c, lambdaapi.UntagResource, untag([]string{}...), invalid, "An error occurred and the request cannot be processed.")
	// Fifty go, and one of them anew.
	must(c, lambdaapi.TagResource, &lambdaapi.TagResourceInput{Resource: new(prefix + "function:f"), Tags: many(50)})
	must(c, lambdaapi.TagResource, &lambdaapi.TagResourceInput{Resource: new(prefix + "function:f"), Tags: map[string]string{"k00": "1"}})
	refuse(c, lambdaapi.TagResource, &lambdaapi.TagResourceInput{Resource: new(prefix + "function:f"), Tags: map[string]string{"one more": "1"}}, invalid, "Number of tags exceeds resource tag limit.")
}

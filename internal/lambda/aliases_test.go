package lambda_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	lambdaapi "coffer/internal/api/lambda"
	"coffer/internal/lambda"
)

// weights are a routing configuration.
func weights(w map[string]float64) *lambdaapi.AliasRoutingConfiguration {
	return &lambdaapi.AliasRoutingConfiguration{AdditionalVersionWeights: w}
}

func (c client) alias(name string) *lambdaapi.GetAliasOutput {
	c.Helper()
	return must(c, lambdaapi.GetAlias, &lambdaapi.GetAliasInput{FunctionName: new("f"), Name: &name})
}

// versions is a world with a function f that has versions 1 to n.
func versions(t testing.TB, cfg lambda.Config, n int) client {
	t.Helper()
	c := newWorld(t, cfg).root()
	c.function("f")
	for i := range n {
		c.publish("f", fmt.Sprint(i+1))
	}
	return c
}

func TestAliasLifeCycle(t *testing.T) {
	t.Parallel()
	c := versions(t, lambda.Config{}, 3)
	created := must(c, lambdaapi.CreateAlias, &lambdaapi.CreateAliasInput{FunctionName: new("f"), Name: new("live"), FunctionVersion: new("1"), Description: new("now")})
	if *created.AliasArn != prefix+"function:f:live" || *created.Name != "live" || *created.FunctionVersion != "1" || *created.Description != "now" ||
		created.RoutingConfig != nil || *created.RevisionId == "" {
		t.Errorf("created %v", created)
	}
	last := *created.RevisionId
	update := func(in *lambdaapi.UpdateAliasInput, version, description string, routes map[string]float64) {
		t.Helper()
		in.FunctionName, in.Name = new("f"), new("live")
		out := must(c, lambdaapi.UpdateAlias, in)
		if *out.FunctionVersion != version || *out.Description != description {
			t.Errorf("updated %v", out)
		}
		if (out.RoutingConfig != nil) != (routes != nil) || routes != nil && !maps.Equal(out.RoutingConfig.AdditionalVersionWeights, routes) {
			t.Errorf("routes %v, want %v", out.RoutingConfig, routes)
		}
		if *out.RevisionId == last {
			t.Error("the revision stays")
		}
		last = *out.RevisionId
		if got := c.alias("live"); *got.RevisionId != last || *got.FunctionVersion != version || *got.Description != description {
			t.Errorf("stored %v", got)
		}
	}
	update(&lambdaapi.UpdateAliasInput{FunctionVersion: new("2")}, "2", "now", nil)
	update(&lambdaapi.UpdateAliasInput{RoutingConfig: weights(map[string]float64{"3": 0.25}), RevisionId: &last}, "2", "now", map[string]float64{"3": 0.25})
	update(&lambdaapi.UpdateAliasInput{Description: new("")}, "2", "", map[string]float64{"3": 0.25})
	update(&lambdaapi.UpdateAliasInput{RoutingConfig: weights(nil)}, "2", "", nil)
	update(&lambdaapi.UpdateAliasInput{FunctionVersion: new("$LATEST")}, "$LATEST", "", nil)
	update(&lambdaapi.UpdateAliasInput{FunctionVersion: new("1"), RoutingConfig: weights(map[string]float64{"2": 1})}, "1", "", map[string]float64{"2": 1})

	const referenced = "Unable to delete version because the following aliases reference it: [live]"
	for _, version := range []string{"1", "2"} {
		refuse(c, lambdaapi.DeleteFunction, &lambdaapi.DeleteFunctionInput{FunctionName: new("f"), Qualifier: &version}, "ResourceConflictException", referenced)
	}
	in := allow("f", "s")
	in.Qualifier = new("live")
	must(c, lambdaapi.AddPermission, in)
	if *c.alias("live").RevisionId == last {
		t.Error("a permission leaves the revision as it is")
	}
	for range 2 {
		must(c, lambdaapi.DeleteAlias, &lambdaapi.DeleteAliasInput{FunctionName: new("f"), Name: new("live")})
	}
	refuse(c, lambdaapi.GetAlias, &lambdaapi.GetAliasInput{FunctionName: new("f"), Name: new("live")}, "ResourceNotFoundException",
		"Cannot find alias arn: "+prefix+"function:f:live")
	must(c, lambdaapi.DeleteFunction, &lambdaapi.DeleteFunctionInput{FunctionName: new("f"), Qualifier: new("1")})
	// A policy does not outlive its alias.
	must(c, lambdaapi.CreateAlias, &lambdaapi.CreateAliasInput{FunctionName: new("f"), Name: new("live"), FunctionVersion: new("2")})
	refuse(c, lambdaapi.GetPolicy, &lambdaapi.GetPolicyInput{FunctionName: new("f"), Qualifier: new("live")}, "ResourceNotFoundException", "The resource you requested does not exist.")
}

func TestAliasRefusals(t *testing.T) {
	t.Parallel()
	c := versions(t, lambda.Config{}, 2)
	must(c, lambdaapi.UpdateFunctionConfiguration, &lambdaapi.UpdateFunctionConfigurationInput{FunctionName: new("f"), Role: new(role + "2")})
	c.publish("f", "3")
	must(c, lambdaapi.CreateAlias, &lambdaapi.CreateAliasInput{FunctionName: new("f"), Name: new("live"), FunctionVersion: new("1")})
	const invalid, absent = "InvalidParameterValueException", "ResourceNotFoundException"
	for _, tc := range []struct {
		rule, function, name, version string
		routes                        map[string]float64
		code, text                    string
	}{
		{"taken", "f", "live", "2", nil, "ResourceConflictException", "Alias already exists: " + prefix + "function:f:live"},
		{"no such function", "g", "a", "1", nil, absent, "Function not found: " + prefix + "function:g"},
		{"no such version", "f", "a", "9", nil, absent, "Function not found: " + prefix + "function:f:9"},
		{"a version that is not one", "f", "a", "01", nil, absent, "Function not found: " + prefix + "function:f:01"},
		{"a version beyond all", "f", "a", strings.Repeat("9", 30), nil, absent, "Function not found: " + prefix + "function:f:" + strings.Repeat("9", 30)},
		{"two more", "f", "a", "1", map[string]float64{"2": .1, "3": .1}, invalid, "Number of items in AdditionalVersionWeights cannot be greater than 1"},
		{"itself", "f", "a", "1", map[string]float64{"1": .1}, invalid, "Invalid function version 1. Function version 1 is already included in routing configuration."},
		{"$LATEST with another", "f", "a", "$LATEST", map[string]float64{"1": .1}, invalid, "$LATEST is not supported for an alias pointing to more than 1 version"},
		{"with one that is not there", "f", "a", "1", map[string]float64{"9": .1}, absent, "Function not found: " + prefix + "function:f:9"},
		{"with another role", "f", "a", "1", map[string]float64{"3": .1}, invalid, "Specified versions must be associated with the same execution role"},
		{"a function's version", "f:1", "a", "1", nil, invalid, "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. Please specify either a function name or an unqualified function ARN."},
		{"a number", "f", "12", "1", nil, "ValidationException",
			"1 validation error detected: Value '12' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: (?!^[0-9]+$)([a-zA-Z0-9-_]+)"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			c := c
			c.world = c.world.in(t)
			in := &lambdaapi.CreateAliasInput{FunctionName: &tc.function, Name: &tc.name, FunctionVersion: &tc.version}
			if tc.routes != nil {
				in.RoutingConfig = weights(tc.routes)
			}
			refuse(c, lambdaapi.CreateAlias, in, tc.code, tc.text)
		})
	}
	refuse(c, lambdaapi.UpdateAlias, &lambdaapi.UpdateAliasInput{FunctionName: new("f"), Name: new("live"), RevisionId: new("0")}, "PreconditionFailedException",
		"The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve the latest Revision Id")
	refuse(c, lambdaapi.UpdateAlias, &lambdaapi.UpdateAliasInput{FunctionName: new("f"), Name: new("dead")}, absent, "Cannot find alias arn: "+prefix+"function:f:dead")
	// What stays of the alias must go with what is new.
	must(c, lambdaapi.UpdateAlias, &lambdaapi.UpdateAliasInput{FunctionName: new("f"), Name: new("live"), RoutingConfig: weights(map[string]float64{"2": .5})})
	refuse(c, lambdaapi.UpdateAlias, &lambdaapi.UpdateAliasInput{FunctionName: new("f"), Name: new("live"), FunctionVersion: new("2")}, invalid,
		"Invalid function version 2. Function version 2 is already included in routing configuration.")
}

func TestListAliases(t *testing.T) {
	t.Parallel()
	c := versions(t, lambda.Config{}, 3)
	create := func(name, version string, routes map[string]float64) {
		t.Helper()
		must(c, lambdaapi.CreateAlias, &lambdaapi.CreateAliasInput{FunctionName: new("f"), Name: &name, FunctionVersion: &version, RoutingConfig: weights(routes)})
	}
	create("c", "1", nil)
	create("a", "2", map[string]float64{"1": .5})
	create("d", "2", nil)
	create("b", "$LATEST", nil)
	list := func(version string, items int64) (names []string) {
		t.Helper()
		in := &lambdaapi.ListAliasesInput{FunctionName: new("f"), MaxItems: &items}
		if version != "" {
			in.FunctionVersion = &version
		}
		for {
			out := must(c, lambdaapi.ListAliases, in)
			if len(out.Aliases) > int(items) {
				t.Errorf("%d of %d items", len(out.Aliases), items)
			}
			for _, a := range out.Aliases {
				names = append(names, *a.Name)
			}
			if in.Marker = out.NextMarker; in.Marker == nil {
				return names
			}
		}
	}
	for _, tc := range []struct {
		version string
		want    []string
	}{
		{"", []string{"a", "b", "c", "d"}},
		{"1", []string{"a", "c"}},
		{"2", []string{"a", "d"}},
		{"3", nil},
		{"9", nil},
		{"$LATEST", []string{"b"}},
	} {
		for _, items := range []int64{1, 2, 10000} {
			if got := list(tc.version, items); !slices.Equal(got, tc.want) {
				t.Errorf("version %q by %d: %v, want %v", tc.version, items, got, tc.want)
			}
		}
	}
	marker := must(c, lambdaapi.ListAliases, &lambdaapi.ListAliasesInput{FunctionName: new("f"), MaxItems: new(int64(1))}).NextMarker
	refuse(c, lambdaapi.ListAliases, &lambdaapi.ListAliasesInput{FunctionName: new("f"), FunctionVersion: new("1"), Marker: marker}, "InvalidParameterValueException", "The marker is not valid.")
	refuse(c, lambdaapi.ListAliases, &lambdaapi.ListAliasesInput{FunctionName: new("g")}, "ResourceNotFoundException", "Function not found: "+prefix+"function:g")
}

// runs says which versions were run.
type runs struct{ versions map[string]int }

func (r *runs) Run(_ context.Context, f *lambda.Executable, _ lambda.Event) (*lambda.Answer, error) {
	r.versions[f.Version]++
	return &lambda.Answer{Payload: []byte("null")}, nil
}

// Calls of an alias go to its two versions as the weights say.
func TestAliasRoutes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		weight float64
		least  int // calls of 2,000 that go to the other version
		most   int
	}{
		{0, 0, 0},
		{0.25, 400, 600}, // five standard deviations are 97
		{1, 2000, 2000},
	} {
		t.Run(fmt.Sprint(tc.weight), func(t *testing.T) {
			t.Parallel()
			ran := &runs{make(map[string]int)}
			c := versions(t, lambda.Config{Runner: ran}, 2)
			must(c, lambdaapi.CreateAlias, &lambdaapi.CreateAliasInput{
				FunctionName: new("f"), Name: new("live"), FunctionVersion: new("1"), RoutingConfig: weights(map[string]float64{"2": tc.weight}),
			})
			for range 2000 {
				before := ran.versions["2"]
				out := must(c, lambdaapi.Invoke, &lambdaapi.InvokeInput{FunctionName: new("f:live")})
				if want := fmt.Sprint(1 + ran.versions["2"] - before); *out.ExecutedVersion != want {
					t.Fatalf("executed %s, says %s", want, *out.ExecutedVersion)
				}
			}
			if n := ran.versions["2"]; n < tc.least || n > tc.most || n+ran.versions["1"] != 2000 {
				t.Errorf("ran %v", ran.versions)
			}
		})
	}
}

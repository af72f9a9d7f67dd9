package lambda_test

import (
	"testing"

	lambdaapi "coffer/internal/api/lambda"
	"coffer/internal/lambda"
)

func (c client) reserve(name string, n int64) (*lambdaapi.PutFunctionConcurrencyOutput, error) {
	c.Helper()
	return call(c, lambdaapi.PutFunctionConcurrency, &lambdaapi.PutFunctionConcurrencyInput{FunctionName: &name, ReservedConcurrentExecutions: &n})
}

// reserved is what a function has reserved, -1 for nothing.
func (c client) reserved(name string) int64 {
	c.Helper()
	out := must(c, lambdaapi.GetFunctionConcurrency, &lambdaapi.GetFunctionConcurrencyInput{FunctionName: &name})
	if out.ReservedConcurrentExecutions == nil {
		return -1
	}
	return *out.ReservedConcurrentExecutions
}

func (c client) settings() *lambdaapi.GetAccountSettingsOutput {
	c.Helper()
	return must(c, lambdaapi.GetAccountSettings, &lambdaapi.GetAccountSettingsInput{})
}

func TestReservedConcurrency(t *testing.T) {
	t.Parallel()
	c := newWorld(t, lambda.Config{}).root()
	c.function("f")
	c.function("g")
	const text = "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [100]."
	for _, step := range []struct {
		name       string
		n          int64
		refused    bool
		unreserved int64
	}{
		{"f", 0, false, 1000},
		{"f", 5, false, 995},
		{"g", 895, false, 100},
		{"g", 896, true, 100}, // nothing changes
		{"f", 6, true, 100},
		{"f", 4, false, 101},
		{"f", 1 << 62, true, 101},
		{"g", 1000, true, 101},
	} {
		if step.refused {
			refuse(c, lambdaapi.PutFunctionConcurrency, &lambdaapi.PutFunctionConcurrencyInput{FunctionName: &step.name, ReservedConcurrentExecutions: &step.n},
				"InvalidParameterValueException", text)
		} else if out, err := c.reserve(step.name, step.n); err != nil || *out.ReservedConcurrentExecutions != step.n || c.reserved(step.name) != step.n {
			t.Errorf("%s %d: %v", step.name, step.n, err)
		}
		if got := *c.settings().AccountLimit.UnreservedConcurrentExecutions; got != step.unreserved {
			t.Errorf("%s %d: unreserved %d, want %d", step.name, step.n, got, step.unreserved)
		}
	}
	if got := must(c, lambdaapi.GetFunction, &lambdaapi.GetFunctionInput{FunctionName: new("f")}).Concurrency; *got.ReservedConcurrentExecutions != 4 {
		t.Error("GetFunction shows another number")
	}
	for range 2 {
		must(c, lambdaapi.DeleteFunctionConcurrency, &lambdaapi.DeleteFunctionConcurrencyInput{FunctionName: new("f")})
		if c.reserved("f") != -1 || *c.settings().AccountLimit.UnreservedConcurrentExecutions != 105 {
			t.Error("still reserved")
		}
	}
	must(c, lambdaapi.DeleteFunction, &lambdaapi.DeleteFunctionInput{FunctionName: new("g")})
	if got := *c.settings().AccountLimit.UnreservedConcurrentExecutions; got != 1000 {
		t.Errorf("unreserved %d", got)
	}
	const unqualified = "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. Please specify either a function name or an unqualified function ARN."
	refuse(c, lambdaapi.GetFunctionConcurrency, &lambdaapi.GetFunctionConcurrencyInput{FunctionName: new("f:1")}, "InvalidParameterValueException", unqualified)
	for _, name := range []string{"g", prefix + "function:g"} {
		refuse(c, lambdaapi.GetFunctionConcurrency, &lambdaapi.GetFunctionConcurrencyInput{FunctionName: &name}, "ResourceNotFoundException", "Function not found: "+prefix+"function:g")
	}
}

func TestAccountSettings(t *testing.T) {
	t.Parallel()
	c := newWorld(t, lambda.Config{MaxCode: 1 << 20}).root()
	expect := func(functions, code int64) {
		t.Helper()
		out := c.settings()
		if *out.AccountUsage.FunctionCount != functions || *out.AccountUsage.TotalCodeSize != code {
			t.Errorf("%d functions with %d bytes, want %d with %d", *out.AccountUsage.FunctionCount, *out.AccountUsage.TotalCodeSize, functions, code)
		}
		l := out.AccountLimit
		if *l.TotalCodeSize != 1<<20 || *l.CodeSizeUnzipped != 262144000 || *l.CodeSizeZipped != 52428800 || *l.ConcurrentExecutions != 1000 {
			t.Errorf("limits %v", l)
		}
	}
	expect(0, 0)
	size := int64(len(archive(t, "f.py", "f")))
	c.function("f")
	expect(1, size)
	c.publish("f", "one") // each version counts, though they share the package
	expect(1, 2*size)
	c.function("g")
	expect(2, 3*size)
	layer := c.layer("l", "x")
	expect(2, 3*size+*layer.Content.CodeSize)
	must(c, lambdaapi.DeleteLayerVersion, &lambdaapi.DeleteLayerVersionInput{LayerName: new("l"), VersionNumber: new(int64(1))})
	must(c, lambdaapi.DeleteFunction, &lambdaapi.DeleteFunctionInput{FunctionName: new("f")})
	c.work("lambda.purge")
	expect(1, size)
	// Another region and another account have their own.
	other := c
	other.region = elsewhere
	if n := *other.settings().AccountUsage.FunctionCount; n != 0 {
		t.Errorf("%d functions elsewhere", n)
	}
	if n := *c.as(theirs).settings().AccountUsage.FunctionCount; n != 0 {
		t.Errorf("%d functions of others", n)
	}
}

// A reservation of nothing stops a function.
func TestReservedForNothing(t *testing.T) {
	t.Parallel()
	ran := &runs{make(map[string]int)}
	c := newWorld(t, lambda.Config{Runner: ran}).root()
	c.function("f")
	if _, err := c.reserve("f", 0); err != nil {
		t.Fatal(err)
	}
	refuse(c, lambdaapi.Invoke, &lambdaapi.InvokeInput{FunctionName: new("f")}, "TooManyRequestsException", "Rate Exceeded.")
	must(c, lambdaapi.DeleteFunctionConcurrency, &lambdaapi.DeleteFunctionConcurrencyInput{FunctionName: new("f")})
	must(c, lambdaapi.Invoke, &lambdaapi.InvokeInput{FunctionName: new("f")})
	if ran.versions["$LATEST"] != 1 {
		t.Errorf("ran %v", ran.versions)
	}
}

package restjson_test

import (
	"net/http"
	"strings"
	"testing"

	"coffer/internal/api"
	lambdaapi "coffer/internal/api/lambda"
	"coffer/internal/wire/restjson"
)

func TestMatch(t *testing.T) {
	rt := newRouter(t)
	for _, tt := range []struct{ method, uri, want string }{
		{"POST", "/2015-03-31/functions", "CreateFunction"},
		{"GET", "/2015-03-31/functions", "ListFunctions"},
		{"GET", "/2015-03-31/functions?Marker=x", "ListFunctions"},
		{"GET", "/2015-03-31/functions/f", "GetFunction"},
		{"GET", "/2015-03-31/functions/f/configuration", "GetFunctionConfiguration"},
		{"PUT", "/2015-03-31/functions/f/code", "UpdateFunctionCode"},
		{"DELETE", "/2015-03-31/functions/f", "DeleteFunction"},
		{"POST", "/2015-03-31/functions/f/versions", "PublishVersion"},
		{"POST", "/2015-03-31/functions/f/invocations", "Invoke"},
		{"POST", "/2021-11-15/functions/f/response-streaming-invocations", "InvokeWithResponseStream"},
		{"DELETE", "/2015-03-31/functions/f/policy/sid", "RemovePermission"},
		{"POST", "/2017-03-31/tags/arn", "TagResource"},
		{"GET", "/2017-03-31/tags/arn", "ListTags"},

		// An ARN in a path, as SDKs spell it and as people do.
		{"POST", "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aeu-west-1%3A111122223333%3Afunction%3Af/invocations", "Invoke"},
		{"POST", "/2015-03-31/functions/arn:aws:lambda:eu-west-1:111122223333:function:f/invocations", "Invoke"},
		{"GET", "/2025-12-01/durable-executions/arn%3Af%2Fdurable-execution%2Fn%2Fid/history", "GetDurableExecutionHistory"},
		// Values that look like literals.
		{"GET", "/2015-03-31/functions/functions", "GetFunction"},
		{"GET", "/2015-03-31/functions/configuration/configuration", "GetFunctionConfiguration"},

		// The query tells them apart.
		{"GET", "/2018-10-31/layers", "ListLayers"},
		{"GET", "/2018-10-31/layers?Arn=a&find=LayerVersion", "GetLayerVersionByArn"},
		{"GET", "/2018-10-31/layers?f%69nd=Layer%56ersion", "GetLayerVersionByArn"},
		{"GET", "/2018-10-31/layers?find=layerversion&find", "ListLayers"},
		{"GET", "/2018-10-31/layers?find=%zz&%zz=LayerVersion", "ListLayers"},
		{"GET", "/2019-09-30/functions/f/provisioned-concurrency?Qualifier=1", "GetProvisionedConcurrencyConfig"},
		{"GET", "/2019-09-30/functions/f/provisioned-concurrency?List=ALL&MaxItems=5", "ListProvisionedConcurrencyConfigs"},

		// Old models end in a slash.
		{"GET", "/2015-03-31/functions/", "ListFunctions"},
		{"POST", "/2015-03-31/functions/f/invocations/", "Invoke"},
		// What has the same signature is the same operation.
		{"GET", "//2015-03-31//functions/.", "ListFunctions"},
		{"GET", "/2015-03-31/functions/f/../g", "GetFunction"},
		{"DELETE", "/2015-03-31/functions/f/policy/..", "DeleteFunction"},
		{"DELETE", "/2015-03-31/functions/f/policy/%2e%2e", "RemovePermission"},

		{"PUT", "/odd/monday/keys/a/b/c", "Put"},
		{"PUT", "/odd/monday/keys/a/", "Put"},
		{"PUT", "/odd/monday/keys/a/acl", "PutACL"},
		{"PUT", "/odd/monday/keys/a/acl/acl", "PutACL"},
		{"PUT", "/odd/monday/keys/acl", "Put"},
		{"PUT", "/odd/monday/keys/a?copy", "Put"},
		{"PUT", "/odd/monday/keys/a/acl?copy=&from=a-b", "PutACL"},
		{"PUT", "/odd/monday/keys/a?x&from=a%2db&copy=", "Copy"},
		{"PUT", "/odd/today/keys/a", "PutLiteral"},
		{"PUT", "/odd/today/keys/a/b", "Put"}, // not without going back
		{"PUT", "/odd/today/keys/a/acl", "PutACL"},
		{"PUT", "/odd/monday/keys", ""},

		{"PATCH", "/2015-03-31/functions", ""},
		{"get", "/2015-03-31/functions", ""},
		{"", "/2015-03-31/functions", ""},
		{"GET", "/2015-03-31/Functions", ""},
		{"GET", "/2015-03-31/%66unctions", ""},
		{"GET", "/2015-03-31", ""},
		{"GET", "/", ""},
		{"GET", "/2015-03-31/functions/f/configuration/x", ""},
		{"POST", "/2015-03-31/functions//invocations", ""},
	} {
		op, _, ok := rt.Match(&http.Request{Method: tt.method, RequestURI: tt.uri})
		got := ""
		if ok {
			got = op.Name
		}
		if got != tt.want || ok != (op != nil) {
			t.Errorf("%s %s is %q, want %q", tt.method, tt.uri, got, tt.want)
		}
	}
}

func TestMatchDoesNotAllocate(t *testing.T) {
	rt := newRouter(t)
	r := &http.Request{Method: "GET", RequestURI: "/2018-10-31/layers?Arn=arn%3Aaws&find=LayerVersion"}
	n := testing.AllocsPerRun(100, func() {
		if _, _, ok := rt.Match(r); !ok {
			t.Error("no match")
		}
	})
	if n > 1 { // the escaped parameter
		t.Errorf("%v allocations", n)
	}
}

// What this package cannot carry is not served.
func TestNewRouterRefuses(t *testing.T) {
	input := func(m ...api.Member) *api.Shape { return &api.Shape{Kind: api.Structure, Members: m} }
	plain := api.Member{Name: "A", Shape: &str, Location: "uri"}
	nested := input(api.Member{Name: "B", Shape: &str, Location: "header", Wire: "X-Amz-B"})
	payload := input(api.Member{Name: "A", Shape: &str}, api.Member{Name: "B", Shape: &str})
	payload.Payload = "B"
	blobs := input(api.Member{Name: "A", Shape: &strs})
	blobs.Payload = "A"
	events := input(api.Member{Name: "A", Shape: &api.Shape{Kind: api.Structure, EventStream: true}})
	events.Payload = "A"
	recursive := &api.Shape{Kind: api.Structure}
	recursive.Members = []api.Member{{Name: "A", Shape: recursive}}
	served := func(op *api.Operation) *api.Operation { op.Mode = api.Read; return op }
	for name, tt := range map[string]struct {
		op   *api.Operation
		want string // empty: not refused
	}{
		"as the others":                  {&api.Operation{URI: "/x/{A}", Input: input(plain)}, ""},
		"a shape in itself":              {&api.Operation{URI: "/x", Input: recursive}, ""},
		"an event stream, not served":    {&api.Operation{URI: "/x", Output: events}, ""},
		"an event stream":                {served(&api.Operation{URI: "/x", Output: events}), "output's member A"},
		"no member for a label":          {&api.Operation{URI: "/x/{A}/{B}", Input: input(plain)}, "[B]"},
		"a label twice":                  {&api.Operation{URI: "/x/{A}/{A}", Input: input(plain)}, "[A]"},
		"no label for a member":          {&api.Operation{URI: "/x", Input: input(plain)}, "input's member A"},
		"too many labels":                {&api.Operation{URI: "/x/{A}/{B}/{C}/{D}/{E}"}, "labels"},
		"an escape in the query":         {&api.Operation{URI: "/x?a=%20"}, "escape"},
		"half a label":                   {&api.Operation{URI: "/x/{A"}, "no label"},
		"a nameless label":               {&api.Operation{URI: "/x/{+}"}, "no label"},
		"a list in the path":             {&api.Operation{URI: "/x/{A}", Input: input(api.Member{Name: "A", Shape: &strs, Location: "uri"})}, "input's member A"},
		"a list in a header":             {&api.Operation{URI: "/x", Input: input(api.Member{Name: "X-Amz-A", Shape: &strs, Location: "header"})}, "input's member X-Amz-A"},
		"a header that need no signing":  {&api.Operation{URI: "/x", Input: input(api.Member{Name: "A", Shape: &str, Location: "header"})}, "input's member A"},
		"headers that need no signing":   {&api.Operation{URI: "/x", Input: input(api.Member{Name: "Meta-", Shape: &strMap, Location: "headers"})}, "input's member Meta-"},
		"a structure in the query":       {&api.Operation{URI: "/x", Input: input(api.Member{Name: "A", Shape: nested, Location: "querystring"})}, "input's member A"},
		"a location inside the body":     {&api.Operation{URI: "/x", Input: input(api.Member{Name: "A", Shape: nested})}, "input's member A"},
		"another name in JSON":           {&api.Operation{URI: "/x", Input: input(api.Member{Name: "A", Wire: "a", Shape: &str})}, "input's member A"},
		"another time in JSON":           {&api.Operation{URI: "/x", Input: input(api.Member{Name: "A", Shape: &api.Shape{Kind: api.Timestamp, TimeFormat: "iso8601"}})}, "input's member A"},
		"a body beside the payload":      {&api.Operation{URI: "/x", Input: payload}, "input's member A"},
		"a list for a payload":           {&api.Operation{URI: "/x", Input: blobs}, "input's member A"},
		"a status in the input":          {&api.Operation{URI: "/x", Input: input(api.Member{Name: "A", Shape: &api.Shape{Kind: api.Integer}, Location: "statusCode"})}, "input's member A"},
		"a label in the output":          {&api.Operation{URI: "/x", Output: input(plain)}, "output's member A"},
		"a text for a status":            {&api.Operation{URI: "/x", Output: input(api.Member{Name: "A", Shape: &str, Location: "statusCode"})}, "output's member A"},
		"the same requests as another":   {&api.Operation{Method: "GET", URI: "/2015-03-31/functions/{A}", Input: input(plain)}, "GetFunction"},
		"another query than the other's": {&api.Operation{Method: "GET", URI: "/2015-03-31/functions/{A}?a", Input: input(plain)}, ""},
	} {
		if tt.op.Input == nil {
			tt.op.Input = input()
		}
		if tt.op.Output == nil {
			tt.op.Output = input()
		}
		_, err := restjson.NewRouter(lambdaapi.Service, api.NewService(api.Service{Operations: []*api.Operation{tt.op}}))
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

package restjson_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"coffer/internal/api"
	lambdaapi "coffer/internal/api/lambda"
	"coffer/internal/fault"
	"coffer/internal/wire/restjson"
)

// decode routes and decodes a request: "METHOD target", header lines, an empty
// line, the body.
func decode(t *testing.T, request string) (*api.Operation, api.Struct, error) {
	t.Helper()
	head, body, _ := strings.Cut(request, "\n\n")
	first, lines, _ := strings.Cut(head, "\n")
	r := &http.Request{Header: http.Header{}}
	r.Method, r.RequestURI, _ = strings.Cut(first, " ")
	for l := range strings.Lines(lines) {
		k, v, _ := strings.Cut(strings.TrimSuffix(l, "\n"), ": ")
		r.Header.Add(k, v)
	}
	op, labels, ok := newRouter(t).Match(r)
	if !ok {
		t.Fatalf("no operation for %s", first)
	}
	in := op.NewInput()
	sent := []byte(body)
	err := restjson.Decode(r, &labels, sent, in)
	clear(sent) // what was decoded must not refer to it
	return op, in, err
}

// show writes an input as the one request that sends it.
func show(op *api.Operation, in api.Struct) string {
	r, body, ok := requestOf(op, in)
	if !ok {
		return "cannot be sent"
	}
	var b bytes.Buffer
	b.WriteString(r.RequestURI + "\n")
	r.Header.Write(&b) // sorted
	return strings.ReplaceAll(b.String(), "\r\n", "\n") + "\n" + string(body)
}

func TestDecode(t *testing.T) {
	for name, tt := range map[string]struct{ request, want string }{
		"a label": {"GET /2015-03-31/functions/f", "/2015-03-31/functions/f\n\n{}"},
		"an ARN, escaped": {"GET /2015-03-31/functions/arn%3aaws:lambda:r:1:function%3Af",
			"/2015-03-31/functions/arn%3Aaws%3Alambda%3Ar%3A1%3Afunction%3Af\n\n{}"},
		"a plus in the path is one":  {"GET /2015-03-31/functions/a+b", "/2015-03-31/functions/a%2Bb\n\n{}"},
		"a number in the path":       {"GET /2018-10-31/layers/l/versions/9223372036854775807", "/2018-10-31/layers/l/versions/9223372036854775807\n\n{}"},
		"labels and a query":         {"DELETE /2015-03-31/functions/f/policy/s?RevisionId=%7B+%7D&Qualifier=", "/2015-03-31/functions/f/policy/s?Qualifier=&RevisionId=%7B+%7D\n\n{}"},
		"unknown parameters":         {"GET /2015-03-31/functions/f?x-id=GetFunction&qualifier=1&&=", "/2015-03-31/functions/f\n\n{}"},
		"a list in the query":        {"DELETE /2017-03-31/tags/a?tagKeys=b&x&tagKeys=a&tagKeys=b&tagKeys", "/2017-03-31/tags/a?tagKeys=b&tagKeys=a&tagKeys=b&tagKeys=\n\n{}"},
		"numbers and times in query": {"GET /2025-12-01/functions/f/durable-executions?MaxItems=-5&ReverseOrder=false&StartedAfter=2026-01-31T10%3A20%3A30.5Z&Statuses=A&Statuses=B", "/2025-12-01/functions/f/durable-executions?MaxItems=-5&ReverseOrder=false&StartedAfter=2026-01-31T10%3A20%3A30Z&Statuses=A&Statuses=B\n\n{}"},
		"a body": {"PUT /2015-03-31/functions/f/code?FunctionName=no\nFunctionName: no\n\n" + `{"FunctionName":"no","ZipFile":"AAA=","DryRun":true}`,
			"/2015-03-31/functions/f/code\n\n" + `{"ZipFile":"AAA=","DryRun":true}`},
		"no body":                    {"PUT /2015-03-31/functions/f/code", "/2015-03-31/functions/f/code\n\n{}"},
		"a body that nobody asked":   {"GET /2015-03-31/functions/f\n\n<xml/>", "/2015-03-31/functions/f\n\n{}"},
		"a blob":                     {"POST /2015-03-31/functions/f/invocations\n\n{\"a\": \xff\x00}", "/2015-03-31/functions/f/invocations\n\n{\"a\": \xff\x00}"},
		"no blob":                    {"POST /2015-03-31/functions/f/invocations", "/2015-03-31/functions/f/invocations\n\n"},
		"headers":                    {"POST /2015-03-31/functions/f/invocations?Qualifier=1\nx-amz-invocation-type: Event\nX-Amz-Log-Type: \nContent-Type: text/plain\n\n1", "/2015-03-31/functions/f/invocations?Qualifier=1\nX-Amz-Invocation-Type: Event\n\n1"},
		"a structure":                {"POST /2025-12-01/durable-executions/e/stop\n\n" + `{"ErrorType":"t","StackTrace":["a"]}`, "/2025-12-01/durable-executions/e/stop\n\n" + `{"ErrorType":"t","StackTrace":["a"]}`},
		"no structure":               {"POST /2025-12-01/durable-executions/e/stop\n\n \n", "/2025-12-01/durable-executions/e/stop\n\n"},
		"an empty structure":         {"POST /2025-12-01/durable-executions/e/stop\n\n{}", "/2025-12-01/durable-executions/e/stop\n\n{}"},
		"a greedy label and a time":  {"PUT /odd/2026-01-31/keys/a/b%2Fc//d\n\nü", "/odd/2026%2D01%2D31T00%3A00%3A00Z/keys/a%2Fb%2Fc%2Fd\n\nü"},
		"the whole query":            {"PUT /odd/20260131T102030Z/keys/a?t=0&b=1&%62=2&t=2026-01-31&X-Amz-Signature=no", "/odd/2026%2D01%2D31T10%3A20%3A30Z/keys/a?b=1&b=2&t=0&t=2026-01-31\n\n"},
		"headers of other types":     {"PUT /odd/0/keys/a\nX-Amz-Flag: true\nX-Amz-At: Sat, 31 Jan 2026 10:20:30 GMT\nX-Amz-Token: s", "/odd/1970%2D01%2D01T00%3A00%3A00Z/keys/a\nX-Amz-At: Sat, 31 Jan 2026 10:20:30 GMT\nX-Amz-Flag: true\nX-Amz-Token: s\n\n"},
		"a time in another format":   {"PUT /odd/0/keys/a\nX-Amz-At: 2026-01-31T10:20:30Z", "/odd/1970%2D01%2D01T00%3A00%3A00Z/keys/a\nX-Amz-At: Sat, 31 Jan 2026 10:20:30 GMT\n\n"},
		"headers of a prefix":        {"PUT /odd/0/keys/a\nX-AMZ-META-Some-Key: a\nx-amz-meta-: b\nx-amz-metal: c\nx-amz-meta-b: \n", "/odd/1970%2D01%2D01T00%3A00%3A00Z/keys/a\nX-Amz-Meta-B: \nX-Amz-Meta-Some-Key: a\n\n"},
		"values that look like more": {"GET /2015-03-31/functions/a%2F..%2F%3Fx%23?Qualifier=%26Marker%3D1", "/2015-03-31/functions/a%2F%2E%2E%2F%3Fx%23?Qualifier=%26Marker%3D1\n\n{}"},
	} {
		t.Run(name, func(t *testing.T) {
			op, in, err := decode(t, tt.request)
			if err != nil {
				t.Fatal(err)
			}
			if got := show(op, in); got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	const (
		twice  = "A parameter is given more than once."
		header = "A header is given more than once."
		escape = " has a percent sign without two hexadecimal digits."
		utf    = " is not valid UTF-8."
		can    = "STRING_VALUE can not be converted to "
	)
	for name, tt := range map[string]struct{ request, want string }{
		"a word for a number in the path":  {"GET /2018-10-31/layers/l/versions/latest", can + "a Long"},
		"a word for a number in the query": {"GET /2015-03-31/functions?MaxItems=many", can + "an Integer"},
		"nothing for a number":             {"GET /2015-03-31/functions?MaxItems=", can + "an Integer"},
		"a word for a boolean":             {"GET /2025-12-01/functions/f/durable-executions?ReverseOrder=yes", can + "a Boolean"},
		"a word for a time":                {"GET /2025-12-01/functions/f/durable-executions?StartedAfter=now", can + "a Timestamp"},
		"a word for a time in a list":      {"PUT /odd/0/keys/a?t=0&t=now", can + "a Timestamp"},
		"a word for a boolean in a header": {"PUT /odd/0/keys/a\nX-Amz-Flag: yes", can + "a Boolean"},
		"a parameter twice":                {"GET /2015-03-31/functions?Marker=a&Marker=a", twice},
		"a parameter twice, empty":         {"GET /2015-03-31/functions?Marker=&M%61rker=", twice},
		"a header twice":                   {"POST /2015-03-31/functions/f/invocations\nX-Amz-Log-Type: None\nX-Amz-Log-Type: None", header},
		"a header of a prefix twice":       {"PUT /odd/0/keys/a\nX-Amz-Meta-A: a\nx-amz-meta-a: b", header},
		"a broken escape in the path":      {"GET /2015-03-31/functions/%zz", "The path" + escape},
		"a broken escape in a name":        {"GET /2015-03-31/functions?%=1", "The query" + escape},
		"a broken escape in a value":       {"GET /2015-03-31/functions?Marker=%1", "The query" + escape},
		"not UTF-8 in the path":            {"GET /2015-03-31/functions/%ff", "The path" + utf},
		"not UTF-8 in the query":           {"GET /2015-03-31/functions?Marker=%C0%80", "The query" + utf},
		"not UTF-8 in a header":            {"POST /2015-03-31/functions/f/invocations\nX-Amz-Client-Context: \xff", "The value of a header" + utf},
		"not UTF-8 in a text":              {"PUT /odd/0/keys/a\n\n\xff", "The request body" + utf},
		"no JSON":                          {"POST /2015-03-31/functions\n\n<xml/>", "The request body is not valid JSON at byte 1."},
		"JSON of another type":             {"POST /2015-03-31/functions\n\n" + `{"Timeout":"3"}`, can + "an Integer"},
		"no JSON for a structure":          {"POST /2025-12-01/durable-executions/e/stop\n\nx", "The request body is not valid JSON at byte 1."},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := decode(t, tt.request)
			if e, ok := fault.As(err); !ok || e.Code != "SerializationException" || e.Message != tt.want {
				t.Errorf("%v, want %s", err, tt.want)
			}
		})
	}
}

// A map of plain values takes each parameter once.
func TestDecodeQueryMap(t *testing.T) {
	for query, want := range map[string]string{"": "", "a=1&b=&X-Amz-Date=1": "a=1 b=", "a=1&a=1": "twice"} {
		in := &asked{}
		err := restjson.Decode(&http.Request{RequestURI: "/?" + query}, &restjson.Labels{}, nil, in)
		got := ""
		for _, k := range (*api.MapOf[string])(&in.Any).Keys() {
			got += " " + k + "=" + in.Any[k]
		}
		if err != nil {
			got = "twice"
		}
		if got = strings.TrimSpace(got); got != want {
			t.Errorf("%s: %s, %v", query, got, err)
		}
	}
}

type asked struct{ Any map[string]string }

var askedShape = api.Shape{Kind: api.Structure, Members: []api.Member{{Name: "Any", Shape: &strMap, Location: "querystring"}}}

func (*asked) Shape() *api.Shape { return &askedShape }
func (v *asked) Field(int) any   { return &v.Any }

// A function's code is a secret, and prints as one.
func TestDecodedSecrets(t *testing.T) {
	_, in, err := decode(t, "POST /2015-03-31/functions/f/invocations\n\nhunter2")
	if err != nil {
		t.Fatal(err)
	}
	if string(in.(*lambdaapi.InvokeInput).Payload) != "hunter2" {
		t.Error("no payload")
	}
	if s := show(lambdaapi.Invoke.Operation, in); !strings.HasSuffix(s, "hunter2") {
		t.Error("the payload is not sent")
	}
}

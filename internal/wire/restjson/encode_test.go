package restjson_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"coffer/internal/api"
	lambdaapi "coffer/internal/api/lambda"
	"coffer/internal/wire/restjson"
)

// answer writes an answer as it is on the wire, headers sorted.
func answer(h http.Header, body []byte, status int) string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%d\n", status)
	h.Write(&b)
	return strings.ReplaceAll(b.String(), "\r\n", "\n") + "\n" + string(body)
}

func TestAppend(t *testing.T) {
	const json = "Content-Type: application/json\n"
	at := time.Date(2026, 1, 31, 10, 20, 30, 999_000_000, time.FixedZone("", 3600))
	put := oddService.Operations[0]
	for name, tt := range map[string]struct {
		op   *api.Operation
		out  api.Struct
		want string
	}{
		"the model's status": {lambdaapi.CreateFunction.Operation, &lambdaapi.CreateFunctionOutput{FunctionName: new("f"), LastModified: new("2026-01-31T10:20:30.000+0000"), Timeout: new(int64(3))},
			"201\n" + json + "\n" + `{"FunctionName":"f","Timeout":3,"LastModified":"2026-01-31T10:20:30.000+0000"}`},
		"times are numbers":           {lambdaapi.GetEventSourceMapping.Operation, &lambdaapi.GetEventSourceMappingOutput{LastModified: &at}, "200\n" + json + "\n" + `{"LastModified":1769851230.999}`},
		"nothing set":                 {lambdaapi.ListFunctions.Operation, &lambdaapi.ListFunctionsOutput{}, "200\n" + json + "\n{}"},
		"no output":                   {lambdaapi.RemovePermission.Operation, &lambdaapi.RemovePermissionOutput{}, "204\n" + json + "\n"},
		"nothing in the body":         {lambdaapi.DeleteFunction.Operation, &lambdaapi.DeleteFunctionOutput{}, "200\n" + json + "\n"},
		"a status of its own":         {lambdaapi.DeleteFunction.Operation, &lambdaapi.DeleteFunctionOutput{StatusCode: new(int64(204))}, "204\n" + json + "\n"},
		"an event":                    {lambdaapi.Invoke.Operation, &lambdaapi.InvokeOutput{StatusCode: new(int64(202)), Payload: api.Sensitive{}}, "202\n" + json + "\n"},
		"a dry run":                   {lambdaapi.Invoke.Operation, &lambdaapi.InvokeOutput{StatusCode: new(int64(204))}, "204\n" + json + "\n"},
		"an answer":                   {lambdaapi.Invoke.Operation, &lambdaapi.InvokeOutput{ExecutedVersion: new("1"), LogResult: api.Sensitive{}, Payload: api.Sensitive("null")}, "200\n" + json + "X-Amz-Executed-Version: 1\n\nnull"},
		"a header does not end early": {lambdaapi.Invoke.Operation, &lambdaapi.InvokeOutput{FunctionError: new("a\r\nSet-Cookie: b")}, "200\n" + json + "X-Amz-Function-Error: a  Set-Cookie: b\n\n"},
		"headers of other types": {put, &oddAnswer{odd{Flag: new(false), At: &at, Meta: map[string]string{"a": "1", "b": "", "c d": "2"}, Text: new("ü")}},
			"200\n" + json + "X-Amz-At: Sat, 31 Jan 2026 09:20:30 GMT\nX-Amz-Flag: false\nX-Amz-Meta-A: 1\n\nü"},
	} {
		t.Run(name, func(t *testing.T) {
			h := http.Header{}
			body, status := restjson.Append([]byte(nil), h, tt.op, tt.out)
			if got := answer(h, body, status); got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

func TestAppendAppends(t *testing.T) {
	for _, out := range []api.Struct{&lambdaapi.InvokeOutput{Payload: api.Sensitive("b")}, &lambdaapi.InvokeOutput{}} {
		body, _ := restjson.Append([]byte("a"), http.Header{}, lambdaapi.Invoke.Operation, out)
		if want := "a" + string(out.(*lambdaapi.InvokeOutput).Payload); string(body) != want {
			t.Errorf("%s, want %s", body, want)
		}
	}
}

package restjson_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/smithy-go"

	"coffer/internal/api"
	"coffer/internal/api/apitest"
	lambdaapi "coffer/internal/api/lambda"
	"coffer/internal/fault"
	"coffer/internal/wire/restjson"
	"coffer/internal/wire/wiretest"
)

// received is a request as the gateway has it: the SDK's client does not set
// RequestURI.
func received(r *http.Request) *http.Request {
	r = r.Clone(r.Context())
	r.RequestURI = r.URL.RequestURI()
	return r
}

// client returns the SDK's client, whose requests are routed and decoded and then
// answered by answer.
func client(t *testing.T, answer func(op *api.Operation, in api.Struct, h http.Header) (status int, body []byte)) *lambda.Client {
	rt := newRouter(t)
	return lambda.NewFromConfig(wiretest.Config(func(r *http.Request, body []byte, h http.Header) (int, []byte, error) {
		r = received(r)
		op, labels, ok := rt.Match(r)
		if !ok {
			return 0, nil, fmt.Errorf("%s %s is no operation", r.Method, r.RequestURI)
		}
		in := op.NewInput()
		if err := restjson.Decode(r, &labels, body, in); err != nil {
			return 0, nil, err
		}
		status, answered := answer(op, in, h)
		return status, answered, nil
	}))
}

// Every input of every operation arrives as the SDK sends it.
func TestSDKWritesInputs(t *testing.T) {
	const text = "arn:aws:x/ü +&=%2F?#..\"\\"
	for _, op := range lambdaapi.Service.Operations {
		t.Run(op.Name, func(t *testing.T) {
			var got api.Struct
			c := client(t, func(routed *api.Operation, in api.Struct, h http.Header) (int, []byte) {
				if routed != op {
					t.Errorf("routed to %s", routed.Name)
				}
				got = in
				return 400, nil
			})
			in, _, _ := wiretest.Call(c, op, wiretest.FillInput(text))
			if got == nil {
				t.Fatal("nothing arrived")
			}
			if op == lambdaapi.InvokeAsync.Operation {
				return // its body is an io.Reader
			}
			wiretest.CompareMembers(t, op.Name, in, got)
			for i, m := range got.Shape().Members {
				if api.Absent(got.Field(i)) {
					t.Errorf("%s did not arrive", m.Name)
				}
			}
		})
	}
}

// Every output of every operation, full, with empty lists, and bare, arrives at
// the SDK as it was.
func TestSDKReadsOutputs(t *testing.T) {
	filler := func(elements int) func(api.Struct) {
		return apitest.Filler{
			Text:   func(sh *api.Shape) []byte { return []byte(sh.Name + " <&>\"'\\ ü 😀") },
			Secret: []byte("\x00</a>&s"), Elements: elements,
		}.Fill
	}
	fills := map[string]func(api.Struct){"full": filler(2), "empty": filler(0), "bare": func(api.Struct) {}}
	for _, op := range lambdaapi.Service.Operations {
		if op == streaming {
			continue
		}
		for name, fill := range fills {
			t.Run(op.Name+"/"+name, func(t *testing.T) {
				want := op.NewOutput()
				fill(want)
				status := op.Status
				for i, m := range want.Shape().Members {
					if m.Location == "statusCode" {
						status = 202
						*want.Field(i).(**int64) = new(int64(202))
					}
				}
				c := client(t, func(_ *api.Operation, _ api.Struct, h http.Header) (int, []byte) {
					body, got := restjson.Append(nil, h, op, want)
					if got != status {
						t.Errorf("status %d, want %d", got, status)
					}
					if got == http.StatusNoContent && len(body) > 0 {
						t.Errorf("204 with a body %s", body)
					}
					return got, body
				})
				_, got, err := wiretest.Call(c, op, wiretest.FillInput("x"))
				if err != nil {
					t.Fatal(err)
				}
				wiretest.CompareMembers(t, op.Name, got, want)
			})
		}
	}
}

// Errors arrive with code, text and status, whatever the operation.
func TestSDKReadsErrors(t *testing.T) {
	const text = "User \"bob\" & co\r\ncannot be found: ü."
	svc := lambdaapi.Service
	errs := []*fault.Error{
		api.AccessDeniedException(text), api.ValidationException(text), api.SerializationException(text),
		api.ServiceUnavailableException(text), svc.Internal(nil), api.NotServed(streaming), api.RequestEntityTooLargeException(),
	}
	for _, e := range svc.Errors {
		errs = append(errs, fault.New(e.Kind, e.Code, text))
	}
	for _, e := range errs {
		t.Run(e.Code, func(t *testing.T) {
			var status int
			c := client(t, func(_ *api.Operation, _ api.Struct, h http.Header) (int, []byte) {
				var body []byte
				body, status = restjson.AppendError(nil, h, svc, e)
				return status, body
			})
			_, _, err := wiretest.Call(c, svc.Operations[0], wiretest.FillInput("1"))
			var got smithy.APIError
			if !errors.As(err, &got) {
				t.Fatal(err)
			}
			if got.ErrorCode() != e.Code || got.ErrorMessage() != e.Message {
				t.Errorf("%s: %q", got.ErrorCode(), got.ErrorMessage())
			}
			var answer interface{ HTTPStatusCode() int }
			if !errors.As(err, &answer) || answer.HTTPStatusCode() != status {
				t.Errorf("%v", err)
			}
		})
	}
}

// An invocation as it is on the wire, and what its caller sees of it.
func TestSDKInvoke(t *testing.T) {
	function := "arn:aws:lambda:eu-west-1:111122223333:function:f"
	c := client(t, func(_ *api.Operation, in api.Struct, h http.Header) (int, []byte) {
		i := in.(*lambdaapi.InvokeInput)
		if *i.FunctionName != function || *i.Qualifier != "$LATEST" || *i.InvocationType != "RequestResponse" || *i.LogType != "Tail" || string(i.Payload) != `{"a":1}` {
			t.Errorf("%+v", i)
		}
		body, status := restjson.Append(nil, h, lambdaapi.Invoke.Operation, &lambdaapi.InvokeOutput{
			StatusCode: new(int64(200)), FunctionError: new("Unhandled"), ExecutedVersion: new("$LATEST"), LogResult: api.Sensitive("bG9n"), Payload: []byte(`{"errorType":"E"}`),
		})
		return status, body
	})
	out, err := c.Invoke(t.Context(), &lambda.InvokeInput{
		FunctionName: &function, Qualifier: new("$LATEST"), Payload: []byte(`{"a":1}`),
		InvocationType: lambdatypes.InvocationTypeRequestResponse, LogType: lambdatypes.LogTypeTail,
	})
	if err != nil {
		t.Fatal(err)
	}
	if out.StatusCode != 200 || *out.FunctionError != "Unhandled" || *out.ExecutedVersion != "$LATEST" || *out.LogResult != "bG9n" || string(out.Payload) != `{"errorType":"E"}` {
		t.Errorf("%+v", out)
	}

	// Modelled errors become the SDK's types.
	c = client(t, func(_ *api.Operation, _ api.Struct, h http.Header) (int, []byte) {
		body, status := restjson.AppendError(nil, h, lambdaapi.Service, lambdaapi.ResourceNotFoundException("Function not found: "+function))
		return status, body
	})
	_, err = c.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: &function})
	var none *lambdatypes.ResourceNotFoundException
	if !errors.As(err, &none) || none.ErrorMessage() != "Function not found: "+function || *none.Type != "User" {
		t.Errorf("%v", err)
	}
}

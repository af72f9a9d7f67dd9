package awsquery_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	ststypes "github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"

	"coffer/internal/api"
	"coffer/internal/api/apitest"
	iamapi "coffer/internal/api/iam"
	stsapi "coffer/internal/api/sts"
	"coffer/internal/fault"
	"coffer/internal/wire/awsquery"
)

const requestID = "c6104cbe-af31-11e0-8154-cbc7ccf896c7"

// server answers each request of an SDK client.
type server func(form awsquery.Form) (status int, body []byte)

func (s server) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	form, err := awsquery.ParseForm(body)
	if err != nil {
		return nil, err
	}
	status, answer := s(form)
	return &http.Response{
		StatusCode: status, Request: r, ContentLength: int64(len(answer)), Body: io.NopCloser(bytes.NewReader(answer)),
		Header: http.Header{"Content-Type": {awsquery.ContentType}, "X-Amzn-Requestid": {requestID}},
	}, nil
}

// client returns the SDK's client of svc, which sends inputs unchecked and unsigned.
func client(svc *api.Service, s server) any {
	cfg := aws.Config{
		Region: "us-east-1", Credentials: aws.AnonymousCredentials{}, HTTPClient: &http.Client{Transport: s},
		Retryer:      func() aws.Retryer { return aws.NopRetryer{} },
		BaseEndpoint: aws.String("http://query.invalid"),
		APIOptions: []func(*middleware.Stack) error{func(s *middleware.Stack) error {
			const validation = "OperationInputValidation"
			if _, ok := s.Initialize.Get(validation); !ok {
				return nil // nothing is required
			}
			_, err := s.Initialize.Remove(validation)
			return err
		}},
	}
	if svc == iamapi.Service {
		return iam.NewFromConfig(cfg)
	}
	return sts.NewFromConfig(cfg)
}

// call calls an operation of an SDK client by its name, with an empty input.
func call(c any, op *api.Operation) (reflect.Value, error) {
	m := reflect.ValueOf(c).MethodByName(op.Name)
	out := m.Call([]reflect.Value{reflect.ValueOf(context.Background()), reflect.New(m.Type().In(1).Elem())})
	err, _ := out[1].Interface().(error)
	return out[0], err
}

// Every output of every operation, full, with empty lists, and bare, arrives at
// the SDK as it was.
func TestSDKReadsOutputs(t *testing.T) {
	filler := func(elements int) func(api.Struct) {
		return apitest.Filler{
			Text:   func(sh *api.Shape) []byte { return []byte(sh.Name + " <&>\"'\r\n\t ü 😀 ]]> ") },
			Secret: []byte("</a>&s"), Elements: elements,
		}.Fill
	}
	fills := map[string]func(api.Struct){"full": filler(2), "empty": filler(0), "bare": func(api.Struct) {}}
	for _, svc := range services {
		for _, op := range svc.Operations {
			for name, fill := range fills {
				t.Run(svc.Name+"/"+op.Name+"/"+name, func(t *testing.T) {
					want := op.NewOutput()
					fill(want)
					c := client(svc, func(f awsquery.Form) (int, []byte) {
						if f.Get("Action") != op.Name || f.Get("Version") != svc.APIVersion {
							t.Errorf("%s of %s", f.Get("Action"), f.Get("Version"))
						}
						return 200, awsquery.Append(nil, op, want, requestID)
					})
					got, err := call(c, op)
					if err != nil {
						t.Fatal(err)
					}
					compareMembers(t, op.Name, got.Elem(), want)
				})
			}
		}
	}
}

// compareMembers compares a structure of the SDK with one of ours.
func compareMembers(t *testing.T, path string, got reflect.Value, want api.Struct) {
	for i, m := range want.Shape().Members {
		path := path + "." + m.Name
		member := got.FieldByName(strings.ToUpper(m.Name[:1]) + m.Name[1:])
		switch f := want.Field(i); {
		case !member.IsValid():
			t.Errorf("%s: the SDK has no such member", path)
		case !api.Absent(f):
			compareValue(t, path, member, f)
		case !member.IsZero():
			t.Errorf("%s: %v arrives where nothing was sent", path, member)
		}
	}
}

// compareValue compares a present value, given as Field and At give them.
func compareValue(t *testing.T, path string, got reflect.Value, f any) {
	switch p := f.(type) {
	case *[]string:
		f = (*api.ListOf[string])(p)
	case *map[string]string:
		f = (*api.MapOf[string])(p)
	case api.StructField:
		f = p.Get()
	}
	if got.Kind() == reflect.Pointer {
		if got.IsNil() {
			t.Errorf("%s: nothing arrives", path)
			return
		}
		got = got.Elem()
	}
	switch p := f.(type) {
	case api.Struct:
		compareMembers(t, path, got, p)
	case api.ListField:
		if got.Len() != p.Len() || got.IsNil() {
			t.Errorf("%s: %d elements arrive as %d", path, p.Len(), got.Len())
			return
		}
		for i := range p.Len() {
			compareValue(t, path+"[]", got.Index(i), p.At(i))
		}
	case api.MapField:
		if got.Len() != p.Len() || got.IsNil() {
			t.Errorf("%s: %d entries arrive as %d", path, p.Len(), got.Len())
			return
		}
		for _, k := range p.Keys() {
			entry := got.MapIndex(reflect.ValueOf(k).Convert(got.Type().Key()))
			if !entry.IsValid() {
				t.Errorf("%s: %q does not arrive", path, k)
				continue
			}
			compareValue(t, path+"[]", entry, p.At(k))
		}
	default:
		if is, want := sdkValue(got), ourValue(f); is != want {
			t.Errorf("%s: %v arrives as %v", path, want, is)
		}
	}
}

func sdkValue(v reflect.Value) any {
	switch v.Kind() {
	case reflect.String: // also enumerations
		return v.String()
	case reflect.Slice:
		return string(v.Bytes())
	case reflect.Int32, reflect.Int64:
		return v.Int()
	case reflect.Float32, reflect.Float64:
		return v.Float()
	}
	if at, ok := v.Interface().(time.Time); ok {
		return at.Unix()
	}
	return v.Interface()
}

func ourValue(f any) any {
	switch p := f.(type) {
	case **string:
		return **p
	case *string:
		return *p
	case *api.Sensitive:
		return string(*p)
	case *[]byte:
		return string(*p)
	case **bool:
		return **p
	case *bool:
		return *p
	case **int64:
		return **p
	case *int64:
		return *p
	case **float64:
		return **p
	case *float64:
		return *p
	case **time.Time:
		return (**p).Unix()
	case *time.Time:
		return p.Unix()
	}
	panic("unknown form")
}

// Errors arrive with code, text, party and request id, whatever the operation.
func TestSDKReadsErrors(t *testing.T) {
	const text = "User <bob> & co\r\ncannot be found."
	for _, svc := range services {
		errs := []*fault.Error{api.AccessDeniedException(text), api.ValidationException(text), api.ServiceUnavailableException(text), svc.Internal(nil)}
		for _, e := range svc.Errors {
			errs = append(errs, fault.New(e.Kind, e.Code, text))
		}
		for _, e := range errs {
			t.Run(svc.Name+"/"+e.Code, func(t *testing.T) {
				c := client(svc, func(awsquery.Form) (int, []byte) {
					return awsquery.Status(svc, e), awsquery.AppendError(nil, svc, e, requestID)
				})
				_, err := call(c, svc.Operations[0])
				var got smithy.APIError
				if !errors.As(err, &got) {
					t.Fatal(err)
				}
				if got.ErrorCode() != awsquery.Code(svc, e) || got.ErrorMessage() != e.Message {
					t.Errorf("%s: %q", got.ErrorCode(), got.ErrorMessage())
				}
				var answer interface {
					HTTPStatusCode() int
					ServiceRequestID() string
				}
				if !errors.As(err, &answer) || answer.HTTPStatusCode() != awsquery.Status(svc, e) || answer.ServiceRequestID() != requestID {
					t.Errorf("%v", err)
				}
			})
		}
	}

	// Modelled errors become the SDK's types.
	c := client(iamapi.Service, func(awsquery.Form) (int, []byte) {
		e := iamapi.NoSuchEntityException("gone")
		return awsquery.Status(iamapi.Service, e), awsquery.AppendError(nil, iamapi.Service, e, requestID)
	})
	_, err := call(c, iamapi.GetUser.Operation)
	var none *iamtypes.NoSuchEntityException
	if !errors.As(err, &none) || none.ErrorMessage() != "gone" {
		t.Errorf("%v", err)
	}
}

// A request of the SDK, as it is on the wire, and its answer.
func TestSDKCall(t *testing.T) {
	c := client(stsapi.Service, func(f awsquery.Form) (int, []byte) {
		var in stsapi.AssumeRoleInput
		if err := awsquery.Decode(f, &in); err != nil {
			t.Error(err)
		}
		if *in.RoleSessionName != "a+b" || *in.DurationSeconds != 900 || len(in.Tags) != 2 || *in.Tags[1].Value != "=&%\n" || *in.PolicyArns[0].Arn != "arn" ||
			in.TransitiveTagKeys == nil || len(in.TransitiveTagKeys) != 0 || in.Policy != nil {
			t.Errorf("%v", in)
		}
		out := &stsapi.AssumeRoleOutput{Credentials: &stsapi.Credentials{
			AccessKeyId: new("ASIA"), SecretAccessKey: api.Sensitive("secret/+"), SessionToken: api.Sensitive("token=="), Expiration: new(created),
		}}
		return 200, awsquery.Append(nil, stsapi.AssumeRole.Operation, out, requestID)
	}).(*sts.Client)
	out, err := c.AssumeRole(t.Context(), &sts.AssumeRoleInput{
		RoleArn: aws.String("arn:aws:iam::111122223333:role/r"), RoleSessionName: aws.String("a+b"), DurationSeconds: aws.Int32(900),
		Tags:              []ststypes.Tag{{Key: aws.String("k"), Value: aws.String("")}, {Key: aws.String("é"), Value: aws.String("=&%\n")}},
		PolicyArns:        []ststypes.PolicyDescriptorType{{Arn: aws.String("arn")}},
		TransitiveTagKeys: []string{},
	})
	if err != nil {
		t.Fatal(err)
	}
	if *out.Credentials.SecretAccessKey != "secret/+" || *out.Credentials.SessionToken != "token==" || !out.Credentials.Expiration.Equal(created.Truncate(time.Second)) {
		t.Error("the credentials do not arrive")
	}
	if id, _ := awsmiddleware.GetRequestIDMetadata(out.ResultMetadata); id != requestID {
		t.Errorf("request id %q", id)
	}
}

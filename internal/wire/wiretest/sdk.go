package wiretest

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go/middleware"

	"coffer/internal/api"
)

// Server answers each request of an SDK client. It may set headers of the answer.
type Server func(r *http.Request, body []byte, h http.Header) (status int, answer []byte, err error)

// RoundTrip implements http.RoundTripper.
func (s Server) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	h := http.Header{}
	status, answer, err := s(r, body, h)
	if err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: status, Request: r, Header: h, ContentLength: int64(len(answer)), Body: io.NopCloser(bytes.NewReader(answer)),
	}, nil
}

// Config is for SDK clients that send inputs unchecked and unsigned.
func Config(s Server) aws.Config {
	return aws.Config{
		Region: "us-east-1", Credentials: aws.AnonymousCredentials{}, HTTPClient: &http.Client{Transport: s},
		Retryer:      func() aws.Retryer { return aws.NopRetryer{} },
		BaseEndpoint: aws.String("http://server.invalid"),
		APIOptions: []func(*middleware.Stack) error{func(s *middleware.Stack) error {
			const validation = "OperationInputValidation"
			if _, ok := s.Initialize.Get(validation); !ok {
				return nil // nothing is required
			}
			_, err := s.Initialize.Remove(validation)
			return err
		}},
	}
}

// Call calls an operation of an SDK client by its name; fill, if not nil, fills
// the SDK's input, which comes back.
func Call(client any, op *api.Operation, fill func(input reflect.Value)) (in, out reflect.Value, err error) {
	m := reflect.ValueOf(client).MethodByName(op.Name)
	in = reflect.New(m.Type().In(1).Elem())
	if fill != nil {
		fill(in.Elem())
	}
	results := m.Call([]reflect.Value{reflect.ValueOf(context.Background()), in})
	err, _ = results[1].Interface().(error)
	return in.Elem(), results[0].Elem(), err
}

// FillInput sets every exported member of an SDK's structure, at any depth.
// Strings become text and the like; lists and maps get two elements.
func FillInput(text string) func(reflect.Value) {
	var fill func(v reflect.Value, depth int)
	fill = func(v reflect.Value, depth int) {
		if depth > 6 { // structures that contain themselves
			return
		}
		switch v.Kind() {
		case reflect.Pointer:
			v.Set(reflect.New(v.Type().Elem()))
			fill(v.Elem(), depth)
		case reflect.Struct:
			if v.Type() == reflect.TypeFor[time.Time]() {
				v.Set(reflect.ValueOf(time.Unix(1769854830, 0).UTC()))
				return
			}
			for i := range v.NumField() {
				if f := v.Type().Field(i); f.IsExported() && f.Name != "ResultMetadata" {
					fill(v.Field(i), depth+1)
				}
			}
		case reflect.Slice:
			if v.Type().Elem().Kind() == reflect.Uint8 {
				v.SetBytes([]byte(text))
				return
			}
			v.Set(reflect.MakeSlice(v.Type(), 2, 2))
			for i := range 2 {
				fill(v.Index(i), depth+1)
			}
		case reflect.Map:
			v.Set(reflect.MakeMap(v.Type()))
			for _, k := range []string{"a", "b"} {
				e := reflect.New(v.Type().Elem()).Elem()
				fill(e, depth+1)
				v.SetMapIndex(reflect.ValueOf(k).Convert(v.Type().Key()), e)
			}
		case reflect.String:
			v.SetString(text)
		case reflect.Int32, reflect.Int64:
			v.SetInt(7)
		case reflect.Float32, reflect.Float64:
			v.SetFloat(1.5)
		case reflect.Bool:
			v.SetBool(true)
		}
	}
	return func(v reflect.Value) { fill(v, 0) }
}

// CompareMembers compares a structure of the SDK with one of ours. path says in
// messages where they are.
func CompareMembers(t *testing.T, path string, sdk reflect.Value, ours api.Struct) {
	t.Helper()
	for i, m := range ours.Shape().Members {
		path := path + "." + m.Name
		member := sdk.FieldByName(strings.ToUpper(m.Name[:1]) + m.Name[1:])
		switch f := ours.Field(i); {
		case !member.IsValid():
			t.Errorf("%s: the SDK has no such member", path)
		case !api.Absent(f):
			compareValue(t, path, member, f)
		case !member.IsZero():
			t.Errorf("%s: %v in the SDK, absent here", path, member)
		}
	}
}

// compareValue compares a present value, given as Field and At give them.
func compareValue(t *testing.T, path string, sdk reflect.Value, f any) {
	t.Helper()
	switch p := f.(type) {
	case *[]string:
		f = (*api.ListOf[string])(p)
	case *map[string]string:
		f = (*api.MapOf[string])(p)
	case api.StructField:
		f = p.Get()
	}
	if sdk.Kind() == reflect.Pointer {
		if sdk.IsNil() {
			t.Errorf("%s: absent in the SDK", path)
			return
		}
		sdk = sdk.Elem()
	}
	switch p := f.(type) {
	case api.Struct:
		CompareMembers(t, path, sdk, p)
	case api.ListField:
		if sdk.Len() != p.Len() || sdk.IsNil() {
			t.Errorf("%s: %d elements, %d in the SDK", path, p.Len(), sdk.Len())
			return
		}
		for i := range p.Len() {
			compareValue(t, path+"[]", sdk.Index(i), p.At(i))
		}
	case api.MapField:
		if sdk.Len() != p.Len() || sdk.IsNil() {
			t.Errorf("%s: %d entries, %d in the SDK", path, p.Len(), sdk.Len())
			return
		}
		for _, k := range p.Keys() {
			entry := sdk.MapIndex(reflect.ValueOf(k).Convert(sdk.Type().Key()))
			if !entry.IsValid() {
				t.Errorf("%s: the SDK has no entry %q", path, k)
				continue
			}
			compareValue(t, path+"[]", entry, p.At(k))
		}
	default:
		if sdk, ours := sdkValue(sdk), ourValue(f); sdk != ours {
			t.Errorf("%s: %v, in the SDK %v", path, ours, sdk)
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

package awsjson_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"coffer/internal/api"
	"coffer/internal/api/apitest"
	kmsapi "coffer/internal/api/kms"
	smapi "coffer/internal/api/secretsmanager"
	"coffer/internal/fault"
	"coffer/internal/wire/awsjson"
)

func structs() []api.Struct {
	var all []api.Struct
	for _, svc := range services {
		for _, op := range svc.Operations {
			all = append(all, op.NewInput(), op.NewOutput())
		}
	}
	return all
}

func TestDecode(t *testing.T) {
	tests := []struct {
		name, body string
		in         api.Struct
		want       string // the re-encoded structure
	}{
		{"empty body", ``, &smapi.ListSecretsInput{}, `{}`},
		{"blanks", " \r\n\t", &smapi.ListSecretsInput{}, `{}`},
		{"empty object", ` { } `, &smapi.ListSecretsInput{}, `{}`},
		{"null is absent", `{"SecretId":null,"VersionId":"v"}`, &smapi.GetSecretValueInput{}, `{"VersionId":"v"}`},
		{"last key wins", `{"SecretId":"a","SecretId":"b"}`, &smapi.GetSecretValueInput{}, `{"SecretId":"b"}`},
		{"last null wins", `{"SecretId":"a","SecretId":null}`, &smapi.GetSecretValueInput{}, `{}`},
		{"last list wins", `{"TagKeys":["a"],"TagKeys":["b"]}`, &smapi.UntagResourceInput{}, `{"TagKeys":["b"]}`},
		{"last structures win", `{"Tags":[{"Key":"a"}],"Tags":[{"Value":"b"}]}`, &smapi.TagResourceInput{}, `{"Tags":[{"Value":"b"}]}`},
		{"unknown members", `{"X":{"a":[1,-2.5e3,true,false,null,"\u00e9",{}]},"SecretId":"a"}`, &smapi.GetSecretValueInput{}, `{"SecretId":"a"}`},
		{"names are case-sensitive", `{"secretId":"a"}`, &smapi.GetSecretValueInput{}, `{}`},
		{"escaped key", `{"\u0053ecretId":"a"}`, &smapi.GetSecretValueInput{}, `{"SecretId":"a"}`},
		{"present but empty", `{"SecretString":"","SecretBinary":"","Tags":[]}`, &smapi.CreateSecretInput{}, `{"SecretBinary":"","SecretString":"","Tags":[]}`},
		{"empty map", `{"EncryptionContext":{}}`, &kmsapi.EncryptInput{}, `{"EncryptionContext":{}}`},
		{"escapes", `{"SecretString":"\"\\\/\b\f\n\r\t\u0000\u001f"}`, &smapi.CreateSecretInput{}, `{"SecretString":"\"\\/\u0008\u000c\n\r\t\u0000\u001f"}`},
		{"no HTML escaping", `{"SecretString":"<&>\u2028"}`, &smapi.CreateSecretInput{}, "{\"SecretString\":\"<&>\u2028\"}"},
		{"surrogate pair", `{"SecretString":"\ud83d\ude00"}`, &smapi.CreateSecretInput{}, `{"SecretString":"😀"}`},
		{"UTF-8", `{"SecretString":"æøå 😀 "}`, &smapi.CreateSecretInput{}, `{"SecretString":"æøå 😀 "}`},
		{"whole numbers", `{"MaxResults":5.0}`, &smapi.ListSecretsInput{}, `{"MaxResults":5}`},
		{"exponents", `{"MaxResults":1e1}`, &smapi.ListSecretsInput{}, `{"MaxResults":10}`},
		{"long", `{"RecoveryWindowInDays":-9223372036854775808}`, &smapi.DeleteSecretInput{}, `{"RecoveryWindowInDays":-9223372036854775808}`},
		{"time", `{"CreatedDate":1525369862.123}`, &smapi.GetSecretValueOutput{}, `{"CreatedDate":1525369862.123}`},
		{"time of AWS's own making", `{"CreatedDate":1.51197446236E9}`, &smapi.GetSecretValueOutput{}, `{"CreatedDate":1511974462.36}`},
		{"time before the epoch", `{"CreatedDate":-0.5}`, &smapi.GetSecretValueOutput{}, `{"CreatedDate":-0.5}`},
		{"time is rounded to milliseconds", `{"CreatedDate":0.0006}`, &smapi.GetSecretValueOutput{}, `{"CreatedDate":0.001}`},
		{"blob with escaped slash", `{"SecretBinary":"\/\/8="}`, &smapi.CreateSecretInput{}, `{"SecretBinary":"//8="}`},
		{"booleans", `{"ForceOverwriteReplicaSecret":false}`, &smapi.CreateSecretInput{}, `{"ForceOverwriteReplicaSecret":false}`},
		{"map", `{"EncryptionContext":{"b":"2","a":"1","a":"3"}}`, &kmsapi.EncryptInput{}, `{"EncryptionContext":{"a":"3","b":"2"}}`},
		{"map of lists", `{"VersionIdsToStages":{"v2":["b","a"],"v1":[]}}`, &smapi.DescribeSecretOutput{}, `{"VersionIdsToStages":{"v1":[],"v2":["b","a"]}}`},
		{"empty structure", `{"RotationRules":{}}`, &smapi.RotateSecretInput{}, `{"RotationRules":{}}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := awsjson.Decode([]byte(tt.body), tt.in); err != nil {
				t.Fatal(err)
			}
			if got := string(awsjson.Append(nil, tt.in)); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	const (
		early     = "The request body is not valid JSON: it ends too early."
		utf       = "The request body is not valid UTF-8."
		surrogate = "The request body has an unpaired surrogate in a string."
		blob      = "A blob is not valid base64."
	)
	at := func(n int) string { return fmt.Sprintf("The request body is not valid JSON at byte %d.", n) }
	tests := []struct {
		name, body, want string
	}{
		{"no JSON", `hello`, at(1)},
		{"null", `null`, "Null found where not expected."},
		{"a list", `[]`, "Start of list found where not expected."},
		{"a string", `"x"`, "Expected structure or null"},
		{"cut off", `{"SecretString":"abc`, early},
		{"cut off after an escape", `{"SecretString":"abc\`, early},
		{"cut off in an escape", `{"SecretString":"abc\u12`, early},
		{"cut off in a literal", `{"SecretString":nul`, early},
		{"cut off after a key", `{"SecretString"`, early},
		{"cut off in an object", `{`, early},
		{"no comma", `{"Name":"a" "Type":"b"}`, at(13)},
		{"trailing comma", `{"Name":"a",}`, at(13)},
		{"trailing text", `{} {}`, at(4)},
		{"no key", `{1:2}`, at(2)},
		{"NUL outside a string", "{}\x00", at(3)},
		{"byte order mark", "\ufeff{}", at(1)},
		{"bad literal", `{"Name":nope}`, at(10)},
		{"bad escape", `{"Name":"\x"}`, at(11)},
		{"raw control character", "{\"Name\":\"\x01\"}", at(10)},
		{"bad UTF-8", "{\"SecretString\":\"a\xff\"}", utf},
		{"bad UTF-8 in an unknown member", "{\"X\":\"a\xff\"}", utf},
		{"overlong UTF-8", "{\"SecretString\":\"\xc0\x80\"}", utf},
		{"surrogate in UTF-8", "{\"SecretString\":\"\xed\xa0\x80\"}", utf},
		{"high surrogate alone", `{"SecretString":"\ud83d"}`, surrogate},
		{"low surrogate alone", `{"SecretString":"\ude00x"}`, surrogate},
		{"two high surrogates", `{"SecretString":"\ud83d\ud83d"}`, surrogate},
		{"number for a string", `{"Name":1}`, "NUMBER_VALUE can not be converted to a String"},
		{"number for a secret", `{"SecretString":1234}`, "NUMBER_VALUE can not be converted to a String"},
		{"boolean for a string", `{"Name":true}`, "TRUE_VALUE can not be converted to a String"},
		{"object for a secret", `{"SecretString":{"a":"b"}}`, "Start of structure or map found where not expected."},
		{"list for a string", `{"Name":["a"]}`, "Start of list found where not expected."},
		{"string for a boolean", `{"ForceOverwriteReplicaSecret":"true"}`, "STRING_VALUE can not be converted to a Boolean"},
		{"string for a list", `{"Tags":"x"}`, "Expected list or null"},
		{"object for a list", `{"Tags":{}}`, "Start of structure or map found where not expected."},
		{"null in a list", `{"Tags":[null]}`, "Null found where not expected."},
		{"string for a structure", `{"Tags":["x"]}`, "Expected structure or null"},
		{"number for a blob", `{"SecretBinary":1}`, "NUMBER_VALUE can not be converted to a Blob"},
		{"base64 without padding", `{"SecretBinary":"YQ"}`, blob},
		{"base64 with stray bits", `{"SecretBinary":"YR=="}`, blob},
		{"base64 of the URL kind", `{"SecretBinary":"_-8="}`, blob},
		{"base64 with line breaks", `{"SecretBinary":"YWJj\nYWJj"}`, blob},
		{"deep", `{"X":` + strings.Repeat("[", 200), "The request body is nested too deeply."},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := awsjson.Decode([]byte(tt.body), &smapi.CreateSecretInput{})
			e, ok := fault.As(err)
			if !ok || e.Code != "SerializationException" || e.Message != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
			if got := awsjson.Status(smapi.Service, e); got != 400 {
				t.Errorf("status %d", got)
			}
		})
	}
}

func TestDecodeNumbers(t *testing.T) {
	const refused = "refused"
	for _, tt := range []struct{ body, integer, long, time string }{
		{`5`, "5", "5", "5"},
		{`-0`, "0", "0", "0"},
		{`5.5`, refused, refused, "5.5"},
		{`2147483647`, "2147483647", "2147483647", "2147483647"},
		{`2147483648`, refused, "2147483648", "2147483648"},
		{`-2147483649`, refused, "-2147483649", "-2147483649"},
		{`9007199254740993`, refused, "9007199254740993", refused},
		{`9223372036854775808`, refused, refused, refused},
		{`1e400`, refused, refused, refused},
		{`1e18`, refused, refused, refused},
		{`253402300799`, refused, "253402300799", "253402300799"},
		{`253402300800`, refused, "253402300800", refused},
		{`"5"`, refused, refused, refused},
		{`05`, refused, refused, refused},
		{`+5`, refused, refused, refused},
		{`.5`, refused, refused, refused},
		{`5.`, refused, refused, refused},
		{`-`, refused, refused, refused},
		{`1e`, refused, refused, refused},
		{`NaN`, refused, refused, refused},
		{`0x10`, refused, refused, refused},
	} {
		for _, m := range []struct {
			name string
			in   api.Struct
			want string
		}{
			{"MaxResults", &smapi.ListSecretsInput{}, tt.integer},
			{"RecoveryWindowInDays", &smapi.DeleteSecretInput{}, tt.long},
			{"CreatedDate", &smapi.GetSecretValueOutput{}, tt.time},
		} {
			want := refused
			if m.want != refused {
				want = `{"` + m.name + `":` + m.want + `}`
			}
			got := refused
			if err := awsjson.Decode([]byte(`{"`+m.name+`":`+tt.body+`}`), m.in); err == nil {
				got = string(awsjson.Append(nil, m.in))
			}
			if got != want {
				t.Errorf("%s for %s: got %s, want %s", tt.body, m.name, got, want)
			}
		}
	}
}

// The body is wiped after the call: nothing decoded may refer to it.
func TestDecodeCopies(t *testing.T) {
	for _, v := range structs() {
		apitest.Filler{Secret: []byte("a secret"), Elements: 2}.Fill(v)
		body := awsjson.Append(nil, v)
		want := string(body)
		fresh := fresh(v)
		if err := awsjson.Decode(body, fresh); err != nil {
			t.Fatalf("%s: %v", v.Shape().Name, err)
		}
		clear(body)
		if got := string(awsjson.Append(nil, fresh)); got != want {
			t.Errorf("%s: got  %s\nwant %s", v.Shape().Name, got, want)
		}
	}
}

// fresh returns an empty structure of v's type.
func fresh(v api.Struct) api.Struct {
	for _, svc := range services {
		for _, op := range svc.Operations {
			for _, n := range []func() api.Struct{op.NewInput, op.NewOutput} {
				if s := n(); fmt.Sprintf("%T", s) == fmt.Sprintf("%T", v) {
					return s
				}
			}
		}
	}
	panic("unknown type")
}

// What we write is JSON by the standard library's measure too.
func TestAppendIsJSON(t *testing.T) {
	nasty := []byte("\x00\x1f\"\\/<>&\u2028\u00e9😀\x7f")
	for _, v := range structs() {
		apitest.Filler{Secret: nasty, Elements: 2, Text: func(*api.Shape) []byte { return nasty }}.Fill(v)
		b := awsjson.Append(nil, v)
		if !json.Valid(b) {
			t.Errorf("%s: not JSON: %s", v.Shape().Name, b)
		}
		r := api.AppendRedacted(nil, v)
		if !json.Valid(r) {
			t.Errorf("%s: not JSON: %s", v.Shape().Name, r)
		}
	}
	out := &smapi.GetSecretValueOutput{SecretString: nasty, SecretBinary: nasty}
	var got map[string]string
	if err := json.Unmarshal(awsjson.Append(nil, out), &got); err != nil {
		t.Fatal(err)
	}
	if got["SecretString"] != string(nasty) || got["SecretBinary"] != base64.StdEncoding.EncodeToString(nasty) {
		t.Errorf("got %q", got)
	}
}

func TestAppendTime(t *testing.T) {
	for ms, want := range map[int64]string{
		0: "0", 1: "0.001", 10: "0.01", 100: "0.1", 1525369862123: "1525369862.123", 1525369862000: "1525369862",
		-1: "-0.001", -1500: "-1.5",
	} {
		out := &smapi.GetSecretValueOutput{CreatedDate: new(time.UnixMilli(ms))}
		if got := string(awsjson.Append(nil, out)); got != `{"CreatedDate":`+want+`}` {
			t.Errorf("%d: %s", ms, got)
		}
	}
}

func TestJSONFloat(t *testing.T) {
	for f, want := range map[float64]string{
		0: "0", 1.5: "1.5", -2: "-2", 1e21: "1e+21", 1e-7: "1e-07", 123456789: "123456789",
		math.Inf(1): `"Infinity"`, math.Inf(-1): `"-Infinity"`,
	} {
		if got := string(api.AppendJSONFloat(nil, f)); got != want {
			t.Errorf("%v: %s", f, got)
		}
	}
	if got := string(api.AppendJSONFloat(nil, math.NaN())); got != `"NaN"` {
		t.Error(got)
	}
}

func TestAppendError(t *testing.T) {
	for _, tt := range []struct {
		name   string
		svc    *api.Service
		err    *fault.Error
		status int
		want   string
	}{
		{"Secrets Manager", smapi.Service, smapi.ResourceNotFoundException("gone"), 400, `{"__type":"ResourceNotFoundException","Message":"gone"}`},
		{"KMS", kmsapi.Service, kmsapi.NotFoundException("gone"), 400, `{"__type":"NotFoundException","message":"gone"}`},
		{"no text", kmsapi.Service, kmsapi.InvalidCiphertextException(""), 400, `{"__type":"InvalidCiphertextException"}`},
		{"framework", smapi.Service, api.ValidationException("bad"), 400, `{"__type":"ValidationException","message":"bad"}`},
		{"denied", smapi.Service, api.AccessDeniedException("no"), 400, `{"__type":"AccessDeniedException","message":"no"}`},
		{"no service", nil, api.UnknownOperationException(""), 400, `{"__type":"UnknownOperationException"}`},
		{"throttled", nil, api.ThrottlingException(), 400, `{"__type":"ThrottlingException","message":"Rate exceeded"}`},
		{"too large", nil, api.RequestEntityTooLargeException(), 413, `{"__type":"RequestEntityTooLargeException","message":"The request body is too large."}`},
		{"unavailable", kmsapi.Service, api.ServiceUnavailableException("stopping"), 503, `{"__type":"ServiceUnavailableException","message":"stopping"}`},
		{"internal", smapi.Service, smapi.Service.Internal(fmt.Errorf("the disk")), 500, `{"__type":"InternalServiceError","Message":"An error occurred on the server side."}`},
		{"internal", kmsapi.Service, kmsapi.Service.Internal(fmt.Errorf("the disk")), 500, `{"__type":"KMSInternalException","message":"An error occurred on the server side."}`},
		{"internal without service", nil, api.InternalFailure(fmt.Errorf("the disk")), 500, `{"__type":"InternalFailure","message":"The request processing has failed because of an unknown error, exception or failure."}`},
		{"not served", smapi.Service, api.NotServed(smapi.RotateSecret.Operation), 400, `{"__type":"UnknownOperationException","message":"Coffer does not serve secretsmanager:RotateSecret yet. The operations it serves are listed in docs/coverage.md."}`},
		{"quotes", nil, api.ValidationException("\"<\n"), 400, `{"__type":"ValidationException","message":"\"<\n"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := string(awsjson.AppendError([]byte("x"), tt.svc, tt.err)); got != "x"+tt.want {
				t.Errorf("got  %s\nwant %s", got[1:], tt.want)
			}
			if got := awsjson.Status(tt.svc, tt.err); got != tt.status {
				t.Errorf("status %d, want %d", got, tt.status)
			}
		})
	}
}

// FuzzDecode feeds any bytes to any input: no panic, no value of the body in an
// error, and what is accepted comes out as it went in.
func FuzzDecode(f *testing.F) {
	var inputs []*api.Operation
	for _, svc := range services {
		inputs = append(inputs, svc.Operations...)
	}
	for i, op := range inputs {
		in := op.NewInput()
		apitest.Filler{Secret: []byte("s\x00\"é😀"), Elements: 2}.Fill(in)
		f.Add(byte(i), awsjson.Append(nil, in))
	}
	f.Add(byte(0), []byte(`{"X":[{"a":-1.5e3}],"SecretIdList":["\ud83d\ude00",null]}`))
	f.Fuzz(func(t *testing.T, n byte, body []byte) {
		op := inputs[int(n)%len(inputs)]
		in := op.NewInput()
		kept := bytes.Clone(body)
		err := awsjson.Decode(body, in)
		if !bytes.Equal(body, kept) {
			t.Fatal("the body was changed")
		}
		if err != nil {
			if fault.Code(err) != "SerializationException" || len(err.Error()) > 200 {
				t.Fatalf("unexpected error %v", err)
			}
			return
		}
		once := awsjson.Append(nil, in)
		again := op.NewInput()
		if err := awsjson.Decode(once, again); err != nil {
			t.Fatalf("%v in our own %s", err, once)
		}
		if twice := awsjson.Append(nil, again); !bytes.Equal(once, twice) {
			t.Fatalf("%s\nbecame %s", once, twice)
		}
		if len(bytes.TrimSpace(body)) > 0 && !json.Valid(body) {
			t.Fatalf("accepted what is not JSON: %q", body)
		}
	})
}

var getSecretValue = []byte(`{"SecretId":"arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db-a1b2c3","VersionStage":"AWSCURRENT"}`)

func BenchmarkDecodeGetSecretValue(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		var in smapi.GetSecretValueInput
		if err := awsjson.Decode(getSecretValue, &in); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendGetSecretValue(b *testing.B) {
	for _, size := range []int{100, 65536} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			out := &smapi.GetSecretValueOutput{
				ARN: new("arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db-a1b2c3"), Name: new("prod/db"),
				VersionId: new("EXAMPLE1-90ab-cdef-fedc-ba987SECRET1"), VersionStages: []string{"AWSCURRENT"},
				SecretString: bytes.Repeat([]byte("x"), size), CreatedDate: new(apitest.Time),
			}
			buf := awsjson.Append(nil, out)
			b.ReportAllocs()
			for b.Loop() {
				buf = awsjson.Append(buf[:0], out)
			}
		})
	}
}

func BenchmarkDecodePutSecretValue64K(b *testing.B) {
	body := awsjson.Append(nil, &smapi.PutSecretValueInput{SecretId: new("prod/db"), SecretString: bytes.Repeat([]byte("x"), 65536)})
	b.ReportAllocs()
	for b.Loop() {
		var in smapi.PutSecretValueInput
		if err := awsjson.Decode(body, &in); err != nil {
			b.Fatal(err)
		}
	}
}

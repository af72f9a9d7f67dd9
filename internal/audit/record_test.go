package audit_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"coffer/internal/audit"
)

func fullRecord() audit.Record {
	return audit.Record{
		UserIdentity: audit.Identity{
			Type: audit.TypeAssumedRole, PrincipalID: "AROAEXAMPLE:s", ARN: "arn:aws:sts::111122223333:assumed-role/app/s",
			AccountID: "111122223333", AccessKeyID: "ASIAEXAMPLE",
			SessionContext: &audit.SessionContext{
				Issuer:       audit.SessionIssuer{Type: "Role", PrincipalID: "AROAEXAMPLE", ARN: "arn:aws:iam::111122223333:role/app", AccountID: "111122223333", UserName: "app"},
				CreationDate: time.Date(2026, 5, 3, 17, 0, 0, 0, time.UTC),
			},
			InvokedBy: "secretsmanager.amazonaws.com",
		},
		EventTime:         time.Date(2026, 5, 3, 17, 51, 2, 0, time.UTC),
		EventSource:       "kms.amazonaws.com",
		EventName:         "GenerateDataKey",
		AWSRegion:         "eu-west-1",
		SourceIPAddress:   "secretsmanager.amazonaws.com",
		UserAgent:         "secretsmanager.amazonaws.com",
		ErrorCode:         "AccessDenied",
		ErrorMessage:      "User: \"x\" is not\tauthorized\n",
		RequestParameters: json.RawMessage(`{"keyId":"alias/aws/secretsmanager","keySpec":"AES_256"}`),
		RequestID:         "r", EventID: "e", ReadOnly: true,
		Resources:          []audit.Resource{{ARN: "arn:aws:kms:eu-west-1:111122223333:key/k", AccountID: "111122223333", Type: "AWS::KMS::Key"}},
		EventType:          audit.TypeAPICall,
		RecipientAccountID: "111122223333", SharedEventID: "s", VPCEndpointID: "vpce-1",
		AdditionalEventData: json.RawMessage(`{"a":[1,2.5e3,null,true]}`),
		TLSDetails:          &audit.TLSDetails{TLSVersion: "TLSv1.3", CipherSuite: "TLS_AES_128_GCM_SHA256", ClientProvidedHostHeader: "localhost:4566"},
	}
}

func TestRecordText(t *testing.T) {
	r := fullRecord()
	want := `{"eventVersion":"1.11","userIdentity":{"type":"AssumedRole","principalId":"AROAEXAMPLE:s","arn":"arn:aws:sts::111122223333:assumed-role/app/s","accountId":"111122223333","accessKeyId":"ASIAEXAMPLE","sessionContext":{"sessionIssuer":{"type":"Role","principalId":"AROAEXAMPLE","arn":"arn:aws:iam::111122223333:role/app","accountId":"111122223333","userName":"app"},"attributes":{"creationDate":"2026-05-03T17:00:00Z","mfaAuthenticated":"false"}},"invokedBy":"secretsmanager.amazonaws.com"},"eventTime":"2026-05-03T17:51:02Z","eventSource":"kms.amazonaws.com","eventName":"GenerateDataKey","awsRegion":"eu-west-1","sourceIPAddress":"secretsmanager.amazonaws.com","userAgent":"secretsmanager.amazonaws.com","errorCode":"AccessDenied","errorMessage":"User: \"x\" is not\tauthorized\n","requestParameters":{"keyId":"alias/aws/secretsmanager","keySpec":"AES_256"},"responseElements":null,"additionalEventData":{"a":[1,2.5e3,null,true]},"requestID":"r","eventID":"e","readOnly":true,"resources":[{"ARN":"arn:aws:kms:eu-west-1:111122223333:key/k","accountId":"111122223333","type":"AWS::KMS::Key"}],"eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"111122223333","sharedEventID":"s","vpcEndpointId":"vpce-1","eventCategory":"Management","tlsDetails":{"tlsVersion":"TLSv1.3","cipherSuite":"TLS_AES_128_GCM_SHA256","clientProvidedHostHeader":"localhost:4566"}}`
	if got := string(r.AppendJSON(nil)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	back, err := audit.ParseRecord([]byte(want))
	if err != nil || !reflect.DeepEqual(back, r) {
		t.Errorf("%v\ngot  %+v\nwant %+v", err, back, r)
	}
	// A service event has an identity without type (rotation.md, section 6).
	e := audit.Record{UserIdentity: audit.Identity{AccountID: "111122223333", InvokedBy: "secretsmanager.amazonaws.com"}, EventType: audit.TypeServiceEvent}
	if got := string(e.AppendJSON(nil)); !strings.Contains(got, `"userIdentity":{"accountId":"111122223333","invokedBy":"secretsmanager.amazonaws.com"},`) || !strings.Contains(got, `"eventType":"AwsServiceEvent"`) {
		t.Error(got)
	}
	var zero audit.Record
	if got := zero.AppendJSON(nil); !json.Valid(got) || !strings.Contains(string(got), `"userIdentity":{},"eventTime":"0001-01-01T00:00:00Z"`) {
		t.Errorf("%s", got)
	}
}

func TestRecordLimits(t *testing.T) {
	parse := func(r audit.Record) audit.Record {
		t.Helper()
		b := r.AppendJSON(nil)
		if len(b) > audit.MaxRecord || bytes.IndexByte(b, '\n') >= 0 || !utf8.Valid(b) {
			t.Fatalf("%d bytes", len(b))
		}
		back, err := audit.ParseRecord(b)
		if err != nil {
			t.Fatal(err)
		}
		return back
	}
	for n, want := range map[int]int{2047: 2047, 2048: 2048, 2049: 2048, 1 << 20: 2048} {
		if got := parse(audit.Record{ErrorMessage: strings.Repeat("x", n)}).ErrorMessage; len(got) != want {
			t.Errorf("%d became %d", n, len(got))
		}
	}
	if got := parse(audit.Record{UserAgent: strings.Repeat("\x00", 1000)}).UserAgent; len(got) != 1024/6 {
		t.Errorf("%d", len(got))
	}
	if got := parse(audit.Record{UserAgent: "x" + strings.Repeat("é", 600)}).UserAgent; got != "x"+strings.Repeat("é", 511) {
		t.Errorf("%d", len(got))
	}
	if got := parse(audit.Record{UserAgent: "a\xffb\xc3"}).UserAgent; got != "a\ufffdb\ufffd" {
		t.Errorf("%q", got)
	}
	raw := func(n int) json.RawMessage { return json.RawMessage(`{"a":"` + strings.Repeat("x", n-8) + `"}`) }
	for in, want := range map[string]string{
		string(raw(100 << 10)):     string(raw(100 << 10)),
		string(raw(100<<10 + 1)):   `{"requestParametersOmitted":true}`,
		`{"a":`:                    `{"requestParametersInvalid":true}`,
		`{"a":1},"eventID":"fake"`: `{"requestParametersInvalid":true}`,
		"{\"a\":\n 1}":             `{"a":1}`,
		"{\"a\":\"\xff\"}":         "{\"a\":\"\ufffd\"}",
		`01`:                       `{"requestParametersInvalid":true}`,
		`null`:                     ``,
		strings.Repeat("[", 200) + strings.Repeat("]", 200): strings.Repeat("[", 200) + strings.Repeat("]", 200),
	} {
		if got := parse(audit.Record{RequestParameters: json.RawMessage(in)}); string(got.RequestParameters) != want || got.EventID != "" {
			t.Errorf("%.60q: %.60q", in, got.RequestParameters)
		}
	}
	huge := strings.Repeat("\x01", 1<<20)
	r := fullRecord()
	v := reflect.ValueOf(&r).Elem()
	for i := range v.NumField() {
		if v.Field(i).Kind() == reflect.String {
			v.Field(i).SetString(huge)
		}
	}
	r.RequestParameters, r.ResponseElements, r.AdditionalEventData = raw(100<<10), raw(100<<10), raw(28<<10)
	r.Resources = make([]audit.Resource, 1000)
	for i := range r.Resources {
		r.Resources[i] = audit.Resource{ARN: huge, AccountID: huge, Type: huge}
	}
	if n := len(parse(r).Resources); n != 50 {
		t.Errorf("%d resources", n)
	}
	for _, year := range []int{-5, 10000} {
		parse(audit.Record{EventTime: time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)})
	}
}

func TestParseRecordStrict(t *testing.T) {
	r := fullRecord()
	b := r.AppendJSON(nil)
	for _, bad := range []string{"", "{}", "null", string(b) + "{}", strings.Replace(string(b), "1.11", "2.0", 1), strings.Replace(string(b), `"readOnly"`, `"readonly2"`, 1)} {
		if _, err := audit.ParseRecord([]byte(bad)); err == nil {
			t.Errorf("accepted %.60q", bad)
		}
	}
}

func FuzzRecord(f *testing.F) {
	f.Add("agent", "message", []byte(`{"a":1}`), []byte(nil), "id", int64(0), true)
	f.Add("\x00\"\\\u2028\xff", "\ud7ff\n\t", []byte("{\"a\" : [1,\"\xff\"]}"), []byte(`"x"`), "", int64(1e11), false)
	f.Add(strings.Repeat("é\x01", 600), strings.Repeat("\"", 3000), []byte(`{"a":1}}`), []byte("01"), "x", int64(-1e15), false)
	f.Fuzz(func(t *testing.T, agent, message string, params, extra []byte, id string, unix int64, set bool) {
		r := audit.Record{UserAgent: agent, ErrorMessage: message, RequestParameters: params, AdditionalEventData: extra,
			EventID: id, EventTime: time.Unix(unix, 0), ReadOnly: set, UserIdentity: audit.Identity{ARN: agent, InvokedBy: message}}
		if set {
			r.UserIdentity.SessionContext = &audit.SessionContext{Issuer: audit.SessionIssuer{UserName: id}, MFAAuthenticated: true}
			r.TLSDetails = &audit.TLSDetails{ClientProvidedHostHeader: message}
			r.Resources = []audit.Resource{{ARN: id, Type: agent}, {}}
		}
		b := r.AppendJSON(nil)
		if !json.Valid(b) || !utf8.Valid(b) || bytes.IndexByte(b, '\n') >= 0 || len(b) > audit.MaxRecord {
			t.Fatalf("not one line of valid JSON: %q", b)
		}
		first, err := audit.ParseRecord(b)
		if err != nil {
			t.Fatalf("%v: %s", err, b)
		}
		again, err := audit.ParseRecord(first.AppendJSON(nil))
		if err != nil || !reflect.DeepEqual(first, again) {
			t.Fatalf("%v\n%+v\n%+v", err, first, again)
		}
		if len(agent) < 150 && utf8.ValidString(agent) && first.UserAgent != agent {
			t.Fatalf("%q became %q", agent, first.UserAgent)
		}
		if audit.EventID(b) != first.EventID {
			t.Fatalf("eventID %q, want %q", audit.EventID(b), first.EventID)
		}
		if audit.ScanJSON(params) && !json.Valid(params) {
			t.Fatalf("the scanner takes %q for JSON", params)
		}
	})
}

func BenchmarkAppendJSON(b *testing.B) {
	r := fullRecord()
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		buf = r.AppendJSON(buf[:0])
	}
	b.SetBytes(int64(len(buf)))
}

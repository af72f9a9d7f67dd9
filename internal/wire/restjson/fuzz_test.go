package restjson_test

import (
	"bytes"
	"net/http"
	"testing"

	"coffer/internal/api/apitest"
	lambdaapi "coffer/internal/api/lambda"
	"coffer/internal/fault"
	"coffer/internal/wire/restjson"
)

// FuzzDecode routes and decodes any request. It must not panic; an input that was
// read comes back the same when an SDK sends it.
func FuzzDecode(f *testing.F) {
	for _, s := range [][4]string{
		{"POST", "/2015-03-31/functions/arn%3Aaws%3Alambda/invocations?Qualifier=%24LATEST", "Tail", "{}"},
		{"GET", "/2018-10-31/layers?find=LayerVersion&Arn=a%20b+c", "", ""},
		{"PUT", "/odd/2026-01-31T10:20:30Z/keys/a/b%2F../acl?copy&from=a-b&t=0&t=now", "x", "ü\xff"},
		{"DELETE", "/2017-03-31//tags/./a/../b?tagKeys=a&tagKeys=%", "", "null"},
		{"GET", "/../%%/{FunctionName}/?&&=&=&%00", "\xff", "{\"a\":[1e999]}"},
		{"GET", "2015-03-31/functions", "a", "["},
	} {
		f.Add(s[0], s[1], s[2], []byte(s[3]))
	}
	for _, op := range append(lambdaapi.Service.Operations, oddService.Operations...) {
		in := op.NewInput()
		apitest.Filler{Secret: []byte("s\x00&é😀"), Elements: 1}.Fill(in)
		r, body, ok := requestOf(op, in)
		if !ok {
			f.Fatalf("%s cannot be sent", op.Name)
		}
		f.Add(r.Method, r.RequestURI, "é, \"x\"", body)
	}
	rt := newRouter(f)
	f.Fuzz(func(t *testing.T, method, uri, header string, body []byte) {
		r := &http.Request{Method: method, RequestURI: uri, Header: http.Header{
			"X-Amz-Log-Type": {header}, "X-Amz-Invocation-Type": {header}, "X-Amz-Meta-A": {header}, "X-Amz-Token": {header},
		}}
		op, labels, ok := rt.Match(r)
		if !ok {
			return
		}
		sent := bytes.Clone(body)
		in := op.NewInput()
		err := restjson.Decode(r, &labels, body, in)
		if !bytes.Equal(body, sent) {
			t.Fatal("the body changed")
		}
		if err != nil {
			if fault.Code(err) != "SerializationException" {
				t.Fatal(err)
			}
			return
		}
		second, again, ok := requestOf(op, in)
		if !ok {
			t.Fatalf("%s lacks a label of %s", uri, op.Name)
		}
		other, labels, ok := rt.Match(second)
		if !ok || other != op {
			t.Fatalf("%s is not %s", second.RequestURI, op.Name)
		}
		secondIn := op.NewInput()
		if err := restjson.Decode(second, &labels, again, secondIn); err != nil {
			t.Fatalf("%v for %s", err, second.RequestURI)
		}
		if got, want := show(op, secondIn), show(op, in); got != want {
			t.Fatalf("got  %s\nwant %s", got, want)
		}
	})
}

package awsquery_test

import (
	"bytes"
	"net/url"
	"strings"
	"testing"

	"coffer/internal/api"
	"coffer/internal/api/apitest"
	"coffer/internal/fault"
	"coffer/internal/wire/awsjson"
	"coffer/internal/wire/awsquery"
)

// FuzzDecode gives any form to every input of every operation. It must not
// panic; net/url must read the same names and values; an input that was read
// comes back the same when an SDK sends it; as an answer it is a document.
func FuzzDecode(f *testing.F) {
	for _, body := range []string{
		"Action=TagUser&Version=2010-05-08&UserName=ana&Tags.member.1.Key=a&Tags.member.1.Value=b+c%3D&Tags.member.10.Key=d&Tags.member.2.Key=e",
		"TagKeys.member.1=a&TagKeys.member.2=&PolicyArns.member.1.arn=x&TransitiveTagKeys=&DurationSeconds=900&RoleArn=%C3%A6",
		"MaxItems=100&OnlyAttached=true&Marker=&NewPassword=p%00&ContextEntries.member.1.ContextKeyValues.member.1=v",
		"Names.1=a&Names.2=b&Item.1.A=c&Words.Word.1=d&Rows.member.1.member.2.B=e&Env.1.K=f&Env.1.V=g&Pair.A=h&Self.Self.Long=1",
		"Nested.entry.1.key=a&Nested.entry.1.value.member.1.A=1&Secrets.entry.1.key=b&Secrets.entry.1.value=s&Self.Pair=",
		"Times.member.1=2026-01-31T10:20:30Z&Unix=1769854830.5&HTTP=2026-01-31&Flags.member.1=false&Sizes.member.1=-5&Ratios.member.1=NaN&Small=1e3",
		"Blob=AAA%3D&Key=&renamedOnTheWire=%0D%0A%3C&Tags=x&Tags.1=y&Names.01=&=&a.=&.b=&..=1",
		"A=%&%zz=1&A=1&A=2&\xff",
	} {
		f.Add([]byte(body))
	}
	for _, svc := range services {
		for _, op := range svc.Operations {
			in := op.NewInput()
			apitest.Filler{Secret: []byte("s\x00&é😀"), Elements: 1}.Fill(in)
			f.Add([]byte(formOf(in).Encode()))
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		sent := bytes.Clone(body)
		form, err := awsquery.ParseForm(body)
		if !bytes.Equal(body, sent) {
			t.Fatal("the body changed")
		}
		if err != nil {
			if fault.Code(err) != "MalformedQueryString" {
				t.Fatal(err)
			}
			return
		}
		sameAsURL(t, form, string(body))
		checkInput(t, form, &odd{}, &odd{}, &oddOperation)
		for _, svc := range services {
			for _, op := range svc.Operations {
				checkInput(t, form, op.NewInput(), op.NewInput(), &api.Operation{
					Service: svc, Name: op.Name, Wrapper: op.Name + "Result", Output: op.Input,
				})
			}
		}
	})
}

func sameAsURL(t *testing.T, form awsquery.Form, body string) {
	if strings.Contains(body, ";") {
		return // which net/url refuses
	}
	want, err := url.ParseQuery(body)
	if err != nil {
		t.Fatalf("net/url: %v", err)
	}
	if form.Len() != len(want) {
		t.Fatalf("%d parameters, net/url has %d", form.Len(), len(want))
	}
	for k := range want {
		if form.Get(k) != want.Get(k) {
			t.Fatalf("%q is %q, net/url has %q", k, form.Get(k), want.Get(k))
		}
	}
}

func checkInput(t *testing.T, form awsquery.Form, in, again api.Struct, op *api.Operation) {
	if err := awsquery.Decode(form, in); err != nil {
		if fault.Code(err) != "SerializationException" {
			t.Fatal(err)
		}
		return
	}
	want := awsjson.Append(nil, in)
	second, err := awsquery.ParseForm([]byte(formOf(in).Encode()))
	if err != nil {
		t.Fatal(err)
	}
	if err := awsquery.Decode(second, again); err != nil {
		t.Fatalf("%v for %s", err, want)
	}
	if got := awsjson.Append(nil, again); !bytes.Equal(got, want) {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
	b := awsquery.Append(nil, op, in, "id")
	if _, err := parseXML(b); err != nil {
		t.Fatalf("%v in %s", err, b)
	}
}

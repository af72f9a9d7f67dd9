package awsquery_test

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"coffer/internal/api"
	iamapi "coffer/internal/api/iam"
	stsapi "coffer/internal/api/sts"
	"coffer/internal/fault"
	"coffer/internal/wire/awsquery"
)

// services are those that speak Query.
var services = []*api.Service{iamapi.Service, stsapi.Service}

func mustForm(t testing.TB, body string) awsquery.Form {
	t.Helper()
	f, err := awsquery.ParseForm([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestParseForm(t *testing.T) {
	for _, tt := range []struct {
		name, body, key, want string
		len                   int
	}{
		{"empty", "", "Action", "", 0},
		{"one", "Action=GetUser", "Action", "GetUser", 1},
		{"two", "Action=GetUser&Version=2010-05-08", "Version", "2010-05-08", 2},
		{"absent", "Action=GetUser", "Version", "", 1},
		{"names are case-sensitive", "action=GetUser", "Action", "", 1},
		{"without a value", "Action", "Action", "", 1},
		{"empty value", "Action=", "Action", "", 1},
		{"equal sign in the value", "A=b=c", "A", "b=c", 1},
		{"nothing between ampersands", "&A=b&&C=d&", "C", "d", 2},
		{"plus is a blank", "A=b+c", "A", "b c", 1},
		{"escapes", "A=%2B%26%3d%25%0A", "A", "+&=%\n", 1},
		{"escaped name", "%41ction=x", "Action", "x", 1},
		{"semicolons part nothing", "A=b;C=d", "A", "b;C=d", 1},
		{"UTF-8", "A=%C3%A6%F0%9F%98%80", "A", "æ😀", 1},
		{"raw UTF-8", "A=æ", "A", "æ", 1},
		{"longest name", strings.Repeat("n", 512) + "=x", strings.Repeat("n", 512), "x", 1},
		{"escapes count once", strings.Repeat("%6e", 512) + "=x", strings.Repeat("n", 512), "x", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := mustForm(t, tt.body)
			if got := f.Get(tt.key); got != tt.want || f.Len() != tt.len {
				t.Errorf("%q, %d parameters; want %q, %d", got, f.Len(), tt.want, tt.len)
			}
		})
	}
}

func TestParseFormRefuses(t *testing.T) {
	const percent = "The query string contains a syntax error: a percent sign without two hexadecimal digits stands at byte "
	for _, tt := range []struct{ name, body, want string }{
		{"percent at the end", "A=1&B=%", percent + "7."},
		{"one digit", "A=%4", percent + "3."},
		{"no digits", "A=%zz", percent + "3."},
		{"half a digit", "A=%4g", percent + "3."},
		{"percent in a name", "A%=1", percent + "2."},
		{"cut off by an ampersand", "A=%4&B=1", percent + "3."},
		{"bad UTF-8", "A=%FF", "The query string contains a syntax error: it is not valid UTF-8."},
		{"raw bad UTF-8", "A=\xff", "The query string contains a syntax error: it is not valid UTF-8."},
		{"bad UTF-8 in a name", "%C3=%A6", "The query string contains a syntax error: it is not valid UTF-8."},
		{"half a surrogate pair", "A=%ED%A0%80", "The query string contains a syntax error: it is not valid UTF-8."},
		{"repeated", "A=1&B=2&A=1", "The query string contains a syntax error: a parameter is given more than once."},
		{"repeated in disguise", "A=1&%41=1", "The query string contains a syntax error: a parameter is given more than once."},
		{"long name", strings.Repeat("n", 513) + "=x", "The query string contains a syntax error: the name of a parameter is longer than 512 bytes."},
		{"too many", strings.Repeat("&A", 10_001), "The query string contains a syntax error: it has more than 10000 parameters."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, err := awsquery.ParseForm([]byte(tt.body))
			e, ok := fault.As(err)
			if !ok || e.Code != "MalformedQueryString" || e.Message != tt.want || f.Len() != 0 {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

// A repetition is found wherever it stands, and numbers and words side by side
// do not hide it.
func TestRepeatedAnywhere(t *testing.T) {
	names := []string{"9", "10", "9a", "5x", "a", "10"}
	var permute func(int)
	permute = func(n int) {
		if n == len(names) {
			if f, err := awsquery.ParseForm([]byte(strings.Join(names, "=&"))); err == nil {
				t.Fatalf("%s: %v", names, f)
			}
			return
		}
		for i := n; i < len(names); i++ {
			names[n], names[i] = names[i], names[n]
			permute(n + 1)
			names[n], names[i] = names[i], names[n]
		}
	}
	permute(0)
}

// Ten thousand elements in the order that SDKs send them, which sort names as
// text, and backwards.
func TestLargestForm(t *testing.T) {
	const n = 9_999
	var forward, backward strings.Builder
	for i := range n {
		fmt.Fprintf(&forward, "&TagKeys.member.%d=v%d", i+1, i+1)
		fmt.Fprintf(&backward, "&TagKeys.member.%d=v%d", n-i, n-i)
	}
	v, err := url.ParseQuery(forward.String())
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{forward.String(), backward.String(), "&" + v.Encode()} {
		var in iamapi.UntagUserInput
		if err := awsquery.Decode(mustForm(t, "UserName=ana"+body), &in); err != nil {
			t.Fatal(err)
		}
		if len(in.TagKeys) != n || *in.UserName != "ana" {
			t.Fatalf("%d elements", len(in.TagKeys))
		}
		for i, k := range in.TagKeys {
			if k != "v"+strconv.Itoa(i+1) {
				t.Fatalf("element %d is %s", i+1, k)
			}
		}
	}
}

// A form may hold a password: it prints as a placeholder and can be wiped.
func TestFormIsSecret(t *testing.T) {
	body := []byte("Action=ChangePassword&NewPassword=hunter2&OldPassword=hunter%32")
	f, err := awsquery.ParseForm(body)
	if err != nil {
		t.Fatal(err)
	}
	holder := struct{ F *awsquery.Form }{&f}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		if s := fmt.Sprintf(verb, f) + fmt.Sprintf(verb, &f); s != strings.Repeat("[form of 3 parameters]", 2) {
			t.Errorf("%s prints %s", verb, s)
		}
		if s := fmt.Sprintf(verb, holder); strings.Contains(s, "hunter") || strings.Contains(s, "104 117 110") {
			t.Errorf("%s in a structure prints %s", verb, s)
		}
	}
	var in iamapi.ChangePasswordInput
	if err := awsquery.Decode(f, &in); err != nil {
		t.Fatal(err)
	}
	clear(body)
	if f.Get("NewPassword") != "hunter2" {
		t.Error("the form refers to the body")
	}
	f.Wipe()
	if got := f.Get("NewPassword"); got != "" {
		t.Error("the form is not wiped")
	}
	if string(in.NewPassword) != "hunter2" || string(in.OldPassword) != "hunter2" {
		t.Error("the structure refers to the form")
	}
}

// formOf encodes v as SDKs do, for tests that go the other way.
func formOf(v api.Struct) url.Values {
	f := url.Values{}
	addMembers(f, "", v)
	return f
}

func addMembers(f url.Values, prefix string, v api.Struct) {
	for i, m := range v.Shape().Members {
		field := v.Field(i)
		if api.Absent(field) {
			continue
		}
		name := m.Name
		if m.Wire != "" {
			name = m.Wire
		}
		if m.Shape.Kind == api.List && m.Shape.Flattened && m.Shape.ElemName != "" {
			name = m.Shape.ElemName
		}
		addValue(f, prefix+name, m.Shape, field)
	}
}

func addValue(f url.Values, name string, sh *api.Shape, field any) {
	switch p := field.(type) {
	case **string:
		f.Set(name, **p)
	case *string:
		f.Set(name, *p)
	case *api.Sensitive:
		f.Set(name, text(sh, *p))
	case *[]byte:
		f.Set(name, text(sh, *p))
	case **bool:
		f.Set(name, strconv.FormatBool(**p))
	case *bool:
		f.Set(name, strconv.FormatBool(*p))
	case **int64:
		f.Set(name, strconv.FormatInt(**p, 10))
	case *int64:
		f.Set(name, strconv.FormatInt(*p, 10))
	case **float64:
		f.Set(name, strconv.FormatFloat(**p, 'g', -1, 64))
	case *float64:
		f.Set(name, strconv.FormatFloat(*p, 'g', -1, 64))
	case **time.Time:
		f.Set(name, (**p).Format(time.RFC3339Nano))
	case *time.Time:
		f.Set(name, p.Format(time.RFC3339Nano))
	case *[]string:
		addValue(f, name, sh, (*api.ListOf[string])(p))
	case *map[string]string:
		addValue(f, name, sh, (*api.MapOf[string])(p))
	case api.ListField:
		if p.Len() == 0 {
			f.Set(name, "")
		}
		if !sh.Flattened {
			name += "." + or(sh.ElemName, "member")
		}
		for i := range p.Len() {
			addValue(f, name+"."+strconv.Itoa(i+1), sh.Elem, p.At(i))
		}
	case api.MapField:
		if p.Len() == 0 {
			f.Set(name, "")
		}
		if !sh.Flattened {
			name += ".entry"
		}
		for i, k := range p.Keys() {
			at := name + "." + strconv.Itoa(i+1) + "."
			f.Set(at+or(sh.KeyName, "key"), k)
			addValue(f, at+or(sh.ValueName, "value"), sh.Value, p.At(k))
		}
	case api.StructField:
		addValue(f, name, sh, p.Get())
	case api.Struct:
		before := len(f)
		if addMembers(f, name+".", p); len(f) == before {
			f.Set(name, "")
		}
	default:
		panic("unknown form of " + sh.Name)
	}
}

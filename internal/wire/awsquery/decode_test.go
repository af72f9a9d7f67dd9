package awsquery_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"coffer/internal/api"
	"coffer/internal/api/apitest"
	iamapi "coffer/internal/api/iam"
	stsapi "coffer/internal/api/sts"
	"coffer/internal/fault"
	"coffer/internal/wire/awsjson"
	"coffer/internal/wire/awsquery"
)

func or(name, usual string) string {
	if name == "" {
		return usual
	}
	return name
}

// text is a blob in base64, and any other value as it is.
func text(sh *api.Shape, b []byte) string {
	if sh.Kind == api.Blob {
		return base64.StdEncoding.EncodeToString(b)
	}
	return string(b)
}

// odd has what the models of IAM and STS lack and others have.
type odd struct {
	Names   []string                    // flattened
	Items   []pair                      // flattened, the elements have a name
	Words   []string                    // the elements have a name
	Rows    []api.ListOf[pair]          // a list of lists
	Env     map[string]string           // flattened, keys and values have names
	Nested  map[string]api.ListOf[pair] // a map of lists
	Secrets map[string]api.Sensitive    // a map of secrets
	Times   []time.Time                 // a list of times
	Flags   []bool                      // a list of booleans
	Sizes   []int64                     // a list of longs
	Ratios  []float64                   // a list of doubles
	Small   *float64                    // a float
	Long    *int64                      // a long
	Pair    *pair                       // a structure
	Blob    []byte                      // a blob
	Key     api.Sensitive               // a sensitive blob
	Unix    *time.Time                  // a time in seconds
	HTTP    *time.Time                  // a time as in HTTP
	Renamed *string                     // another name on the wire
	Self    *odd                        // itself
}

type pair struct{ A, B *string }

var (
	str      = api.Shape{Name: "Str", Kind: api.String}
	pairs    = api.Shape{Name: "Pair", Kind: api.Structure, Members: []api.Member{{Name: "A", Shape: &str}, {Name: "B", Shape: &str}}}
	pairList = api.Shape{Name: "Pairs", Kind: api.List, Elem: &pairs}
	oddShape = api.Shape{Name: "Odd", Kind: api.Structure}
)

func init() {
	list := func(e *api.Shape) *api.Shape { return &api.Shape{Name: e.Name + "s", Kind: api.List, Elem: e} }
	kind := func(k api.Kind) *api.Shape { return &api.Shape{Name: k.String(), Kind: k} }
	oddShape.Members = []api.Member{
		{Name: "Names", Shape: &api.Shape{Kind: api.List, Flattened: true, Elem: &str}},
		{Name: "Items", Shape: &api.Shape{Kind: api.List, Flattened: true, ElemName: "Item", Elem: &pairs}},
		{Name: "Words", Shape: &api.Shape{Kind: api.List, ElemName: "Word", Elem: &str}},
		{Name: "Rows", Shape: list(&pairList)},
		{Name: "Env", Shape: &api.Shape{Kind: api.Map, Flattened: true, Key: &str, KeyName: "K", Value: &str, ValueName: "V"}},
		{Name: "Nested", Shape: &api.Shape{Kind: api.Map, Key: &str, Value: &pairList}},
		{Name: "Secrets", Shape: &api.Shape{Kind: api.Map, Key: &str, Value: &api.Shape{Kind: api.String, Sensitive: true}}},
		{Name: "Times", Shape: list(kind(api.Timestamp))},
		{Name: "Flags", Shape: list(kind(api.Boolean))},
		{Name: "Sizes", Shape: list(kind(api.Long))},
		{Name: "Ratios", Shape: list(kind(api.Double))},
		{Name: "Small", Shape: kind(api.Float)},
		{Name: "Long", Shape: kind(api.Long)},
		{Name: "Pair", Shape: &pairs},
		{Name: "Blob", Shape: kind(api.Blob)},
		{Name: "Key", Shape: &api.Shape{Kind: api.Blob, Sensitive: true}},
		{Name: "Unix", Shape: &api.Shape{Kind: api.Timestamp, TimeFormat: "unixTimestamp"}},
		{Name: "HTTP", Shape: &api.Shape{Kind: api.Timestamp, TimeFormat: "rfc822"}},
		{Name: "Renamed", Wire: "renamedOnTheWire", Shape: &str},
		{Name: "Self", Shape: &oddShape},
	}
}

func (*pair) Shape() *api.Shape { return &pairs }
func (v *pair) Field(i int) any { return []any{&v.A, &v.B}[i] }
func (*odd) Shape() *api.Shape  { return &oddShape }
func (v *odd) Field(i int) any {
	return []any{
		&v.Names, (*api.ListOf[pair])(&v.Items), &v.Words, (*api.ListOf[api.ListOf[pair]])(&v.Rows),
		&v.Env, (*api.MapOf[api.ListOf[pair]])(&v.Nested), (*api.MapOf[api.Sensitive])(&v.Secrets),
		(*api.ListOf[time.Time])(&v.Times), (*api.ListOf[bool])(&v.Flags), (*api.ListOf[int64])(&v.Sizes), (*api.ListOf[float64])(&v.Ratios),
		&v.Small, &v.Long, api.StructOf[pair, *pair]{P: &v.Pair}, &v.Blob, &v.Key, &v.Unix, &v.HTTP, &v.Renamed,
		api.StructOf[odd, *odd]{P: &v.Self},
	}[i]
}

func TestDecode(t *testing.T) {
	tests := []struct {
		name, form string
		in         api.Struct
		want       string // as JSON
	}{
		{"nothing", "", &iamapi.CreateUserInput{}, `{}`},
		{"strings", "UserName=ana&Path=%2Fa%2F", &iamapi.CreateUserInput{}, `{"Path":"/a/","UserName":"ana"}`},
		{"an empty string is present", "UserName=", &iamapi.CreateUserInput{}, `{"UserName":""}`},
		{"unknown members", "Action=CreateUser&UserName=ana&New.member.1.X=y&New=", &iamapi.CreateUserInput{}, `{"UserName":"ana"}`},
		{"members of the protocol's own", "Action=A&Version=V&X-Amz-Signature=s", &iamapi.CreateUserInput{}, `{}`},
		{"names are case-sensitive", "userName=ana", &iamapi.CreateUserInput{}, `{}`},
		{"names are whole", "UserNam=a&UserNames=b&UserName-x=c", &iamapi.CreateUserInput{}, `{}`},
		{"integer", "MaxItems=100", &iamapi.ListUsersInput{}, `{"MaxItems":100}`},
		{"largest integer", "MaxItems=2147483647", &iamapi.ListUsersInput{}, `{"MaxItems":2147483647}`},
		{"negative", "MaxItems=-1", &iamapi.ListUsersInput{}, `{"MaxItems":-1}`},
		{"true", "OnlyAttached=true", &iamapi.ListPoliciesInput{}, `{"OnlyAttached":true}`},
		{"false", "OnlyAttached=false", &iamapi.ListPoliciesInput{}, `{"OnlyAttached":false}`},
		{"list of structures", "Tags.member.1.Key=a&Tags.member.1.Value=1&Tags.member.2.Key=b&Tags.member.2.Value=2", &iamapi.TagUserInput{},
			`{"Tags":[{"Key":"a","Value":"1"},{"Key":"b","Value":"2"}]}`},
		{"any order", "Tags.member.2.Value=2&Tags.member.1.Value=1&Tags.member.2.Key=b&UserName=ana&Tags.member.1.Key=a", &iamapi.TagUserInput{},
			`{"UserName":"ana","Tags":[{"Key":"a","Value":"1"},{"Key":"b","Value":"2"}]}`},
		{"order of numbers, not of texts", "TagKeys.member.10=j&TagKeys.member.9=i&TagKeys.member.1=a", &iamapi.UntagUserInput{}, `{"TagKeys":["a","i","j"]}`},
		{"gaps close up", "TagKeys.member.3=a&TagKeys.member.10000=b", &iamapi.UntagUserInput{}, `{"TagKeys":["a","b"]}`},
		{"an empty element", "TagKeys.member.1=", &iamapi.UntagUserInput{}, `{"TagKeys":[""]}`},
		{"an element without members", "Tags.member.1=", &iamapi.TagUserInput{}, `{"Tags":[{}]}`},
		{"unknown members of elements", "Tags.member.1.Key=a&Tags.member.1.X.member.1=b", &iamapi.TagUserInput{}, `{"Tags":[{"Key":"a"}]}`},
		{"empty list", "Tags=", &iamapi.TagUserInput{}, `{"Tags":[]}`},
		{"empty list as some write it", "Tags.member=", &iamapi.TagUserInput{}, `{"Tags":[]}`},
		{"lower-case member", "PolicyArns.member.1.arn=x", &stsapi.AssumeRoleInput{}, `{"PolicyArns":[{"arn":"x"}]}`},
		{"sensitive text", "NewPassword=%C3%A6+b", &iamapi.ChangePasswordInput{}, `{"NewPassword":"æ b"}`},
		{"sensitive and empty", "NewPassword=", &iamapi.ChangePasswordInput{}, `{"NewPassword":""}`},

		{"flattened list", "Names.1=a&Names.2=b", &odd{}, `{"Names":["a","b"]}`},
		{"empty flattened list", "Names=", &odd{}, `{"Names":[]}`},
		{"flattened list of named elements", "Item.1.A=a&Item.2.A=b&Items.1.A=no", &odd{}, `{"Items":[{"A":"a"},{"A":"b"}]}`},
		{"list of named elements", "Words.Word.1=a&Words.Word.2=b", &odd{}, `{"Words":["a","b"]}`},
		{"list of lists", "Rows.member.1.member.1.A=a&Rows.member.2.member.1.B=b&Rows.member.3=", &odd{}, `{"Rows":[[{"A":"a"}],[{"B":"b"}],[]]}`},
		{"flattened map", "Env.1.K=a&Env.1.V=1&Env.2.V=2&Env.2.K=b", &odd{}, `{"Env":{"a":"1","b":"2"}}`},
		{"empty map", "Env=&Secrets=&Nested.entry=", &odd{}, `{"Env":{},"Nested":{},"Secrets":{}}`},
		{"empty key and value", "Env.1.K=&Env.1.V=", &odd{}, `{"Env":{"":""}}`},
		{"map of lists", "Nested.entry.1.key=a&Nested.entry.1.value.member.1.A=1&Nested.entry.2.key=b&Nested.entry.2.value=", &odd{}, `{"Nested":{"a":[{"A":"1"}],"b":[]}}`},
		{"map of secrets", "Secrets.entry.7.key=a&Secrets.entry.7.value=s", &odd{}, `{"Secrets":{"a":"s"}}`},
		{"structure", "Pair.A=a&Pair.B=b", &odd{}, `{"Pair":{"A":"a","B":"b"}}`},
		{"empty structure", "Pair=", &odd{}, `{"Pair":{}}`},
		{"structure of unknown members", "Pair.C=c", &odd{}, `{"Pair":{}}`},
		{"structure in itself", "Self.Self.Self.Long=1", &odd{}, `{"Self":{"Self":{"Self":{"Long":1}}}}`},
		{"name on the wire", "renamedOnTheWire=a&Renamed=b", &odd{}, `{"Renamed":"a"}`},
		{"neighbours in order", "Pair.A=1&Pair-x=1&Pair%20=3&Pair.B=2&Long=1", &odd{}, `{"Long":1,"Pair":{"A":"1","B":"2"}}`},
		{"blobs", "Blob=%2F%2F8%3D&Key=AAA%3D", &odd{}, `{"Blob":"//8=","Key":"AAA="}`},
		{"empty blobs", "Blob=&Key=", &odd{}, `{"Blob":"","Key":""}`},
		{"booleans", "Flags.member.1=true&Flags.member.2=false", &odd{}, `{"Flags":[true,false]}`},
		{"longs", "Sizes.member.1=9223372036854775807&Sizes.member.2=-9223372036854775808&Long=5", &odd{}, `{"Sizes":[9223372036854775807,-9223372036854775808],"Long":5}`},
		{"doubles", "Ratios.member.1=1.5&Ratios.member.2=-1E3&Ratios.member.3=NaN&Ratios.member.4=-Infinity&Ratios.member.5=Infinity&Small=0.5", &odd{},
			`{"Ratios":[1.5,-1000,"NaN","-Infinity","Infinity"],"Small":0.5}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := awsquery.Decode(mustForm(t, tt.form), tt.in); err != nil {
				t.Fatal(err)
			}
			if got := string(awsjson.Append(nil, tt.in)); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestDecodeTimes(t *testing.T) {
	for text, want := range map[string]string{
		"2026-01-31T10:20:30Z":         "2026-01-31T10:20:30Z",
		"2026-01-31T10:20:30.1239Z":    "2026-01-31T10:20:30.123Z",
		"2026-01-31T12:20:30%2B02:00":  "2026-01-31T10:20:30Z",
		"2026-01-31T10:20:30":          "2026-01-31T10:20:30Z",
		"20260131T102030Z":             "2026-01-31T10:20:30Z",
		"2026-01-31":                   "2026-01-31T00:00:00Z",
		"1769854830":                   "2026-01-31T10:20:30Z",
		"1769854830.5":                 "2026-01-31T10:20:30.5Z",
		"1.76985483E9":                 "2026-01-31T10:20:30Z",
		"-1":                           "1969-12-31T23:59:59Z",
		"9999-12-31T23:59:59.9999999Z": "9999-12-31T23:59:59.999Z",
	} {
		var v odd
		if err := awsquery.Decode(mustForm(t, "Unix="+text+"&Times.member.1="+text), &v); err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := v.Unix.Format(time.RFC3339Nano); got != want || !v.Times[0].Equal(*v.Unix) || v.Unix.Location() != time.UTC {
			t.Errorf("%s is read as %s", text, got)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	const (
		list    = "Unexpected list element termination"
		complex = "Unexpected complex element termination"
		mapping = "Unexpected map element termination"
		inList  = "Unexpected element in a list"
		inMap   = "Unexpected element in a map"
		start   = "Start of list found where not expected"
		index   = "Elements of a list must be numbered from 1 to 10000"
		pairing = "An entry of a map needs a key and a value"
		integer = "STRING_VALUE can not be converted to an Integer"
		long    = "STRING_VALUE can not be converted to a Long"
		boolean = "STRING_VALUE can not be converted to a Boolean"
		double  = "STRING_VALUE can not be converted to a Double"
		moment  = "STRING_VALUE can not be converted to a Timestamp"
		base64  = "A blob is not valid base64."
	)
	tests := []struct {
		name, form string
		in         api.Struct
		want       string
	}{
		{"a word for an integer", "MaxItems=many", &iamapi.ListUsersInput{}, integer},
		{"nothing for an integer", "MaxItems=", &iamapi.ListUsersInput{}, integer},
		{"a fraction for an integer", "MaxItems=1.0", &iamapi.ListUsersInput{}, integer},
		{"a blank before an integer", "MaxItems=+1", &iamapi.ListUsersInput{}, integer},
		{"an integer too large", "MaxItems=2147483648", &iamapi.ListUsersInput{}, integer},
		{"hexadecimal", "MaxItems=0x10", &iamapi.ListUsersInput{}, integer},
		{"a long too large", "Long=9223372036854775808", &odd{}, long},
		{"underscores", "Long=1_000", &odd{}, long},
		{"yes for a boolean", "OnlyAttached=yes", &iamapi.ListPoliciesInput{}, boolean},
		{"upper case for a boolean", "OnlyAttached=TRUE", &iamapi.ListPoliciesInput{}, boolean},
		{"a number for a boolean", "OnlyAttached=1", &iamapi.ListPoliciesInput{}, boolean},
		{"nothing for a boolean", "OnlyAttached=", &iamapi.ListPoliciesInput{}, boolean},
		{"a list for a string", "UserName.member.1=ana", &iamapi.CreateUserInput{}, start},
		{"a structure for a string", "UserName.X=ana", &iamapi.CreateUserInput{}, start},
		{"both for a string", "UserName=ana&UserName.member.1=bob", &iamapi.CreateUserInput{}, start},
		{"a dot after a name", "UserName.=ana", &iamapi.CreateUserInput{}, start},
		{"a string for a list", "TagKeys=a", &iamapi.UntagUserInput{}, list},
		{"a string for the elements", "TagKeys.member=a", &iamapi.UntagUserInput{}, list},
		{"an empty list with elements", "TagKeys=&TagKeys.member.1=a", &iamapi.UntagUserInput{}, list},
		{"no elements with elements", "TagKeys.member=&TagKeys.member.1=a", &iamapi.UntagUserInput{}, list},
		{"a list without member", "TagKeys.1=a", &iamapi.UntagUserInput{}, inList},
		{"a list of something else", "TagKeys.Key.1=a", &iamapi.UntagUserInput{}, inList},
		{"a list of two things", "TagKeys.entry.1=a&TagKeys.member.1=a", &iamapi.UntagUserInput{}, inList},
		{"a session policy without member", "PolicyArns.1.arn=x", &stsapi.AssumeRoleInput{}, inList},
		{"index 0", "TagKeys.member.0=a", &iamapi.UntagUserInput{}, index},
		{"index with a leading zero", "TagKeys.member.1=a&TagKeys.member.01=b", &iamapi.UntagUserInput{}, index},
		{"negative index", "TagKeys.member.-1=a", &iamapi.UntagUserInput{}, index},
		{"no index", "Tags.member.Key=a", &iamapi.TagUserInput{}, index},
		{"empty index", "TagKeys.member.=a", &iamapi.UntagUserInput{}, index},
		{"index too large", "TagKeys.member.10001=a", &iamapi.UntagUserInput{}, index},
		{"huge index", "TagKeys.member.99999999999999999999=a", &iamapi.UntagUserInput{}, index},
		{"a list in an element", "TagKeys.member.1.member.1=a", &iamapi.UntagUserInput{}, start},
		{"a string for a structure", "Tags.member.1=a", &iamapi.TagUserInput{}, complex},
		{"a string for a member that is a structure", "Pair=a", &odd{}, complex},
		{"a structure that is also empty", "Pair=&Pair.A=a", &odd{}, complex},
		{"a string for a map", "Secrets=a", &odd{}, mapping},
		{"a string for a flattened map", "Env=a", &odd{}, mapping},
		{"a string for an entry", "Env.1=a", &odd{}, mapping},
		{"an empty entry", "Env.1=", &odd{}, mapping},
		{"a map without entry", "Secrets.1.key=a&Secrets.1.value=b", &odd{}, inMap},
		{"an entry with more", "Env.1.K=a&Env.1.V=b&Env.1.W=c", &odd{}, inMap},
		{"a map by keys", "Env.a=b", &odd{}, "Elements of a map must be numbered from 1 to 10000"},
		{"no value", "Env.1.K=a", &odd{}, pairing},
		{"no key", "Env.1.V=a", &odd{}, pairing},
		{"a key twice", "Env.1.K=a&Env.1.V=1&Env.2.K=a&Env.2.V=2", &odd{}, "A key of a map is given more than once"},
		{"a structure for a key", "Env.1.K.X=a&Env.1.V=1", &odd{}, start},
		{"a structure for a value", "Env.1.K=a&Env.1.V.X=1", &odd{}, start},
		{"a word for a double", "Ratios.member.1=x", &odd{}, double},
		{"hexadecimal double", "Ratios.member.1=0x1p-2", &odd{}, double},
		{"infinity by another name", "Ratios.member.1=inf", &odd{}, double},
		{"a double too large", "Ratios.member.1=1e999", &odd{}, double},
		{"a float too large", "Small=1e39", &odd{}, "STRING_VALUE can not be converted to a Float"},
		{"a word for a time", "Unix=now", &odd{}, moment},
		{"no such day", "Unix=2026-02-30T00:00:00Z", &odd{}, moment},
		{"nothing for a time", "Unix=", &odd{}, moment},
		{"no number for a time", "Unix=NaN", &odd{}, moment},
		{"a time after the year 9999", "Unix=253402300800", &odd{}, moment},
		{"a time before the year 0", "Unix=-62167219201", &odd{}, moment},
		{"a zone that leads out of the years", "Unix=9999-12-31T23:59:59-01:00", &odd{}, moment},
		{"no base64", "Blob=%21", &odd{}, base64},
		{"base64 with a plus that became a blank", "Blob=A+A=", &odd{}, base64},
		{"base64 without padding", "Blob=AAA", &odd{}, base64},
		{"base64 with stray bits", "Blob=AAB%3D", &odd{}, base64},
		{"base64 with a line break", "Blob=AAAA%0AAAAA", &odd{}, base64},
		{"base64 for a secret with a line break", "Key=AAAA%0D%0A", &odd{}, base64},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := awsquery.Decode(mustForm(t, tt.form), tt.in)
			e, ok := fault.As(err)
			if !ok || e.Code != "SerializationException" || e.Kind != fault.Invalid || e.Message != tt.want {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

// Whatever an input holds comes back the same.
func TestDecodeReadsWhatSDKsWrite(t *testing.T) {
	inputs := []api.Struct{&odd{}}
	for _, svc := range services {
		for _, op := range svc.Operations {
			inputs = append(inputs, op.NewInput())
		}
	}
	for _, in := range inputs {
		for _, elements := range []int{0, 1, 3} {
			apitest.Filler{
				Text:     func(sh *api.Shape) []byte { return []byte(sh.Name + " ü=&+%.\n\x00") },
				Secret:   []byte("<s&=%+>"),
				Elements: elements,
			}.Fill(in)
			got := zeroOf(in)
			if err := awsquery.Decode(mustForm(t, formOf(in).Encode()), got); err != nil {
				t.Fatalf("%s: %v", in.Shape().Name, err)
			}
			if g, w := string(awsjson.Append(nil, got)), string(awsjson.Append(nil, in)); g != w {
				t.Fatalf("%s:\ngot  %s\nwant %s", in.Shape().Name, g, w)
			}
		}
	}
}

// zeroOf returns a new structure of v's type.
func zeroOf(v api.Struct) api.Struct {
	if _, ok := v.(*odd); ok {
		return &odd{}
	}
	for _, svc := range services {
		for _, op := range svc.Operations {
			if in := op.NewInput(); in.Shape() == v.Shape() {
				return in
			}
		}
	}
	panic("no operation has " + v.Shape().Name)
}

// No error repeats what the caller sent: it may be a password in the wrong place.
func TestErrorsRevealNothing(t *testing.T) {
	for _, form := range []string{
		"Unix=hunter2", "Blob=hunter2!", "Pair=hunter2", "Names.hunter2=x", "Secrets=hunter2", "Secrets.hunter2=x",
		"Long=hunter2", "Flags.member.1=hunter2", "Ratios.member.1=hunter2", "Env.1.hunter2=x", "Renamed=x&renamedOnTheWire.hunter2=x",
	} {
		err := awsquery.Decode(mustForm(t, form), &odd{})
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", form, err)
		}
	}
	for _, form := range []string{"hunter2%", "A=hunter2%x", "hunter2=1&hunter2=2", "hunter2=%FF", strings.Repeat("hunter2", 100)} {
		_, err := awsquery.ParseForm([]byte(form))
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", form, err)
		}
	}
}

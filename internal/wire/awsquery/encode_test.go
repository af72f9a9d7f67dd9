package awsquery_test

import (
	"encoding/xml"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"coffer/internal/api"
	"coffer/internal/api/apitest"
	iamapi "coffer/internal/api/iam"
	stsapi "coffer/internal/api/sts"
	"coffer/internal/wire/awsquery"
)

var created = time.Date(2026, 1, 31, 10, 20, 30, 999_000_000, time.UTC)

// oddOperation answers with what IAM and STS do not have.
var oddOperation = api.Operation{
	Service: &api.Service{XMLNamespace: "urn:odd"}, Name: "Odd", Wrapper: "OddResult", Output: &oddShape,
	NewOutput: func() api.Struct { return &odd{} },
}

func TestAppend(t *testing.T) {
	const (
		iam      = `xmlns="https://iam.amazonaws.com/doc/2010-05-08/"`
		metadata = `<ResponseMetadata><RequestId>c6104cbe-af31-11e0-8154-cbc7ccf896c7</RequestId></ResponseMetadata>`
	)
	tests := []struct {
		name string
		op   *api.Operation
		out  api.Struct
		want string
	}{
		{"GetCallerIdentity", stsapi.GetCallerIdentity.Operation,
			&stsapi.GetCallerIdentityOutput{Arn: new("arn:aws:iam::111122223333:user/ana"), UserId: new("AIDA"), Account: new("111122223333")},
			`<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>` +
				`<UserId>AIDA</UserId><Account>111122223333</Account><Arn>arn:aws:iam::111122223333:user/ana</Arn>` +
				`</GetCallerIdentityResult>` + metadata + `</GetCallerIdentityResponse>`},
		{"no output", iamapi.DeleteUser.Operation, &iamapi.DeleteUserOutput{},
			`<DeleteUserResponse ` + iam + `>` + metadata + `</DeleteUserResponse>`},
		{"an output without members", iamapi.UpdateRole.Operation, &iamapi.UpdateRoleOutput{},
			`<UpdateRoleResponse ` + iam + `><UpdateRoleResult/>` + metadata + `</UpdateRoleResponse>`},
		{"nothing set", iamapi.ListUsers.Operation, &iamapi.ListUsersOutput{},
			`<ListUsersResponse ` + iam + `><ListUsersResult/>` + metadata + `</ListUsersResponse>`},
		{"empty list", iamapi.ListUsers.Operation, &iamapi.ListUsersOutput{Users: []iamapi.User{}, IsTruncated: new(false)},
			`<ListUsersResponse ` + iam + `><ListUsersResult><Users/><IsTruncated>false</IsTruncated></ListUsersResult>` + metadata + `</ListUsersResponse>`},
		{"list of structures", iamapi.ListUsers.Operation, &iamapi.ListUsersOutput{
			Users: []iamapi.User{{UserName: new("ana"), CreateDate: new(created), Tags: []iamapi.Tag{}}, {Path: new("")}}},
			`<ListUsersResponse ` + iam + `><ListUsersResult><Users>` +
				`<member><UserName>ana</UserName><CreateDate>2026-01-31T10:20:30Z</CreateDate><Tags/></member><member><Path/></member>` +
				`</Users></ListUsersResult>` + metadata + `</ListUsersResponse>`},
		{"list of strings", iamapi.ListUserPolicies.Operation, &iamapi.ListUserPoliciesOutput{PolicyNames: []string{"a", "", "b"}},
			`<ListUserPoliciesResponse ` + iam + `><ListUserPoliciesResult><PolicyNames><member>a</member><member/><member>b</member></PolicyNames>` +
				`</ListUserPoliciesResult>` + metadata + `</ListUserPoliciesResponse>`},
		{"map", iamapi.GetAccountSummary.Operation, &iamapi.GetAccountSummaryOutput{SummaryMap: map[string]int64{"Users": 27, "Groups": 15}},
			`<GetAccountSummaryResponse ` + iam + `><GetAccountSummaryResult><SummaryMap><entry><key>Groups</key><value>15</value></entry>` +
				`<entry><key>Users</key><value>27</value></entry></SummaryMap></GetAccountSummaryResult>` + metadata + `</GetAccountSummaryResponse>`},
		{"empty structure and empty map", iamapi.GetRole.Operation, &iamapi.GetRoleOutput{Role: &iamapi.Role{RoleLastUsed: &iamapi.RoleLastUsed{}}},
			`<GetRoleResponse ` + iam + `><GetRoleResult><Role><RoleLastUsed/></Role></GetRoleResult>` + metadata + `</GetRoleResponse>`},
		{"blob", iamapi.GetCredentialReport.Operation, &iamapi.GetCredentialReportOutput{Content: []byte("a,b\n")},
			`<GetCredentialReportResponse ` + iam + `><GetCredentialReportResult><Content>YSxiCg==</Content></GetCredentialReportResult>` + metadata + `</GetCredentialReportResponse>`},
		{"secrets", iamapi.CreateVirtualMFADevice.Operation, &iamapi.CreateVirtualMFADeviceOutput{
			VirtualMFADevice: &iamapi.VirtualMFADevice{SerialNumber: new("arn"), Base32StringSeed: api.Sensitive("seed")}},
			`<CreateVirtualMFADeviceResponse ` + iam + `><CreateVirtualMFADeviceResult><VirtualMFADevice><SerialNumber>arn</SerialNumber>` +
				`<Base32StringSeed>c2VlZA==</Base32StringSeed></VirtualMFADevice></CreateVirtualMFADeviceResult>` + metadata + `</CreateVirtualMFADeviceResponse>`},
		{"secret text", iamapi.CreateAccessKey.Operation, &iamapi.CreateAccessKeyOutput{AccessKey: &iamapi.AccessKey{SecretAccessKey: api.Sensitive("a/b+<")}},
			`<CreateAccessKeyResponse ` + iam + `><CreateAccessKeyResult><AccessKey><SecretAccessKey>a/b+&lt;</SecretAccessKey></AccessKey>` +
				`</CreateAccessKeyResult>` + metadata + `</CreateAccessKeyResponse>`},
		{"what other services have", &oddOperation, &odd{
			Names: []string{"a", "b"}, Items: []pair{{A: new("1")}, {}}, Words: []string{"w"}, Rows: []api.ListOf[pair]{{{B: new("2")}}, {}},
			Env: map[string]string{"k": "v"}, Nested: map[string]api.ListOf[pair]{"n": {}}, Secrets: map[string]api.Sensitive{"s": api.Sensitive("t")},
			Times: []time.Time{created}, Flags: []bool{true, false}, Sizes: []int64{math.MinInt64},
			Ratios: []float64{1.5, 1e100, math.NaN(), math.Inf(1), math.Inf(-1)}, Unix: new(created), HTTP: new(created.In(time.FixedZone("", 3600))), Renamed: new("r"),
		}, `<OddResponse xmlns="urn:odd"><OddResult><Names>a</Names><Names>b</Names><Item><A>1</A></Item><Item/><Words><Word>w</Word></Words>` +
			`<Rows><member><member><B>2</B></member></member><member/></Rows><Env><K>k</K><V>v</V></Env>` +
			`<Nested><entry><key>n</key><value/></entry></Nested><Secrets><entry><key>s</key><value>t</value></entry></Secrets>` +
			`<Times><member>2026-01-31T10:20:30Z</member></Times><Flags><member>true</member><member>false</member></Flags><Sizes><member>-9223372036854775808</member></Sizes>` +
			`<Ratios><member>1.5</member><member>1e+100</member><member>NaN</member><member>Infinity</member><member>-Infinity</member></Ratios>` +
			`<Unix>1769854830</Unix><HTTP>Sat, 31 Jan 2026 10:20:30 GMT</HTTP><renamedOnTheWire>r</renamedOnTheWire></OddResult>` + metadata + `</OddResponse>`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := string(awsquery.Append(nil, tt.op, tt.out, "c6104cbe-af31-11e0-8154-cbc7ccf896c7")); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// Text comes back as it was; what XML cannot carry is replaced, and the document stays one.
func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"":                         "",
		"plain":                    "plain",
		`<a href="x">&amp;</a>`:    `<a href="x">&amp;</a>`,
		"]]>":                      "]]>",
		" blanks\tand\nbreaks\r\n": " blanks\tand\nbreaks\r\n",
		"\r":                       "\r",
		"æøå 😀 \u0085\u2028":       "æøå 😀 \u0085\u2028",
		"\x7f":                     "\x7f",
		"\uFFFD":                   "\uFFFD",
		"\U0010FFFF":               "\U0010FFFF",
		"a\x00b\x1bc\x0bd":         "a\uFFFDb\uFFFDc\uFFFDd",
		"\uFFFE\uFFFF":             "\uFFFD\uFFFD",
		"a\xffb\xc3":               "a\uFFFDb\uFFFD",
		"\xed\xa0\x80":             "\uFFFD\uFFFD\uFFFD",
		"</member><x>":             "</member><x>",
	} {
		b := awsquery.Append(nil, iamapi.CreateUser.Operation, &iamapi.CreateUserOutput{User: &iamapi.User{UserName: &in}}, in)
		var got struct {
			Name string `xml:"CreateUserResult>User>UserName"`
			ID   string `xml:"ResponseMetadata>RequestId"`
		}
		if err := xml.Unmarshal(b, &got); err != nil {
			t.Fatalf("%q: %v in %s", in, err, b)
		}
		if got.Name != want || got.ID != want {
			t.Errorf("%q comes back as %q and %q", in, got.Name, got.ID)
		}
	}
}

// Every character, alone: the answer is UTF-8 and XML, and all that XML 1.0 can carry comes back.
func TestEveryCharacter(t *testing.T) {
	var all, want strings.Builder
	for r := rune(0); r <= utf8.MaxRune; r++ {
		if !utf8.ValidRune(r) {
			continue
		}
		all.WriteRune(r)
		// Production [2] of XML 1.0.
		if r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF {
			want.WriteRune(utf8.RuneError)
		} else {
			want.WriteRune(r)
		}
	}
	b := awsquery.Append(nil, stsapi.GetCallerIdentity.Operation, &stsapi.GetCallerIdentityOutput{Arn: new(all.String())}, "")
	var got struct {
		Arn string `xml:"GetCallerIdentityResult>Arn"`
	}
	if err := xml.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if got.Arn != want.String() {
		t.Error("some characters changed")
	}
}

func TestAppendAppends(t *testing.T) {
	b := awsquery.Append([]byte("before"), iamapi.UpdateRole.Operation, &iamapi.UpdateRoleOutput{}, "id")
	if !strings.HasPrefix(string(b), "before<UpdateRoleResponse ") {
		t.Errorf("%s", b)
	}
}

// An answer costs no allocation beyond its buffer, but for maps, whose keys are sorted.
func TestAppendAllocates(t *testing.T) {
	out := &iamapi.ListUsersOutput{}
	apitest.Filler{Secret: []byte("s"), Elements: 20}.Fill(out)
	buf := awsquery.Append(nil, iamapi.ListUsers.Operation, out, "id")
	if n := testing.AllocsPerRun(10, func() { buf = awsquery.Append(buf[:0], iamapi.ListUsers.Operation, out, "id") }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkAppend(b *testing.B) {
	out := &iamapi.ListUsersOutput{}
	apitest.Filler{Secret: []byte("s"), Elements: 10}.Fill(out)
	buf := awsquery.Append(nil, iamapi.ListUsers.Operation, out, "id")
	b.SetBytes(int64(len(buf)))
	for b.Loop() {
		buf = awsquery.Append(buf[:0], iamapi.ListUsers.Operation, out, "id")
	}
}

func BenchmarkDecode(b *testing.B) {
	in := &iamapi.SimulatePrincipalPolicyInput{}
	apitest.Filler{Secret: []byte("s"), Elements: 5}.Fill(in)
	body := []byte(formOf(in).Encode())
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		f, err := awsquery.ParseForm(body)
		if err != nil {
			b.Fatal(err)
		}
		if err := awsquery.Decode(f, new(iamapi.SimulatePrincipalPolicyInput)); err != nil {
			b.Fatal(err)
		}
	}
}

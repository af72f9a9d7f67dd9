package filterpattern_test

import (
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"coffer/internal/filterpattern"
)

// The examples of "Filter pattern syntax", and what follows from its rules.
func TestMatch(t *testing.T) {
	t.Parallel()
	const (
		badRequest   = "[ERROR 400] BAD REQUEST"
		unauthorized = "[ERROR 401] UNAUTHORIZED REQUEST"
		missing      = "[ERROR 419] MISSING ARGUMENTS"
		invalid      = "[ERROR 420] INVALID ARGUMENTS"
		internal     = "[ERROR 500] INTERNAL SERVER ERROR"
		trail        = `{"eventType":"UpdateTrail","sourceIPAddress":"111.111.111.111","arrayKey":["value","another value"],` +
			`"objectList":[{"name":"a","id":1},{"name":"b","id":2}],"SomeObject":null,"ThisFlag":true,"detail-type":"x y"}`
		people = `{"user":{"id":1,"email":"John.Stiles@example.com"},"users":[{"id":2,"email":"John.Doe@example.com"},` +
			`{"id":3,"email":"Jane.Doe@example.com"}],"actions":["GET","PUT","DELETE"],"coordinates":[[0,1,2],[4,5,6],[7,8,9]]}`
		numbers = `{"latency":500,"numbers":[9999,0.001],"processes":[1,1,1,1,{"averageRuntime":55.5}],"errorCode":400,"text":"400","status":"404"}`
		access  = `127.0.0.1 Prod frank [10/Oct/2000:13:25:15 -0700] "GET /index.html HTTP/1.0" 404 1534`
	)
	for _, tt := range []struct {
		pattern string
		yes, no []string
	}{
		// Terms.
		{"", []string{"", "anything"}, nil},
		{" ", []string{"anything"}, nil},
		{`" "`, []string{"anything"}, nil},
		{`""`, []string{"anything"}, nil},
		{"ERROR", []string{badRequest, invalid, "Exiting with ERRORCODE: -1"}, []string{"error", "WARN"}},
		{"ERROR ARGUMENTS", []string{missing, invalid}, []string{badRequest, unauthorized}},
		{"?ERROR ?ARGUMENTS", []string{badRequest, missing, "ARGUMENTS"}, []string{"WARN"}},
		{"ERROR -ARGUMENTS", []string{badRequest, unauthorized}, []string{missing, "WARN"}},
		{`"ERROR" - "Exiting"`, []string{"an ERROR"}, []string{"Exiting with ERRORCODE: -1"}},
		{`"INTERNAL SERVER ERROR"`, []string{internal}, []string{"SERVER INTERNAL ERROR"}},
		{"-ERROR", []string{"fine"}, []string{badRequest}},
		{`"say \"no\" to C:\\"`, []string{`say "no" to C:\ and go`}, []string{`say no to C:\`}},
		{`"*"`, []string{"a*b"}, []string{"ab"}}, // no wildcard here
		{"Fehler_1 größer", []string{"Fehler_1: größer"}, []string{"Fehler_1"}},
		{"ERROR ?ARGUMENTS", []string{badRequest, missing}, []string{"ARGUMENTS"}}, // beside others, ? does not count
		{"?ERROR -ARGUMENTS", []string{badRequest, "fine"}, []string{missing}},
		// Regular expressions.
		{"%AUTHORIZED%", []string{unauthorized, "AUTHORIZED"}, []string{badRequest}},
		{"%^[hc]at%", []string{"hat", "cats"}, []string{"the hat", "bat"}},
		{"%[hc]at$%", []string{"the hat"}, []string{"hats"}},
		{"%colou?r%", []string{"color", "colour"}, []string{"colouur"}},
		{`%10\.10\.0\.1%`, []string{"from 10.10.0.1"}, []string{"10x10.0.1"}},
		{"%a{3,5}b%", []string{"aaab", "aaaaaaab"}, []string{"aab"}},
		{"%gray|grey%", []string{"a grey cat"}, []string{"gruy"}},
		{`%\d\d\D\s\w%`, []string{"12x y"}, []string{"12xy"}},
		{`%\x41B+%`, []string{"ABB"}, []string{"aB"}},
		{"ERROR -%4[0-9]9%", []string{badRequest}, []string{missing}},
		{`%[^a-z]%`, []string{"A"}, []string{"abc"}},
		{`%\(%`, []string{"f(x)"}, []string{"fx"}},
		// Members of an object.
		{`{ $.eventType = "UpdateTrail" }`, []string{trail, "  " + trail + "\n"}, []string{people, "UpdateTrail", `[{"eventType":"UpdateTrail"}]`, trail + "x", trail[:40]}},
		{`{$.eventType=UpdateTrail}`, []string{trail}, nil},
		{`{ $.eventType = Update* }`, []string{trail}, nil},
		{`{ $.eventType = "*Trail" }`, []string{trail}, nil},
		{`{ $.eventType = *date* }`, []string{trail}, []string{people}},
		{`{ $.eventType = "Up*ail" }`, []string{`{"eventType":"Up*ail"}`}, []string{trail}}, // a star inside is a star
		{`{ $.eventType = "\*Trail" }`, []string{`{"eventType":"*Trail"}`}, []string{trail}},
		{`{ $.eventType = "*" }`, []string{trail, `{"eventType":""}`, `{"eventType":5}`}, []string{people, `{"eventType":null}`, `{"eventType":{}}`}},
		{`{ $.latency = * }`, []string{numbers}, []string{trail}},
		{`{ $.sourceIPAddress != 123.123.* }`, []string{trail}, []string{`{"sourceIPAddress":"123.123.0.1"}`, people}},
		{`{ $.arrayKey[0] = "value" }`, []string{trail}, []string{`{"arrayKey":"value"}`, `{"arrayKey":[]}`}},
		{`{ $.objectList[1].id = 2 }`, []string{trail}, []string{`{"objectList":[{"id":2}]}`}},
		{`{ $.SomeObject IS NULL }`, []string{trail}, []string{people, `{"SomeObject":false}`, `{"SomeObject":"null"}`}},
		{`{ $.SomeOtherObject NOT EXISTS }`, []string{trail}, []string{`{"SomeOtherObject":null}`}},
		{`{ $.ThisFlag IS TRUE }`, []string{trail}, []string{`{"ThisFlag":false}`, `{"ThisFlag":"true"}`, people}},
		{`{ $.ThisFlag IS FALSE }`, []string{`{"ThisFlag":false}`}, []string{trail}},
		{`{ $.detail-type = "x y" }`, []string{trail}, nil},
		{`{ $.eventType = %Trail$% }`, []string{trail}, []string{`{"eventType":"Trails"}`}},
		{`{ $.eventType != %^Delete% }`, []string{trail}, []string{`{"eventType":"DeleteTrail"}`, people}},
		{`{ ($.user.id = 1) && ($.users[0].email = "John.Doe@example.com") }`, []string{people}, nil},
		{`{ $.user.email = "John.Stiles@example.com" || $.coordinates[0][1] = "nonmatch" && $.actions[2] = "nonmatch" }`, []string{people}, nil},
		{`{ ($.user.email = "John.Stiles@example.com" || $.coordinates[0][1] = "nonmatch") && $.actions[2] = "nonmatch" }`, nil, []string{people}},
		{`{ ($.user.id = 2 && $.users[0].email = "nonmatch") || $.actions[2] = "GET" }`, nil, []string{people}},
		{`{ $.coordinates[2][0] = 7 }`, []string{people}, nil},
		{`{ $.users = 1 }`, nil, []string{`{"users":[1,2,3]}`}},
		{`{ $.users != 1 }`, nil, []string{`{"users":[1,2,3]}`, `{"users":null}`, `{}`}},
		{`{ $.users[*].id = 3 }`, []string{people}, []string{trail}},
		{`{ $.actions[*] = "PUT" && $.users[*].id != 2 }`, []string{people}, nil},
		{`{ $.* = "UpdateTrail" }`, []string{trail}, []string{people}},
		{`{ $.user.* = 1 }`, []string{people}, nil},
		{`{ $.a.b = "secret because" }`, []string{`{"a":{"b":"secret because"}}`}, []string{`{"a.b":"secret because"}`}},
		{`{ $.eventName = "GetSecretValue" && $.errorMessage = "*secret because it was marked for deletion*" }`,
			[]string{`{"eventName":"GetSecretValue","errorMessage":"You can't perform this operation on the secret because it was marked for deletion."}`}, nil},
		// Numbers.
		{`{ $.latency >= 500 }`, []string{numbers}, []string{`{"latency":499.999}`, `{"latency":"500"}`}},
		{`{ $.numbers[0] < 10e3 }`, []string{numbers}, []string{`{"numbers":[10000]}`}},
		{`{ $.numbers[1] < 10e-3 }`, []string{numbers}, nil},
		{`{ $.processes[4].averageRuntime <= 55.5 }`, []string{numbers}, nil},
		{`{ $.errorCode = 400 }`, []string{numbers, `{"errorCode":4e2}`, `{"errorCode":400.0}`, `{"errorCode":"400"}`}, []string{`{"errorCode":"400.0"}`}},
		{`{ $.errorCode != 500 }`, []string{numbers}, nil},
		{`{ $.latency > +1000 }`, []string{`{"latency":1e999999999999999999999}`}, []string{numbers, `{"latency":-1e9}`}},
		{`{ $.latency > -1e-99999999999999999999 }`, []string{numbers, `{"latency":0}`}, []string{`{"latency":-1}`}},
		{`{ $.errorCode = "400" }`, []string{numbers}, []string{`{"errorCode":400.0}`}},
		{`{ $.errorCode = 4* }`, []string{numbers}, []string{`{"errorCode":500}`}},
		{`{ $.id = 12345678901234567890 }`, []string{`{"id":12345678901234567890}`}, []string{`{"id":12345678901234567891}`}},
		{`{ $.flag = true }`, []string{`{"flag":true}`, `{"flag":"true"}`}, []string{`{"flag":false}`}},
		// Words of a line.
		{"[ip, user, username, timestamp, request =*.html*, status_code = 4*, bytes]", []string{access, access + "\n"}, []string{access + " more", "short"}},
		{"[..., request =*.html*, status_code = 4*, bytes]", []string{access}, nil},
		{"[..., request=*.html*, status_code=4*,]", []string{access}, nil},
		{"[ip, user, ..., status=4*]", []string{"1.1.1.1 a 404", "1.1.1.1 a b c 404"}, []string{"1.1.1.1 404", access}},
		{"[ip, ...]", []string{"one", "one two"}, []string{"", "  "}},
		{"[...]", []string{"", "one two"}, nil},
		{"[ip, user, username, timestamp, request, status_code = 404 || status_code = 410, bytes]", []string{access}, nil},
		{"[ip, user, username, timestamp, request, status_code = 4* && bytes > 1000]", nil, nil}, // see TestErrors
		{"[ip, user, username, timestamp, request, status_code = 4* && status_code != 403, bytes > 1000]", []string{access}, nil},
		{"[w1=ERROR, w2]", []string{"ERROR message"}, []string{"ERROR", "ERROR WARN message", "WARN message"}},
		{"[w1=ERROR || W1=WARNING, w2]", []string{"WARNING message"}, []string{"INFO message"}},
		{"[w1!=ERROR && w1!=WARNING, w2]", []string{"INFO message"}, []string{"ERROR message"}},
		{"[(w1 = a || w1 = b) && w1 != %b%]", []string{"a"}, []string{"b", "c"}},
		{`[ip=%127\.0\.0\.[1-9]%, ...]`, []string{access}, []string{"127.0.0.0 x"}},
		{`[timestamp=*Z, request_id="*-*", event]`, []string{"2026-01-01T00:00:00Z a-b [x y z]"}, []string{"2026-01-01T00:00:00Z a-b x y z"}},
		{"[a = 200.0]", []string{"200", "2e2"}, []string{"200x"}},
		{"[a < 5]", []string{"4.9", "-100"}, []string{"5", "four"}},
		{`[a, b = "x, y]", c]`, []string{`1 "x, y]" 2`}, []string{`1 "x, y" 2`}},
		{"[a, b]", []string{`[one "unfinished`, `"one [un`, "[a b]c"}, []string{"[a b]"}},
		{"[a, , c]", []string{"1 2 3"}, []string{"1 2"}},
	} {
		p, err := filterpattern.Parse(tt.pattern)
		if len(tt.yes)+len(tt.no) == 0 {
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tt.pattern, err)
			continue
		}
		for _, m := range tt.yes {
			if !p.Match(m) {
				t.Errorf("%s does not match %s", tt.pattern, m)
			}
		}
		for _, m := range tt.no {
			if p.Match(m) {
				t.Errorf("%s matches %s", tt.pattern, m)
			}
		}
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	for pattern, want := range map[string]string{
		// On record.
		`email@domain.com`:                  "Invalid character(s) in term '@'",
		`?Status: timeout`:                  "Invalid character(s) in term ':'",
		"level\\\":x":                       `Invalid character(s) in term '\'`,
		"`x`":                               "Invalid character(s) in term '`'",
		`a[0`:                               "Invalid character(s) in term '['",
		`f(x)`:                              "Invalid character(s) in term '('",
		`{ $."detail-type" = x}`:            `Invalid character(s) in term '$."'`,
		`{$.kubernetes.namespace_name="abc`: "If a filter pattern starts with '{' it must end with '}'",
		`[ip, user, username, timestamp, request, status_code = 4* && bytes > 1000]`: "Invalid filter pattern",

		`[ip, user`:                            "If a filter pattern starts with '[' it must end with ']'",
		`{`:                                    "If a filter pattern starts with '{' it must end with '}'",
		`{}`:                                   "Invalid filter pattern",
		`{ }`:                                  "Invalid filter pattern",
		`[]`:                                   "Invalid filter pattern",
		`-`:                                    "Invalid filter pattern",
		`ERROR ?`:                              "Invalid filter pattern",
		`"unfinished`:                          "Invalid filter pattern",
		`"unfinished\"`:                        "Invalid filter pattern",
		`*`:                                    "Invalid character(s) in term '*'",
		`{ eventType = x }`:                    "Invalid character(s) in term 'e'",
		`{ $eventType = x }`:                   "Invalid character(s) in term '$e'",
		`{ $[0] = x }`:                         "Invalid character(s) in term '$['",
		`{ $.a[x] = x }`:                       "Invalid character(s) in term 'x'",
		`{ $.a[99999999999999999999] = x }`:    "Invalid filter pattern",
		`{ $.a }`:                              "Invalid filter pattern",
		`{ $.a = }`:                            "Invalid filter pattern",
		`{ $.a = a:b }`:                        "Invalid character(s) in term ':'",
		`{ $.a = x $.b = y }`:                  "Invalid character(s) in term '$'",
		`{ $.a > x }`:                          "Invalid filter pattern",
		`{ $.a > "5" }`:                        "Invalid filter pattern",
		`{ $.a EXISTS }`:                       "Invalid character(s) in term 'E'", // "currently not supported", says AWS
		`{ $.a IS NOT NULL }`:                  "Invalid filter pattern",
		`{ ($.a = 1 }`:                         "Invalid filter pattern",
		`{ $.a = 1) }`:                         "Invalid character(s) in term ')'",
		`{ $.a[*].b[*] = 1 }`:                  "A selector can have at most one wildcard",
		`{ $.*=1 && $.*=1 && $.*=1 && $.*=1 }`: "A filter pattern can have at most 3 wildcard selectors",
		`%a% %b% %c%`:                          "A filter pattern can have at most 2 regular expressions",
		`%a`:                                   "Invalid filter pattern",
		`%a\`:                                  "Invalid filter pattern",
		`%%`:                                   "Invalid regular expression in filter pattern",
		`%(a)%`:                                "Invalid character(s) in term '('",
		`%something!%`:                         "Invalid character(s) in term '!'",
		`%a b%`:                                "Invalid character(s) in term ' '",
		`%\bx%`:                                `Invalid character(s) in term '\b'`,
		`%\x4%`:                                `Invalid character(s) in term '\x'`,
		`%a**%`:                                "Invalid regular expression in filter pattern",
		`%[b-a]%`:                              "Invalid regular expression in filter pattern",
		`%[a-z]{500}%`:                         "The regular expression in the filter pattern is too large",
		`%ä%`:                                  "Invalid character(s) in term '\xc3'",
		`[..., a, ...]`:                        "Invalid filter pattern",
		`[a b]`:                                "Invalid character(s) in term 'b'",
		`[a && b = 1]`:                         "Invalid character(s) in term '&'",
		`[= 1]`:                                "Invalid character(s) in term '='",
		"\xff":                                 "Invalid filter pattern",
		strings.Repeat("a", 5000):              "Invalid filter pattern",
	} {
		p, err := filterpattern.Parse(pattern)
		e, ok := errors.AsType[*filterpattern.Error](err)
		if !ok || p != nil || e.Text != want {
			t.Errorf("%s: %v, want %s", pattern, err, want)
		}
	}
}

// Numbers compare as decimals do, however long they are.
func TestNumbers(t *testing.T) {
	t.Parallel()
	texts := []string{"0", "-0", "0.0", "0e5", "1", "-1", "+1", "1.0", "10", "1e1", "0.1e2", "100e-1", "9.99", "10.000001", "-10", "-9.99", "1e-5", "0.00001", "-1e-5", "123456789012345678901234567890", "1.5", "15e-1"}
	for _, a := range texts {
		for _, b := range texts {
			x, _ := new(big.Rat).SetString(a)
			y, _ := new(big.Rat).SetString(b)
			for op, want := range map[string]bool{"=": x.Cmp(y) == 0, "!=": x.Cmp(y) != 0, "<": x.Cmp(y) < 0, ">": x.Cmp(y) > 0, "<=": x.Cmp(y) <= 0, ">=": x.Cmp(y) >= 0} {
				p, err := filterpattern.Parse(fmt.Sprintf("[n %s %s]", op, b))
				if err != nil {
					t.Fatal(err)
				}
				if p.Match(a) != want {
					t.Errorf("%s %s %s is not %v", a, op, b, want)
				}
			}
		}
	}
}

// Nothing takes more than time in proportion: a mebibyte of what is worst for each kind of
// pattern, against the time that Cost promises, generously.
func TestLinear(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	const size = 1 << 20
	for _, tt := range []struct{ pattern, unit string }{
		{"[..., a, b]", "[ "},
		{"[..., a, b]", `" `},
		{"[a, b]", "[ "},
		{"[..., n = 5]", "9"},
		{`{ $.a = 1 }`, `{"a":`},
		{`{ $.a[*] = 1 }`, `[`},
		{`%a*a*a*a*a*a*a*a*b%`, "a"},
		{`%[a-z]{1,60}\d%`, "a"},
		{`"aaaaaaaaaaaaaaaaaaaab"`, "a"},
	} {
		p, err := filterpattern.Parse(tt.pattern)
		if err != nil {
			t.Fatal(err)
		}
		message := strings.Repeat(tt.unit, size/len(tt.unit))
		start := time.Now()
		p.Match(message)
		if took, most := time.Since(start), 20*time.Duration(size*p.Cost()); took > most {
			t.Errorf("%s took %v for a mebibyte of %q; it says %v", tt.pattern, took, tt.unit, most/20)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`ERROR "x y" -a ?b`, `%a[0-9]+\.%`, `{ $.a.b[0].* = "x*" && ($.c IS NULL || $.d NOT EXISTS) }`,
		`[ip, user, ..., status = 4* && status != 404, n > 1.5e3]`, `{ $.a != %^x% }`, `[,]`, `{$.`, `%\`,
	} {
		f.Add(seed, `{"a":{"b":[{"x":"xyz"}]},"c":null}`)
		f.Add(seed, `1.1.1.1 frank [a b] "c d" 404`)
	}
	f.Fuzz(func(t *testing.T, pattern, message string) {
		p, err := filterpattern.Parse(pattern)
		if err != nil {
			if _, ok := errors.AsType[*filterpattern.Error](err); !ok || p != nil {
				t.Errorf("%q: %v", pattern, err)
			}
			return
		}
		if first := p.Match(message); first != p.Match(message) {
			t.Errorf("%q is of two minds about %q", pattern, message)
		}
		if p.Cost() < 1 || p.Cost() > 100_000 {
			t.Errorf("%q costs %d", pattern, p.Cost())
		}
	})
}

package main

import (
	"bytes"
	"go/format"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
)

// The committed files are what the generator makes of models and list, and
// there are no others.
func TestCommittedFilesAreCurrent(t *testing.T) {
	repo := os.DirFS("../../..")
	files, err := generate(repo)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := fs.ReadFile(repo, name)
		if err != nil {
			t.Error(err)
		} else if !bytes.Equal(got, want) {
			t.Errorf("%s is not what the generator makes; run go generate ./internal/api", name)
		}
	}
	committed, err := fs.Glob(repo, "internal/api/*/*_gen.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range committed {
		if files[name] == nil {
			t.Errorf("%s is left over", name)
		}
	}
}

func TestGeneratedFilesSayso(t *testing.T) {
	files, err := generate(os.DirFS("../../.."))
	if err != nil {
		t.Fatal(err)
	}
	marker := regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)
	for name, b := range files {
		if path.Ext(name) == ".go" && !marker.Match(b) {
			t.Errorf("%s has no marker", name)
		}
		if strings.HasPrefix(name, "internal/") && !strings.HasSuffix(name, "_gen.go") {
			t.Errorf("%s is not named _gen.go", name)
		}
	}
}

// tricky has what the models in the repository lack and others have.
const tricky = `{
	"metadata": {"apiVersion": "1", "endpointPrefix": "tricky", "protocols": ["query"], "serviceId": "Tricky"},
	"operations": {
		"Go": {"name": "Go", "http": {"method": "POST", "requestUri": "/"}, "input": {"shape": "Node"}, "output": {"shape": "Node", "resultWrapper": "GoResult"}, "errors": [{"shape": "NoSuchThingException"}]},
		"Stop": {"name": "Stop", "http": {"method": "GET", "requestUri": "/{Name}", "responseCode": 204}}
	},
	"shapes": {
		"Node": {"type": "structure", "required": ["Field"], "members": {
			"Field": {"shape": "Name", "location": "uri", "locationName": "Name"},
			"Shape": {"shape": "Name"},
			"children": {"shape": "Nodes"},
			"env": {"shape": "Env"},
			"rows": {"shape": "Rows"},
			"GoInput": {"shape": "GoInput"},
			"kind": {"shape": "Kind"}
		}},
		"Nodes": {"type": "list", "member": {"shape": "Node", "locationName": "item"}},
		"Env": {"type": "map", "sensitive": true, "key": {"shape": "Name"}, "value": {"shape": "Name"}},
		"Rows": {"type": "list", "member": {"shape": "Row"}},
		"Row": {"type": "list", "member": {"shape": "Cell"}},
		"Cell": {"type": "structure", "members": {"Value": {"shape": "Size"}}},
		"Size": {"type": "double", "min": 1.0},
		"Name": {"type": "string", "pattern": "^(?!\\s*$).+"},
		"GoInput": {"type": "structure", "members": {}},
		"Kind": {"type": "string", "enum": ["a-b", "a_b", "*", "RSA_2048"]},
		"NoSuchThingException": {"type": "structure", "members": {"Message": {"shape": "Name"}, "Which": {"shape": "Name"}},
			"error": {"code": "NoSuchThing", "httpStatusCode": 404, "senderFault": true}, "exception": true}
	}
}`

func TestTrickyModel(t *testing.T) {
	files, err := generate(fstest.MapFS{
		"internal/api/services.txt": {Data: []byte("tricky Go outside # reaches out\n\n# nothing\n")},
		"models/tricky.json":        {Data: []byte(tricky)},
	})
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for name, b := range files {
		if path.Ext(name) != ".go" {
			continue
		}
		if f, err := format.Source(b); err != nil || !bytes.Equal(f, b) {
			t.Errorf("%s is not formatted: %v", name, err)
		}
		all.Write(regexp.MustCompile(`[ \t]+`).ReplaceAll(b, []byte(" ")))
	}
	for _, want := range []string{
		"type GoInput struct {", "type GoInput_ struct {", "type Node struct {", "type StopInput struct {", "type StopOutput struct {",
		" Field_ *string\n", " Shape_ *string\n",
		" Children []Node\n", " Env map[string]api.Sensitive\n", " Rows []api.ListOf[Cell]\n",
		"(*api.ListOf[api.ListOf[Cell]])(&v.Rows)", "api.StructOf[GoInput_, *GoInput_]{P: &v.GoInput}",
		"Match: `.+`, Except: `\\s*`", `ElemName: "item"`, `Location: "uri"`, "Required: true", "HasMin: true, Min: 1",
		"KindAB = \"a-b\"", "KindAB_ = \"a_b\"", "KindValue3 = \"*\"", "KindRsa2048 = \"RSA_2048\"",
		"var cycle1 = func() *[2]api.Shape {", "Mode: api.Outside", "Status: 204", `Wrapper: "GoResult"`, `URI: "/{Name}"`,
		`func NoSuchThingException(message string) *fault.Error {`, `fault.New(fault.NotFound, "NoSuchThing", message)`,
		`Status: 404`, `MessageKey: "Message"`,
	} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("no %q", want)
		}
	}
	if want := "| Stop      | no     |         |"; !strings.Contains(string(files["docs/coverage.md"]), want) {
		t.Errorf("no %q in\n%s", want, files["docs/coverage.md"])
	}
}

func TestGenerateRefuses(t *testing.T) {
	for _, tt := range []struct{ name, list, model, want string }{
		{"unknown mode", "tricky Go reads", tricky, "services.txt:1:"},
		{"unknown operation", "tricky Jump read", tricky, "serves Jump"},
		{"listed twice", "tricky Go read\ntricky Go read", tricky, "services.txt:2:"},
		{"no model", "other Go read", tricky, "other.json"},
		{"unknown shape", "tricky Go read", strings.Replace(tricky, `"shape": "Rows"`, `"shape": "Lost"`, 1), "unknown shape Lost"},
		{"unknown type", "tricky Go read", strings.Replace(tricky, `"type": "double", "min": 1.0`, `"type": "decimal"`, 1), "decimal"},
		{"fraction", "tricky Go read", strings.Replace(tricky, `1.0`, `1.5`, 1), "whole"},
		{"look-ahead", "tricky Go read", strings.Replace(tricky, `^(?!\\s*$).+`, `(?!x)y`, 1), "RE2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			defer func() {
				if v := recover(); v != nil {
					t.Errorf("panic: %v", v)
				}
			}()
			_, err := generate(fstest.MapFS{
				"internal/api/services.txt": {Data: []byte(tt.list)},
				"models/tricky.json":        {Data: []byte(tt.model)},
			})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func TestTranslate(t *testing.T) {
	for _, tt := range []struct {
		java     string
		yes, no  []string
		rejected bool
	}{
		{java: `[\u0009\u000A\u000D\u0020-\u00FF]+`, yes: []string{"é\n"}, no: []string{"", "\x01", "Ā"}},
		{java: `[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\t]*`, yes: []string{"", "a😀\t"}, no: []string{"\n", "\uffff"}},
		{java: `\s`, yes: []string{" ", "\v"}, no: []string{"\u00a0", "x"}},
		{java: `[\s.]+`, yes: []string{".\v "}, no: []string{"x"}},
		{java: `.+`, yes: []string{"x😀"}, no: []string{"a\nb", "a\r", "\u2028", ""}},
		{java: `(?s).*`, yes: []string{"", "a\nb"}},
		{java: `^[a-z]+$|^$`, yes: []string{"", "ab"}, no: []string{"ab\n", "a1"}},
		{java: `[0-9A-Za-z\.\-_]*(?<!\.)`, yes: []string{"a.b", ""}, no: []string{"a.", "a b"}},
		{java: `[a[bc]]`, rejected: true},
		{java: `[a-z&&[^b]]`, rejected: true},
		{java: `a++`, rejected: true},
		{java: `(a)\1`, rejected: true},
	} {
		match, except, err := translate(tt.java)
		if tt.rejected {
			if err == nil {
				t.Errorf("%s was translated to %s", tt.java, match)
			}
			continue
		}
		if err != nil {
			t.Error(err)
			continue
		}
		matches := func(s string) bool {
			return regexp.MustCompile(`\A(?:`+match+`)\z`).MatchString(s) &&
				(except == "" || !regexp.MustCompile(`\A(?:`+except+`)\z`).MatchString(s))
		}
		for _, s := range tt.yes {
			if !matches(s) {
				t.Errorf("%s does not match %q", tt.java, s)
			}
		}
		for _, s := range tt.no {
			if matches(s) {
				t.Errorf("%s matches %q", tt.java, s)
			}
		}
	}
}

func TestRewritesCompile(t *testing.T) {
	for java := range rewrites {
		if _, _, err := translate(java); err != nil {
			t.Error(err)
		}
	}
}

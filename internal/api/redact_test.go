package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"coffer/internal/api"
	"coffer/internal/api/apitest"
	kmsapi "coffer/internal/api/kms"
	smapi "coffer/internal/api/secretsmanager"
)

var services = []*api.Service{smapi.Service, kmsapi.Service}

// structs returns an empty input and output of every operation.
func structs() []api.Struct {
	var all []api.Struct
	for _, svc := range services {
		for _, op := range svc.Operations {
			all = append(all, op.NewInput(), op.NewOutput())
		}
	}
	return all
}

func TestAppendRedacted(t *testing.T) {
	for _, tt := range []struct {
		name string
		v    api.Struct
		want string
	}{
		{"empty", &smapi.ListSecretsInput{}, `{}`},
		{"as sent", &smapi.GetSecretValueInput{SecretId: new("a\"b"), VersionStage: new("")}, `{"secretId":"a\"b","versionStage":""}`},
		{"no secrets", &smapi.CreateSecretInput{
			Name: new("n"), SecretString: api.Sensitive("s"), SecretBinary: api.Sensitive("b"),
			Tags:                        []smapi.Tag{{Key: new("k"), Value: new("v")}},
			ForceOverwriteReplicaSecret: new(false),
		}, `{"name":"n","tags":[{"key":"k","value":"v"}],"forceOverwriteReplicaSecret":false}`},
		{"DeleteSecret's answer", &smapi.DeleteSecretOutput{ARN: new("arn:x"), Name: new("n"), DeletionDate: new(apitest.Time)},
			`{"aRN":"arn:x","name":"n","deletionDate":"May 3, 2018 5:51:02 PM"}`},
		{"no blobs, sorted context", &kmsapi.DecryptInput{CiphertextBlob: []byte("c"), EncryptionContext: map[string]string{"b": "2", "a": "1"}, GrantTokens: []string{}},
			`{"encryptionContext":{"a":"1","b":"2"},"grantTokens":[]}`},
		{"maps of lists", &smapi.DescribeSecretOutput{VersionIdsToStages: map[string][]string{"v": {"x", "y"}}}, `{"versionIdsToStages":{"v":["x","y"]}}`},
		{"secrets in a map", &sample{secrets: map[string]api.Sensitive{"k": api.Sensitive("s")}}, `{}`},
		{"structures", &sample{structs: map[string]sample{"k": *measured(1.5)}, lists: []api.ListOf[sample]{{{}}}}, `{"structs":{"k":{"ratio":1.5}},"lists":[[{}]]}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := string(api.AppendRedacted([]byte("x"), tt.v)); got != "x"+tt.want {
				t.Errorf("got  %s\nwant %s", got[1:], tt.want)
			}
		})
	}
}

func TestAppendRedactedBounds(t *testing.T) {
	big := strings.Repeat("é\x00", 1<<18)
	list := make([]string, 1<<16)
	for i := range list {
		list[i] = big
	}
	tags := make([]smapi.Tag, 1<<16)
	for i := range tags {
		tags[i] = smapi.Tag{Key: new("key"), Value: new("value")}
	}
	entries := map[string]string{}
	for i := range 1 << 14 {
		entries[fmt.Sprint("key", i)] = "value"
	}
	for _, v := range []api.Struct{
		&smapi.PutResourcePolicyInput{SecretId: &big, ResourcePolicy: &big},
		&smapi.UntagResourceInput{SecretId: new("x"), TagKeys: list},
		&smapi.TagResourceInput{SecretId: new("x"), Tags: tags},
		&kmsapi.EncryptInput{EncryptionContext: entries, GrantTokens: list, KeyId: &big},
	} {
		b := api.AppendRedacted(nil, v)
		if len(b) > 256<<10 || !json.Valid(b) {
			t.Errorf("%s: %d bytes, JSON %v", v.Shape().Name, len(b), json.Valid(b))
		}
	}
}

// No way of printing a structure shows what is in its sensitive members.
func TestNothingSensitiveShows(t *testing.T) {
	const marker = "tulip-7f3a9c-harbour"
	found := 0
	for _, v := range structs() {
		// Too long for every limit, so that validation complains about it.
		secret := []byte(strings.Repeat(marker, 5000))
		apitest.Filler{Secret: secret, Elements: 1}.Fill(v)
		if countSensitive(v.Shape(), map[*api.Shape]bool{}) > 0 {
			found++
		}
		var logs bytes.Buffer
		for _, h := range []slog.Handler{slog.NewTextHandler(&logs, nil), slog.NewJSONHandler(&logs, nil)} {
			l := slog.New(h)
			l.Info("call", "value", v)
			for i := range v.Shape().Members {
				l.Info("member", "value", v.Field(i))
			}
		}
		texts := map[string]string{"log": logs.String(), "record": string(api.AppendRedacted(nil, v))}
		if err := api.Validate(v); err != nil {
			texts["validation"] = err.Error()
		}
		j, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		texts["json"] = string(j)
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			texts[verb] = fmt.Sprintf(verb, v)
			for i := range v.Shape().Members {
				f := v.Field(i)
				if s, ok := f.(api.StructField); ok {
					f = s.Get()
				}
				texts[verb] += fmt.Sprintf(verb, f)
			}
		}
		// The marker's beginning as it would look in each form.
		for how, text := range texts {
			for _, form := range []string{marker[:8], fmt.Sprintf("%x", marker[:8]), fmt.Sprintf("%X", marker[:8]), "116 117 108 105 112", "0x74, 0x75", "dHVsaXAt"} {
				if strings.Contains(text, form) {
					t.Errorf("%s: %s shows a sensitive member as %s", v.Shape().Name, how, form)
				}
			}
		}
	}
	if found < 10 {
		t.Errorf("only %d structures with sensitive members: the walk misses them", found)
	}
}

func countSensitive(s *api.Shape, seen map[*api.Shape]bool) int {
	if seen[s] {
		return 0
	}
	seen[s] = true
	n := 0
	if s.Sensitive {
		n++
	}
	for _, m := range s.Members {
		n += countSensitive(m.Shape, seen)
	}
	for _, e := range []*api.Shape{s.Elem, s.Key, s.Value} {
		if e != nil {
			n += countSensitive(e, seen)
		}
	}
	return n
}

// Field gives one of the documented forms for every member, fitting its shape.
func TestForms(t *testing.T) {
	for _, v := range structs() {
		apitest.Filler{Secret: []byte("s"), Elements: 2}.Fill(v)
		s := v.Shape()
		if v.Field(-1) != nil || v.Field(len(s.Members)) != nil {
			t.Errorf("%s has fields beyond its members", s.Name)
		}
		for i, m := range s.Members {
			if v.Field(i) == nil {
				t.Errorf("%s.%s has no field", s.Name, m.Name)
			} else if api.Absent(v.Field(i)) {
				t.Errorf("%s.%s is absent although filled", s.Name, m.Name)
			}
		}
	}
}

func TestServices(t *testing.T) {
	if got := len(smapi.Service.Operations); got != 23 {
		t.Errorf("Secrets Manager has %d operations", got)
	}
	for _, svc := range services {
		served := 0
		for _, op := range svc.Operations {
			if op.Service != svc {
				t.Errorf("%s has no service", op.Name)
			}
			if op.Mode != api.Unserved {
				served++
			}
			if op.NewInput().Shape() != op.Input || op.NewOutput().Shape() != op.Output {
				t.Errorf("%s: its structures have other shapes", op.Name)
			}
			for _, e := range op.Errors {
				if svc.Error(e.Code) != e {
					t.Errorf("%s: unknown error %s", op.Name, e.Code)
				}
			}
		}
		if served == 0 {
			t.Errorf("%s serves nothing", svc.Name)
		}
		if svc.Error(svc.InternalCode) == nil {
			t.Errorf("%s: no modelled error %s", svc.Name, svc.InternalCode)
		}
	}
	if smapi.GetSecretValue.Action() != "secretsmanager:GetSecretValue" || smapi.GetSecretValue.Mode != api.Read ||
		smapi.CreateSecret.Mode != api.Write || smapi.ReplicateSecretToRegions.Mode != api.Unserved {
		t.Error("operations are not as listed")
	}
	if e := kmsapi.Service.Error("KeyUnavailableException"); e.Status != 500 || !e.Server || e.MessageKey != "message" {
		t.Errorf("%+v", e)
	}
}

func TestPattern(t *testing.T) {
	p := &api.Pattern{Source: "x", Match: "[a-z-]+", Except: ".*--.*"}
	for s, want := range map[string]bool{"a-b": true, "a--b": false, "": false, "a-b\n": false, "A": false} {
		if p.Matches(s) != want {
			t.Errorf("%q: %v", s, !want)
		}
	}
}

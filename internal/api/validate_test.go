package api_test

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"coffer/internal/api"
	"coffer/internal/api/apitest"
	kmsapi "coffer/internal/api/kms"
	smapi "coffer/internal/api/secretsmanager"
	"coffer/internal/fault"
	"coffer/internal/wire/awsjson"
)

const (
	one  = "1 validation error detected: "
	two  = "2 validation errors detected: "
	fail = " failed to satisfy constraint: "
)

func TestValidate(t *testing.T) {
	long := strings.Repeat("x", 257)
	tests := []struct {
		name string
		in   api.Struct
		want string // "" for valid
	}{
		// Recorded from KMS (kms.md §4, §11; wire.md §2).
		{"sensitive blob too long", &kmsapi.EncryptInput{KeyId: new("k"), Plaintext: make([]byte, 4097)},
			one + "Value at 'plaintext'" + fail + "Member must have length less than or equal to 4096"},
		{"in a list", &kmsapi.TagResourceInput{KeyId: new("k"), Tags: []kmsapi.Tag{{TagKey: new("a"), TagValue: new("")}, {TagKey: new(""), TagValue: new("b")}}},
			one + "Value '' at 'tags.2.member.tagKey'" + fail + "Member must have length greater than or equal to 1"},
		{"missing", &kmsapi.EncryptInput{KeyId: new("k")},
			one + "Value at 'plaintext'" + fail + "Member must not be null"},

		{"valid", &smapi.GetSecretValueInput{SecretId: new("a")}, ""},
		{"two failures", &smapi.GetSecretValueInput{VersionId: new("short")},
			two + "Value at 'secretId'" + fail + "Member must not be null; Value 'short' at 'versionId'" + fail + "Member must have length greater than or equal to 32"},
		{"shortest", &smapi.GetSecretValueInput{SecretId: new("x"), VersionStage: new("x")}, ""},
		{"empty", &smapi.GetSecretValueInput{SecretId: new("")},
			one + "Value '' at 'secretId'" + fail + "Member must have length greater than or equal to 1"},
		{"longest", &smapi.GetSecretValueInput{SecretId: new("x"), VersionStage: new(long[:256])}, ""},
		{"too long", &smapi.GetSecretValueInput{SecretId: new("x"), VersionStage: new(long)},
			one + "Value '" + long[:256] + "...' at 'versionStage'" + fail + "Member must have length less than or equal to 256"},
		{"characters, not bytes", &smapi.GetSecretValueInput{SecretId: new("x"), VersionStage: new(strings.Repeat("😀", 256))}, ""},
		{"too many characters", &smapi.GetSecretValueInput{SecretId: new("x"), VersionStage: new(strings.Repeat("😀", 257))},
			one + "Value '" + strings.Repeat("😀", 64) + "...' at 'versionStage'" + fail + "Member must have length less than or equal to 256"},
		{"too few characters", &smapi.PutSecretValueInput{SecretId: new("x"), ClientRequestToken: new(strings.Repeat("😀", 31))},
			one + "Value '" + strings.Repeat("😀", 31) + "' at 'clientRequestToken'" + fail + "Member must have length greater than or equal to 32"},
		{"just enough characters", &smapi.PutSecretValueInput{SecretId: new("x"), ClientRequestToken: new(strings.Repeat("😀", 32))}, ""},
		{"enumeration", &smapi.ListSecretsInput{SortOrder: new("up")},
			one + "Value 'up' at 'sortOrder'" + fail + "Member must satisfy enum value set: [asc, desc]"},
		{"enumeration is case-sensitive", &smapi.ListSecretsInput{SortOrder: new("ASC")},
			one + "Value 'ASC' at 'sortOrder'" + fail + "Member must satisfy enum value set: [asc, desc]"},
		{"range", &smapi.ListSecretsInput{MaxResults: new(int64(0))},
			one + "Value '0' at 'maxResults'" + fail + "Member must have value greater than or equal to 1"},
		{"range above", &smapi.ListSecretsInput{MaxResults: new(int64(101))},
			one + "Value '101' at 'maxResults'" + fail + "Member must have value less than or equal to 100"},
		{"range ends", &smapi.ListSecretsInput{MaxResults: new(int64(100))}, ""},
		{"pattern", &kmsapi.CreateAliasInput{AliasName: new("alias/a b"), TargetKeyId: new("k")},
			one + "Value 'alias/a b' at 'aliasName'" + fail + "Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$"},
		{"length and pattern", &kmsapi.CreateAliasInput{AliasName: new(""), TargetKeyId: new("k")},
			two + "Value '' at 'aliasName'" + fail + "Member must have length greater than or equal to 1; Value '' at 'aliasName'" + fail + "Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$"},
		{"a pattern matches all of it", &kmsapi.CreateAliasInput{AliasName: new("alias/a\n"), TargetKeyId: new("k")},
			one + "Value 'alias/a\n' at 'aliasName'" + fail + "Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$"},
		{"plain elements", &smapi.ListSecretsInput{Filters: []smapi.Filter{{Key: new("name"), Values: []string{"ok", ""}}}}, ""},
		{"list too long", &smapi.ListSecretsInput{Filters: []smapi.Filter{{Values: make([]string, 11)}}},
			one + "Value '[, , , , , , , , , , ]' at 'filters.1.member.values'" + fail + "Member must have length less than or equal to 10"},
		{"list too short", &smapi.PutSecretValueInput{SecretId: new("x"), VersionStages: []string{}},
			one + "Value '[]' at 'versionStages'" + fail + "Member must have length greater than or equal to 1"},
		{"constraints of plain elements", &smapi.PutSecretValueInput{SecretId: new("x"), VersionStages: []string{"ok", "", ""}},
			one + "Value '[ok, , ]' at 'versionStages'" + fail + "Member must satisfy constraint: [Member must have length less than or equal to 256, Member must have length greater than or equal to 1, Member must not be null]"},
		{"pattern of plain elements", &smapi.ListSecretsInput{Filters: []smapi.Filter{{Values: []string{"a%b"}}}},
			one + "Value '[a%b]' at 'filters.1.member.values'" + fail + `Member must satisfy constraint: [Member must have length less than or equal to 512, Member must satisfy regular expression pattern: ^\!?[a-zA-Z0-9 :_@\/\+\=\.\-\!]*$, Member must not be null]`},
		{"list of structures too short", &smapi.CreateSecretInput{Name: new("x"), AddReplicaRegions: []smapi.ReplicaRegionType{}},
			one + "Value '[]' at 'addReplicaRegions'" + fail + "Member must have length greater than or equal to 1"},
		{"sensitive string too short", &smapi.CreateSecretInput{Name: new("x"), SecretString: api.Sensitive{}},
			one + "Value at 'secretString'" + fail + "Member must have length greater than or equal to 1"},
		{"sensitive string of 65,536 characters", &smapi.CreateSecretInput{Name: new("x"), SecretString: bytes.Repeat([]byte("é"), 65536)}, ""},
		{"sensitive string of 65,537 characters", &smapi.CreateSecretInput{Name: new("x"), SecretString: bytes.Repeat([]byte("é"), 65537)},
			one + "Value at 'secretString'" + fail + "Member must have length less than or equal to 65536"},
		{"sensitive blob of 65,537 bytes", &smapi.CreateSecretInput{Name: new("x"), SecretBinary: make([]byte, 65537)},
			one + "Value at 'secretBinary'" + fail + "Member must have length less than or equal to 65536"},
		{"other blob", &kmsapi.DecryptInput{CiphertextBlob: make([]byte, 6145)},
			one + "Value 'java.nio.HeapByteBuffer[pos=0 lim=6145 cap=6145]' at 'ciphertextBlob'" + fail + "Member must have length less than or equal to 6144"},
		{"in a structure", &smapi.RotateSecretInput{SecretId: new("x"), RotationRules: &smapi.RotationRulesType{AutomaticallyAfterDays: new(int64(1001))}},
			one + "Value '1001' at 'rotationRules.automaticallyAfterDays'" + fail + "Member must have value less than or equal to 1000"},
		{"acronyms", &smapi.RotateSecretInput{SecretId: new("x"), RotationLambdaARN: new(strings.Repeat("x", 2049))},
			one + "Value '" + long[:256] + "...' at 'rotationLambdaARN'" + fail + "Member must have length less than or equal to 2048"},
		{"float", measured(0.5), one + "Value '0.5' at 'ratio'" + fail + "Member must have value greater than or equal to 1"},
		{"float above", measured(3), one + "Value '3.0' at 'ratio'" + fail + "Member must have value less than or equal to 2"},
		{"not a number", measured(math.NaN()),
			two + "Value 'NaN' at 'ratio'" + fail + "Member must have value greater than or equal to 1; Value 'NaN' at 'ratio'" + fail + "Member must have value less than or equal to 2"},
		{"map too small", &sample{texts: map[string]string{}}, one + "Value '{}' at 'texts'" + fail + "Member must have length greater than or equal to 1"},
		{"map keys", &sample{texts: map[string]string{"abc": "x", "k": "y"}},
			one + "Value '{abc=x, k=y}' at 'texts'" + fail + "Map keys must satisfy constraint: [Member must have length less than or equal to 2, Member must not be null]"},
		{"map values", &sample{texts: map[string]string{"k": "abc"}},
			one + "Value '{k=abc}' at 'texts'" + fail + "Map value must satisfy constraint: [Member must have length less than or equal to 2, Member must not be null]"},
		{"structures in a map", &sample{structs: map[string]sample{"k": *measured(0)}},
			one + "Value '0.0' at 'structs.k.member.ratio'" + fail + "Member must have value greater than or equal to 1"},
		{"lists in a list", &sample{lists: []api.ListOf[sample]{nil, {{}, *measured(0)}}},
			one + "Value '0.0' at 'lists.2.member.2.member.ratio'" + fail + "Member must have value greater than or equal to 1"},
		{"list of structures, shown", &sample{lists: []api.ListOf[sample]{{*measured(1)}, nil, nil}},
			one + "Value '[[Sample(ratio=1.0)], [], []]' at 'lists'" + fail + "Member must have length less than or equal to 2"},
		{"secrets in a map", &sample{secrets: map[string]api.Sensitive{"k": api.Sensitive("abc")}},
			one + "Value at 'secrets'" + fail + "Map value must satisfy constraint: [Member must have length less than or equal to 2, Member must not be null]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := api.Validate(tt.in)
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			e, ok := fault.As(err)
			if !ok {
				t.Fatalf("got %v, want %s", err, tt.want)
			}
			if e.Code != "ValidationException" || e.Kind != fault.Invalid || e.Message != tt.want {
				t.Errorf("got  %s\nwant %s", e.Message, tt.want)
			}
		})
	}
}

func TestValidateBounds(t *testing.T) {
	in := &kmsapi.TagResourceInput{KeyId: new("k"), Tags: make([]kmsapi.Tag, 10000)}
	e, _ := fault.As(api.Validate(in))
	if !strings.HasPrefix(e.Message, "20000 validation errors detected: ") || len(e.Message) > 4000 {
		t.Errorf("%d bytes: %.100s", len(e.Message), e.Message)
	}
	in = &kmsapi.TagResourceInput{KeyId: new(strings.Repeat("é", 1<<19))}
	e, _ = fault.As(api.Validate(in))
	if len(e.Message) > 1000 || !utf8.ValidString(e.Message) {
		t.Errorf("%d bytes: %.300q", len(e.Message), e.Message)
	}
}

// sample has what the models of the two services lack.
type sample struct {
	ratio   *float64
	texts   map[string]string
	structs map[string]sample
	lists   []api.ListOf[sample]
	secrets map[string]api.Sensitive
}

func measured(f float64) *sample { return &sample{ratio: &f} }

func (*sample) Shape() *api.Shape { return sampleShape }

func (s *sample) Field(i int) any {
	switch i {
	case 0:
		return &s.ratio
	case 1:
		return &s.texts
	case 2:
		return (*api.MapOf[sample])(&s.structs)
	case 3:
		return (*api.ListOf[api.ListOf[sample]])(&s.lists)
	case 4:
		return (*api.MapOf[api.Sensitive])(&s.secrets)
	}
	return nil
}

var sampleShape = func() *api.Shape {
	s := &api.Shape{Name: "Sample", Kind: api.Structure}
	short := &api.Shape{Name: "Short", Kind: api.String, HasMax: true, Max: 2}
	secret := &api.Shape{Name: "Secret", Kind: api.String, HasMax: true, Max: 2, Sensitive: true}
	text := &api.Shape{Name: "Text", Kind: api.String}
	s.Members = []api.Member{
		{Name: "Ratio", Path: "ratio", Shape: &api.Shape{Name: "Ratio", Kind: api.Double, HasMin: true, Min: 1, HasMax: true, Max: 2}},
		{Name: "Texts", Path: "texts", Shape: &api.Shape{Name: "Texts", Kind: api.Map, HasMin: true, Min: 1, Key: short, Value: short}},
		{Name: "Structs", Path: "structs", Shape: &api.Shape{Name: "Structs", Kind: api.Map, Key: text, Value: s}},
		{Name: "Lists", Path: "lists", Shape: &api.Shape{Name: "Lists", Kind: api.List, HasMax: true, Max: 2, Elem: &api.Shape{Name: "List", Kind: api.List, Elem: s}}},
		{Name: "Secrets", Path: "secrets", Shape: &api.Shape{Name: "Secrets", Kind: api.Map, Key: text, Value: secret}},
	}
	return s
}()

// FuzzValidate checks any input of any operation: no panic, a bounded message
// in UTF-8, and the input unchanged.
func FuzzValidate(f *testing.F) {
	var ops []*api.Operation
	for _, svc := range services {
		ops = append(ops, svc.Operations...)
	}
	for i, op := range ops {
		in := op.NewInput()
		apitest.Filler{Secret: []byte("s"), Elements: 2}.Fill(in)
		f.Add(byte(i), awsjson.Append(nil, in))
		f.Add(byte(i), []byte(`{}`))
	}
	f.Fuzz(func(t *testing.T, n byte, body []byte) {
		op := ops[int(n)%len(ops)]
		in := op.NewInput()
		if awsjson.Decode(body, in) != nil {
			return
		}
		before := awsjson.Append(nil, in)
		err := api.Validate(in)
		if !bytes.Equal(before, awsjson.Append(nil, in)) {
			t.Fatal("the input was changed")
		}
		if err == nil {
			return
		}
		e, ok := fault.As(err)
		if !ok || len(e.Message) > 64<<10 || !utf8.ValidString(e.Message) {
			t.Fatalf("%v", err)
		}
	})
}

func BenchmarkValidateGetSecretValue(b *testing.B) {
	in := &smapi.GetSecretValueInput{SecretId: new("arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db-a1b2c3"), VersionStage: new("AWSCURRENT")}
	b.ReportAllocs()
	for b.Loop() {
		if err := api.Validate(in); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendRedactedGetSecretValue(b *testing.B) {
	in := &smapi.GetSecretValueInput{SecretId: new("arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db-a1b2c3"), VersionStage: new("AWSCURRENT")}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = api.AppendRedacted(buf[:0], in)
	}
}

func ExampleValidate() {
	fmt.Println(api.Validate(&smapi.ListSecretsInput{MaxResults: new(int64(500))}))
	// Output: ValidationException: 1 validation error detected: Value '500' at 'maxResults' failed to satisfy constraint: Member must have value less than or equal to 100
}

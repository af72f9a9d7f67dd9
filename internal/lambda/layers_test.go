package lambda_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"coffer/internal/api"
	lambdaapi "coffer/internal/api/lambda"
	"coffer/internal/fault"
	"coffer/internal/lambda"
)

// layer publishes a version of a layer.
func (c client) layer(name, content string, runtimes ...string) *lambdaapi.PublishLayerVersionOutput {
	c.Helper()
	return must(c, lambdaapi.PublishLayerVersion, &lambdaapi.PublishLayerVersionInput{
		LayerName: &name, Description: &content, Content: &lambdaapi.LayerVersionContentInput{ZipFile: archive(c, "python/"+name+".py", content)},
		CompatibleRuntimes: runtimes, CompatibleArchitectures: []string{"x86_64"}, LicenseInfo: new("MIT"),
	})
}

func version(name string, n int64) *lambdaapi.GetLayerVersionInput {
	return &lambdaapi.GetLayerVersionInput{LayerName: &name, VersionNumber: &n}
}

func TestLayerLifeCycle(t *testing.T) {
	t.Parallel()
	c := newWorld(t, lambda.Config{}).root()
	const absent, none = "ResourceNotFoundException", "The resource you requested does not exist."
	refuse(c, lambdaapi.GetLayerVersion, version("l", 1), absent, none)
	first := c.layer("l", "one", "python3.12", "python3.11")
	zip := archive(t, "python/l.py", "one")
	sum := sha256.Sum256(zip)
	if *first.LayerArn != prefix+"layer:l" || *first.LayerVersionArn != prefix+"layer:l:1" || *first.Version != 1 || *first.Description != "one" || *first.LicenseInfo != "MIT" ||
		*first.CreatedDate != "2026-01-31T10:20:30.123+0000" || *first.Content.CodeSize != int64(len(zip)) || *first.Content.CodeSha256 != base64.StdEncoding.EncodeToString(sum[:]) ||
		!slices.Equal(first.CompatibleRuntimes, []string{"python3.12", "python3.11"}) || !slices.Equal(first.CompatibleArchitectures, []string{"x86_64"}) {
		t.Errorf("published %v", first)
	}
	if *c.layer("l", "two").Version != 2 {
		t.Error("not the second version")
	}
	for _, name := range []string{"l", prefix + "layer:l"} {
		if got := must(c, lambdaapi.GetLayerVersion, version(name, 1)); *got.LayerVersionArn != *first.LayerVersionArn || *got.Description != "one" {
			t.Errorf("got %v", got)
		}
	}
	if got := must(c, lambdaapi.GetLayerVersionByArn, &lambdaapi.GetLayerVersionByArnInput{Arn: first.LayerVersionArn}); *got.Version != 1 {
		t.Errorf("got %v", got)
	}
	refuse(c, lambdaapi.GetLayerVersion, version("l", 0), "InvalidParameterValueException", "Layer Version Cannot be less than 1.")
	refuse(c, lambdaapi.GetLayerVersion, version("l", 1<<40), absent, none)
	refuse(c, lambdaapi.GetLayerVersionByArn, &lambdaapi.GetLayerVersionByArnInput{Arn: new(prefix + "layer:l:01")}, absent, none)
	refuse(c, lambdaapi.GetLayerVersionByArn, &lambdaapi.GetLayerVersionByArnInput{Arn: new(strings.Replace(prefix, here, elsewhere, 1) + "layer:l:1")}, absent, none)

	for _, n := range []int64{2, 2, 1, 0, -5, 1 << 40} {
		must(c, lambdaapi.DeleteLayerVersion, &lambdaapi.DeleteLayerVersionInput{LayerName: new("l"), VersionNumber: &n})
	}
	refuse(c, lambdaapi.GetLayerVersion, version("l", 1), absent, none)
	if out := must(c, lambdaapi.ListLayers, &lambdaapi.ListLayersInput{}); len(out.Layers) != 0 {
		t.Errorf("lists %v", out.Layers)
	}
	// No number is given twice.
	if n := *c.layer("l", "three").Version; n != 3 {
		t.Errorf("version %d", n)
	}
}

func TestPublishLayerRefusals(t *testing.T) {
	t.Parallel()
	c := newWorld(t, lambda.Config{MaxCode: 4 << 10}).root()
	good := archive(t, "f", "x")
	for _, tc := range []struct {
		rule       string
		layer      string
		content    lambdaapi.LayerVersionContentInput
		code, text string
	}{
		{"nothing", "l", lambdaapi.LayerVersionContentInput{}, "InvalidParameterValueException", "Please provide a source for function code."},
		{"S3", "l", lambdaapi.LayerVersionContentInput{S3Bucket: new("bucket"), S3Key: new("k")}, "InvalidParameterValueException",
			"Coffer has no S3 to take code from: send the deployment package in ZipFile, which takes up to 50 MB."},
		{"no zip file", "l", lambdaapi.LayerVersionContentInput{ZipFile: api.Sensitive("text")}, "InvalidParameterValueException",
			"Could not unzip uploaded file. Please check your file, then try to upload again."},
		{"a path out of it", "l", lambdaapi.LayerVersionContentInput{ZipFile: archive(t, "../f", "x")}, "InvalidParameterValueException",
			"Could not unzip uploaded file. Please check your file, then try to upload again."},
		{"too much", "l", lambdaapi.LayerVersionContentInput{ZipFile: archive(t, strings.Repeat("f", 5<<10), "x")}, "CodeStorageExceededException", "Code storage limit exceeded."},
		{"another region's", strings.Replace(prefix, here, elsewhere, 1) + "layer:l", lambdaapi.LayerVersionContentInput{ZipFile: good}, "ResourceNotFoundException",
			"The resource you requested does not exist."},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			c := c
			c.world = c.world.in(t)
			refuse(c, lambdaapi.PublishLayerVersion, &lambdaapi.PublishLayerVersionInput{LayerName: &tc.layer, Content: &tc.content}, tc.code, tc.text)
		})
	}
	_, err := call(c, lambdaapi.PublishLayerVersion, &lambdaapi.PublishLayerVersionInput{
		LayerName: new("arn:aws:lambda:" + here + ":" + theirs + ":layer:l"), Content: &lambdaapi.LayerVersionContentInput{ZipFile: good},
	})
	if fault.Code(err) != "AccessDeniedException" {
		t.Errorf("in another account: %v", err)
	}
}

func TestListLayers(t *testing.T) {
	t.Parallel()
	c := newWorld(t, lambda.Config{}).root()
	c.layer("b", "1", "python3.12")
	c.layer("a", "1", "python3.12")
	c.layer("a", "2", "nodejs22.x")
	c.layer("a", "3", "python3.12", "nodejs22.x")
	c.layer("a", "4")
	c.layer("c", "1")
	c.as(theirs).layer("x", "1", "python3.12")
	for _, tc := range []struct {
		runtime, architecture string
		layers, versions      string // of all layers, and of a
	}{
		{"", "", "a:4 b:1 c:1", "4 3 2 1"},
		{"python3.12", "", "a:3 b:1", "3 1"},
		{"nodejs22.x", "x86_64", "a:3", "3 2"},
		{"", "arm64", "", ""},
	} {
		for _, items := range []int64{1, 2, 50} {
			layers := &lambdaapi.ListLayersInput{MaxItems: &items}
			versions := &lambdaapi.ListLayerVersionsInput{LayerName: new("a"), MaxItems: &items}
			if tc.runtime != "" {
				layers.CompatibleRuntime, versions.CompatibleRuntime = &tc.runtime, &tc.runtime
			}
			if tc.architecture != "" {
				layers.CompatibleArchitecture, versions.CompatibleArchitecture = &tc.architecture, &tc.architecture
			}
			var got []string
			for {
				out := must(c, lambdaapi.ListLayers, layers)
				for _, l := range out.Layers {
					got = append(got, fmt.Sprintf("%s:%d", *l.LayerName, *l.LatestMatchingVersion.Version))
					if *l.LayerArn != prefix+"layer:"+*l.LayerName || *l.LatestMatchingVersion.LayerVersionArn != fmt.Sprintf("%s:%d", *l.LayerArn, *l.LatestMatchingVersion.Version) {
						t.Errorf("ARNs of %v", l)
					}
				}
				if layers.Marker = out.NextMarker; layers.Marker == nil {
					break
				}
			}
			if s := strings.Join(got, " "); s != tc.layers {
				t.Errorf("%s %s by %d: layers %s, want %s", tc.runtime, tc.architecture, items, s, tc.layers)
			}
			got = nil
			for {
				out := must(c, lambdaapi.ListLayerVersions, versions)
				for _, v := range out.LayerVersions {
					got = append(got, fmt.Sprint(*v.Version))
				}
				if versions.Marker = out.NextMarker; versions.Marker == nil {
					break
				}
			}
			if s := strings.Join(got, " "); s != tc.versions {
				t.Errorf("%s %s by %d: versions %s, want %s", tc.runtime, tc.architecture, items, s, tc.versions)
			}
		}
	}
	if out := must(c, lambdaapi.ListLayerVersions, &lambdaapi.ListLayerVersionsInput{LayerName: new("none")}); out.LayerVersions == nil || len(out.LayerVersions) != 0 {
		t.Errorf("of no layer: %v", out.LayerVersions)
	}
	_, err := call(c, lambdaapi.ListLayerVersions, &lambdaapi.ListLayerVersionsInput{LayerName: new("arn:aws:lambda:" + here + ":" + theirs + ":layer:x")})
	if fault.Code(err) != "AccessDeniedException" {
		t.Errorf("another account's: %v", err)
	}
}

// unpacks is a Runner that reads the packages it is given.
type unpacks struct{ layers []string }

func (u *unpacks) Run(ctx context.Context, f *lambda.Executable, _ lambda.Event) (*lambda.Answer, error) {
	u.layers = nil
	for _, p := range f.Layers {
		r, err := p.Open(ctx)
		if err != nil {
			return nil, err
		}
		b, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		if sha256.Sum256(b) != p.Digest {
			return nil, fmt.Errorf("other bytes than those of the digest")
		}
		u.layers = append(u.layers, string(b))
	}
	return &lambda.Answer{Payload: []byte("null")}, nil
}

// A function keeps the layers it has, and what nobody has goes.
func TestFunctionKeepsDeletedLayer(t *testing.T) {
	t.Parallel()
	runner := &unpacks{}
	w := newWorld(t, lambda.Config{Runner: runner})
	c := w.root()
	one, two := archive(t, "python/one.py", "1"), archive(t, "python/two.py", "2")
	c.layer("one", "1")
	c.layer("two", "2")
	c.function("f", prefix+"layer:two:1", prefix+"layer:one:1")
	for _, name := range []string{"one", "two"} {
		must(c, lambdaapi.DeleteLayerVersion, &lambdaapi.DeleteLayerVersionInput{LayerName: &name, VersionNumber: new(int64(1))})
	}
	w.now = w.now.Add(2 * time.Hour)
	w.work("lambda.packages")
	must(c, lambdaapi.Invoke, &lambdaapi.InvokeInput{FunctionName: new("f")})
	if len(runner.layers) != 2 || !bytes.Equal([]byte(runner.layers[0]), two) || !bytes.Equal([]byte(runner.layers[1]), one) {
		t.Errorf("%d layers, or others, or in another order", len(runner.layers))
	}
	if got := must(c, lambdaapi.GetFunctionConfiguration, &lambdaapi.GetFunctionConfigurationInput{FunctionName: new("f")}).Layers; len(got) != 2 ||
		*got[0].Arn != prefix+"layer:two:1" || *got[0].CodeSize != int64(len(two)) {
		t.Errorf("shows %v", got)
	}
	refuse(c, lambdaapi.UpdateFunctionConfiguration, &lambdaapi.UpdateFunctionConfigurationInput{FunctionName: new("f"), Layers: []string{prefix + "layer:one:1"}},
		"InvalidParameterValueException", "Layer version "+prefix+"layer:one:1 does not exist.")
	must(c, lambdaapi.UpdateFunctionConfiguration, &lambdaapi.UpdateFunctionConfigurationInput{FunctionName: new("f"), Layers: []string{}})
	before := w.packages()
	w.now = w.now.Add(2 * time.Hour)
	w.work("lambda.packages")
	if after := w.packages(); before != 3 || after != 1 {
		t.Errorf("%d packages before, %d after", before, after)
	}
}

func TestLayersOfFunctions(t *testing.T) {
	t.Parallel()
	c := newWorld(t, lambda.Config{}).root()
	other := c.as(theirs)
	foreign := *other.layer("theirs", "x").LayerVersionArn
	for i := range 6 {
		c.layer(fmt.Sprintf("l%d", i), "1")
	}
	c.layer("l0", "2")
	name := func(s string) string { return prefix + "layer:" + s }
	create := func(name string, layers ...string) *lambdaapi.CreateFunctionInput {
		return &lambdaapi.CreateFunctionInput{
			FunctionName: &name, Role: new(role), Runtime: new("python3.12"), Handler: new("f.handler"), Layers: layers,
			Code: &lambdaapi.FunctionCode{ZipFile: archive(t, "f.py", "")},
		}
	}
	const invalid = "InvalidParameterValueException"
	away := strings.Replace(name("l0:1"), here, elsewhere, 1)
	for _, tc := range []struct {
		rule       string
		layers     []string
		code, text string
	}{
		{"no such version", []string{name("l0:3")}, invalid, "Layer version " + name("l0:3") + " does not exist."},
		{"no such layer", []string{name("none:1")}, invalid, "Layer version " + name("none:1") + " does not exist."},
		{"two versions", []string{name("l0:1"), name("l0:2")}, invalid, "Two different versions of the same layer are not allowed to be referenced in the same function. " +
			name("l0:1") + " and " + name("l0:2") + " are versions of the same layer."},
		{"another region's", []string{away}, invalid, "Layers are not in the same region as the function. Layers are expected to be in region " + here + "."},
		{"six", []string{name("l0:1"), name("l1:1"), name("l2:1"), name("l3:1"), name("l4:1"), name("l5:1")}, invalid, "You cannot reference more than 5 layers."},
		{"another account's", []string{foreign}, "AccessDeniedException", "User: arn:aws:iam::" + ours + ":root is not authorized to perform: lambda:GetLayerVersion on resource: " +
			foreign + " because no resource-based policy allows the lambda:GetLayerVersion action"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			c := c
			c.world = c.world.in(t)
			refuse(c, lambdaapi.CreateFunction, create("f", tc.layers...), tc.code, tc.text)
		})
	}
	must(other, lambdaapi.AddLayerVersionPermission, permit("theirs", "s", ours))
	must(c, lambdaapi.CreateFunction, create("f", name("l0:1"), name("l1:1"), name("l2:1"), name("l3:1"), foreign))
	if got := must(c, lambdaapi.GetLayerVersionByArn, &lambdaapi.GetLayerVersionByArnInput{Arn: &foreign}); *got.LayerVersionArn != foreign {
		t.Errorf("got %v", got)
	}
	// Without the permission the function goes on, and nobody can use the layer anew.
	must(other, lambdaapi.RemoveLayerVersionPermission, &lambdaapi.RemoveLayerVersionPermissionInput{LayerName: new("theirs"), VersionNumber: new(int64(1)), StatementId: new("s")})
	if _, err := call(c, lambdaapi.CreateFunction, create("g", foreign)); fault.Code(err) != "AccessDeniedException" {
		t.Errorf("created: %v", err)
	}
	c.publish("f", "one")
}

// claims is a package that says it unpacks to so many bytes, which its directory decides.
func claims(t testing.TB, size uint64) api.Sensitive {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	if _, err := w.CreateRaw(&zip.FileHeader{Name: "big", Method: zip.Deflate, UncompressedSize64: size}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Code and layers together unpack to less than 250 MB.
func TestLayersUnpacked(t *testing.T) {
	t.Parallel()
	c := newWorld(t, lambda.Config{}).root()
	const half = 262144000 / 2
	publish := func(name string, size uint64) error {
		_, err := call(c, lambdaapi.PublishLayerVersion, &lambdaapi.PublishLayerVersionInput{
			LayerName: &name, Content: &lambdaapi.LayerVersionContentInput{ZipFile: claims(t, size)},
		})
		return err
	}
	if err := publish("all", 2*half); fault.Code(err) != "InvalidParameterValueException" {
		t.Errorf("a layer of 250 MB: %v", err)
	}
	for _, name := range []string{"a", "b"} {
		if err := publish(name, half-1); err != nil {
			t.Fatal(err)
		}
	}
	a, b := prefix+"layer:a:1", prefix+"layer:b:1"
	c.function("f", a) // whose own file has one byte
	const text = "Function code combined with layers exceeds the maximum allowed size of 262144000 bytes."
	with := func(layers ...string) *lambdaapi.UpdateFunctionConfigurationInput {
		return &lambdaapi.UpdateFunctionConfigurationInput{FunctionName: new("f"), Layers: layers}
	}
	must(c, lambdaapi.UpdateFunctionConfiguration, with(a, b))
	code := &lambdaapi.UpdateFunctionCodeInput{FunctionName: new("f"), ZipFile: archive(t, "f.py", "12")}
	refuse(c, lambdaapi.UpdateFunctionCode, code, "InvalidParameterValueException", text)
	must(c, lambdaapi.UpdateFunctionConfiguration, with(a))
	must(c, lambdaapi.UpdateFunctionCode, code)
	refuse(c, lambdaapi.UpdateFunctionConfiguration, with(a, b), "InvalidParameterValueException", text)
}

func permit(layer, sid, principal string) *lambdaapi.AddLayerVersionPermissionInput {
	return &lambdaapi.AddLayerVersionPermissionInput{
		LayerName: &layer, VersionNumber: new(int64(1)), StatementId: &sid, Action: new("lambda:GetLayerVersion"), Principal: &principal,
	}
}

func TestLayerPermissions(t *testing.T) {
	t.Parallel()
	c := newWorld(t, lambda.Config{}).root()
	c.layer("l", "1")
	get := func() (string, string) {
		t.Helper()
		out := must(c, lambdaapi.GetLayerVersionPolicy, &lambdaapi.GetLayerVersionPolicyInput{LayerName: new("l"), VersionNumber: new(int64(1))})
		return *out.Policy, *out.RevisionId
	}
	remove := func(sid string) *lambdaapi.RemoveLayerVersionPermissionInput {
		return &lambdaapi.RemoveLayerVersionPermissionInput{LayerName: new("l"), VersionNumber: new(int64(1)), StatementId: &sid}
	}
	const absent, invalid, none = "ResourceNotFoundException", "InvalidParameterValueException", "No policy is associated with the given resource."
	policy := &lambdaapi.GetLayerVersionPolicyInput{LayerName: new("l"), VersionNumber: new(int64(1))}
	refuse(c, lambdaapi.GetLayerVersionPolicy, policy, absent, none)
	refuse(c, lambdaapi.RemoveLayerVersionPermission, remove("a"), absent, none)

	const tail = `,"Action":"lambda:GetLayerVersion","Resource":"` + prefix + `layer:l:1"`
	const first = `{"Sid":"a","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + theirs + `:root"}` + tail + `}`
	const second = `{"Sid":"b","Effect":"Allow","Principal":"*"` + tail + `,"Condition":{"StringEquals":{"aws:PrincipalOrgID":"o-abcdefghij"}}}`
	added := must(c, lambdaapi.AddLayerVersionPermission, permit("l", "a", theirs))
	if *added.Statement != first {
		t.Error(*added.Statement)
	}
	in := permit("l", "b", "*")
	in.OrganizationId, in.RevisionId = new("o-abcdefghij"), added.RevisionId
	if out := must(c, lambdaapi.AddLayerVersionPermission, in); *out.Statement != second || *out.RevisionId == *added.RevisionId {
		t.Errorf("%s", *out.Statement)
	}
	text, revision := get()
	if want := `{"Version":"2012-10-17","Id":"default","Statement":[` + first + `,` + second + `]}`; text != want {
		t.Errorf("policy\n got %s\nwant %s", text, want)
	}
	if _, err := call(c.as(theirs), lambdaapi.GetLayerVersion, version(prefix+"layer:l", 1)); err != nil {
		t.Errorf("another account: %v", err)
	}

	const revised = "The Revision Id provided does not match the latest Revision Id. Call the GetLayerPolicy API to retrieve the latest Revision Id"
	for _, tc := range []struct {
		rule       string
		set        func(*lambdaapi.AddLayerVersionPermissionInput)
		code, text string
	}{
		{"a statement id twice", func(in *lambdaapi.AddLayerVersionPermissionInput) { in.StatementId = new("a") }, "ResourceConflictException",
			"The statement id (a) provided already exists. Please provide a new statement id, or remove the existing statement."},
		{"no such version", func(in *lambdaapi.AddLayerVersionPermissionInput) { in.VersionNumber = new(int64(2)) }, absent, "Layer version " + prefix + "layer:l:2 does not exist."},
		{"no version", func(in *lambdaapi.AddLayerVersionPermissionInput) { in.VersionNumber = new(int64(0)) }, invalid, "Layer Version Cannot be less than 1."},
		{"an organization and an account", func(in *lambdaapi.AddLayerVersionPermissionInput) { in.OrganizationId = new("o-abcdefghij") }, invalid,
			"OrganizationId can only be given with the principal *."},
		{"another revision", func(in *lambdaapi.AddLayerVersionPermissionInput) { in.RevisionId = added.RevisionId }, "PreconditionFailedException", revised},
		{"a user", func(in *lambdaapi.AddLayerVersionPermissionInput) {
			in.Principal = new("arn:aws:iam::" + theirs + ":user/ann")
		}, "ValidationException",
			"1 validation error detected: Value 'arn:aws:iam::" + theirs + ":user/ann' at 'principal' failed to satisfy constraint: Member must satisfy regular expression pattern: \\d{12}|\\*|arn:(aws[a-zA-Z-]*):iam::\\d{12}:root"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			c := c
			c.world = c.world.in(t)
			in := permit("l", "c", theirs)
			tc.set(in)
			refuse(c, lambdaapi.AddLayerVersionPermission, in, tc.code, tc.text)
		})
	}
	refuse(c, lambdaapi.RemoveLayerVersionPermission, remove("z"), absent, "Statement z is not found in resource policy.")
	stale := remove("a")
	stale.RevisionId = added.RevisionId
	refuse(c, lambdaapi.RemoveLayerVersionPermission, stale, "PreconditionFailedException", revised)
	stale.RevisionId = &revision
	must(c, lambdaapi.RemoveLayerVersionPermission, stale)
	if _, err := call(c.as(theirs), lambdaapi.GetLayerVersion, version(prefix+"layer:l", 1)); fault.Code(err) != "AccessDeniedException" {
		t.Errorf("another account, of no organization: %v", err)
	}
	must(c, lambdaapi.RemoveLayerVersionPermission, remove("b"))
	refuse(c, lambdaapi.GetLayerVersionPolicy, policy, absent, none)
}

// Whatever a layer is called, there is an answer that the model has.
func FuzzLayerName(f *testing.F) {
	f.Add("l", int64(1))
	f.Add(prefix+"layer:l:1", int64(-1))
	f.Add("arn:a:lambda:b:"+ours+":layer:l", int64(1<<62))
	f.Fuzz(func(t *testing.T, name string, number int64) {
		c := newWorld(t, lambda.Config{}).root()
		call(c, lambdaapi.GetLayerVersion, version(name, number))
		call(c, lambdaapi.GetLayerVersionByArn, &lambdaapi.GetLayerVersionByArnInput{Arn: &name})
		call(c, lambdaapi.ListLayerVersions, &lambdaapi.ListLayerVersionsInput{LayerName: &name})
		call(c, lambdaapi.DeleteLayerVersion, &lambdaapi.DeleteLayerVersionInput{LayerName: &name, VersionNumber: &number})
		call(c, lambdaapi.AddLayerVersionPermission, &lambdaapi.AddLayerVersionPermissionInput{
			LayerName: &name, VersionNumber: &number, StatementId: new("s"), Action: new("lambda:GetLayerVersion"), Principal: new("*"),
		})
	})
}

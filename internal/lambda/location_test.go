package lambda_test

import (
	"bytes"
	"encoding/base64"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"coffer/internal/api"
	"coffer/internal/coffertest"
	"coffer/internal/envelope"
	"coffer/internal/fault"
	"coffer/internal/lambda"
	"coffer/internal/server"
)

// fetch gets a URL without any signature.
func (f *front) fetch(url string) (status int, body []byte) {
	f.Helper()
	resp, err := f.HTTP.Get(url)
	if err != nil {
		f.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err = io.ReadAll(resp.Body); err != nil {
		f.Fatal(err)
	}
	if kind := resp.Header.Get("Content-Type"); resp.StatusCode == http.StatusOK && (kind != "application/zip" || resp.Header.Get("Cache-Control") != "no-store") {
		f.Errorf("answered as %q", resp.Header)
	}
	return resp.StatusCode, body
}

func (f *front) refused(what, url string) {
	f.Helper()
	status, body := f.fetch(url)
	if status != http.StatusForbidden || !strings.Contains(string(body), "The link is not valid, or its time is over: ask for another one.") {
		f.Errorf("%s: %d %q", what, status, body)
	}
}

// GetFunction answers a link to the code, and whoever has that has the code, for ten minutes: what a
// link says cannot be changed.
func TestCodeLocation(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	f := newFront(t, coffertest.With(func(c *server.Config) {
		c.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		c.BuiltIns = []lambda.BuiltIn{{Name: "Rotator", Timeout: 30e9, Memory: 128}}
		c.Endpoints = server.Endpoints{{ID: "vpce-0123456789abcdef0", Listen: "127.0.0.1:0"}}
	}))
	ctx := t.Context()
	first, second := stored(t, "f.py", bytes.Repeat([]byte("first"), 300_000)), archive(t, "f.py", "second") // the first has chunks
	f.create("f", func(in *sdk.CreateFunctionInput) { in.Code.ZipFile, in.Publish = first, true })
	if _, err := f.UpdateFunctionCode(ctx, &sdk.UpdateFunctionCodeInput{FunctionName: new("f"), ZipFile: second}); err != nil {
		t.Fatal(err)
	}
	layer, err := f.PublishLayerVersion(ctx, &sdk.PublishLayerVersionInput{LayerName: new("l"), Content: &types.LayerVersionContentInput{ZipFile: first}})
	if err != nil {
		t.Fatal(err)
	}
	link := func(name string) string {
		t.Helper()
		out, err := f.GetFunction(ctx, &sdk.GetFunctionInput{FunctionName: &name})
		if err != nil || out.Code.Location == nil {
			t.Fatalf("%s has no link: %v", name, err)
		}
		return *out.Code.Location
	}
	byNumber, err := f.GetLayerVersion(ctx, &sdk.GetLayerVersionInput{LayerName: new("l"), VersionNumber: &layer.Version})
	if err != nil {
		t.Fatal(err)
	}
	byARN, err := f.GetLayerVersionByArn(ctx, &sdk.GetLayerVersionByArnInput{Arn: layer.LayerVersionArn})
	if err != nil {
		t.Fatal(err)
	}
	url := link("f")
	for _, tt := range []struct {
		what, url string
		want      []byte
	}{
		{"$LATEST", url, second}, {"a version", link("f:1"), first},
		{"a layer", *byNumber.Content.Location, first}, {"a layer by its ARN", *byARN.Content.Location, first},
	} {
		if status, got := f.fetch(tt.url); status != http.StatusOK || !bytes.Equal(got, tt.want) {
			t.Errorf("%s: %d and %d bytes, want %d", tt.what, status, len(got), len(tt.want))
		}
	}
	if out, err := f.GetFunction(ctx, &sdk.GetFunctionInput{FunctionName: new("Rotator")}); err != nil || out.Code.Location != nil {
		t.Errorf("a built-in function has a link: %v, %v", out, err)
	}

	base, token, _ := strings.Cut(url, api.DownloadPath)
	base += api.DownloadPath
	blob, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	for i := range blob {
		forged := bytes.Clone(blob)
		forged[i] ^= 1
		f.refused("a bit changed", base+base64.RawURLEncoding.EncodeToString(forged))
	}
	f.refused("no token", base)
	f.refused("a short one", base+token[:len(token)-4])
	f.refused("a long one", base+strings.Repeat("A", 5000))
	f.refused("more behind it", base+token+"/x")
	f.refused("not where it was given", f.EndpointURL("vpce-0123456789abcdef0")+api.DownloadPath+token)
	if _, theirs, _ := strings.Cut(another(t), api.DownloadPath); len(theirs) > 100 {
		f.refused("another server's", base+theirs)
	} else {
		t.Error("another server gives no link")
	}
	if resp, err := f.HTTP.Post(url, "", nil); err != nil || resp.StatusCode == http.StatusOK {
		t.Errorf("a POST: %v, %v", resp, err)
	}

	ahead.Store(int64(9*time.Minute + 50*time.Second))
	if status, _ := f.fetch(url); status != http.StatusOK {
		t.Errorf("after less than ten minutes: %d", status)
	}
	ahead.Store(int64(10 * time.Minute))
	f.refused("after ten minutes", url)

	f.Recorded(t)
	log := audited(t, f.Dir)
	if n := strings.Count(log, `"eventName":"DownloadCode"`); n != 5 {
		t.Errorf("%d downloads are recorded, want 5", n)
	}
	if !strings.Contains(log, `"resource":"`+f.arn("f:1")+`"`) || !strings.Contains(log, *layer.LayerVersionArn) {
		t.Error("records do not tell what was got")
	}
	if strings.Contains(log, token) {
		t.Error("a link is in the audit log")
	}
}

// One account has at most sixteen downloads under way: they hold memory, and their holders are
// nobody that could be throttled.
func TestDownloadsAtOnce(t *testing.T) {
	t.Parallel()
	f := newFront(t)
	f.create("f", func(in *sdk.CreateFunctionInput) { in.Code.ZipFile = stored(t, "f.py", make([]byte, 12<<20)) })
	out, err := f.GetFunction(t.Context(), &sdk.GetFunctionInput{FunctionName: new("f")})
	if err != nil {
		t.Fatal(err)
	}
	get := func() *http.Response {
		t.Helper()
		resp, err := f.HTTP.Get(*out.Code.Location)
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	var open []*http.Response // nobody reads them
	for range 16 {
		resp := get()
		defer resp.Body.Close()
		if open = append(open, resp); resp.StatusCode != http.StatusOK {
			t.Fatalf("download %d: %s", len(open), resp.Status)
		}
	}
	beyond := get()
	beyond.Body.Close()
	if beyond.StatusCode != http.StatusTooManyRequests {
		t.Errorf("one more: %s", beyond.Status)
	}
	open[0].Body.Close()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		resp := get()
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("one that was given up still counts: %s", resp.Status)
		}
	}
}

// another is a link of another server.
func another(t *testing.T) string {
	f := newFront(t)
	f.create("f")
	out, err := f.GetFunction(t.Context(), &sdk.GetFunctionInput{FunctionName: new("f")})
	if err != nil || out.Code.Location == nil {
		t.Fatal(err)
	}
	return *out.Code.Location
}

func audited(t *testing.T, dir server.Dir) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir.Audit(), "audit-*.jsonl"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no audit log: %v", err)
	}
	var all strings.Builder
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(b)
	}
	return all.String()
}

func FuzzDownload(f *testing.F) {
	s := lambda.New(lambda.Config{LocationKey: envelope.NewKey()})
	f.Add("")
	f.Add(base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte{1}, 100)))
	f.Fuzz(func(t *testing.T, token string) {
		if d, err := s.Download(&api.Request{Time: time.Now()}, token); fault.Code(err) != "AccessDeniedException" || d != nil {
			t.Errorf("%q: %v, %v", token, d, err)
		}
	})
}

package server_test

import (
	"archive/zip"
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/smithy-go"
)

// A request is verified when its body is there. Who knows the id of an access key and nothing
// else may so fill the room for uploads that its account has, but not that of others.
func TestUploadsThatDoNotEnd(t *testing.T) {
	t.Parallel()
	w := newKeyholders(t)
	theirs, err := w.otherConfig.Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(w.URL())
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().UTC()
	for _, size := range []int{34 << 20, 34 << 20, 17 << 20, 9 << 20, 5 << 20, 3 << 20, 1100 << 10, 600 << 10} {
		c, err := tls.Dial("tcp", u.Host, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "POST /2015-03-31/functions HTTP/1.1\r\nHost: %s\r\nX-Amz-Date: %s\r\nContent-Length: 69000000\r\nAuthorization: AWS4-HMAC-SHA256 Credential=%s/%s/eu-west-1/lambda/aws4_request, SignedHeaders=host;x-amz-date, Signature=%064d\r\n\r\n",
			u.Host, now.Format("20060102T150405Z"), theirs.AccessKeyID, now.Format("20060102"), 0)
		_, _ = c.Write(make([]byte, size)) // those beyond the room are cut off
	}
	content := make([]byte, 12<<20)
	rand.Read(content)
	var code bytes.Buffer
	z := zip.NewWriter(&code)
	f, err := z.Create("f.py")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		whose string
		cfg   aws.Config
		code  string
	}{
		{"the account whose key it is", w.otherConfig, "ServiceUnavailableException"},
		{"another account", w.Config("eu-west-1"), "InvalidParameterValueException"}, // it is read: there is no such role
	} {
		_, err := lambda.NewFromConfig(tt.cfg).CreateFunction(t.Context(), &lambda.CreateFunctionInput{
			FunctionName: new("f"), Role: new("arn:aws:iam::" + w.ours + ":role/none"), Runtime: types.RuntimePython312, Handler: new("f.h"),
			Code: &types.FunctionCode{ZipFile: code.Bytes()},
		}, func(o *lambda.Options) { o.Retryer = aws.NopRetryer{} })
		var e smithy.APIError
		if !errors.As(err, &e) || e.ErrorCode() != tt.code {
			t.Errorf("%s: %v", tt.whose, err)
		}
	}
}

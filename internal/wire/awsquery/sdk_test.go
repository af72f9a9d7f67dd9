package awsquery_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	ststypes "github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/smithy-go"

	"coffer/internal/api"
	"coffer/internal/api/apitest"
	iamapi "coffer/internal/api/iam"
	stsapi "coffer/internal/api/sts"
	"coffer/internal/fault"
	"coffer/internal/wire/awsquery"
	"coffer/internal/wire/wiretest"
)

const requestID = "c6104cbe-af31-11e0-8154-cbc7ccf896c7"

// client returns the SDK's client of svc, whose requests answer answers.
func client(svc *api.Service, answer func(form awsquery.Form) (status int, body []byte)) any {
	cfg := wiretest.Config(func(_ *http.Request, body []byte, h http.Header) (int, []byte, error) {
		form, err := awsquery.ParseForm(body)
		if err != nil {
			return 0, nil, err
		}
		h.Set("Content-Type", awsquery.ContentType)
		h.Set("X-Amzn-Requestid", requestID)
		status, b := answer(form)
		return status, b, nil
	})
	if svc == iamapi.Service {
		return iam.NewFromConfig(cfg)
	}
	return sts.NewFromConfig(cfg)
}

// Every output of every operation, full, with empty lists, and bare, arrives at
// the SDK as it was.
func TestSDKReadsOutputs(t *testing.T) {
	filler := func(elements int) func(api.Struct) {
		return apitest.Filler{
			Text:   func(sh *api.Shape) []byte { return []byte(sh.Name + " <&>\"'\r\n\t ü 😀 ]]> ") },
			Secret: []byte("</a>&s"), Elements: elements,
		}.Fill
	}
	fills := map[string]func(api.Struct){"full": filler(2), "empty": filler(0), "bare": func(api.Struct) {}}
	for _, svc := range services {
		for _, op := range svc.Operations {
			for name, fill := range fills {
				t.Run(svc.Name+"/"+op.Name+"/"+name, func(t *testing.T) {
					want := op.NewOutput()
					fill(want)
					c := client(svc, func(f awsquery.Form) (int, []byte) {
						if f.Get("Action") != op.Name || f.Get("Version") != svc.APIVersion {
							t.Errorf("%s of %s", f.Get("Action"), f.Get("Version"))
						}
						return 200, awsquery.Append(nil, op, want, requestID)
					})
					_, got, err := wiretest.Call(c, op, nil)
					if err != nil {
						t.Fatal(err)
					}
					wiretest.CompareMembers(t, op.Name, got, want)
				})
			}
		}
	}
}

// Errors arrive with code, text, party and request id, whatever the operation.
func TestSDKReadsErrors(t *testing.T) {
	const text = "User <bob> & co\r\ncannot be found."
	for _, svc := range services {
		errs := []*fault.Error{api.AccessDeniedException(text), api.ValidationException(text), api.ServiceUnavailableException(text), svc.Internal(nil)}
		for _, e := range svc.Errors {
			errs = append(errs, fault.New(e.Kind, e.Code, text))
		}
		for _, e := range errs {
			t.Run(svc.Name+"/"+e.Code, func(t *testing.T) {
				c := client(svc, func(awsquery.Form) (int, []byte) {
					return awsquery.Status(svc, e), awsquery.AppendError(nil, svc, e, requestID)
				})
				_, _, err := wiretest.Call(c, svc.Operations[0], nil)
				var got smithy.APIError
				if !errors.As(err, &got) {
					t.Fatal(err)
				}
				if got.ErrorCode() != awsquery.Code(svc, e) || got.ErrorMessage() != e.Message {
					t.Errorf("%s: %q", got.ErrorCode(), got.ErrorMessage())
				}
				var answer interface {
					HTTPStatusCode() int
					ServiceRequestID() string
				}
				if !errors.As(err, &answer) || answer.HTTPStatusCode() != awsquery.Status(svc, e) || answer.ServiceRequestID() != requestID {
					t.Errorf("%v", err)
				}
			})
		}
	}

	// Modelled errors become the SDK's types.
	c := client(iamapi.Service, func(awsquery.Form) (int, []byte) {
		e := iamapi.NoSuchEntityException("gone")
		return awsquery.Status(iamapi.Service, e), awsquery.AppendError(nil, iamapi.Service, e, requestID)
	})
	_, _, err := wiretest.Call(c, iamapi.GetUser.Operation, nil)
	var none *iamtypes.NoSuchEntityException
	if !errors.As(err, &none) || none.ErrorMessage() != "gone" {
		t.Errorf("%v", err)
	}
}

// A request of the SDK, as it is on the wire, and its answer.
func TestSDKCall(t *testing.T) {
	c := client(stsapi.Service, func(f awsquery.Form) (int, []byte) {
		var in stsapi.AssumeRoleInput
		if err := awsquery.Decode(f, &in); err != nil {
			t.Error(err)
		}
		if *in.RoleSessionName != "a+b" || *in.DurationSeconds != 900 || len(in.Tags) != 2 || *in.Tags[1].Value != "=&%\n" || *in.PolicyArns[0].Arn != "arn" ||
			in.TransitiveTagKeys == nil || len(in.TransitiveTagKeys) != 0 || in.Policy != nil {
			t.Errorf("%v", in)
		}
		out := &stsapi.AssumeRoleOutput{Credentials: &stsapi.Credentials{
			AccessKeyId: new("ASIA"), SecretAccessKey: api.Sensitive("secret/+"), SessionToken: api.Sensitive("token=="), Expiration: new(created),
		}}
		return 200, awsquery.Append(nil, stsapi.AssumeRole.Operation, out, requestID)
	}).(*sts.Client)
	out, err := c.AssumeRole(t.Context(), &sts.AssumeRoleInput{
		RoleArn: aws.String("arn:aws:iam::111122223333:role/r"), RoleSessionName: aws.String("a+b"), DurationSeconds: aws.Int32(900),
		Tags:              []ststypes.Tag{{Key: aws.String("k"), Value: aws.String("")}, {Key: aws.String("é"), Value: aws.String("=&%\n")}},
		PolicyArns:        []ststypes.PolicyDescriptorType{{Arn: aws.String("arn")}},
		TransitiveTagKeys: []string{},
	})
	if err != nil {
		t.Fatal(err)
	}
	if *out.Credentials.SecretAccessKey != "secret/+" || *out.Credentials.SessionToken != "token==" || !out.Credentials.Expiration.Equal(created.Truncate(time.Second)) {
		t.Error("the credentials do not arrive")
	}
	if id, _ := awsmiddleware.GetRequestIDMetadata(out.ResultMetadata); id != requestID {
		t.Errorf("request id %q", id)
	}
}

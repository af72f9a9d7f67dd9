package awsquery_test

import (
	"encoding/xml"
	"errors"
	"strings"
	"testing"

	"coffer/internal/api"
	iamapi "coffer/internal/api/iam"
	stsapi "coffer/internal/api/sts"
	"coffer/internal/fault"
	"coffer/internal/sigv4"
	"coffer/internal/wire/awsquery"
)

// credentials is an error of the signature check, as the gateway passes it on.
func credentials(r sigv4.Reason) *fault.Error {
	return fault.New(fault.Denied, r.Code(false), "text").Because(&sigv4.Error{Reason: r, Message: "text"})
}

func TestCodes(t *testing.T) {
	iam, sts := iamapi.Service, stsapi.Service
	// cloudWatch speaks several protocols and so has two codes for an error.
	cloudWatch := api.NewService(api.Service{Errors: []*api.ErrorShape{
		{Code: "ResourceNotFoundException", QueryCode: "ResourceNotFound", Kind: fault.NotFound, Status: 404},
		{Code: "ValidationException", QueryCode: "Own", Kind: fault.Invalid, Status: 418},
	}})
	for _, tt := range []struct {
		svc    *api.Service
		in     *fault.Error
		code   string
		status int
	}{
		// The framework's.
		{iam, api.ValidationException("x"), "ValidationError", 400},
		{sts, api.SerializationException("x"), "MalformedInput", 400},
		{iam, api.AccessDeniedException("x"), "AccessDenied", 403},
		{iam, api.ThrottlingException(), "Throttling", 400},
		{iam, api.UnknownOperationException("x"), "InvalidAction", 400},
		{iam, api.NotServed(iamapi.CreateSAMLProvider.Operation), "InvalidAction", 400},
		{iam, api.ServiceUnavailableException("x"), "ServiceUnavailable", 503},
		{nil, api.InternalFailure(errors.New("cause")), "InternalFailure", 500},
		{iam, api.RequestEntityTooLargeException(), "RequestEntityTooLarge", 413},
		{iam, api.RequestTimeoutException(), "RequestTimeout", 400},
		{iam, mustFail("A=%"), "MalformedQueryString", 404},

		// Credentials.
		{iam, credentials(sigv4.Missing), "MissingAuthenticationToken", 403},
		{iam, credentials(sigv4.Malformed), "IncompleteSignature", 400},
		{iam, credentials(sigv4.Unsupported), "IncompleteSignature", 400},
		{iam, credentials(sigv4.UnknownKey), "InvalidClientTokenId", 403},
		{iam, credentials(sigv4.BadToken), "InvalidClientTokenId", 403},
		{iam, credentials(sigv4.BadSignature), "SignatureDoesNotMatch", 403},
		{iam, credentials(sigv4.ExpiredToken), "ExpiredToken", 403},
		{sts, credentials(sigv4.ExpiredToken), "ExpiredToken", 403},
		{nil, credentials(sigv4.WrongService), "SignatureDoesNotMatch", 403},
		// The same without their cause.
		{nil, fault.New(fault.Denied, "MissingAuthenticationTokenException", ""), "MissingAuthenticationToken", 403},
		{nil, fault.New(fault.Denied, "IncompleteSignatureException", ""), "IncompleteSignature", 400},
		{iam, fault.New(fault.Denied, "UnrecognizedClientException", ""), "InvalidClientTokenId", 403},
		{iam, fault.New(fault.Denied, "InvalidSignatureException", ""), "SignatureDoesNotMatch", 403},
		{iam, fault.New(fault.Denied, "ExpiredTokenException", ""), "ExpiredToken", 403},

		// The model's.
		{iam, iamapi.NoSuchEntityException("x"), "NoSuchEntity", 404},
		{iam, iamapi.EntityAlreadyExistsException("x"), "EntityAlreadyExists", 409},
		{iam, iamapi.ServiceNotSupportedException("x"), "NotSupportedService", 404},
		{iam, iamapi.CredentialReportExpiredException("x"), "ReportExpired", 410},
		{iam, iamapi.OrganizationNotFoundException("x"), "OrganizationNotFoundException", 400},
		{iam, iam.Internal(errors.New("cause")), "ServiceFailure", 500},
		{sts, stsapi.ExpiredTokenException("x"), "ExpiredTokenException", 400},
		{sts, stsapi.IDPRejectedClaimException("x"), "IDPRejectedClaim", 403},
		{cloudWatch, fault.New(fault.NotFound, "ResourceNotFoundException", "x"), "ResourceNotFound", 404},
		{cloudWatch, api.ValidationException("x"), "Own", 418},

		// Codes that services have beside their model.
		{sts, fault.New(fault.Denied, "AccessDenied", "x"), "AccessDenied", 403},
		{sts, fault.New(fault.Invalid, "InvalidParameterValue", "x"), "InvalidParameterValue", 400},
		{iam, fault.New(fault.Unavailable, "SomethingException", "x"), "SomethingException", 503},
		{iam, fault.New(fault.Internal, "SomethingException", "x"), "SomethingException", 500},
	} {
		if code, status := awsquery.Code(tt.svc, tt.in), awsquery.Status(tt.svc, tt.in); code != tt.code || status != tt.status {
			t.Errorf("%s of %v: %s, %d; want %s, %d", tt.in.Code, tt.svc, code, status, tt.code, tt.status)
		}
	}
}

func mustFail(form string) *fault.Error {
	_, err := awsquery.ParseForm([]byte(form))
	fe, ok := fault.As(err)
	if !ok {
		panic("no error for " + form)
	}
	return fe
}

func TestAppendError(t *testing.T) {
	for _, tt := range []struct {
		svc  *api.Service
		in   *fault.Error
		want string
	}{
		{iamapi.Service, iamapi.NoSuchEntityException("The user with name bob cannot be found."),
			`<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error><Type>Sender</Type><Code>NoSuchEntity</Code>` +
				`<Message>The user with name bob cannot be found.</Message></Error><RequestId>id</RequestId></ErrorResponse>`},
		{stsapi.Service, api.ValidationException("Value '<&>\x00' at 'x'"),
			`<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>ValidationError</Code>` +
				`<Message>Value '&lt;&amp;&gt;` + "\uFFFD" + `' at 'x'</Message></Error><RequestId>id</RequestId></ErrorResponse>`},
		{iamapi.Service, iamapi.Service.Internal(errors.New("the cause stays here")),
			`<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error><Type>Receiver</Type><Code>ServiceFailure</Code>` +
				`<Message>An error occurred on the server side.</Message></Error><RequestId>id</RequestId></ErrorResponse>`},
		{iamapi.Service, iamapi.InvalidInputException(""),
			`<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error><Type>Sender</Type><Code>InvalidInput</Code></Error>` +
				`<RequestId>id</RequestId></ErrorResponse>`},
		{nil, api.ServiceUnavailableException("busy"),
			`<ErrorResponse xmlns="http://webservices.amazon.com/AWSFault/2005-15-09"><Error><Type>Receiver</Type><Code>ServiceUnavailable</Code>` +
				`<Message>busy</Message></Error><RequestId>id</RequestId></ErrorResponse>`},
	} {
		if got := string(awsquery.AppendError([]byte("before"), tt.svc, tt.in, "id")); got != "before"+tt.want {
			t.Errorf("got  %s\nwant before%s", got, tt.want)
		}
	}
}

func TestError(t *testing.T) {
	for _, tc := range []struct {
		in     *fault.Error
		code   string
		status int
	}{
		{fault.New(fault.Unsupported, "UnknownOperationException", "no <sts> here"), "InvalidAction", 400},
		{fault.New(fault.Denied, "InvalidSignatureException", ""), "SignatureDoesNotMatch", 403},
		{fault.New(fault.Denied, "MissingAuthenticationTokenException", ""), "MissingAuthenticationToken", 403},
		{fault.New(fault.Internal, "InternalFailure", ""), "InternalFailure", 500},
		{fault.New(fault.Unavailable, "ServiceUnavailableException", ""), "ServiceUnavailable", 503},
	} {
		body, status := awsquery.Error(tc.in, "id")
		var got struct {
			Code      string `xml:"Error>Code"`
			Message   string `xml:"Error>Message"`
			RequestID string `xml:"RequestId"`
		}
		if err := xml.Unmarshal(body, &got); err != nil {
			t.Fatal(err)
		}
		if got.Code != tc.code || status != tc.status || got.Message != tc.in.Message || got.RequestID != "id" {
			t.Errorf("%s: %+v, status %d", tc.in.Code, got, status)
		}
	}
	if body, _ := awsquery.Error(fault.New(fault.Invalid, "X", "a<b&c"), "id"); strings.Contains(string(body), "a<b&c") {
		t.Error("text is not escaped")
	}
}

package awsquery_test

import (
	"encoding/xml"
	"strings"
	"testing"

	"coffer/internal/fault"
	"coffer/internal/wire/awsquery"
)

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

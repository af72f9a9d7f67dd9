// Package awsquery is the codec of the Query protocol (IAM, STS, CloudFormation).
// So far it encodes errors: Coffer serves no service that speaks Query, and a
// client that asks for one must be able to read the answer.
package awsquery

import (
	"encoding/xml"
	"strings"

	"coffer/internal/fault"
)

// ContentType is what Query answers carry.
const ContentType = "text/xml"

// errorResponse is the body of an error in Query services ("Common errors" in
// the IAM and STS API references).
type errorResponse struct {
	XMLName   xml.Name `xml:"ErrorResponse"`
	Type      string   `xml:"Error>Type"`
	Code      string   `xml:"Error>Code"`
	Message   string   `xml:"Error>Message"`
	RequestID string   `xml:"RequestId"`
}

// codes are the framework errors whose Query code is not the JSON one without
// its suffix.
var codes = map[string]string{
	"UnknownOperationException":   "InvalidAction",
	"UnrecognizedClientException": "InvalidClientTokenId",
	"InvalidSignatureException":   "SignatureDoesNotMatch",
	"ThrottlingException":         "Throttling",
	"ValidationException":         "ValidationError",
}

// Error returns the body and the HTTP status of e.
func Error(e *fault.Error, requestID string) (body []byte, status int) {
	code, ok := codes[e.Code]
	if !ok {
		code = strings.TrimSuffix(e.Code, "Exception")
	}
	r := errorResponse{Type: "Sender", Code: code, Message: e.Message, RequestID: requestID}
	switch e.Kind {
	case fault.Internal:
		r.Type, status = "Receiver", 500
	case fault.Unavailable:
		r.Type, status = "Receiver", 503
	case fault.Denied:
		status = 403
	default:
		status = 400
	}
	body, err := xml.Marshal(r)
	if err != nil { // cannot be: strings only
		return nil, 500
	}
	return append([]byte(xml.Header), body...), status
}

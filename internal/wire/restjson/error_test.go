package restjson_test

import (
	"errors"
	"net/http"
	"testing"

	"coffer/internal/api"
	lambdaapi "coffer/internal/api/lambda"
	"coffer/internal/fault"
	"coffer/internal/sigv4"
	"coffer/internal/wire/restjson"
)

// credentials is an error of the signature check, as the gateway passes it on.
func credentials(r sigv4.Reason) *fault.Error {
	return fault.New(fault.Denied, r.Code(false), "text").Because(&sigv4.Error{Reason: r, Message: "text"})
}

func TestAppendError(t *testing.T) {
	svc := lambdaapi.Service
	// other has an error of the framework's name.
	other := api.NewService(api.Service{Errors: []*api.ErrorShape{
		{Code: "ExpiredTokenException", Kind: fault.Denied, Status: 400, MessageKey: "message", Shape: &api.Shape{}},
	}})
	for name, tt := range map[string]struct {
		svc  *api.Service
		in   *fault.Error
		code string
		want string
	}{
		"not found":           {svc, lambdaapi.ResourceNotFoundException("gone"), "ResourceNotFoundException", `404 {"Type":"User","Message":"gone"}`},
		"bad value":           {svc, lambdaapi.InvalidParameterValueException("bad"), "InvalidParameterValueException", `400 {"Type":"User","message":"bad"}`},
		"conflict":            {svc, lambdaapi.ResourceConflictException("is there"), "ResourceConflictException", `409 {"Type":"User","message":"is there"}`},
		"too many":            {svc, lambdaapi.TooManyRequestsException("Rate exceeded"), "TooManyRequestsException", `429 {"Type":"User","message":"Rate exceeded"}`},
		"a further member":    {svc, lambdaapi.TooManyRequestsException("Rate Exceeded.").With("Reason", "ConcurrentInvocationLimitExceeded").With("Type", "no").With("No", "x"), "TooManyRequestsException", `429 {"Type":"User","message":"Rate Exceeded.","Reason":"ConcurrentInvocationLimitExceeded"}`},
		"a fault of ours":     {svc, svc.Internal(errors.New("cause")), "ServiceException", `500 {"Type":"Server","Message":"An error occurred on the server side."}`},
		"no text":             {svc, lambdaapi.KMSDisabledException(""), "KMSDisabledException", `502 {"Type":"Server"}`},
		"denied":              {svc, api.AccessDeniedException("no"), "AccessDeniedException", `403 {"Message":"no"}`},
		"constraints":         {svc, api.ValidationException("1 validation error"), "ValidationException", `400 {"message":"1 validation error"}`},
		"not JSON":            {svc, api.SerializationException("x"), "SerializationException", `400 {"message":"x"}`},
		"no operation":        {svc, api.UnknownOperationException(""), "UnknownOperationException", `404 {}`},
		"not served":          {svc, fault.New(fault.Unsupported, "UnknownOperationException", "x"), "UnknownOperationException", `400 {"message":"x"}`},
		"throttled":           {svc, api.ThrottlingException(), "ThrottlingException", `429 {"message":"Rate exceeded"}`},
		"too large":           {svc, api.RequestEntityTooLargeException(), "RequestEntityTooLargeException", `413 {"message":"The request body is too large."}`},
		"overload":            {svc, api.ServiceUnavailableException("x"), "ServiceUnavailableException", `503 {"message":"x"}`},
		"no credentials":      {svc, credentials(sigv4.Missing), "MissingAuthenticationTokenException", `403 {"message":"Missing Authentication Token"}`},
		"half credentials":    {svc, credentials(sigv4.Malformed), "IncompleteSignatureException", `403 {"message":"text"}`},
		"unknown key":         {svc, credentials(sigv4.UnknownKey), "UnrecognizedClientException", `403 {"message":"text"}`},
		"wrong signature":     {svc, credentials(sigv4.BadSignature), "InvalidSignatureException", `403 {"message":"text"}`},
		"expired credentials": {other, credentials(sigv4.ExpiredToken), "ExpiredTokenException", `403 {"message":"text"}`},
		"an expired input":    {other, fault.New(fault.Denied, "ExpiredTokenException", "x"), "ExpiredTokenException", `400 {"message":"x"}`},
		"no service":          {nil, api.UnknownOperationException("x"), "UnknownOperationException", `404 {"message":"x"}`},
		"no service, ours":    {nil, api.InternalFailure(errors.New("cause")), "InternalFailure", `500 {"message":"The request processing has failed because of an unknown error, exception or failure."}`},
	} {
		t.Run(name, func(t *testing.T) {
			h := http.Header{}
			body, status := restjson.AppendError(nil, h, tt.svc, tt.in)
			if got := http.StatusText(status); got == "" {
				t.Errorf("status %d", status)
			}
			if got := answer(nil, body, status); got != tt.want[:3]+"\n\n"+tt.want[4:] {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
			if h.Get("X-Amzn-ErrorType") != tt.code || h.Get("Content-Type") != "application/json" {
				t.Errorf("headers %v", h)
			}
		})
	}
}

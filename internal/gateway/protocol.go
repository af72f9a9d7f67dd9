package gateway

import (
	"net/http"
	"slices"

	"coffer/internal/api"
	"coffer/internal/fault"
	"coffer/internal/wire/awsjson"
	"coffer/internal/wire/awsquery"
	"coffer/internal/wire/restjson"
)

// protocol is how a request speaks, and so how it is answered.
type protocol uint8

const (
	jsonProtocol protocol = iota
	queryProtocol
	restProtocol
)

// protocolOf is the one that we speak of those a service has.
func protocolOf(s *api.Service) protocol {
	switch {
	case slices.Contains(s.Protocols, "query"):
		return queryProtocol
	case slices.Contains(s.Protocols, "rest-json"):
		return restProtocol
	}
	return jsonProtocol
}

// encode appends the answer of the call's operation, and sets the headers that
// belong to it.
func (c *call) encode(dst []byte, h http.Header, out api.Struct) (body []byte, status int) {
	switch c.protocol {
	case queryProtocol:
		h["Content-Type"] = queryContentType
		return awsquery.Append(dst, c.route.op, out, c.req.ID), http.StatusOK
	case restProtocol:
		return restjson.Append(dst, h, c.route.op, out)
	}
	h["Content-Type"] = jsonContentType
	return awsjson.Append(dst, out), http.StatusOK
}

// encodeError is encode for an error.
func (c *call) encodeError(h http.Header, fe *fault.Error) (body []byte, status int) {
	if c.service == nil && c.scope == "s3" {
		// Not served, but its clients show the text that says so only in their own form.
		h["Content-Type"] = xmlContentType
		return awsquery.AppendS3Error(nil, fe, c.req.ID), awsjson.Status(nil, fe)
	}
	switch c.protocol {
	case queryProtocol:
		h["Content-Type"] = queryContentType
		return awsquery.AppendError(nil, c.service, fe, c.req.ID), awsquery.Status(c.service, fe)
	case restProtocol:
		return restjson.AppendError(nil, h, c.service, fe)
	}
	h["Content-Type"] = jsonContentType
	return awsjson.AppendError(nil, c.service, fe), awsjson.Status(c.service, fe)
}

// Assigned, not Set: the names are canonical already.
var (
	jsonContentType  = []string{"application/x-amz-json-1.1"}
	queryContentType = []string{awsquery.ContentType}
	xmlContentType   = []string{"application/xml"}
)

// decode fills the operation's input from the request.
func (c *call) decode(r *http.Request, body []byte) (err error) {
	c.in = c.route.op.NewInput()
	switch c.protocol {
	case queryProtocol:
		err = awsquery.Decode(c.form, c.in)
	case restProtocol:
		err = restjson.Decode(r, &c.labels, body, c.in)
	default:
		err = awsjson.Decode(body, c.in)
	}
	if err != nil {
		c.in = nil
		return err
	}
	c.req.Input = c.in
	return nil
}

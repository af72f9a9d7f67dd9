package restjson

import (
	"net/http"

	"coffer/internal/api"
	"coffer/internal/wire/awsjson"
	"coffer/internal/wire/text"
)

var contentType = []string{"application/json"}

// Append appends the body of op's answer to dst, sets the headers that belong to
// it, and returns the HTTP status. An output without members in the body has an
// empty one.
func Append(dst []byte, h http.Header, op *api.Operation, out api.Struct) (body []byte, status int) {
	status = http.StatusOK
	if op.Status != 0 {
		status = op.Status
	}
	h["Content-Type"] = contentType
	sh := out.Shape()
	inBody := false
	for i := range sh.Members {
		m := &sh.Members[i]
		f := out.Field(i)
		switch {
		case m.Location == "":
			inBody = true
		case api.Absent(f):
		case m.Location == "statusCode":
			status = int(**f.(**int64))
		case m.Location == "header":
			setHeader(h, wireName(m), string(text.Append(nil, m.Shape, f, "rfc822")))
		case m.Location == "headers":
			for k, value := range *f.(*map[string]string) {
				setHeader(h, wireName(m)+k, value)
			}
		}
	}
	switch {
	case !inBody:
		return dst, status
	case sh.Payload == "":
		return awsjson.Append(dst, out), status
	}
	return appendPayload(dst, out), status
}

// setHeader sends no empty headers, as SDKs send none.
func setHeader(h http.Header, name, value string) {
	if value != "" {
		h.Set(name, value)
	}
}

// appendPayload appends the one member that the body is.
func appendPayload(dst []byte, out api.Struct) []byte {
	sh := out.Shape()
	for i := range sh.Members {
		f := out.Field(i)
		if sh.Members[i].Name != sh.Payload || api.Absent(f) {
			continue
		}
		switch p := f.(type) {
		case api.StructField:
			return awsjson.Append(dst, p.Get())
		case *[]byte:
			return append(dst, *p...)
		case *api.Sensitive:
			return append(dst, *p...)
		case **string:
			return append(dst, **p...)
		}
	}
	return dst
}

package restjson

import (
	"errors"
	"net/http"

	"coffer/internal/api"
	"coffer/internal/fault"
	"coffer/internal/sigv4"
)

// AppendError appends the body of an error to dst, sets its headers, and returns
// its HTTP status. svc is nil when the request named no service. An empty text is
// left out. The cause of e is not sent.
func AppendError(dst []byte, h http.Header, svc *api.Service, e *fault.Error) (body []byte, statusCode int) {
	modelled := own(svc, e)
	statusCode = status(svc, modelled, e)
	h["Content-Type"] = contentType
	h["X-Amzn-Errortype"] = []string{e.Code}
	text := message(e)
	dst = append(dst, '{')
	if modelled != nil && has(modelled.Shape, "Type") {
		party := "User"
		if modelled.Server {
			party = "Server"
		}
		dst = append(dst, `"Type":`...)
		dst = api.AppendJSONString(dst, party)
		if text != "" {
			dst = append(dst, ',')
		}
	}
	if text != "" {
		dst = api.AppendJSONString(dst, messageKey(modelled, e))
		dst = append(dst, ':')
		dst = api.AppendJSONString(dst, text)
	}
	if modelled != nil {
		dst = appendMembers(dst, h, modelled.Shape, e)
	}
	return append(dst, '}'), statusCode
}

// appendMembers appends the further members that e has, all of them texts, and sets
// those that are headers.
func appendMembers(dst []byte, h http.Header, sh *api.Shape, e *fault.Error) []byte {
	for i := range sh.Members {
		m := &sh.Members[i]
		value, ok := e.Members[m.Name]
		switch {
		case !ok || m.Shape.Kind != api.String || m.Name == "Type":
		case m.Location == "header":
			setHeader(h, wireName(m), value)
		case m.Location == "":
			if dst[len(dst)-1] != '{' {
				dst = append(dst, ',')
			}
			dst = api.AppendJSONString(dst, m.Name)
			dst = append(dst, ':')
			dst = api.AppendJSONString(dst, value)
		}
	}
	return dst
}

// credentials returns why a request was not authenticated, if that is what e is
// about. A service may have an error of its own under the same code.
func credentials(e *fault.Error) (*sigv4.Error, bool) { return errors.AsType[*sigv4.Error](e.Err) }

// own returns the service's error of this code; nil: e is the framework's.
func own(svc *api.Service, e *fault.Error) *api.ErrorShape {
	if _, ok := credentials(e); ok || svc == nil {
		return nil
	}
	return svc.Error(e.Code)
}

// status: AWS's REST front ends answer 403 where its JSON services answer 400,
// and have the statuses of HTTP for what those have none for.
func status(svc *api.Service, modelled *api.ErrorShape, e *fault.Error) int {
	_, unauthenticated := credentials(e)
	switch {
	case modelled != nil:
		return modelled.Status
	case unauthenticated || e.Kind == fault.Denied:
		return http.StatusForbidden
	case e.Kind == fault.Throttled:
		return http.StatusTooManyRequests
	case e.Code == "UnknownOperationException" && e.Kind == fault.Invalid:
		// An operation that is not served is another matter: to a client, 404 may
		// mean that what it asks for is gone.
		return http.StatusNotFound
	}
	return svc.Status(e)
}

func message(e *fault.Error) string {
	if s, ok := credentials(e); ok && s.Reason == sigv4.Missing {
		return "Missing Authentication Token" // the words of REST front ends
	}
	return e.Message
}

// messageKey: the modelled errors have their own keys. Of the framework's, the
// denial by a policy is written as recorded of Lambda.
func messageKey(modelled *api.ErrorShape, e *fault.Error) string {
	switch {
	case modelled != nil:
		return modelled.MessageKey
	case e.Code == "AccessDeniedException":
		return "Message"
	}
	return "message"
}

func has(sh *api.Shape, member string) bool {
	for i := range sh.Members {
		if sh.Members[i].Name == member {
			return true
		}
	}
	return false
}

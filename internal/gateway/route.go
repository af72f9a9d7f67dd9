package gateway

import (
	"mime"
	"net/http"
	"strings"

	"coffer/internal/api"
	"coffer/internal/wire/awsquery"
)

// action names an operation of a service that speaks Query.
type action struct {
	service *api.Service
	name    string
}

// queryContent is the content type of the Query protocol.
const queryContent = "application/x-www-form-urlencoded"

// routeHint looks at the target without believing it: errors found before
// the operation is known are still answered in the service's own form.
func (g *Gateway) routeHint(c *call, r *http.Request) {
	target := r.Header["X-Amz-Target"]
	if len(target) != 1 {
		g.routeHintElse(c, r)
		return
	}
	c.route = g.targets[target[0]]
	if c.route != nil {
		c.service = c.route.op.Service
		c.req.Op = c.route.op
		return
	}
	if prefix, _, ok := strings.Cut(target[0], "."); ok {
		c.service = g.prefixes[prefix]
	}
}

// routeHintElse does so for a request without target: the path of REST-JSON names its
// operation, and what is at the root speaks Query.
func (g *Gateway) routeHintElse(c *call, r *http.Request) {
	if r.URL.Path == "/" {
		if isContent(r.Header.Get("Content-Type"), queryContent) || r.Method == http.MethodGet && r.URL.RawQuery != "" {
			c.protocol = queryProtocol
		}
		return
	}
	op, labels, ok := g.paths.Match(r)
	if !ok {
		return
	}
	c.protocol, c.labels = restProtocol, labels
	c.route, c.service, c.req.Op = g.bound[op], op.Service, op
}

// route finds the operation of an identified request, or of one that has no
// signature to be identified by.
func (g *Gateway) route(c *call, r *http.Request, body []byte) error {
	switch c.protocol {
	case queryProtocol:
		return g.routeQuery(c, r, body)
	case restProtocol:
		return c.routeREST()
	}
	if c.service == nil && validService(c.scope) {
		return g.notServed(c.scope)
	}
	if r.Method != http.MethodPost || r.URL.Path != "/" {
		return api.UnknownOperationException("")
	}
	if !isContent(r.Header.Get("Content-Type"), "application/x-amz-json-1.1") {
		return api.UnknownOperationException("")
	}
	if c.route == nil {
		return api.UnknownOperationException("")
	}
	return c.served()
}

// routeREST takes the operation that the path named, if the request is signed for its
// service.
func (c *call) routeREST() error {
	if c.route == nil {
		return api.UnknownOperationException("")
	}
	return c.served()
}

// notServed is the answer to a request for a service that is not here.
func (g *Gateway) notServed(scope string) error {
	names := make([]string, len(g.cfg.Services))
	for i, s := range g.cfg.Services {
		names[i] = s.SigningName
	}
	last := len(names) - 1
	return api.UnknownOperationException("Coffer does not serve " + scope + "; it serves " + strings.Join(names[:last], ", ") + " and " + names[last] + ".")
}

func (c *call) served() error {
	if c.route.bound == nil {
		return api.NotServed(c.route.op)
	}
	return nil
}

// routeQuery reads the form, which names the operation.
func (g *Gateway) routeQuery(c *call, r *http.Request, body []byte) (err error) {
	if c.unsigned == nil && (c.service == nil || protocolOf(c.service) != queryProtocol) {
		if c.service == nil && validService(c.scope) {
			return g.notServed(c.scope)
		}
		return api.UnknownOperationException("")
	}
	switch {
	case r.URL.Path != "/":
		return c.orUnsigned(api.UnknownOperationException(""))
	case r.Method == http.MethodPost:
		c.form, err = awsquery.ParseForm(body)
	case r.Method == http.MethodGet:
		c.form, err = awsquery.ParseForm([]byte(r.URL.RawQuery))
	default:
		err = api.UnknownOperationException("")
	}
	if err != nil {
		return c.orUnsigned(err)
	}
	name, version := c.form.Get("Action"), c.form.Get("Version")
	for _, s := range g.cfg.Services {
		if c.unsigned == nil && s != c.service || version != s.APIVersion {
			continue
		}
		rt := g.actions[action{s, name}]
		if rt == nil || c.unsigned != nil && !rt.op.Anonymous {
			continue
		}
		c.route, c.service, c.req.Op = rt, s, rt.op
		if c.unsigned != nil {
			c.req.Region = g.cfg.Region
		}
		return c.served()
	}
	return c.orUnsigned(api.UnknownOperationException("Could not find operation " + shorten(name) + " for version " + shorten(version)))
}

// orUnsigned is what is wrong with a request, unless it is that it has no
// signature and needs one.
func (c *call) orUnsigned(err error) error {
	if c.unsigned != nil {
		return c.unsigned
	}
	return err
}

// validService reports whether s can be the name of a service, and so be said in
// an answer.
func validService(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// isContent reports whether a Content-Type is this one, with or without parameters.
func isContent(ct, want string) bool {
	if ct == want {
		return true
	}
	ct, _, err := mime.ParseMediaType(ct)
	return err == nil && ct == want
}

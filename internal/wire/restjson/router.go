package restjson

import (
	"cmp"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"coffer/internal/api"
	"coffer/internal/sigv4"
)

// Router finds operations by method, path and query. It is immutable and safe
// for concurrent use.
type Router struct{ root node }

// node is what templates have in common up to a segment. Of several ways on, the
// literal one is tried first, then a label, then a greedy label.
type node struct {
	literals map[string]*node
	label    *node   // {any one segment}
	greedy   *node   // {one or more segments+}
	routes   []route // of the templates that end here, those that ask most of the query first
}

type route struct {
	op     *api.Operation
	query  []parameter // that must be there
	labels []string
}

type parameter struct{ name, value string }

// maxLabels is how many labels a template may have. Lambda's have up to three.
const maxLabels = 4

// Labels are the values that a path has for the labels of its template.
type Labels struct {
	names  []string
	values [maxLabels]string // as sent: still percent-encoded
}

// NewRouter makes the router of all operations of the services. It fails if two
// of them answer the same requests, or if this package cannot carry one.
func NewRouter(services ...*api.Service) (*Router, error) {
	rt := new(Router)
	for _, s := range services {
		for _, op := range s.Operations {
			if err := rt.add(op); err != nil {
				return nil, fmt.Errorf("restjson: %s: %w", op.Action(), err)
			}
		}
	}
	return rt, nil
}

func (rt *Router) add(op *api.Operation) error {
	template, query, _ := strings.Cut(op.URI, "?")
	r := route{op: op}
	for name, value := range parameters(query) {
		if strings.ContainsAny(name+value, "%+") {
			return fmt.Errorf("%s has an escape in its query", op.URI)
		}
		r.query = append(r.query, parameter{name, value})
	}
	n := &rt.root
	for seg := range strings.SplitSeq(strings.Trim(template, "/"), "/") {
		if label, ok := strings.CutPrefix(seg, "{"); ok {
			label, ok = strings.CutSuffix(label, "}")
			name, greedy := strings.CutSuffix(label, "+")
			if !ok || name == "" {
				return fmt.Errorf("%s is no label", seg)
			}
			r.labels = append(r.labels, name)
			n = n.labelled(greedy)
		} else if seg != "" {
			n = n.literal(seg)
		}
	}
	if err := bound(op, r.labels); err != nil {
		return err
	}
	for _, other := range n.routes {
		if other.op.Method == op.Method && slices.Equal(other.query, r.query) {
			return fmt.Errorf("it answers the same requests as %s", other.op.Action())
		}
	}
	n.routes = append(n.routes, r)
	slices.SortStableFunc(n.routes, func(a, b route) int { return cmp.Compare(len(b.query), len(a.query)) })
	return nil
}

func (n *node) literal(seg string) *node {
	if n.literals == nil {
		n.literals = make(map[string]*node)
	}
	if n.literals[seg] == nil {
		n.literals[seg] = new(node)
	}
	return n.literals[seg]
}

func (n *node) labelled(greedy bool) *node {
	next := &n.label
	if greedy {
		next = &n.greedy
	}
	if *next == nil {
		*next = new(node)
	}
	return *next
}

// Match finds the operation of a request, served or not, by the path and query
// that its signature is about. Literals are compared with the path as sent: none
// needs an escape. A slash at the end does not count, since models had one once.
func (rt *Router) Match(r *http.Request) (op *api.Operation, labels Labels, ok bool) {
	path, query := sigv4.Target(r)
	s := search{method: r.Method, query: query}
	found := rt.root.find(strings.TrimPrefix(path, "/"), 0, &s)
	if found == nil {
		return nil, Labels{}, false
	}
	return found.op, Labels{found.labels, s.values}, true
}

type search struct {
	method, query string
	values        [maxLabels]string
}

// find takes the rest of the path, and how many labels stood before it.
func (n *node) find(rest string, labels int, s *search) *route {
	if rest == "" {
		return n.end(s)
	}
	seg, tail, _ := strings.Cut(rest, "/")
	if next := n.literals[seg]; next != nil {
		if r := next.find(tail, labels, s); r != nil {
			return r
		}
	}
	if n.label != nil {
		s.values[labels] = seg
		if r := n.label.find(tail, labels+1, s); r != nil {
			return r
		}
	}
	if n.greedy == nil {
		return nil
	}
	// The shortest first, for what may follow: with nothing behind it, a greedy
	// label matches only as a whole.
	for end := len(seg); ; {
		s.values[labels] = rest[:end]
		tail := strings.TrimPrefix(rest[end:], "/")
		if r := n.greedy.find(tail, labels+1, s); r != nil || tail == "" {
			return r
		}
		seg, _, _ = strings.Cut(tail, "/")
		end += 1 + len(seg)
	}
}

func (n *node) end(s *search) *route {
	for i := range n.routes {
		if r := &n.routes[i]; r.op.Method == s.method && r.asked(s.query) {
			return r
		}
	}
	return nil
}

// asked reports whether the query has all that the template wants.
func (r *route) asked(query string) bool {
	for _, want := range r.query {
		if !hasParameter(query, want) {
			return false
		}
	}
	return true
}

func hasParameter(query string, want parameter) bool {
	for rawName, rawValue := range parameters(query) {
		name, err := url.QueryUnescape(rawName)
		if err != nil || name != want.name {
			continue
		}
		if value, err := url.QueryUnescape(rawValue); err == nil && value == want.value {
			return true
		}
	}
	return false
}

// parameters gives the names and values of a query as they stand in it.
func parameters(query string) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for query != "" {
			var p string
			p, query, _ = strings.Cut(query, "&")
			if p == "" {
				continue
			}
			if name, value, _ := strings.Cut(p, "="); !yield(name, value) {
				return
			}
		}
	}
}

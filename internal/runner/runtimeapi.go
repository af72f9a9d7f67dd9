package runner

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/netutil"

	"coffer/internal/lambda"
)

const (
	maxResponse = 6_291_556 // bytes, 6 MiB and AWS's margin
	maxDrained  = 64 << 20  // of a larger one that are read and thrown away
	maxConns    = 64        // of one process to its API
	apiVersion  = "/2018-06-01"
)

// runtimeAPI is the Runtime API of one process. Its states: initializing until the first
// request for an event; then waiting for one, or running it until it is answered.
type runtimeAPI struct {
	arn     string
	address string
	mine    func(remote, local string) bool // both ends of a connection, seen from there
	server  *http.Server
	inner   net.Listener
	logger  *slog.Logger

	strangers prometheus.Counter

	initialized chan struct{} // closed by the first request for an event, or an init error
	ready       chan struct{} // holds one when the process asks for an event
	next        chan *invocation

	mu       sync.Mutex
	begun    bool // initialized is closed
	initBody []byte
	initKind string
	waiting  bool
	current  *invocation
}

// invocation is one event under way.
type invocation struct {
	event    lambda.Event
	deadline time.Time
	trace    string
	claimed  bool // an answer is being read; guarded by runtimeAPI.mu

	answered chan struct{} // closed when the rest is set
	payload  []byte
	failed   bool
	kind     string // of the error
}

func newRuntimeAPI(arn string, mine func(remote, local string) bool, logger *slog.Logger, strangers prometheus.Counter) (*runtimeAPI, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("runner: %w", err)
	}
	a := &runtimeAPI{
		arn: arn, address: l.Addr().String(), mine: mine, inner: l, logger: logger, strangers: strangers,
		initialized: make(chan struct{}), ready: make(chan struct{}, 1), next: make(chan *invocation, 1),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+apiVersion+"/runtime/invocation/next", a.handleNext)
	mux.HandleFunc("POST "+apiVersion+"/runtime/invocation/{id}/response", a.handleResponse)
	mux.HandleFunc("POST "+apiVersion+"/runtime/invocation/{id}/error", a.handleError)
	mux.HandleFunc("POST "+apiVersion+"/runtime/init/error", a.handleInitError)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusNotFound, "NotFound", "There is no such call in version 2018-06-01 of the Runtime API")
	})
	a.server = &http.Server{
		Handler: mux, ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug), // a function must not fill ours
	}
	return a, nil
}

// serve begins to take connections. The process exists.
func (a *runtimeAPI) serve() {
	go func() { _ = a.server.Serve(netutil.LimitListener(private{a.inner, a}, maxConns)) }() // until close
}

func (a *runtimeAPI) close() {
	a.server.Close()
	a.inner.Close() // it may not have been served
}

// private lets connections of the process itself through and closes others: any local
// user can connect to a loopback port, and so can another function.
type private struct {
	net.Listener
	api *runtimeAPI
}

func (p private) Accept() (net.Conn, error) {
	for {
		c, err := p.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if p.api.mine(c.RemoteAddr().String(), c.LocalAddr().String()) {
			return c, nil
		}
		c.Close()
		p.api.strangers.Inc()
		p.api.logger.Debug("a connection to a function's Runtime API came from elsewhere", "function", p.api.arn)
	}
}

// give puts an event before the process, which has asked for one or will.
func (a *runtimeAPI) give(event lambda.Event, deadline time.Time) *invocation {
	select {
	case <-a.ready:
	default:
	}
	inv := &invocation{event: event, deadline: deadline, trace: traceID(), answered: make(chan struct{})}
	a.next <- inv
	return inv
}

// traceID is a trace header of X-Ray that says that nothing is sampled.
func traceID() string {
	b := make([]byte, 20)
	rand.Read(b)
	return fmt.Sprintf("Root=1-%08x-%x;Parent=%x;Sampled=0", time.Now().Unix(), b[:12], b[12:])
}

// refuse writes an error as the Runtime API does.
func refuse(w http.ResponseWriter, status int, kind, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write((&failure{kind, message}).payload())
}

// accept writes the answer to an answer.
func accept(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	_, _ = io.WriteString(w, `{"status":"OK"}`+"\n")
}

func (a *runtimeAPI) handleNext(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	if a.current != nil || a.waiting || a.initBody != nil {
		a.mu.Unlock()
		refuse(w, http.StatusForbidden, "InvalidStateTransition", "The event before was not answered yet, or another request for the next one is waiting")
		return
	}
	a.waiting = true
	// Before begin: give takes this token for the first event. Were it late, it would pass for
	// the request for the next one, and that would go to a process which may be leaving.
	select {
	case a.ready <- struct{}{}:
	default:
	}
	a.begin()
	a.mu.Unlock()
	select {
	case <-r.Context().Done():
		a.mu.Lock()
		a.waiting = false
		a.mu.Unlock()
	case inv := <-a.next:
		a.mu.Lock()
		a.waiting, a.current = false, inv
		a.mu.Unlock()
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Content-Length", strconv.Itoa(len(inv.event.Payload)))
		h.Set("Lambda-Runtime-Aws-Request-Id", inv.event.RequestID)
		h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(inv.deadline.UnixMilli(), 10))
		h.Set("Lambda-Runtime-Invoked-Function-Arn", inv.event.InvokedARN)
		h.Set("Lambda-Runtime-Trace-Id", inv.trace)
		if inv.event.ClientContext != "" {
			h.Set("Lambda-Runtime-Client-Context", oneLine(inv.event.ClientContext))
		}
		_, _ = w.Write(inv.event.Payload) // a client that is gone exits, or times out
	}
}

// oneLine makes JSON fit for a header. Line breaks in JSON are white space.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\r' {
			return ' '
		}
		return r
	}, s)
}

// begin ends the initialization. a.mu is held.
func (a *runtimeAPI) begin() {
	if !a.begun {
		a.begun = true
		close(a.initialized)
	}
}

// claim finds the event that an answer is for. Only one answer may be read at a time,
// and only for the event under way: what a process cannot claim costs no memory.
func (a *runtimeAPI) claim(w http.ResponseWriter, r *http.Request) *invocation {
	a.mu.Lock()
	defer a.mu.Unlock()
	inv := a.current
	if inv == nil || inv.event.RequestID != r.PathValue("id") || inv.claimed {
		refuse(w, http.StatusBadRequest, "InvalidRequestID", "Invalid request ID")
		return nil
	}
	inv.claimed = true
	return inv
}

var errResponseSize = &failure{"Function.ResponseSizeTooLarge", fmt.Sprintf("Response payload size exceeded maximum allowed payload size (%d bytes).", maxResponse)}

// body reads an answer. A false means that it did not come whole, and that another may.
func (a *runtimeAPI) body(w http.ResponseWriter, r *http.Request, inv *invocation) (body []byte, ok bool) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxResponse+1))
	if err == nil {
		return body, true
	}
	a.mu.Lock()
	inv.claimed = false
	a.mu.Unlock()
	refuse(w, http.StatusBadRequest, "Runtime.TruncatedResponse", "The body did not arrive whole")
	return nil, false
}

// finish answers the event.
func (a *runtimeAPI) finish(inv *invocation, payload []byte, failed bool, kind string) {
	inv.payload, inv.failed, inv.kind = payload, failed, kind
	a.mu.Lock()
	a.current = nil
	a.mu.Unlock()
	close(inv.answered)
}

func (a *runtimeAPI) fail(inv *invocation, f *failure) { a.finish(inv, f.payload(), true, f.Type) }

// tooLarge answers an event whose answer is. What is left of it is read, so that the
// client gets to see the refusal.
func (a *runtimeAPI) tooLarge(w http.ResponseWriter, r *http.Request, inv *invocation) {
	a.fail(inv, errResponseSize)
	_, _ = io.CopyN(io.Discard, r.Body, maxDrained)
	refuse(w, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", fmt.Sprintf("Exceeded maximum allowed payload size (%d bytes).", maxResponse))
}

func (a *runtimeAPI) handleResponse(w http.ResponseWriter, r *http.Request) {
	inv := a.claim(w, r)
	if inv == nil {
		return
	}
	if mode := r.Header.Get("Lambda-Runtime-Function-Response-Mode"); mode != "" {
		f := &failure{"Runtime.InvalidResponseModeHeader", "Response streaming is not supported: the function asked for it with the header Lambda-Runtime-Function-Response-Mode"}
		a.fail(inv, f)
		refuse(w, http.StatusBadRequest, f.Type, f.Message)
		return
	}
	body, ok := a.body(w, r, inv)
	switch {
	case !ok:
	case len(body) > maxResponse:
		a.tooLarge(w, r, inv)
	default:
		a.finish(inv, body, false, "")
		accept(w)
	}
}

func (a *runtimeAPI) handleError(w http.ResponseWriter, r *http.Request) {
	inv := a.claim(w, r)
	if inv == nil {
		return
	}
	body, ok := a.body(w, r, inv)
	switch {
	case !ok:
	case len(body) > maxResponse:
		a.tooLarge(w, r, inv)
	default:
		body, kind := errorObject(r, body)
		a.finish(inv, body, true, kind)
		accept(w)
	}
}

// errorObject makes sure that an error is a JSON object, and finds its type.
func errorObject(r *http.Request, body []byte) ([]byte, string) {
	kind := r.Header.Get("Lambda-Runtime-Function-Error-Type")
	var o struct {
		Type string `json:"errorType"`
	}
	err := json.Unmarshal(body, &o)
	var wrongType *json.UnmarshalTypeError
	switch {
	case err == nil && o.Type != "" && kind == "":
		kind = o.Type
	case err != nil && !errors.As(err, &wrongType):
		body = (&failure{kind, strings.ToValidUTF8(string(body), "\uFFFD")}).payload()
	}
	return body, strings.ToValidUTF8(oneLine(kind[:min(len(kind), 200)]), "")
}

func (a *runtimeAPI) handleInitError(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.begun {
		refuse(w, http.StatusForbidden, "InvalidStateTransition", "The initialization is over")
		return
	}
	// Under the lock: it is the process's only act, and bounded by the init timeout.
	body, err := io.ReadAll(io.LimitReader(r.Body, maxResponse+1))
	switch {
	case err != nil:
		refuse(w, http.StatusBadRequest, "Runtime.TruncatedResponse", "The body did not arrive whole")
		return
	case len(body) > maxResponse:
		body = errResponseSize.payload()
	}
	a.initBody, a.initKind = errorObject(r, body)
	a.begin()
	accept(w)
}

// initError is the error that initialization ended with, nil if there was none.
func (a *runtimeAPI) initError() (body []byte, kind string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.initBody, a.initKind
}

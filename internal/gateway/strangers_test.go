package gateway_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"coffer/internal/api"
	smapi "coffer/internal/api/secretsmanager"
	"coffer/internal/audit"
	"coffer/internal/gateway"
	"coffer/internal/sigv4"
)

// unread is a body that must not be read.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body of a caller that is unknown was read")
	return 0, io.EOF
}

// Who has no known access key is refused by the head alone, in AWS's words, and
// is told to go when connections are scarce.
func TestStrangersCostNoBody(t *testing.T) {
	g := newGate(t, described, restored)
	for name, tc := range map[string]struct {
		key  string
		code string
	}{
		"no credentials":           {"", "MissingAuthenticationTokenException"},
		"an unknown access key":    {"AKIAAAAAAAAAAAAAAAAA", "UnrecognizedClientException"},
		"an endless access key id": {strings.Repeat("A", 5000), "UnrecognizedClientException"},
	} {
		r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1/", unread{t})
		r.ContentLength = 1 << 20
		r.Header.Set("Content-Type", "application/x-amz-json-1.1")
		r.Header.Set("X-Amz-Target", reads)
		if tc.key != "" {
			by := sigv4.Signer{AccessKeyID: tc.key, SecretAccessKey: "x"}
			if err := sigv4.Sign(r, nil, by, "eu-west-1", "secretsmanager", time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		wantError(t, w, 400, tc.code)
		if (w.Header().Get("Connection") == "close") != g.crowded {
			t.Errorf("%s: crowded %v, Connection %q", name, g.crowded, w.Header().Get("Connection"))
		}
		g.crowded = !g.crowded
	}
}

// A flood of refused strangers is recorded singly up to a rate, and counted
// beyond it: together the records account for every request.
func TestStrangersFlood(t *testing.T) {
	g := newGate(t, described, restored)
	const sent = 1500
	for range sent {
		w := httptest.NewRecorder()
		g.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://127.0.0.1/", nil))
		wantError(t, w, 400, "MissingAuthenticationTokenException")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	g.Run(ctx) // the last count
	singly, counted := 0, 0
	for e, err := range g.log.Read(context.Background(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		rec, err := audit.ParseRecord(e.Record)
		if err != nil {
			t.Fatal(err)
		}
		if rec.EventName == "RefusedRequests" {
			var n int
			for _, c := range strings.TrimPrefix(string(rec.AdditionalEventData), `{"requests":`) {
				if c < '0' || c > '9' {
					break
				}
				n = n*10 + int(c-'0')
			}
			counted += n
		} else {
			singly++
		}
	}
	if singly+counted != sent || singly > 1000 || singly < 500 {
		t.Errorf("%d recorded singly and %d counted, %d sent", singly, counted, sent)
	}
}

// Who has a network of IPv6 addresses is one source.
func TestStrangersAreCountedByNetwork(t *testing.T) {
	var one, two []string
	for i := range 100 {
		one = append(one, fmt.Sprintf("2001:db8:1:1::%x", i))
		two = append(two, fmt.Sprintf("2001:db8:1:%x::1", i%2))
	}
	for name, tc := range map[string]struct {
		sources []string
		want    int
	}{
		"an address":               {[]string{"198.51.100.7"}, 500},
		"two addresses":            {[]string{"198.51.100.7", "198.51.100.8"}, 1000},
		"many in one IPv6 network": {one, 500},
		"two IPv6 networks":        {two, 1000},
	} {
		if got := gateway.Recorded(1500, tc.sources...); got != tc.want {
			t.Errorf("%s: %d recorded singly, want %d", name, got, tc.want)
		}
	}
}

// A wrong signature is recorded under the key and in the trail of the account
// it names, but as nobody.
func TestWrongSignatureIsRecorded(t *testing.T) {
	g := newGate(t, described, restored)
	r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1/", strings.NewReader(onX))
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", reads)
	if err := sigv4.Sign(r, []byte(onX), sigv4.Signer{AccessKeyID: g.key.ID, SecretAccessKey: "wrong"}, "eu-west-1", "secretsmanager", time.Now()); err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	wantError(t, w, 400, "InvalidSignatureException")
	recs := g.records(t, w.Header().Get("x-amzn-RequestId"))
	if len(recs) != 1 || recs[0].UserIdentity.AccessKeyID != g.key.ID || recs[0].UserIdentity.ARN != "" ||
		recs[0].RecipientAccountID != g.key.Account || recs[0].AWSRegion != "eu-west-1" || recs[0].EventName != "DescribeSecret" {
		t.Errorf("records %+v", recs)
	}
}

// What an inner call did in a transaction that failed did not happen: no record says so.
func TestRolledBackCallsLeaveNoSuccess(t *testing.T) {
	var g *gate
	g = newGate(t, described, func(r *api.Request, in *smapi.RestoreSecretInput) (*smapi.RestoreSecretOutput, error) {
		inner := g.operation("DescribeSecret")
		if _, err := r.Caller.Call(r, inner, &smapi.DescribeSecretInput{SecretId: new("inner")}); err != nil {
			return nil, err
		}
		return nil, smapi.InvalidRequestException("no")
	})
	w := g.call(t, writes, onX)
	wantError(t, w, 400, "InvalidRequestException")
	recs := g.records(t, w.Header().Get("x-amzn-RequestId"))
	if len(recs) != 1 || recs[0].EventName != "RestoreSecret" || recs[0].ErrorCode != "InvalidRequestException" {
		t.Errorf("records %+v", recs)
	}
}

package gateway

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"coffer/internal/api"
	"coffer/internal/audit"
)

const (
	// downloadsAtOnce bounds the memory of downloads, about 1 MiB each, and half of them
	// is for one account.
	downloadsAtOnce = 32

	// Downloads may take half a minute and as long as a slow line needs.
	downloadGrace = 30 * time.Second
	downloadRate  = 256 << 10 // bytes a second

	downloadEvent = "DownloadCode"
)

// isDownload reports whether a request is for what an earlier answer gave a URL of.
func (g *Gateway) isDownload(r *http.Request) bool {
	return g.cfg.Downloads != nil && r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, api.DownloadPath)
}

// download sends what a token stands for.
func (g *Gateway) download(c *call, w http.ResponseWriter, r *http.Request) {
	d, body, err := g.openDownload(c, r)
	if err != nil {
		c.refuse(w, err)
		c.observe()
		return
	}
	defer g.downloading.end(d.Account)
	defer body.Close()
	// A connection that cannot be given more time keeps what it has.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(downloadGrace + time.Duration(d.Size/downloadRate)*time.Second))
	h := w.Header()
	h.Set("Content-Type", "application/zip")
	h.Set("Content-Length", strconv.FormatInt(d.Size, 10))
	h.Set("Cache-Control", "no-store")
	h["X-Amzn-Requestid"] = []string{c.req.ID}
	w.WriteHeader(http.StatusOK)
	if _, err := io.Copy(w, body); err != nil && c.req.Context.Err() == nil {
		// Fewer bytes than were promised: the connection is closed, and the client knows.
		g.cfg.Logger.Warn("a download was cut off", "request", c.req.ID, "resource", d.Resource, "error", err)
	}
}

// openDownload opens and records what a token stands for. There is no decision: that was
// made for the request whose answer had the token. Whoever has none is a stranger.
func (g *Gateway) openDownload(c *call, r *http.Request) (d *api.Download, body io.ReadCloser, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = g.panicked(c, v)
		}
	}()
	c.protocol = restProtocol
	if g.cfg.TrustAccount != "" {
		if err := devGuard(r); err != nil {
			return nil, nil, err
		}
	}
	if err := c.count(c.limit().group); err != nil {
		return nil, nil, err
	}
	if d, err = g.cfg.Downloads(&c.req, strings.TrimPrefix(r.URL.Path, api.DownloadPath)); err != nil {
		return nil, nil, err
	}
	if body, err = d.Open(c.req.Context); err != nil {
		return nil, nil, err
	}
	if !g.downloading.begin(d.Account) {
		return nil, nil, errors.Join(api.ThrottlingException(), body.Close())
	}
	if err := g.recordDownload(c, d); err != nil {
		g.downloading.end(d.Account)
		return nil, nil, errors.Join(err, body.Close())
	}
	return d, body, nil
}

// recordDownload leaves the record before anything is sent.
func (g *Gateway) recordDownload(c *call, d *api.Download) error {
	params, err := json.Marshal(map[string]string{"resource": d.Resource, "linkOf": d.Request})
	if err != nil {
		return err
	}
	rec := audit.Record{
		UserIdentity:       audit.Identity{AccountID: d.Account},
		EventTime:          c.req.Time,
		EventSource:        d.Service.EventSource,
		EventName:          downloadEvent,
		AWSRegion:          d.Region,
		SourceIPAddress:    c.req.SourceIP,
		UserAgent:          c.req.UserAgent,
		RequestParameters:  params,
		RequestID:          c.req.ID,
		EventID:            c.ids.Next(),
		ReadOnly:           true,
		RecipientAccountID: d.Account,
	}
	if c.req.Endpoint != nil {
		rec.VPCEndpointID = c.req.Endpoint.ID
	}
	if t := c.req.TLS; t != nil {
		rec.TLSDetails = &audit.TLSDetails{TLSVersion: t.Version, CipherSuite: t.CipherSuite, ClientProvidedHostHeader: t.Host}
	}
	return g.cfg.Log.Append(rec.AppendJSON(nil))
}

// downloading counts downloads under way, by account.
type downloading struct {
	mu  sync.Mutex
	all int
	of  map[string]int
}

// begin reports whether an account may have one more.
func (d *downloading) begin(account string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.all == downloadsAtOnce || d.of[account] == downloadsAtOnce/2 {
		return false
	}
	if d.of == nil {
		d.of = make(map[string]int)
	}
	d.all++
	d.of[account]++
	return true
}

func (d *downloading) end(account string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all--
	if d.of[account]--; d.of[account] == 0 {
		delete(d.of, account)
	}
}

package runner

import (
	"bytes"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"coffer/internal/lambda"
)

// Under the race detector a process sleeps a second before it exits.
func init() { supervisorEnv = append(supervisorEnv, "GORACE=atexit_sleep_ms=0") }

// SetInitTimeout is for tests, which cannot wait for AWS's 10 seconds.
func (r *Runner) SetInitTimeout(d time.Duration) { r.initTimeout = d }

// SetAfterAnswer has answers wait longer for their process to be free again, on a machine that is
// busy with other tests.
func (r *Runner) SetAfterAnswer(d time.Duration) { r.afterAnswer = d }

// SetLogs lowers how many bytes a process and an account may log.
func (r *Runner) SetLogs(process, account int) { r.processLog, r.accountLog = process, account }

// Rest is how long the runner does not measure after a measurement that took cost.
var Rest = rest

// Unpack unpacks zips over each other into a directory as a function's layers are. It returns
// the bytes and files that they took.
func Unpack(dir string, zips ...[]byte) (bytes, files int64, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return 0, 0, err
	}
	defer root.Close()
	left := newRoom()
	u := unpacking{root: root, left: left}
	for _, z := range zips {
		if err := u.unzip(readerAt(z), int64(len(z))); err != nil {
			return 0, 0, err
		}
	}
	return maxUnpacked - left.bytes, maxFiles - left.files, u.verify()
}

type readerAt []byte

func (r readerAt) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(r).ReadAt(p, off)
}

// RuntimeAPI is the Runtime API of one process, without a process.
type RuntimeAPI struct {
	api     *runtimeAPI
	Handler http.Handler
}

// NewRuntimeAPI returns one.
func NewRuntimeAPI() (*RuntimeAPI, error) {
	api, err := newRuntimeAPI("arn", func(_, _ string) bool { return true }, slog.New(slog.DiscardHandler), NewMetrics(prometheus.NewRegistry()).strangers)
	if err != nil {
		return nil, err
	}
	return &RuntimeAPI{api, api.server.Handler}, nil
}

// Give puts an event before the process, and returns how it was answered when it is.
func (a *RuntimeAPI) Give(event lambda.Event) (answered <-chan struct{}, result func() ([]byte, bool)) {
	inv := a.api.give(event, time.Now().Add(time.Minute))
	return inv.answered, func() ([]byte, bool) { return inv.payload, inv.failed }
}

// Close ends it.
func (a *RuntimeAPI) Close() { a.api.close() }

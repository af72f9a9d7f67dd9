package runner

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"coffer/internal/lambda"
)

// Logs takes what functions log.
type Logs interface {
	// Write adds events, oldest first, to a stream of f's log group; both may have to be
	// made. At most 10,000 events and 1 MiB come at once, as PutLogEvents allows. It is called by one
	// goroutine for each stream, and what it does not take after a few tries is dropped.
	Write(ctx context.Context, f *lambda.Executable, stream string, events []LogEvent) error
}

// LogEvent is one line, or what a runtime client wrote as one record of several lines.
type LogEvent struct {
	Time    time.Time
	Message string // UTF-8, at most 256 KiB, with its newline
}

const (
	maxLine    = 256 << 10   // bytes of one event
	maxPending = 1<<20 - 512 // bytes that wait for Logs, for each process; room for a note
	maxEvents  = 10_000      // events that do
	eventCost  = 26          // bytes that PutLogEvents counts beside the message
	tailSize   = 4 << 10     // bytes of Answer.Log

	flushEvery   = 200 * time.Millisecond
	flushTimeout = 10 * time.Second
)

// journal is the log of one process: what it wrote, and Lambda's own lines. Writing to it never
// waits. What comes faster than Logs takes it, or is more than a process or an account may
// log, is counted and dropped; Lambda's own lines are only dropped by the former.
type journal struct {
	f       *lambda.Executable
	stream  string
	logs    Logs
	logger  *slog.Logger
	lost    prometheus.Counter
	may     []*allowance // the process's and its account's
	records bool         // a carriage return is a line break within one event

	mu      sync.Mutex
	partial []byte // of a line
	pending []LogEvent
	bytes   int
	dropped int
	tail    []byte // of the invocation

	wake chan struct{} // something is pending
	stop chan struct{}
	done chan struct{}
}

func newJournal(f *lambda.Executable, stream string, logs Logs, logger *slog.Logger, lost prometheus.Counter, may ...*allowance) *journal {
	j := &journal{
		f: f, stream: stream, logs: logs, logger: logger, lost: lost, may: may,
		records: !f.BuiltIn && !strings.HasPrefix(f.Runtime, "provided"), // our clients write them
		wake:    make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
	}
	go j.flush()
	return j
}

// write takes output of the process as it comes.
func (j *journal) write(b []byte) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for len(b) > 0 {
		line, rest, whole := bytes.Cut(b, []byte("\n"))
		if room := maxLine - len(j.partial); len(line) >= room {
			line, rest, whole = b[:room-1], b[room-1:], true
		}
		b = rest
		if !whole {
			j.partial = append(j.partial, line...)
			return
		}
		if len(j.partial) > 0 {
			line = append(j.partial, line...)
			j.partial = nil
		}
		j.add(line, j.may)
	}
}

// line adds a line of Lambda's own, behind all that the process wrote.
func (j *journal) line(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.finish()
	j.add(fmt.Appendf(nil, format, args...), nil)
}

// finish ends a last line that has no newline. j.mu is held.
func (j *journal) finish() {
	if len(j.partial) > 0 {
		j.add(j.partial, j.may)
		j.partial = nil
	}
}

// add takes a line without its newline, if all of may have room for it. j.mu is held.
func (j *journal) add(line []byte, may []*allowance) {
	j.keep(line)
	text := strings.ToValidUTF8(string(line), "?") // no longer than it was
	if j.records {
		text = strings.ReplaceAll(text, "\r", "\n")
	}
	size := len(text) + 1 + eventCost
	if j.bytes+size > maxPending || len(j.pending) >= maxEvents-1 || slices.ContainsFunc(may, func(a *allowance) bool { return !a.take(size) }) {
		j.dropped++
		j.lost.Inc()
		return
	}
	j.pending = append(j.pending, LogEvent{Time: time.Now(), Message: text + "\n"})
	j.bytes += size
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// keep adds to the tail.
func (j *journal) keep(line []byte) {
	if len(line) >= tailSize {
		line = line[len(line)-tailSize+1:]
	}
	if len(j.tail)+len(line) >= 4*tailSize {
		j.tail = append(j.tail[:0], j.tail[len(j.tail)-tailSize:]...)
	}
	j.tail = append(append(j.tail, line...), '\n')
}

// begin forgets the tail: another invocation begins.
func (j *journal) begin() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.tail = nil
}

// last is the tail of this invocation.
func (j *journal) last() []byte {
	j.mu.Lock()
	defer j.mu.Unlock()
	t := bytes.ToValidUTF8(j.tail[max(0, len(j.tail)-tailSize):], nil)
	if j.records {
		t = bytes.ReplaceAll(t, []byte("\r"), []byte("\n"))
	}
	return bytes.Clone(t)
}

// take empties what is pending into one batch.
func (j *journal) take() []LogEvent {
	j.mu.Lock()
	defer j.mu.Unlock()
	batch := j.pending
	if j.dropped > 0 {
		batch = append(batch, LogEvent{Time: time.Now(), Message: fmt.Sprintf("[WARNING] %d lines of the log were dropped here: they came faster than lines are kept\n", j.dropped)})
	}
	j.pending, j.bytes, j.dropped = nil, 0, 0
	return batch
}

// flush hands batches on until close. The pause lets lines gather.
func (j *journal) flush() {
	defer close(j.done)
	for {
		select {
		case <-j.wake:
		case <-j.stop:
			j.hand(j.take())
			return
		}
		pause := time.NewTimer(flushEvery)
		select {
		case <-pause.C:
		case <-j.stop:
			pause.Stop()
		}
		j.hand(j.take())
	}
}

func (j *journal) hand(batch []LogEvent) {
	if len(batch) == 0 || j.logs == nil {
		return
	}
	var err error
	for try := range 3 {
		ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
		err = j.logs.Write(ctx, j.f, j.stream, batch)
		cancel()
		if err == nil {
			return
		}
		select {
		case <-time.After(time.Duration(try+1) * 100 * time.Millisecond):
			continue
		case <-j.stop: // the server is waiting
		}
		break
	}
	j.lost.Add(float64(len(batch)))
	j.logger.Warn("lines of a function's log were lost", "function", j.f.ARN, "stream", j.stream, "lines", len(batch), "error", err)
	j.mu.Lock()
	j.dropped += len(batch)
	j.mu.Unlock()
}

// close hands on what is left and ends the goroutine. The process is gone.
func (j *journal) close() {
	j.mu.Lock()
	j.finish()
	j.mu.Unlock()
	close(j.stop)
	<-j.done
}

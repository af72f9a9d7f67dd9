package main

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"
)

// pace says when each request of an open loop is due: evenly spaced, whatever
// the server does.
type pace struct {
	start time.Time
	rate  float64 // requests per second
}

// due is when request i is to be sent.
func (p pace) due(i int) time.Time {
	return p.start.Add(time.Duration(float64(i) / p.rate * float64(time.Second)))
}

// sent is a request under way: what it is to be answered, and when it was due.
type sent struct {
	due  time.Time
	want []byte
}

// openLoop sends rate requests per second for d, on whichever connection is
// free, and measures each latency from the moment the request was due: a server
// that stalls makes the requests behind it late, and that must show
// (coordinated omission hides it).
//
// One goroutine sends for all connections, so that no request waits for another
// goroutine to be woken; it holds a thread of its own because the runtime's
// timers are a millisecond coarse when a process is nearly idle.
func openLoop(ctx context.Context, conns []*conn, src source, cpu func() (time.Duration, error), rate float64, d time.Duration) (*result, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// The sender's sleep is a system call that keeps its processor for a while.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1))

	hists := make([]histogram, len(conns))
	under := make([]chan sent, len(conns))
	free := make(chan int, len(conns))
	var wg sync.WaitGroup
	for i, c := range conns {
		under[i] = make(chan sent, 1)
		free <- i
		wg.Go(func() {
			for s := range under[i] {
				r, err := c.answers.next()
				if err == nil {
					err = r.check(s.want)
				}
				if err != nil {
					cancel(err)
					return
				}
				hists[i].record(time.Since(s.due))
				free <- i
			}
		})
	}
	m := meter{cpu: cpu}
	if err := m.begin(); err != nil {
		cancel(err)
	}
	p := pace{time.Now(), rate}
	setDeadlines(conns, p.start.Add(d+stuck))
	stop := context.AfterFunc(ctx, func() { setDeadlines(conns, time.Now()) })
	var sender sync.WaitGroup
	sender.Go(func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		preciseTimers(true)
		defer preciseTimers(false)
		if err := send(ctx, conns, src, p, d, free, under); err != nil {
			cancel(err)
		}
	})
	sender.Wait()
	for i := range under {
		close(under[i])
	}
	wg.Wait()
	stop()
	r := &result{elapsed: time.Since(p.start)}
	err := m.end(r)
	for i := range hists {
		r.hist.add(&hists[i])
	}
	return r, errors.Join(err, context.Cause(ctx))
}

// send is the sender of an open loop.
func send(ctx context.Context, conns []*conn, src source, p pace, d time.Duration, free <-chan int, under []chan sent) error {
	for k := 0; ; k++ {
		due := p.due(k)
		if due.Sub(p.start) >= d {
			return nil
		}
		var i int
		select {
		case i = <-free:
		case <-ctx.Done():
			return nil
		}
		next, err := src.next(i)
		if err != nil {
			return err
		}
		if wait := time.Until(due); wait > 0 {
			preciseSleep(wait)
		}
		under[i] <- sent{due, next.want}
		if _, err := conns[i].Write(next.request); err != nil {
			return err
		}
	}
}

package runner

import (
	"fmt"
	"time"

	"coffer/internal/lambda"
)

// invoke has an event served by p, or by a new process if p is nil. It returns an answer
// and what it counts as, or an error if the function did not get the event. The
// process is then idle, or about to be, or ended.
func (r *Runner) invoke(f *lambda.Executable, event lambda.Event, p *process, with *birth) (*lambda.Answer, string, error) {
	var init time.Duration
	if p != nil {
		p.peak, p.looks = 0, 0
	} else {
		slot, err := r.slot()
		if err != nil {
			r.mu.Lock()
			r.leave(f)
			r.mu.Unlock()
			return nil, resultRefused, err
		}
		r.ends.Add(1)
		var answer *lambda.Answer
		var result string
		if p, init, answer, result, err = r.initialize(f, with, event, slot); p == nil {
			return answer, result, err
		}
	}
	return p.serve(event, init)
}

// initialize starts a process and waits until it asks for its first event. If it does not
// come to that, the process is ended, and the answer or error says why.
func (r *Runner) initialize(f *lambda.Executable, with *birth, event lambda.Event, slot int) (*process, time.Duration, *lambda.Answer, string, error) {
	p, fail, err := r.start(f, with, slot, nil)
	if err != nil {
		r.abandon(f, slot)
		return nil, 0, nil, resultRefused, err
	}
	if fail != nil {
		return nil, 0, p.refuse(event, fail, "init", 0), resultInit, nil
	}
	began := time.Now()
	v := p.await(p.api.initialized, began.Add(r.initTimeout))
	took := time.Since(began)
	if v == late {
		// "Lambda retries the Init phase at the time of the first function invocation
		// with the configured function timeout" (Lambda execution environments).
		p.initReport(took, "init", "timeout", "")
		again := p.again()
		if p, fail, err = r.start(f, with, slot, again); err != nil {
			again.close()
			r.abandon(f, slot)
			return nil, 0, nil, resultRefused, err
		}
		if fail != nil {
			return nil, 0, p.refuse(event, fail, "invoke", 0), resultInit, nil
		}
		began = time.Now()
		v = p.await(p.api.initialized, began.Add(f.Timeout))
		if v == late {
			took = time.Since(began)
			p.initReport(took, "invoke", "timeout", "")
			return nil, 0, p.timeout(event, took), resultTimeout, nil
		}
		took = 0 // it was the invocation's own time
	}
	p.child.drain()
	if v == exited {
		<-p.child.exited
		return nil, 0, p.refuse(event, p.exitError(), "init", took), resultCrash, nil
	}
	if body, kind := p.api.initError(); body != nil {
		p.initReport(took, "init", "error", kind)
		p.journal.line("START RequestId: %s Version: %s", event.RequestID, f.Version)
		p.report(event.RequestID, 0, took, "error", kind)
		return nil, 0, p.last(body, true), resultInit, nil
	}
	return p, took, nil, "", nil
}

// again ends p but for its journal, which the next try goes on with.
func (p *process) again() *journal {
	p.clean()
	return p.journal
}

// abandon gives back what was counted for a process that could not be started. start has
// cleaned up behind itself.
func (r *Runner) abandon(f *lambda.Executable, slot int) {
	r.mu.Lock()
	r.leave(f)
	r.mu.Unlock()
	r.slots <- slot
	r.ends.Done()
}

// initReport writes the line for an initialization that went wrong.
func (p *process) initReport(took time.Duration, phase, status, errorType string) {
	text := fmt.Sprintf("INIT_REPORT Init Duration: %.2f ms\tPhase: %s\tStatus: %s", milliseconds(took), phase, status)
	if errorType != "" {
		text += "\tError Type: " + errorType
	}
	p.journal.line("%s", text)
}

// refuse answers an event that the function never saw because of its own fault.
func (p *process) refuse(event lambda.Event, fail *failure, phase string, took time.Duration) *lambda.Answer {
	p.initReport(took, phase, "error", fail.Type)
	p.journal.line("START RequestId: %s Version: %s", event.RequestID, p.f.Version)
	p.journal.line("RequestId: %s Error: %s\t%s", event.RequestID, fail.Message, fail.Type)
	p.report(event.RequestID, took, 0, "error", fail.Type)
	return p.last(fail.payloadOf(event), true)
}

// exitError is the error of a process that ended without an answer.
func (p *process) exitError() *failure {
	if p.killed != "" {
		return &failure{"Runtime.ExitError", "Runtime exited with error: signal: killed"}
	}
	return &failure{"Runtime.ExitError", p.child.end.reason()}
}

// last answers an event and ends the process.
func (p *process) last(payload []byte, failed bool) *lambda.Answer {
	a := &lambda.Answer{Payload: payload, Failed: failed, Log: p.journal.last()}
	p.r.discard(p)
	return a
}

// timeout answers an event whose time is over.
func (p *process) timeout(event lambda.Event, took time.Duration) *lambda.Answer {
	p.measure()
	p.halt() // before the log ends
	text := fmt.Sprintf("Task timed out after %.2f seconds", p.f.Timeout.Seconds())
	p.journal.line("%s %s %s", time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), event.RequestID, text)
	p.report(event.RequestID, took, 0, "timeout", "")
	fail := failure{"Sandbox.Timedout", text}
	return p.last(fail.payloadOf(event), true)
}

// serve gives the event to p, which is waiting for one, and waits for the answer.
func (p *process) serve(event lambda.Event, init time.Duration) (*lambda.Answer, string, error) {
	r := p.r
	p.journal.begin() // Answer.Log is from START on
	p.journal.line("START RequestId: %s Version: %s", event.RequestID, p.f.Version)
	began := time.Now()
	until := began.Add(p.f.Timeout)
	inv := p.api.give(event, until)
	v := p.await(inv.answered, until)
	took := time.Since(began)
	r.metrics.seconds.Observe(took.Seconds())
	switch v {
	case late:
		return p.timeout(event, took), resultTimeout, nil
	case exited:
		p.measure()
		<-p.child.exited
		fail := p.exitError()
		p.journal.line("RequestId: %s Error: %s\t%s", event.RequestID, fail.Message, fail.Type)
		p.report(event.RequestID, took, init, "error", fail.Type)
		return p.last(fail.payloadOf(event), true), resultCrash, nil
	}
	answer := &lambda.Answer{Payload: inv.payload, Failed: inv.failed}
	p.measure()
	// Whoever calls again at once should find this process waiting.
	soon := min(r.afterAnswer, max(0, time.Until(until)))
	v = p.await(p.api.ready, time.Now().Add(soon))
	p.child.drain()
	status, result := "", resultSuccess
	if inv.failed {
		status, result = "error", resultError
	}
	p.report(event.RequestID, took, init, status, inv.kind)
	answer.Log = p.journal.last()
	switch v {
	case happened:
		r.keep(p)
	case exited:
		r.discard(p)
	case late:
		go p.settle(until)
	}
	return answer, result, nil
}

// settle waits for a process that answered but does something else before it asks for the
// next event, as long as its event may take.
func (p *process) settle(until time.Time) {
	if p.await(p.api.ready, until) == happened {
		p.r.keep(p)
		return
	}
	p.r.discard(p)
}

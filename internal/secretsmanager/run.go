package secretsmanager

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"coffer/internal/api"
	smapi "coffer/internal/api/secretsmanager"
	"coffer/internal/schedule"
	"coffer/internal/table"
)

// Run is a rotation under way, or one that has failed and will be tried again. It
// is the whole of what there is to know: a process that dies leaves the row, and
// the next one goes on where it stood, with the same version.
type Run struct {
	Account  string       `cbor:"1,keyasint"`
	Region   string       `cbor:"2,keyasint"`
	UID      string       `cbor:"3,keyasint"`
	Name     string       `cbor:"4,keyasint"`
	ARN      string       `cbor:"5,keyasint"`
	Version  string       `cbor:"6,keyasint"` // the one it makes: ClientRequestToken
	Token    string       `cbor:"7,keyasint"` // RotationToken: proves that a caller belongs to it
	Function string       `cbor:"8,keyasint"`
	Test     bool         `cbor:"9,keyasint,omitempty"`  // only testSecret, on a copy of the current value
	Step     int          `cbor:"10,keyasint,omitempty"` // index in Steps of the one to invoke next
	Attempt  int          `cbor:"11,keyasint"`           // at the whole of the steps, from 1
	Started  table.Millis `cbor:"12,keyasint"`
	Closes   table.Millis `cbor:"13,keyasint,omitempty"` // the window's end; zero for one that was asked for
	Due      table.Millis `cbor:"14,keyasint,omitempty"` // when to go on; zero: when somebody asks
	Owner    string       `cbor:"15,keyasint,omitempty"` // the process at work on it

	Claimed table.Millis   `cbor:"16,keyasint,omitempty"` // when this attempt began
	Done    []table.Millis `cbor:"17,keyasint,omitempty"` // when its steps ended

	// GaveUp is after how many failed attempts it was left to the next window, or to who
	// asks; zero while it is worked on.
	GaveUp int `cbor:"18,keyasint,omitempty"`

	Failed string `cbor:"19,keyasint,omitempty"` // the step in which its last attempt failed
}

// Steps are what a rotation function is invoked for, in this order ("Lambda
// rotation functions", Secrets Manager user guide).
var Steps = [...]string{"createSecret", "setSecret", "testSecret", "finishSecret"}

const testStep = 2

// StepName is the step that is invoked next.
func (u *Run) StepName() string { return Steps[u.Step] }

const (
	runDue   = "sm.run.due"
	runOwner = "sm.run.owner"
)

// Runs holds them by the secret's place and unique id: a secret has at most one.
var Runs = table.Collection[Run]{
	Name: "sm.run",
	Key:  func(u *Run) table.Key { return table.K(u.Account, u.Region, u.UID) },
	Indexes: []table.Index[Run]{
		{Name: runDue, Keys: func(u *Run) []table.Key {
			if u.Owner != "" || u.Due == 0 {
				return nil
			}
			return []table.Key{table.K(u.Due.Part(), u.Account, u.Region, u.UID)}
		}},
		{Name: runOwner, Keys: func(u *Run) []table.Key {
			if u.Owner == "" {
				return nil
			}
			return []table.Key{table.K(u.Owner, u.Account, u.Region, u.UID)}
		}},
	},
}

// History is how the last rotations of a secret ended, for those who look after it.
type History struct {
	Account string    `cbor:"1,keyasint"`
	Region  string    `cbor:"2,keyasint"`
	UID     string    `cbor:"3,keyasint"`
	Name    string    `cbor:"4,keyasint"`
	Ended   []Outcome `cbor:"5,keyasint"` // newest first, at most maxHistory
}

// Outcome is how one attempt at a rotation ended.
type Outcome struct {
	Version string       `cbor:"1,keyasint"`
	Test    bool         `cbor:"2,keyasint,omitempty"`
	Attempt int          `cbor:"3,keyasint"`
	Started table.Millis `cbor:"4,keyasint"`
	Ended   table.Millis `cbor:"5,keyasint"`
	Result  string       `cbor:"6,keyasint"`           // one of the constants below
	Step    string       `cbor:"7,keyasint,omitempty"` // that failed
	Message string       `cbor:"8,keyasint,omitempty"` // what the function said
	Log     string       `cbor:"9,keyasint,omitempty"` // its last lines

	Claimed table.Millis   `cbor:"10,keyasint,omitempty"` // as in Run
	Done    []table.Millis `cbor:"11,keyasint,omitempty"`

	Function string `cbor:"12,keyasint,omitempty"` // ARN
}

// The results of an Outcome.
const (
	Succeeded = "succeeded"
	Failed    = "failed"
	Abandoned = "abandoned" // another writer made a new current version
	Missed    = "missed"    // no process ran in the window
)

// Histories holds them by the secret's place and unique id.
var Histories = table.Collection[History]{
	Name:    "sm.history",
	NoCache: true,
	Key:     func(h *History) table.Key { return table.K(h.Account, h.Region, h.UID) },
}

const (
	maxHistory = 10
	maxMessage = 2 << 10 // bytes of a function's error that are kept
	maxLog     = 4 << 10 // bytes of its log

	// A rotation that fails is tried again as a whole: so many times in its
	// window, then in the next. Neither number is documented.
	maxAttempts  = 5
	firstBackOff = time.Minute // then twice as long each time

	// busyBackOff is how long a step waits whose function had no process free: that
	// counts as no attempt.
	busyBackOff = 5 * time.Second
)

// The service events of rotations (spec, rotation.md §6).
const (
	rotationStarted   = "RotationStarted"
	rotationSucceeded = "RotationSucceeded"
	rotationFailed    = "RotationFailed"
	rotationAbandoned = "RotationAbandoned"
)

// emitRotation records an event of a rotation. Those of tests have a name of their own.
func emitRotation(r *api.Request, u *Run, event, message string) {
	if u.Test {
		event = "Test" + event
	}
	r.Emit(api.ServiceEvent{
		Name: event, Account: u.Account, Region: u.Region, RequestID: "Rotation-" + u.ARN + "-" + u.Version,
		Error: message, Data: map[string]string{"SecretId": u.ARN},
	})
}

// startRotation reserves the version and puts the rotation into the queue, in which it is
// due at once.
func (s *Secret) startRotation(r *api.Request, version string, closes table.Millis) error {
	v, err := s.version(r.Tx, version)
	if err != nil {
		return err
	}
	if v != nil {
		return smapi.InvalidRequestException(fmt.Sprintf(textTokenTaken, version, s.arn()))
	}
	s.Versions = append(s.Versions, Version{ID: version})
	s.attach(s.labelled(version), pending)
	if s.labels() > maxLabels {
		return smapi.InvalidRequestException(textLabels)
	}
	return s.begin(r, &Run{Version: version, Closes: closes})
}

// takesPending reports whether the labels leave room for AWSPENDING.
func (s *Secret) takesPending() bool { return s.holder(pending) != nil || s.labels() < maxLabels }

// begin stores a rotation that is about to start.
func (s *Secret) begin(r *api.Request, u *Run) error {
	now := table.At(r.Time)
	u.Account, u.Region, u.UID, u.Name, u.ARN = s.Account, s.Region, s.UID, s.Name, s.arn()
	u.Function, u.Token, u.Attempt, u.Started, u.Due = s.Rotation.Function, api.NewID(), 1, now, now
	s.Rotation.Running = u.Version
	emitRotation(r, u, rotationStarted, "")
	return Runs.Put(r.Tx, u)
}

// startTest makes a copy of the current value for testSecret alone, under an id of
// its own. A secret without a value has nothing to test.
func startTest(r *api.Request, s *Secret) error {
	v := s.holder(current)
	if v == nil || v.Kind == noValue {
		return nil
	}
	plain, err := load(r, s, s.arn(), v)
	if err != nil {
		return err
	}
	defer clear(plain)
	kind := v.Kind
	s.Versions = append(s.Versions, Version{ID: api.NewID(), Created: table.At(r.Time)})
	c := &s.Versions[len(s.Versions)-1]
	blob, err := seal(r, s, c, plainValue{kind, plain})
	if err != nil {
		return err
	}
	if err := place(r.Tx, s, c, blob); err != nil {
		return err
	}
	s.attach(c, pending)
	if s.labels() > maxLabels {
		return smapi.InvalidRequestException(textLabels)
	}
	return s.begin(r, &Run{Version: c.ID, Test: true, Step: testStep})
}

// dropRotation ends a rotation under way without a result. What it made stays.
func (s *Secret) dropRotation(r *api.Request) error {
	if s.Rotation == nil || s.Rotation.Running == "" {
		return nil
	}
	s.Rotation.Running = ""
	return Runs.Delete(r.Tx, s.part())
}

// overtaken looks whether a change of values or labels, before which the version
// before was current, leaves the rotation under way behind: another version than its
// own has become current, so that it changes what is not in use any more; or its own has
// lost AWSPENDING. A test of the current value only ends by the latter.
func (s *Secret) overtaken(r *api.Request, before string) error {
	if s.Rotation == nil || s.Rotation.Running == "" {
		return nil
	}
	u, err := Runs.Get(r.Tx, s.part())
	if err != nil {
		return fmt.Errorf("rotation of %s: %w", s.arn(), err)
	}
	v, now := s.labelled(u.Version), s.currentID()
	lost := v == nil || !v.has(pending) && !v.has(current)
	moved := now != "" && now != u.Version && now != before
	if !lost && (u.Test || !moved) {
		return nil
	}
	v.detach(pending)
	if u.Test {
		emitRotation(r, u, rotationFailed, "AWSPENDING was taken from the version under test")
	} else {
		emitRotation(r, u, rotationAbandoned, "")
	}
	s.Rotation.ended(u, Outcome{Result: Abandoned})
	if err := remember(r, u, Outcome{Result: Abandoned}); err != nil {
		return err
	}
	return s.dropRotation(r)
}

// pause stops a rotation under way until resume: its secret is marked for deletion.
func (s *Secret) pause(r *api.Request) error { return s.reschedule(r, 0) }

// resume makes a paused rotation due.
func (s *Secret) resume(r *api.Request) error { return s.reschedule(r, table.At(r.Time)) }

func (s *Secret) reschedule(r *api.Request, due table.Millis) error {
	if s.Rotation == nil || s.Rotation.Running == "" {
		return nil
	}
	u, err := Runs.Load(r.Tx, s.part())
	if err != nil {
		return fmt.Errorf("rotation of %s: %w", s.arn(), err)
	}
	u.Owner, u.Due = "", due
	return Runs.Put(r.Tx, u)
}

// remember adds how an attempt ended to the secret's history.
func remember(r *api.Request, u *Run, o Outcome) error {
	h, err := Histories.Load(r.Tx, Runs.Key(u))
	switch {
	case errors.Is(err, table.ErrNotFound):
		h = &History{Account: u.Account, Region: u.Region, UID: u.UID, Name: u.Name}
	case err != nil:
		return err
	}
	o.Version, o.Test, o.Attempt, o.Started, o.Ended = u.Version, u.Test, u.Attempt, u.Started, table.At(r.Time)
	o.Claimed, o.Done, o.Function = u.Claimed, u.Done, u.Function
	o.Message, o.Log = cut(o.Message, maxMessage), cutFront(o.Log, maxLog)
	h.Ended = append([]Outcome{o}, h.Ended...)
	h.Ended = h.Ended[:min(len(h.Ended), maxHistory)]
	return Histories.Put(r.Tx, h)
}

func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + "..."
}

func cutFront(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return "..." + s[len(s)-n:]
}

// StartRotations starts the rotations of secrets whose moment has come, some in
// one transaction. One whose window has passed, because nothing ran, waits for the next.
func (s *Service) StartRotations(r *api.Request) (more bool, err error) {
	keys, more, err := due(r, byRotation, startBatch)
	if err != nil {
		return false, err
	}
	for _, k := range keys {
		sec, err := Secrets.Load(r.Tx, k)
		if err != nil {
			return false, fmt.Errorf("index %s: %w", byRotation, err)
		}
		rot := sec.Rotation
		if rot.Closes <= table.At(r.Time) {
			u := &Run{Account: sec.Account, Region: sec.Region, UID: sec.UID, Name: sec.Name, ARN: sec.arn(), Started: rot.Opens}
			rot.ended(u, Outcome{Result: Missed})
			if err := remember(r, u, Outcome{Result: Missed}); err != nil {
				return false, err
			}
		} else if !sec.takesPending() {
			// Its owner's trouble: an error here would hold up the rotations of everybody.
			u := &Run{Account: sec.Account, Region: sec.Region, UID: sec.UID, Name: sec.Name, ARN: sec.arn(), Started: rot.Opens}
			emitRotation(r, u, rotationFailed, textLabels)
			if err := remember(r, u, Outcome{Result: Failed, Message: textLabels}); err != nil {
				return false, err
			}
		} else if p := sec.holder(pending); p == nil || p.has(current) {
			if err := sec.startRotation(r, api.NewID(), rot.Closes); err != nil {
				return false, err
			}
		}
		// With AWSPENDING put elsewhere by hand there is nothing to start, until it goes.
		if err := rot.plan(sec.arn(), r.Time); err != nil {
			return false, err
		}
		if err := Secrets.Put(r.Tx, sec); err != nil {
			return false, err
		}
	}
	return more, nil
}

// startBatch keeps StartRotations within a transaction's operations: one secret takes
// about twelve.
const startBatch = 8

// ClaimRuns takes up to limit rotations that are due, for owner to work on, and leaves
// those that are to wait, as their function or account has no room. It looks at a bounded number of them, behind after if that
// is given; next is where to go on looking, empty at the end.
func (s *Service) ClaimRuns(r *api.Request, owner string, limit int, wait func(*Run) bool, after table.Key) (claimed []Run, next table.Key, err error) {
	now, looked := table.At(r.Time).Part(), 0
	var due []table.Key
	for e, err := range Runs.ScanIndex(r.Tx, runDue, table.Range{After: after}) {
		if err != nil {
			return nil, next, err
		}
		if e.Key.Parts()[0] > now {
			break
		}
		if looked++; looked > claimLook {
			break
		}
		due, next = append(due, e.Record), e.Key
	}
	if looked <= claimLook {
		next = "" // that was the end
	}
	for _, k := range due {
		if len(claimed) == min(limit, claimBatch) {
			return claimed, after, nil // the others have not been looked at
		}
		u, err := Runs.Load(r.Tx, k)
		if err != nil {
			return nil, next, fmt.Errorf("index %s: %w", runDue, err)
		}
		if wait(u) {
			continue
		}
		u.Owner, u.GaveUp = owner, 0
		if u.Claimed == 0 {
			u.Claimed = table.At(r.Time)
		}
		if err := Runs.Put(r.Tx, u); err != nil {
			return nil, next, err
		}
		claimed = append(claimed, *u)
	}
	return claimed, next, nil
}

// claimLook bounds how many rotations one claim looks at.
const claimLook = 50

// claimBatch: a claim takes five operations of a transaction, beside one for each
// rotation it looks at.
const claimBatch = 10

// ReleaseRuns gives back what processes other than owner were at work on when they
// ended. It is for the start of the only process on a store.
func (s *Service) ReleaseRuns(r *api.Request, owner string) (more bool, err error) {
	var keys []table.Key
	for e, err := range Runs.ScanIndex(r.Tx, runOwner, table.Range{}) {
		if err != nil {
			return false, err
		}
		if e.Key.Parts()[0] == owner {
			continue
		}
		if keys = append(keys, e.Record); len(keys) == claimBatch {
			more = true
			break
		}
	}
	for _, k := range keys {
		u, err := Runs.Load(r.Tx, k)
		if err != nil {
			return false, err
		}
		u.Owner, u.Due = "", table.At(r.Time)
		if err := Runs.Put(r.Tx, u); err != nil {
			return false, err
		}
	}
	return more, nil
}

// StepResult is how the invocation of a step ended.
type StepResult struct {
	Failed  bool
	Busy    bool   // the function had no process free: the step was not begun
	Type    string // of the failure: what the function or Lambda called it
	Message string // of the failure: what the function or Lambda said; no secret values
	Log     string // the function's last log lines
}

// Failure is an attempt that has failed, for the log of the server.
type Failure struct {
	Step    string
	Attempt int
	Test    bool
	GaveUp  bool
	Again   time.Time // when it is tried again; zero: when somebody asks for it
}

// ReportRun takes in the result of a step that owner invoked. It returns the run
// to go on with, or nil when there is no more to do now; and the failure, if the attempt
// ended with one.
func (s *Service) ReportRun(r *api.Request, u Run, result StepResult) (*Run, *Failure, error) {
	now, err := Runs.Load(r.Tx, Runs.Key(&u))
	if errors.Is(err, table.ErrNotFound) || err == nil && (now.Version != u.Version || now.Owner != u.Owner) {
		return nil, nil, nil // cancelled, abandoned or deleted meanwhile
	}
	if err != nil {
		return nil, nil, err
	}
	sec, err := Secrets.Load(r.Tx, table.K(u.Account, u.Region, u.Name))
	if errors.Is(err, table.ErrNotFound) || err == nil && (sec.UID != u.UID || sec.Rotation == nil || sec.Rotation.Running != u.Version) {
		return nil, nil, Runs.Delete(r.Tx, Runs.Key(now))
	}
	if err != nil {
		return nil, nil, err
	}
	if result.Busy {
		now.Owner, now.Due = "", table.At(r.Time.Add(busyBackOff))
		return nil, nil, Runs.Put(r.Tx, now)
	}
	if result.Failed {
		failure, err := sec.fail(r, now, result)
		return nil, failure, err
	}
	now.Done = append(now.Done, table.At(r.Time))
	if now.Test {
		return nil, nil, sec.endTest(r, now, Outcome{Result: Succeeded}, rotationSucceeded, "")
	}
	if now.Step+1 < len(Steps) {
		now.Step++
		return now, nil, Runs.Put(r.Tx, now)
	}
	v := sec.labelled(now.Version)
	if v == nil || !v.has(current) {
		now.Done = now.Done[:now.Step] // that one did not do what it is for
		result.Message = textUnmoved
		if v == nil || v.Kind == noValue {
			result.Message = textNothingMoves
		}
		failure, err := sec.fail(r, now, result)
		return nil, failure, err
	}
	return nil, nil, sec.succeed(r, now, v)
}

// What a rotation says whose function finished all steps, and AWSCURRENT is where it was.
const (
	textUnmoved      = "the function finished without moving AWSCURRENT to the new version"
	textNothingMoves = "the version has no value: createSecret did not store one"
)

// succeed ends a rotation whose version is current.
func (s *Secret) succeed(r *api.Request, u *Run, v *Version) error {
	v.detach(pending)
	rot := s.Rotation
	rot.Last = table.At(r.Time)
	rot.ended(u, Outcome{Result: Succeeded})
	if err := s.dropRotation(r); err != nil {
		return err
	}
	if err := s.rotated(r.Time); err != nil {
		return err
	}
	if rot.Expression != "" {
		sched, err := schedule.Parse(rot.rules())
		if err != nil {
			return fmt.Errorf("rotation rules of %s: %w", u.ARN, err)
		}
		rot.Reported = sched.AutomaticallyAfterDays(r.Time)
	}
	emitRotation(r, u, rotationSucceeded, "")
	if err := remember(r, u, Outcome{Result: Succeeded}); err != nil {
		return err
	}
	return save(r, s)
}

// fail ends an attempt. The next begins with the first step again, with the same version:
// later in the window, or in the next window.
func (s *Secret) fail(r *api.Request, u *Run, result StepResult) (*Failure, error) {
	o := Outcome{Result: Failed, Step: u.StepName(), Message: result.Message, Log: result.Log}
	text := "Error when executing lambda " + u.Function + " during " + u.StepName() + " step"
	failure := &Failure{Step: u.StepName(), Attempt: u.Attempt, Test: u.Test}
	if u.Test {
		return failure, s.endTest(r, u, o, rotationFailed, text)
	}
	if err := remember(r, u, o); err != nil {
		return nil, err
	}
	now := table.At(r.Time)
	again := now + table.Millis((firstBackOff << (u.Attempt - 1)).Milliseconds())
	u.Owner, u.Step, u.Claimed, u.Done, u.Failed = "", 0, 0, nil, failure.Step
	if u.Attempt < maxAttempts && (u.Closes == 0 || again < u.Closes) {
		u.Attempt++
		u.Due, failure.Again = again, again.Time()
		return failure, Runs.Put(r.Tx, u)
	}
	emitRotation(r, u, rotationFailed, text)
	if err := s.Rotation.plan(u.ARN, r.Time); err != nil {
		return nil, err
	}
	// Without a schedule it waits until somebody asks for a rotation again.
	u.GaveUp, u.Attempt, u.Due, u.Closes = u.Attempt, 1, s.Rotation.At, s.Rotation.Closes
	failure.GaveUp, failure.Again = true, u.Due.Time()
	if err := Runs.Put(r.Tx, u); err != nil {
		return nil, err
	}
	return failure, Secrets.Put(r.Tx, s)
}

// endTest ends a test with its result.
func (s *Secret) endTest(r *api.Request, u *Run, o Outcome, event, message string) error {
	emitRotation(r, u, event, message)
	s.Rotation.ended(u, o)
	if err := remember(r, u, o); err != nil {
		return err
	}
	if err := s.dropRotation(r); err != nil {
		return err
	}
	if err := s.dropCopy(r, u); err != nil {
		return err
	}
	if s.labelled(u.Version) != nil { // somebody gave it a label of their own
		return save(r, s)
	}
	return Secrets.Put(r.Tx, s)
}

// dropCopy removes the copy that was made for a test.
func (s *Secret) dropCopy(r *api.Request, u *Run) error {
	v := s.labelled(u.Version)
	if v == nil {
		return nil
	}
	if v.detach(pending); len(v.Stages) > 0 {
		return nil
	}
	inRow := len(v.Value) > 0
	s.Versions = slices.DeleteFunc(s.Versions, func(v Version) bool { return v.ID == u.Version })
	if inRow {
		return nil
	}
	return Values.Delete(r.Tx, s.part(u.Version))
}

// Hurry is a secret whose failed rotation somebody wants to be tried again now.
type hurry struct{ account, region, uid string }

// hurry notes that a rotation is to be tried again at once. It is a hint, not
// a promise: RotateSecret has refused and stored nothing.
func (s *Service) hurry(sec *Secret) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hurried == nil || len(s.hurried) >= maxHurried {
		s.hurried = make(map[hurry]bool)
	}
	s.hurried[hurry{sec.Account, sec.Region, sec.UID}] = true
	s.wake()
}

const maxHurried = 1000

// HurryRuns makes the rotations due that hurry noted.
func (s *Service) HurryRuns(r *api.Request) (more bool, err error) {
	s.mu.Lock()
	var batch []hurry
	for h := range s.hurried {
		if batch = append(batch, h); len(batch) == claimBatch {
			break
		}
	}
	more = len(s.hurried) > len(batch)
	s.mu.Unlock()
	slices.SortFunc(batch, func(a, b hurry) int { return cmp.Or(cmp.Compare(a.uid, b.uid), cmp.Compare(a.region, b.region)) })
	for _, h := range batch {
		u, err := Runs.Load(r.Tx, table.K(h.account, h.region, h.uid))
		if errors.Is(err, table.ErrNotFound) || err == nil && u.Owner != "" {
			continue
		}
		if err != nil {
			return false, err
		}
		u.Due, u.Attempt, u.Closes, u.GaveUp = table.At(r.Time), 1, 0, 0
		if err := Runs.Put(r.Tx, u); err != nil {
			return false, err
		}
	}
	r.After(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, h := range batch {
			delete(s.hurried, h)
		}
	})
	return more, nil
}

// Woken tells the rotation worker that there may be something due. It holds one
// signal: who reads it looks at the queue.
func (s *Service) Woken() <-chan struct{} { return s.woken }

func (s *Service) wake() {
	select {
	case s.woken <- struct{}{}:
	default:
	}
}

// NextDue is when the next rotation is due, or the zero time if none is waiting.
func (s *Service) NextDue(tx *table.Tx) (time.Time, error) {
	var first time.Time
	look := func(at table.Key) error {
		var ms uint64
		if _, err := fmt.Sscanf(at.Parts()[0], "%016x", &ms); err != nil {
			return fmt.Errorf("%w: queue of rotations", table.ErrDamaged)
		}
		if t := table.Millis(ms).Time(); first.IsZero() || t.Before(first) {
			first = t
		}
		return nil
	}
	for e, err := range Runs.ScanIndex(tx, runDue, table.Range{}) {
		if err != nil {
			return first, err
		}
		if err := look(e.Key); err != nil {
			return first, err
		}
		break
	}
	for e, err := range Secrets.ScanIndex(tx, byRotation, table.Range{}) {
		if err != nil {
			return first, err
		}
		return first, look(e.Key)
	}
	return first, nil
}

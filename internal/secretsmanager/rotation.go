package secretsmanager

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"coffer/internal/api"
	lambdaapi "coffer/internal/api/lambda"
	smapi "coffer/internal/api/secretsmanager"
	"coffer/internal/arn"
	"coffer/internal/fault"
	"coffer/internal/schedule"
	"coffer/internal/table"
)

// Rotation is how a secret rotates. A secret for which it was never configured
// has none.
type Rotation struct {
	Enabled  bool   `cbor:"1,keyasint"`
	Function string `cbor:"2,keyasint"` // ARN

	// RotationRules, as they were given. Reported is what the service adds to an
	// expression: AutomaticallyAfterDays, worked out after each successful rotation.
	Days       int64  `cbor:"3,keyasint,omitempty"`
	Duration   string `cbor:"4,keyasint,omitempty"`
	Expression string `cbor:"5,keyasint,omitempty"`
	Reported   int64  `cbor:"6,keyasint,omitempty"`

	Last table.Millis `cbor:"7,keyasint,omitempty"` // the last successful rotation
	Base table.Millis `cbor:"8,keyasint,omitempty"` // the last change of the value that counts as one

	// The next window, and the moment in it at which this secret rotates; zero
	// without a schedule.
	Opens  table.Millis `cbor:"9,keyasint,omitempty"`
	Closes table.Millis `cbor:"10,keyasint,omitempty"`
	At     table.Millis `cbor:"11,keyasint,omitempty"`

	// Running is the version that a rotation under way makes, also one that has
	// failed and will be tried again; empty: none.
	Running string `cbor:"12,keyasint,omitempty"`

	// How the last rotation, or test, ended that is over; History has more.
	Result string `cbor:"13,keyasint,omitempty"`
	Step   string `cbor:"14,keyasint,omitempty"` // that failed
	Tested bool   `cbor:"15,keyasint,omitempty"`
}

// ended notes how u ended.
func (r *Rotation) ended(u *Run, o Outcome) { r.Result, r.Step, r.Tested = o.Result, o.Step, u.Test }

// Texts of the real service (spec §5.11), and ours where none is on record.
const (
	textNoFunction    = "No Lambda rotation function ARN is associated with this secret."
	textUnfinished    = "A previous rotation isn't complete. That rotation will be reattempted."
	textNotInvocable  = "Secrets Manager cannot invoke the specified Lambda function. Ensure that the function policy grants access to the principal secretsmanager.amazonaws.com."
	textNotConfigured = "You can't cancel the rotation of a secret for which rotation was never configured."
	textBadRotation   = "The RotationToken value isn't valid for the rotation of this secret."
	textNoExternal    = "Managed external secrets aren't supported here."
)

func (r Rotation) rules() schedule.Rules {
	return schedule.Rules{AutomaticallyAfterDays: r.Days, Duration: r.Duration, ScheduleExpression: r.Expression}
}

// scheduled reports whether there are rules to rotate by.
func (r *Rotation) scheduled() bool { return r.Days != 0 || r.Expression != "" }

// plan sets the next window after now.
func (r *Rotation) plan(secretARN string, now time.Time) error {
	r.Opens, r.Closes, r.At = 0, 0, 0
	if !r.Enabled || !r.scheduled() {
		return nil
	}
	s, err := schedule.Parse(r.rules())
	if err != nil {
		return fmt.Errorf("rotation rules of %s: %w", secretARN, err)
	}
	w := s.Next(now, r.Base.Time())
	r.Opens, r.Closes, r.At = table.At(w.Start), table.At(w.End), table.At(schedule.Moment(w, secretARN))
	return nil
}

// rotated tells the rotation that the value changed at now: by it, or by hand,
// which counts as well.
func (s *Secret) rotated(now time.Time) error {
	if s.Rotation == nil {
		return nil
	}
	s.Rotation.Base = table.At(now)
	return s.Rotation.plan(s.arn(), now)
}

// rotationDue is the key in the queue of secrets whose moment comes; none for those
// that do not rotate now.
func (s *Secret) rotationDue() []table.Key {
	if s.Rotation == nil || !s.Rotation.Enabled || s.Deleted != 0 || s.Rotation.Running != "" {
		return nil
	}
	return s.queued(s.Rotation.At)
}

// rotationRules are the rules as answers show them.
func (s *Secret) rotationRules() *smapi.RotationRulesType {
	r := s.Rotation
	if r == nil || !r.scheduled() && r.Duration == "" {
		return nil
	}
	out := &smapi.RotationRulesType{Duration: api.Optional(r.Duration), ScheduleExpression: api.Optional(r.Expression)}
	if days := r.Days + r.Reported; days != 0 { // one of them is zero
		out.AutomaticallyAfterDays = &days
	}
	return out
}

// shownRotation are the members of DescribeSecret and ListSecrets about rotation.
type shownRotation struct {
	enabled  *bool
	function *string
	rules    *smapi.RotationRulesType
	last     *time.Time
	next     *time.Time
}

func (s *Secret) shownRotation() (out shownRotation) {
	r := s.Rotation
	if r == nil {
		return out
	}
	out = shownRotation{enabled: &r.Enabled, function: api.Optional(r.Function), rules: s.rotationRules(), last: r.Last.Ptr()}
	if r.Enabled && r.Closes != 0 {
		// "The rotation happens within the window": its last second.
		out.next = new(r.Closes.Time().Add(-time.Second))
	}
	return out
}

func resolveRotateSecret(r *api.Request, in *smapi.RotateSecretInput) (*target, api.Access, error) {
	t, access, err := write(r, in.SecretId)
	if err == nil && in.ClientRequestToken == nil {
		err = smapi.InvalidParameterException(textNoToken)
	}
	return t, access, err
}

// rotateSecret configures rotation and starts one, in the order of checks of spec
// §5.11. Nothing is stored unless all of them pass.
func (s *Service) rotateSecret(r *api.Request, in *smapi.RotateSecretInput, t *target) (*smapi.RotateSecretOutput, error) {
	sec, err := t.live()
	if err != nil {
		return nil, err
	}
	rot, err := sec.configured(r, in)
	if err != nil {
		return nil, err
	}
	out := &smapi.RotateSecretOutput{ARN: new(sec.arn()), Name: new(sec.Name)}
	if sec.Rotation != nil && sec.Rotation.Running == *in.ClientRequestToken {
		out.VersionId = in.ClientRequestToken
		return out, nil // a repetition: the answer was lost, not the call
	}
	done, err := s.unfinished(r, sec)
	if err != nil {
		return nil, err
	}
	if err := invocable(r, sec, rot.Function); err != nil {
		return nil, err
	}
	if _, err := schedule.Parse(rot.rules()); err != nil && !errors.Is(err, schedule.Neither) {
		return nil, smapi.InvalidParameterException(err.Error())
	}
	rot.Enabled = true
	if rot.Base == 0 {
		rot.Base = sec.lastValue(r.Time)
	}
	sec.Rotation = rot
	if done != nil {
		if err := sec.succeed(r, done, sec.labelled(done.Version)); err != nil {
			return nil, err
		}
	}
	if in.RotateImmediately != nil && !*in.RotateImmediately {
		if err := rot.plan(sec.arn(), r.Time); err != nil {
			return nil, err
		}
		if err := startTest(r, sec); err != nil {
			return nil, err
		}
		r.After(s.wake)
		return out, save(r, sec)
	}
	if err := sec.startRotation(r, *in.ClientRequestToken, 0); err != nil {
		return nil, err
	}
	if err := rot.plan(sec.arn(), r.Time); err != nil {
		return nil, err
	}
	out.VersionId = in.ClientRequestToken
	r.After(s.wake)
	return out, save(r, sec)
}

// unfinished refuses another rotation while one is not complete. That one is hurried, which
// is to have its function invoked: by those only who may do that.
//
// While its function works it is not hurried, or a function that calls RotateSecret for the
// secret that it rotates, and fails, could be invoked again at once and without end. Nor
// does another begin after such a function has moved AWSCURRENT: the next one would do the same.
// When it does not work and AWSCURRENT has moved, as after a failure behind that, the
// rotation has done what it was for: then it is returned, to be completed.
func (s *Service) unfinished(r *api.Request, sec *Secret) (done *Run, err error) {
	p := sec.holder(pending)
	held := p != nil && !p.has(current)
	if sec.Rotation == nil || sec.Rotation.Running == "" {
		if held {
			return nil, smapi.InvalidRequestException(textUnfinished)
		}
		return nil, nil
	}
	u, err := Runs.Load(r.Tx, sec.part())
	if err != nil {
		return nil, fmt.Errorf("rotation of %s: %w", sec.arn(), err)
	}
	if u.Owner != "" {
		return nil, smapi.InvalidRequestException(textUnfinished)
	}
	if !u.Test && !held && sec.currentID() == u.Version {
		return u, nil
	}
	err = invocable(r, sec, u.Function)
	if f, ok := fault.As(err); err != nil && (!ok || ours(f)) {
		return nil, err
	}
	if err == nil {
		s.hurry(sec)
	}
	return nil, smapi.InvalidRequestException(textUnfinished)
}

// configured is the secret's rotation with what the request changes. Members that are
// not sent keep their value, but another schedule replaces the old one with its window.
func (s *Secret) configured(r *api.Request, in *smapi.RotateSecretInput) (*Rotation, error) {
	if len(in.ExternalSecretRotationMetadata) > 0 || in.ExternalSecretRotationRoleArn != nil {
		return nil, smapi.InvalidParameterException(textNoExternal)
	}
	rot := new(Rotation)
	if s.Rotation != nil {
		*rot = *s.Rotation
	}
	if rules := in.RotationRules; rules != nil {
		if rules.AutomaticallyAfterDays != nil && rules.ScheduleExpression != nil {
			_, err := schedule.Parse(schedule.Rules{AutomaticallyAfterDays: *rules.AutomaticallyAfterDays, ScheduleExpression: *rules.ScheduleExpression})
			return nil, smapi.InvalidParameterException(err.Error())
		}
		// A schedule comes with its window. What manages secrets from a description,
		// as Terraform does, could not take a Duration away otherwise.
		if rules.AutomaticallyAfterDays != nil {
			rot.Days, rot.Expression, rot.Duration, rot.Reported = *rules.AutomaticallyAfterDays, "", "", 0
		}
		if rules.ScheduleExpression != nil {
			rot.Days, rot.Expression, rot.Duration, rot.Reported = 0, *rules.ScheduleExpression, "", 0
		}
		if rules.Duration != nil {
			rot.Duration = *rules.Duration
		}
	}
	if f := api.Value(in.RotationLambdaARN); f != "" {
		rot.Function = f
	}
	if rot.Function == "" {
		return nil, smapi.InvalidRequestException(textNoFunction)
	}
	if !arn.Is(rot.Function) {
		// A bare name means a function beside the secret. It is written out before
		// anybody is asked about it: Lambda takes names to be of its caller's account,
		// which would be another function for the caller than for Secrets Manager.
		rot.Function = "arn:" + r.Partition() + ":lambda:" + s.Region + ":" + s.Account + ":function:" + rot.Function
	}
	return rot, nil
}

// lastValue is when the current value came, for the schedule's base.
func (s *Secret) lastValue(now time.Time) table.Millis {
	if v := s.holder(current); v != nil && v.Created != 0 {
		return v.Created
	}
	return table.At(now)
}

// invocable asks Lambda whether the function can be invoked: by the caller, and
// by Secrets Manager for this secret. Both are dry runs.
func invocable(r *api.Request, s *Secret, function string) error {
	// Lambda takes ARNs that lack parts, and its caller's account in their place: here
	// each part has to be said.
	const digits = 12 // of an account
	a, err := arn.Parse(function)
	switch {
	case err != nil || a.Service != "lambda" || len(a.Account) != digits || !strings.HasPrefix(a.Resource, "function:"):
		return notInvocable(function + " is not the ARN of a Lambda function")
	case a.Region != r.Region || a.Partition != r.Partition():
		return notInvocable("the function is in " + a.Region + ", the secret in " + r.Region + ": a secret's function is of its region")
	}
	in := &lambdaapi.InvokeInput{FunctionName: &function, InvocationType: new(lambdaapi.InvocationTypeDryRun)}
	for _, call := range []func() error{
		func() error { _, err := r.Caller.Call(r, lambdaapi.Invoke.Operation, in); return err },
		func() error { _, err := r.Caller.CallAsService(r, s.arn(), lambdaapi.Invoke.Operation, in); return err },
	} {
		err := call()
		if f, ok := fault.As(err); ok && !ours(f) {
			if a.Account != s.Account {
				err = errors.Join(err, fault.Reason("the function is of account "+a.Account+", the secret of "+s.Account))
			}
			return api.AccessDeniedException(textNotInvocable).Because(err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// notInvocable is the refusal of a function that Lambda need not be asked about.
func notInvocable(why string) error {
	return api.AccessDeniedException(textNotInvocable).Because(fault.Reason(why))
}

func resolveCancelRotateSecret(r *api.Request, in *smapi.CancelRotateSecretInput) (*target, api.Access, error) {
	return write(r, in.SecretId)
}

// cancelRotateSecret stops rotating, and a rotation under way. Labels stay where
// they are: a version with AWSPENDING is for the user to look at, unless it is a copy for a test.
func cancelRotateSecret(r *api.Request, _ *smapi.CancelRotateSecretInput, t *target) (*smapi.CancelRotateSecretOutput, error) {
	s, err := t.live()
	if err != nil {
		return nil, err
	}
	if s.Rotation == nil {
		return nil, smapi.InvalidRequestException(textNotConfigured)
	}
	out := &smapi.CancelRotateSecretOutput{ARN: new(s.arn()), Name: new(s.Name), VersionId: api.Optional(s.Rotation.Running)}
	s.Rotation.Enabled = false
	if s.Rotation.Running != "" {
		u, err := Runs.Load(r.Tx, s.part())
		if err != nil {
			return nil, fmt.Errorf("rotation of %s: %w", s.arn(), err)
		}
		if u.Test { // nobody but us would know what its copy is
			if err := s.dropCopy(r, u); err != nil {
				return nil, err
			}
		}
	}
	if err := s.dropRotation(r); err != nil {
		return nil, err
	}
	if err := s.Rotation.plan(s.arn(), r.Time); err != nil {
		return nil, err
	}
	return out, save(r, s)
}

package rotator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

// The staging labels.
const (
	Current  = "AWSCURRENT"
	Pending  = "AWSPENDING"
	Previous = "AWSPREVIOUS"
)

// Rotation is what a function does in the first three steps. Any of them may run
// again with the same job after it failed, was killed, or succeeded unnoticed, and
// must then lead to the same end.
type Rotation interface {
	// Create puts a value under AWSPENDING unless there is one.
	Create(context.Context, *Job) error
	// Set makes the target take the pending value.
	Set(context.Context, *Job) error
	// Test proves that the target takes the pending value.
	Test(context.Context, *Job) error
}

// Client is what functions need of Secrets Manager.
type Client interface {
	DescribeSecret(context.Context, *secretsmanager.DescribeSecretInput, ...func(*secretsmanager.Options)) (*secretsmanager.DescribeSecretOutput, error)
	GetSecretValue(context.Context, *secretsmanager.GetSecretValueInput, ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error)
	PutSecretValue(context.Context, *secretsmanager.PutSecretValueInput, ...func(*secretsmanager.Options)) (*secretsmanager.PutSecretValueOutput, error)
	UpdateSecretVersionStage(context.Context, *secretsmanager.UpdateSecretVersionStageInput, ...func(*secretsmanager.Options)) (*secretsmanager.UpdateSecretVersionStageOutput, error)
	GetRandomPassword(context.Context, *secretsmanager.GetRandomPasswordInput, ...func(*secretsmanager.Options)) (*secretsmanager.GetRandomPasswordOutput, error)
}

// Handler is a rotation function. Safe for concurrent use if the client and Log are.
type Handler struct {
	Rotation Rotation
	Client   Client
	// LookupEnv reads the function's variables, as os.LookupEnv does.
	LookupEnv func(string) (string, bool)
	Log       io.Writer
}

// Failure is how a function fails, in the form of the Lambda Runtime API. It shows no password.
type Failure struct {
	Type    string   `json:"errorType"`
	Message string   `json:"errorMessage"`
	Stack   []string `json:"stackTrace"`
}

// spare is the time left of an invocation in which a failure is still told: an
// answer explains more than "Task timed out".
const spare = 500 * time.Millisecond

// Handle carries out the step of an event. nil is success.
func (h *Handler) Handle(ctx context.Context, requestID string, event []byte) *Failure {
	if end, ok := ctx.Deadline(); ok && time.Until(end) > 4*spare {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, end.Add(-spare))
		defer cancel()
	}
	j := &Job{RequestID: requestID, client: h.Client, lookupEnv: h.LookupEnv, log: h.Log}
	err := h.step(ctx, j, event)
	if err == nil {
		return nil
	}
	f := j.failure(err)
	f.Stack = []string{}
	j.Errorf("%s: %s", f.Type, f.Message)
	return &f
}

// step is Handle without the wording of errors.
func (h *Handler) step(ctx context.Context, j *Job, event []byte) (err error) {
	defer func() {
		if v := recover(); v != nil {
			// The value may quote anything. Where it happened says enough.
			j.Errorf("panic of type %T in %s", v, callers())
			err = errPanic
		}
	}()
	if j.Event, err = parseEvent(event); err != nil {
		return err
	}
	if !slices.Contains([]string{CreateSecret, SetSecret, TestSecret, FinishSecret}, j.Step) {
		step := j.Step
		j.Event.Step = "event"
		return ValueErrorf("Invalid step parameter %s for secret %s", step, j.SecretId)
	}
	j.Infof("secret %s, version %s", j.SecretId, j.ClientRequestToken)
	done, err := j.check(ctx)
	if err != nil || done {
		return err
	}
	switch j.Step {
	case CreateSecret:
		return h.Rotation.Create(ctx, j)
	case SetSecret:
		return h.Rotation.Set(ctx, j)
	case TestSecret:
		return h.Rotation.Test(ctx, j)
	default:
		return j.finish(ctx)
	}
}

// check makes sure that the version of the job is being rotated to. done is true
// when it is current already.
func (j *Job) check(ctx context.Context) (done bool, err error) {
	about, err := j.client.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &j.SecretId})
	if err != nil {
		return false, err
	}
	if !aws.ToBool(about.RotationEnabled) {
		return false, ValueErrorf("Secret %s is not enabled for rotation", j.SecretId)
	}
	stages, ok := about.VersionIdsToStages[j.ClientRequestToken]
	switch {
	case !ok:
		return false, ValueErrorf("Secret version %s has no stage for rotation of secret %s.", j.ClientRequestToken, j.SecretId)
	case slices.Contains(stages, Current):
		j.Infof("Secret version %s already set as AWSCURRENT for secret %s.", j.ClientRequestToken, j.SecretId)
		return true, nil
	case !slices.Contains(stages, Pending):
		return false, ValueErrorf("Secret version %s not set as AWSPENDING for rotation of secret %s.", j.ClientRequestToken, j.SecretId)
	}
	return false, nil
}

// finish moves AWSCURRENT to the version of the job.
func (j *Job) finish(ctx context.Context) error {
	about, err := j.client.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &j.SecretId})
	if err != nil {
		return err
	}
	var from *string
	for version, stages := range about.VersionIdsToStages {
		if !slices.Contains(stages, Current) {
			continue
		}
		if version == j.ClientRequestToken {
			j.Infof("Version %s already marked as AWSCURRENT for %s", version, j.SecretId)
			return nil
		}
		from = aws.String(version)
	}
	_, err = j.client.UpdateSecretVersionStage(ctx, &secretsmanager.UpdateSecretVersionStageInput{
		SecretId: &j.SecretId, VersionStage: aws.String(Current), MoveToVersionId: &j.ClientRequestToken, RemoveFromVersionId: from,
	})
	if err != nil {
		return err
	}
	j.Infof("Successfully set AWSCURRENT stage to version %s for secret %s.", j.ClientRequestToken, j.SecretId)
	return nil
}

var errPanic = errors.New("the function panicked; its log tells where")

// callers names the functions on the stack of a panic, the innermost first.
func callers() string {
	pcs := make([]uintptr, 32)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(4, pcs)])
	var names []string
	for {
		f, more := frames.Next()
		names = append(names, fmt.Sprintf("%s:%d", f.Function, f.Line))
		if !more {
			return strings.Join(names, ", ")
		}
	}
}

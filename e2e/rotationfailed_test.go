package e2e_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"coffer/internal/builtin"
	"coffer/internal/coffertest"
	"coffer/internal/coffertest/check"
	"coffer/internal/lambda"
	sm "coffer/internal/secretsmanager"
	"coffer/internal/server"
)

// wall is a function whose database does not answer as long as it is down. It calls
// Secrets Manager as its role, at the time of the realm.
type wall struct {
	*realm
	down     atomic.Bool
	attempts atomic.Int32
}

func (w *wall) Run(ctx context.Context, f *lambda.Executable, e lambda.Event) (*lambda.Answer, error) {
	var in struct{ Step, SecretId, ClientRequestToken, RotationToken string }
	if err := json.Unmarshal(e.Payload, &in); err != nil {
		return nil, err
	}
	_, creds, err := f.Start(ctx)
	if err != nil {
		return nil, err
	}
	role := w.with("the function's role", creds.AccessKeyID, string(creds.SecretAccessKey), string(creds.SessionToken)).sm
	switch in.Step {
	case "createSecret":
		w.attempts.Add(1)
		_, err = role.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{
			SecretId: &in.SecretId, ClientRequestToken: &in.ClientRequestToken, RotationToken: &in.RotationToken,
			SecretString: aws.String(marker + " new"), VersionStages: []string{"AWSPENDING"},
		})
	case "setSecret":
		if w.down.Load() {
			return &lambda.Answer{
				Failed: true, Payload: []byte(`{"errorType":"OperationalError","errorMessage":"no route to host"}`),
				Log: []byte("START RequestId: 1\n[ERROR] setSecret: cannot log in\nEND RequestId: 1\n"),
			}, nil
		}
	case "finishSecret":
		var d *secretsmanager.DescribeSecretOutput
		if d, err = role.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &in.SecretId}); err != nil {
			break
		}
		_, err = role.UpdateSecretVersionStage(ctx, &secretsmanager.UpdateSecretVersionStageInput{
			SecretId: &in.SecretId, VersionStage: aws.String("AWSCURRENT"), MoveToVersionId: &in.ClientRequestToken, RemoveFromVersionId: labelled(d.VersionIdsToStages)["AWSCURRENT"],
		})
	}
	return &lambda.Answer{Payload: []byte("null")}, err
}

func labelled(versions map[string][]string) map[string]*string {
	by := make(map[string]*string)
	for id, stages := range versions {
		for _, s := range stages {
			by[s] = &id
		}
	}
	return by
}

// TestRotationGivesUp: a rotation whose function fails is tried five times. Then the audit
// log has RotationFailed, and the next window, or RotateSecret, has it tried again.
func TestRotationGivesUp(t *testing.T) {
	t.Parallel()
	f := &wall{}
	f.realm = newRealm(t, coffertest.With(func(c *server.Config) { c.Runner, c.BuiltInPolicy = f, builtin.RolePolicy }))
	owner := f.ours.sm
	function := aws.String("arn:aws:lambda:eu-west-1:" + f.ours.id + ":function:Rotator")
	// A clock that jumps is noticed within a minute, or when somebody asks for a rotation:
	// here for one of a secret that has nothing to rotate.
	must(owner.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String("empty")}))(t)
	pass := func(t *testing.T, d time.Duration) {
		t.Helper()
		f.advance(d)
		must(owner.RotateSecret(ctx, &secretsmanager.RotateSecretInput{SecretId: aws.String("empty"), RotationLambdaARN: function, RotateImmediately: new(false)}))(t)
	}
	status := func(t *testing.T, secret string) (st sm.RotationStatus, text string) {
		t.Helper()
		if err := json.Unmarshal([]byte(run(t, 0, "rotation", "status", "--json", "--region", "eu-west-1", "--data-dir", string(f.Dir), secret)), &st); err != nil {
			t.Fatal(err)
		}
		return st, run(t, 0, "rotation", "status", "--region", "eu-west-1", "--data-dir", string(f.Dir), secret)
	}
	labels := func(t *testing.T, secret, label string) string {
		t.Helper()
		return aws.ToString(labelled(must(owner.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &secret}))(t).VersionIdsToStages)[label])
	}
	events := func(t *testing.T, secret string) (all []auditRecord) {
		t.Helper()
		f.Recorded(t)
		for _, r := range auditRecords(t, f.Dir) {
			if r.EventType == "AwsServiceEvent" && r.AdditionalEventData.SecretID == secret {
				all = append(all, r)
			}
		}
		return all
	}
	everyDay := &types.RotationRulesType{AutomaticallyAfterDays: new(int64(1))}
	for _, tt := range []struct {
		name  string
		rules *types.RotationRulesType
		again func(t *testing.T, secret string, st *sm.RotationStatus)
		waits string // in what the status says
	}{
		{"next-window", everyDay, func(t *testing.T, _ string, st *sm.RotationStatus) {
			pass(t, st.Planned.Sub(f.Now()))
		}, "tried again in the next window, at "},
		{"rotate-secret", nil, func(t *testing.T, secret string, _ *sm.RotationStatus) {
			_, err := owner.RotateSecret(ctx, &secretsmanager.RotateSecretInput{SecretId: &secret})
			fails(t, "RotateSecret", err, "InvalidRequestException", "A previous rotation isn't complete. That rotation will be reattempted.")
		}, "it waits until RotateSecret is called"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f.down.Store(true)
			f.attempts.Store(0)
			made := must(owner.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: &tt.name, SecretString: aws.String(marker)}))(t)
			secret := *made.ARN
			version := *must(owner.RotateSecret(ctx, &secretsmanager.RotateSecretInput{SecretId: &secret, RotationLambdaARN: function, RotationRules: tt.rules}))(t).VersionId
			var st sm.RotationStatus
			var text string
			for n := range 5 {
				eventually(t, "an attempt has failed", func() bool { st, text = status(t, secret); return len(st.Ended) > n })
				check.Equal(t, "attempts", f.attempts.Load(), int32(n+1))
				if n < 4 {
					check.Equal(t, "events", len(events(t, secret)), 1) // RotationStarted
					pass(t, time.Minute<<n)
				}
			}
			all := events(t, secret)
			if len(all) != 2 || all[0].EventName != "RotationStarted" {
				t.Fatalf("events %+v", all)
			}
			failed := all[1]
			check.Equal(t, "event", failed.EventName, "RotationFailed")
			check.Equal(t, "its error", failed.ErrorMessage, "Error when executing lambda "+*function+" during setSecret step")
			check.Equal(t, "its request id", failed.RequestID, "Rotation-"+secret+"-"+version)
			check.Equal(t, "AWSCURRENT", labels(t, secret, "AWSCURRENT"), *made.VersionId)
			check.Equal(t, "AWSPENDING", labels(t, secret, "AWSPENDING"), version)
			for _, want := range []string{
				"  rotation failed in setSecret, attempt 5\n  said    OperationalError: no route to host\n  advice  What setSecret is to do was not done",
				"\n    [ERROR] setSecret: cannot log in\n", "\ngiven up  ", "version " + version + ", after 5 failed attempts; " + tt.waits, "rotation run " + tt.name + "\n",
			} {
				if !strings.Contains(text, want) {
					t.Errorf("coffer rotation status lacks %q:\n%s", want, text)
				}
			}

			if list := run(t, 0, "rotation", "list", "--failing", "--region", "eu-west-1", "--data-dir", string(f.Dir)); !strings.Contains(list, "  failed setSecret, given up\n") {
				t.Errorf("coffer rotation list --failing:\n%s", list)
			}

			f.down.Store(false)
			tt.again(t, secret, &st)
			eventually(t, "it is rotated", func() bool { st, _ = status(t, secret); return st.Running == nil })
			check.Equal(t, "AWSCURRENT", labels(t, secret, "AWSCURRENT"), version)
			check.Equal(t, "AWSPENDING", labels(t, secret, "AWSPENDING"), "")
			all = events(t, secret)
			if n := len(all); n != 3 || all[2].EventName != "RotationSucceeded" {
				t.Errorf("events %+v", all)
			}
		})
	}
}

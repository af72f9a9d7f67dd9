package rotator

import (
	"context"
	"errors"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

// Job is one step of one rotation of one secret, and all that a [Rotation] needs
// for it. Not safe for concurrent use.
type Job struct {
	Event
	RequestID string // of the invocation

	client    Client
	lookupEnv func(string) (string, bool)
	log       io.Writer
	concealed []string
}

// LookupEnv reads a variable of the function.
func (j *Job) LookupEnv(name string) (string, bool) { return j.lookupEnv(name) }

// Getenv is a variable's value, or unset if there is no such variable.
func (j *Job) Getenv(name, unset string) string {
	if s, ok := j.LookupEnv(name); ok {
		return s
	}
	return unset
}

// Value is the value of a version of the job's secret: of the pending version for the
// label AWSPENDING, of whatever version has the label for others. ok is false when
// there is no such version or it has no value yet.
func (j *Job) Value(ctx context.Context, label string) (value Password, ok bool, err error) {
	in := &secretsmanager.GetSecretValueInput{SecretId: &j.SecretId, VersionStage: &label}
	if label == Pending {
		in.VersionId = &j.ClientRequestToken
	}
	value, err = j.get(ctx, in)
	var absent *types.ResourceNotFoundException
	if errors.As(err, &absent) {
		return "", false, nil
	}
	return value, err == nil, err
}

// Other is the current value of another secret.
func (j *Job) Other(ctx context.Context, id string) (Password, error) {
	return j.get(ctx, &secretsmanager.GetSecretValueInput{SecretId: &id, VersionStage: aws.String(Current)})
}

func (j *Job) get(ctx context.Context, in *secretsmanager.GetSecretValueInput) (Password, error) {
	out, err := j.client.GetSecretValue(ctx, in)
	if err != nil {
		return "", err
	}
	if out.SecretString == nil {
		return "", ValueErrorf("The value of secret %s is binary, not text", *in.SecretId)
	}
	return Password(*out.SecretString), nil
}

// Put gives the pending version its value.
func (j *Job) Put(ctx context.Context, value Password) error {
	in := &secretsmanager.PutSecretValueInput{
		SecretId: &j.SecretId, ClientRequestToken: &j.ClientRequestToken,
		SecretString: aws.String(string(value)), VersionStages: []string{Pending},
	}
	if j.RotationToken != "" {
		in.RotationToken = &j.RotationToken
	}
	_, err := j.client.PutSecretValue(ctx, in)
	var exists *types.ResourceExistsException
	if errors.As(err, &exists) {
		// Another run of this step was faster, or the SDK repeated a call that had
		// arrived. The value that is there is the one to go on with.
		if _, ok, e := j.Value(ctx, Pending); e == nil && ok {
			err = nil
		}
	}
	if err != nil {
		return err
	}
	j.Infof("Successfully put secret for ARN %s and version %s.", j.SecretId, j.ClientRequestToken)
	return nil
}

// missing is what AWS's own answer says about a version that is not there.
func missing(label string) error {
	return ValueErrorf("Secrets Manager can't find the specified secret value for staging label: %s", label)
}

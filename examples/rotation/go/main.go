// Command go rotates a value that only its readers know: a signing key, a token between
// two programs. It is a Lambda function for the runtime provided.al2023.
//
// For a value that a service knows too, fill in setSecret (tell the service) and
// testSecret (try it there); the rest stays.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"slices"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

// event is what Secrets Manager invokes a rotation function with.
type event struct {
	Step, SecretId, ClientRequestToken string
}

// rotation is one event and what it is about.
type rotation struct {
	event
	secrets *secretsmanager.Client
	stages  map[string][]string // of each version
}

var steps = map[string]func(*rotation, context.Context) error{
	"createSecret": (*rotation).createSecret,
	"setSecret":    (*rotation).setSecret,
	"testSecret":   (*rotation).testSecret,
	"finishSecret": (*rotation).finishSecret,
}

func main() {
	cfg, err := config.LoadDefaultConfig(context.Background()) // reads AWS_ENDPOINT_URL
	if err != nil {
		log.Fatal(err)
	}
	secrets := secretsmanager.NewFromConfig(cfg)
	lambda.Start(func(ctx context.Context, e event) error { return handle(ctx, secrets, e) })
}

func handle(ctx context.Context, secrets *secretsmanager.Client, e event) error {
	secret, err := secrets.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &e.SecretId})
	if err != nil {
		return err
	}
	if !aws.ToBool(secret.RotationEnabled) {
		return fmt.Errorf("%s is not enabled for rotation", e.SecretId)
	}
	stages, ok := secret.VersionIdsToStages[e.ClientRequestToken]
	step := steps[e.Step]
	switch {
	case step == nil:
		return fmt.Errorf("no such step: %s", e.Step)
	case !ok:
		return fmt.Errorf("%s has no version %s", e.SecretId, e.ClientRequestToken)
	case slices.Contains(stages, "AWSCURRENT"):
		log.Printf("%s: version %s is current already", e.Step, e.ClientRequestToken)
		return nil
	case !slices.Contains(stages, "AWSPENDING"):
		return fmt.Errorf("version %s of %s is not pending", e.ClientRequestToken, e.SecretId)
	}
	if err := step(&rotation{e, secrets, secret.VersionIdsToStages}, ctx); err != nil {
		return err
	}
	log.Printf("%s: version %s is done", e.Step, e.ClientRequestToken) // the version, never its value
	return nil
}

// createSecret makes the new value, unless an earlier try of this step has.
func (r *rotation) createSecret(ctx context.Context) error {
	var absent *types.ResourceNotFoundException
	if _, err := r.pending(ctx); !errors.As(err, &absent) {
		return err // nil: it is there
	}
	made, err := r.secrets.GetRandomPassword(ctx, &secretsmanager.GetRandomPasswordInput{
		PasswordLength: aws.Int64(40), ExcludePunctuation: aws.Bool(true),
	})
	if err != nil {
		return err
	}
	_, err = r.secrets.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{
		SecretId: &r.SecretId, ClientRequestToken: &r.ClientRequestToken,
		SecretString: made.RandomPassword, VersionStages: []string{"AWSPENDING"},
	})
	return err
}

// setSecret has nothing to do: nothing but the secret holds the value.
func (r *rotation) setSecret(context.Context) error { return nil }

// testSecret checks that the pending value is whole, and is another.
func (r *rotation) testSecret(ctx context.Context) error {
	pending, err := r.pending(ctx)
	if err != nil {
		return err
	}
	current, err := r.secrets.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &r.SecretId})
	if err != nil {
		return err
	}
	if len(pending) != 40 || pending == aws.ToString(current.SecretString) {
		return fmt.Errorf("version %s of %s cannot be used", r.ClientRequestToken, r.SecretId)
	}
	return nil
}

// finishSecret moves AWSCURRENT to the new version; AWSPREVIOUS goes to the old one by itself.
func (r *rotation) finishSecret(ctx context.Context) error {
	in := &secretsmanager.UpdateSecretVersionStageInput{
		SecretId: &r.SecretId, VersionStage: aws.String("AWSCURRENT"), MoveToVersionId: &r.ClientRequestToken,
	}
	for version, stages := range r.stages {
		if slices.Contains(stages, "AWSCURRENT") {
			in.RemoveFromVersionId = &version
		}
	}
	_, err := r.secrets.UpdateSecretVersionStage(ctx, in)
	return err
}

func (r *rotation) pending(ctx context.Context) (string, error) {
	out, err := r.secrets.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{
		SecretId: &r.SecretId, VersionId: &r.ClientRequestToken, VersionStage: aws.String("AWSPENDING"),
	})
	if err != nil {
		return "", err
	}
	return aws.ToString(out.SecretString), nil
}

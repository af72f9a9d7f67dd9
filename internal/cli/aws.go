package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/smithy-go"

	"coffer/internal/server"
)

// secretsClient is a client of Secrets Manager as AWS tools in this environment would
// have one. Without AWS_ENDPOINT_URL it is what `coffer env` would make of it: the
// root of the first account.
func secretsClient(ctx context.Context, o *rotationOpts) (*secretsmanager.Client, error) {
	url, region, ca := os.Getenv("AWS_ENDPOINT_URL"), os.Getenv("AWS_REGION"), os.Getenv("AWS_CA_BUNDLE")
	keys := aws.Credentials{AccessKeyID: os.Getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY"), SessionToken: os.Getenv("AWS_SESSION_TOKEN")}
	if region == "" {
		region = os.Getenv("AWS_DEFAULT_REGION")
	}
	if url == "" {
		dir, err := o.dir()
		if err != nil {
			return nil, err
		}
		if _, err := dial(dir); err != nil {
			return nil, err
		}
		run, err := server.ReadJSON[server.Running](dir.Running())
		if err != nil {
			return nil, err
		}
		cred, err := server.ReadJSON[server.Credentials](dir.Credentials())
		if err != nil {
			return nil, fmt.Errorf("root access keys of the first account: %w; `coffer account keys ACCOUNT` makes new ones", err)
		}
		url, region, ca = run.URL, run.Region, run.CA
		keys = aws.Credentials{AccessKeyID: cred.AccessKeyID, SecretAccessKey: cred.SecretAccessKey}
	}
	if o.region != "" {
		region = o.region
	}
	if keys.AccessKeyID == "" || keys.SecretAccessKey == "" {
		return nil, errors.New("AWS_ENDPOINT_URL is set and AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY is not; `eval \"$(coffer env)\"` sets them all")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, fmt.Errorf("AWS_CA_BUNDLE: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("AWS_CA_BUNDLE: %s has no certificates", ca)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	return secretsmanager.New(secretsmanager.Options{
		BaseEndpoint: &url, Region: region, HTTPClient: &http.Client{Transport: transport},
		Credentials: credentials.StaticCredentialsProvider{Value: keys},
	}), nil
}

// twoServers says that the data directory may be another server's than the secret's.
func twoServers(err error) error {
	if url := os.Getenv("AWS_ENDPOINT_URL"); url != "" {
		return fmt.Errorf("%w; nothing was rotated: the secret is on the server at %s (AWS_ENDPOINT_URL)", err, url)
	}
	return err
}

// awsError is an AWS error in the form of the AWS CLI.
func awsError(err error) error {
	var e smithy.APIError
	if errors.As(err, &e) {
		return fmt.Errorf("%s: %s", e.ErrorCode(), e.ErrorMessage())
	}
	return err
}

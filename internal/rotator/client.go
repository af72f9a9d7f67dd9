package rotator

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

// callTime is how long one call to Secrets Manager may take. Three are tried.
const callTime = 8 * time.Second

// NewClient is Secrets Manager as the variables of a Lambda function name it:
// AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_CA_BUNDLE,
// and the address from the first there is of SECRETS_MANAGER_ENDPOINT (as in the
// templates), AWS_ENDPOINT_URL_SECRETS_MANAGER and AWS_ENDPOINT_URL, else AWS's own.
// The SDK's own package for this would read files and ask metadata services, for which a
// function has neither use nor time.
func NewClient(lookupEnv func(string) (string, bool)) (*secretsmanager.Client, error) {
	env := func(names ...string) string {
		for _, name := range names {
			if s, ok := lookupEnv(name); ok && s != "" {
				return s
			}
		}
		return ""
	}
	region := env("AWS_REGION", "AWS_DEFAULT_REGION")
	if region == "" {
		return nil, fmt.Errorf("AWS_REGION is not set")
	}
	id, key := env("AWS_ACCESS_KEY_ID"), env("AWS_SECRET_ACCESS_KEY")
	if id == "" || key == "" {
		return nil, fmt.Errorf("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set")
	}
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: connectTime}).DialContext,
		TLSHandshakeTimeout:   connectTime,
		ResponseHeaderTimeout: callTime,
		MaxIdleConns:          4,
		IdleConnTimeout:       30 * time.Second,
		ForceAttemptHTTP2:     true,
	}
	if file := env("AWS_CA_BUNDLE"); file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("AWS_CA_BUNDLE: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("AWS_CA_BUNDLE: %s holds no certificate", file)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	cfg := aws.Config{
		Region:      region,
		Credentials: credentials.NewStaticCredentialsProvider(id, key, env("AWS_SESSION_TOKEN")),
		HTTPClient:  &http.Client{Transport: transport, Timeout: callTime},
	}
	if url := env("SECRETS_MANAGER_ENDPOINT", "AWS_ENDPOINT_URL_SECRETS_MANAGER", "AWS_ENDPOINT_URL"); url != "" {
		cfg.BaseEndpoint = aws.String(strings.TrimRight(url, "/"))
	}
	return secretsmanager.NewFromConfig(cfg), nil
}

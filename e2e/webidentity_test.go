package e2e_test

import (
	"crypto/sha1"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"coffer/internal/coffertest/check"
	"coffer/internal/jwt/jwttest"
)

// cluster is an OpenID Connect issuer over HTTPS under an authority of its own, as a
// Kubernetes cluster is one.
type cluster struct {
	*httptest.Server
	key        *jwttest.Key
	thumbprint string // of its authority
	asked      atomic.Int64
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	pki := jwttest.NewPKI("127.0.0.1")
	sum := sha1.Sum(pki.Server.Certificate[1])
	c := &cluster{key: jwttest.NewRSA("key-1"), thumbprint: hex.EncodeToString(sum[:])}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		c.asked.Add(1)
		json.NewEncoder(w).Encode(map[string]string{"issuer": c.URL, "jwks_uri": c.URL + "/openid/v1/jwks"})
	})
	mux.HandleFunc("/openid/v1/jwks", func(w http.ResponseWriter, _ *http.Request) { w.Write(c.key.JWKS()) })
	c.Server = httptest.NewUnstartedServer(mux)
	c.TLS = &tls.Config{Certificates: []tls.Certificate{pki.Server}}
	c.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug) // of handshakes that have to fail
	c.StartTLS()
	t.Cleanup(c.Close)
	return c
}

// token is what the cluster writes into a pod's file.
func (c *cluster) token(account string) string {
	now := time.Now().Unix()
	return c.key.Sign(map[string]any{
		"iss": c.URL, "sub": "system:serviceaccount:" + account, "aud": []string{"sts.amazonaws.com"}, "iat": now, "nbf": now, "exp": now + 3600,
		"kubernetes.io": map[string]any{"namespace": "shop"},
	})
}

// TestSigningInFromKubernetes is the walk of docs/operations.md with the SDK's own provider of
// credentials, as pods use it: AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE.
func TestSigningInFromKubernetes(t *testing.T) {
	h := start(t)
	k8s := newCluster(t)
	admin := h.IAM(t)
	host := strings.TrimPrefix(k8s.URL, "https://")
	provider := must(admin.CreateOpenIDConnectProvider(ctx, &iam.CreateOpenIDConnectProviderInput{
		Url: &k8s.URL, ClientIDList: []string{"sts.amazonaws.com"}, ThumbprintList: []string{k8s.thumbprint},
	}))(t).OpenIDConnectProviderArn
	role := must(admin.CreateRole(ctx, &iam.CreateRoleInput{RoleName: new("shop-web"), AssumeRolePolicyDocument: new(`{"Version":"2012-10-17","Statement":[{
		"Effect":"Allow","Principal":{"Federated":"` + *provider + `"},"Action":"sts:AssumeRoleWithWebIdentity",
		"Condition":{"StringEquals":{"` + host + `:aud":"sts.amazonaws.com","` + host + `:sub":"system:serviceaccount:shop:web"}}}]}`)}))(t).Role.Arn
	must(admin.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: new("shop-web"), PolicyName: new("read"), PolicyDocument: new(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"secretsmanager:GetSecretValue","Resource":"arn:aws:secretsmanager:*:*:secret:shop/*"}]}`)}))(t)
	must(h.sm("eu-west-1").CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: new("shop/db"), SecretString: value("for the shop")}))(t)
	must(h.sm("eu-west-1").CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: new("bank/db"), SecretString: value("for the bank")}))(t)

	unsigned := h.Config("eu-west-1")
	unsigned.Credentials = aws.AnonymousCredentials{}
	pod := func(account, role string) *secretsmanager.Client {
		file := filepath.Join(t.TempDir(), "token")
		text := k8s.token(account)
		h.secret(text, "a service account's token")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg := h.Config("eu-west-1")
		cfg.Credentials = aws.NewCredentialsCache(stscreds.NewWebIdentityRoleProvider(sts.NewFromConfig(unsigned), role, stscreds.IdentityTokenFile(file)))
		return secretsmanager.NewFromConfig(cfg)
	}

	// Many pods start at once; the issuer is asked once.
	var wg sync.WaitGroup
	for range 20 {
		sm := pod("shop:web", *role)
		wg.Go(func() {
			out, err := sm.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: new("shop/db")})
			if err != nil || *out.SecretString != *value("for the shop") {
				t.Errorf("a pod: %v", err)
			}
		})
	}
	wg.Wait()
	check.Equal(t, "times the issuer was asked", k8s.asked.Load(), 1)

	web := pod("shop:web", *role)
	_, err := web.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: new("bank/db")})
	if err == nil || !strings.Contains(err.Error(), "assumed-role/shop-web/") || !strings.Contains(err.Error(), "because no identity-based policy allows") {
		t.Errorf("a secret of others: %v", err)
	}
	_, err = pod("bank:web", *role).GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: new("shop/db")})
	fails(t, "another service account", err, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity")

	last := strings.Fields(run(t, 0, "explain", "--last", "1", "--data-dir", string(h.Dir)))
	why := run(t, 0, "explain", last[7], "--data-dir", string(h.Dir)) // behind the six words of the heading and the time
	for _, want := range []string{`provider +` + *provider, `subject +system:serviceaccount:bank:web`, `close +role trust policy .*: condition StringEquals ` + host + `:sub does not hold\n`} {
		if !regexp.MustCompile(`(?m)^ *` + want).MatchString(why) {
			t.Errorf("explain does not say %q:\n%s", want, why)
		}
	}

	cliSignsIn(t, h, *role, k8s.token("shop:web"))

	// An account that registers the same issuer without its thumbprint does not believe the keys
	// that are there already.
	b := h.account(t, "b")
	other := iam.NewFromConfig(h.ConfigFor("us-east-1", b))
	otherProvider := must(other.CreateOpenIDConnectProvider(ctx, &iam.CreateOpenIDConnectProviderInput{Url: &k8s.URL, ClientIDList: []string{"sts.amazonaws.com"}}))(t).OpenIDConnectProviderArn
	otherRole := must(other.CreateRole(ctx, &iam.CreateRoleInput{RoleName: new("r"), AssumeRolePolicyDocument: new(`{"Version":"2012-10-17","Statement":[{
		"Effect":"Allow","Principal":{"Federated":"` + *otherProvider + `"},"Action":"sts:AssumeRoleWithWebIdentity"}]}`)}))(t).Role.Arn
	_, err = pod("shop:web", *otherRole).GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: new("shop/db")})
	fails(t, "an issuer that nobody vouches for", err, "InvalidIdentityToken", "OpenIDConnect provider's HTTPS certificate doesn't match configured thumbprint")

	// An issuer that is gone: known keys serve on, unknown ones cannot be had.
	k8s.Close()
	must(pod("shop:web", *role).GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: new("shop/db")}))(t)
	must(admin.UpdateOpenIDConnectProviderThumbprint(ctx, &iam.UpdateOpenIDConnectProviderThumbprintInput{
		OpenIDConnectProviderArn: provider, ThumbprintList: []string{k8s.thumbprint, strings.Repeat("a", 40)},
	}))(t)
	_, err = sts.NewFromConfig(unsigned).AssumeRoleWithWebIdentity(ctx, &sts.AssumeRoleWithWebIdentityInput{RoleArn: role, RoleSessionName: new("web"), WebIdentityToken: new(k8s.token("shop:web"))})
	if err == nil || !strings.Contains(err.Error(), "IDPCommunicationError") {
		t.Errorf("an issuer that is gone: %v", err)
	}
}

// cliSignsIn reads a secret with the AWS CLI as a CI job does: by the two variables.
func cliSignsIn(t *testing.T, h *host, role, token string) {
	t.Helper()
	// Older ones do not know AWS_ENDPOINT_URL, and would sign in at AWS.
	version, err := exec.Command("aws", "--version").Output()
	var major, minor int
	if _, e := fmt.Sscanf(string(version), "aws-cli/%d.%d", &major, &minor); err != nil || e != nil || minor < map[int]int{1: 29, 2: 13}[major] {
		t.Logf("not with the AWS CLI: %.40s (%v)", version, err)
		return
	}
	file := filepath.Join(t.TempDir(), "token")
	h.secret(token, "a job's token")
	if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("aws", "secretsmanager", "get-secret-value", "--secret-id", "shop/db", "--query", "SecretString", "--output", "text")
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "AWS_") }), "AWS_ENDPOINT_URL="+h.URL(), "AWS_DEFAULT_REGION=eu-west-1", "AWS_CA_BUNDLE="+h.Dir.CA(), "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null",
		"AWS_ROLE_ARN="+role, "AWS_WEB_IDENTITY_TOKEN_FILE="+file, "AWS_EC2_METADATA_DISABLED=true")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("the AWS CLI: %v\n%s", err, out)
		return
	}
	check.Equal(t, "the secret by the AWS CLI", strings.TrimSpace(string(out)), *value("for the shop"))
}

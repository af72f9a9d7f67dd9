package cloudwatchlogs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"coffer/internal/cli"
	"coffer/internal/coffertest"
	"coffer/internal/coffertest/check"
	"coffer/internal/server"
)

var ctx = context.Background()

const (
	region = "eu-west-1"

	hour = time.Hour
	day  = 24 * time.Hour
)

// world is a server whose clock the test sets, and its root as a client.
type world struct {
	*coffertest.Server
	*cloudwatchlogs.Client
	account string
	ahead   atomic.Int64
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{}
	w.Server = coffertest.Start(t, coffertest.InMemory(), coffertest.With(func(c *server.Config) { c.Now = w.now }))
	w.account = w.Credentials.Account
	w.Client = w.as(w.Credentials)
	return w
}

func (w *world) now() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }

// millis is a time as events have it.
func (w *world) millis(ago time.Duration) int64 { return w.now().Add(-ago).UnixMilli() }

func (w *world) as(c server.Credentials) *cloudwatchlogs.Client { return w.in(region, c) }

func (w *world) in(region string, c server.Credentials) *cloudwatchlogs.Client {
	cfg := w.Config(region)
	cfg.Credentials = credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, "")
	return cloudwatchlogs.NewFromConfig(cfg, func(o *cloudwatchlogs.Options) { o.HTTPSignerV4 = signer{v4.NewSigner(), w} })
}

// signer signs at the time of the world.
type signer struct {
	*v4.Signer
	w *world
}

func (s signer) SignHTTP(ctx context.Context, c aws.Credentials, r *http.Request, hash, service, region string, at time.Time, opts ...func(*v4.SignerOptions)) error {
	return s.Signer.SignHTTP(ctx, c, r, hash, service, region, at.Add(time.Duration(s.w.ahead.Load())), opts...)
}

// user makes a user with these statements as its policy.
func (w *world) user(t testing.TB, name string, statements ...string) *cloudwatchlogs.Client {
	t.Helper()
	c := iam.NewFromConfig(w.Config(region), func(o *iam.Options) { o.HTTPSignerV4 = signer{v4.NewSigner(), w} })
	check.Must(t, c.CreateUser, &iam.CreateUserInput{UserName: &name})
	if len(statements) > 0 {
		document := `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
		check.Must(t, c.PutUserPolicy, &iam.PutUserPolicyInput{UserName: &name, PolicyName: new("own"), PolicyDocument: &document})
	}
	k := check.Must(t, c.CreateAccessKey, &iam.CreateAccessKeyInput{UserName: &name}).AccessKey
	return w.as(server.Credentials{AccessKeyID: *k.AccessKeyId, SecretAccessKey: *k.SecretAccessKey})
}

func (w *world) otherAccount(t testing.TB) server.Credentials {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if code := cli.Main([]string{"account", "create", "other", "--json", "--data-dir", string(w.Dir)}, cli.Env{Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr}); code != 0 {
		t.Fatalf("account create: %s", stderr.String())
	}
	var k server.AccountKeys
	if err := json.Unmarshal(stdout.Bytes(), &k); err != nil {
		t.Fatal(err)
	}
	return server.Credentials{Account: k.ID, AccessKeyID: k.AccessKeyID, SecretAccessKey: k.SecretAccessKey}
}

// arn is the ARN of a group.
func (w *world) arn(group string) string {
	return "arn:aws:logs:" + region + ":" + w.account + ":log-group:" + group
}

// group makes a group with streams.
func (w *world) group(t testing.TB, name string, streams ...string) {
	t.Helper()
	check.Must(t, w.CreateLogGroup, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: &name})
	for _, s := range streams {
		check.Must(t, w.CreateLogStream, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: &name, LogStreamName: &s})
	}
}

// put puts events, which have to be taken all.
func (w *world) put(t testing.TB, group, stream string, events ...types.InputLogEvent) {
	t.Helper()
	out := check.Must(t, w.PutLogEvents, &cloudwatchlogs.PutLogEventsInput{LogGroupName: &group, LogStreamName: &stream, LogEvents: events})
	if out.RejectedLogEventsInfo != nil {
		t.Fatalf("rejected: %+v", out.RejectedLogEventsInfo)
	}
}

func event(at int64, message string) types.InputLogEvent {
	return types.InputLogEvent{Timestamp: &at, Message: &message}
}

// numbered are n events from a time on, a millisecond apart: "m0", "m1" ...
func numbered(from int64, n int) []types.InputLogEvent {
	all := make([]types.InputLogEvent, n)
	for i := range all {
		all[i] = event(from+int64(i), fmt.Sprint("m", i))
	}
	return all
}

// get is what a page of GetLogEvents has.
func (w *world) get(t testing.TB, in cloudwatchlogs.GetLogEventsInput) (messages string, out *cloudwatchlogs.GetLogEventsOutput) {
	t.Helper()
	out = check.Must(t, w.GetLogEvents, &in)
	all := make([]string, len(out.Events))
	for i, e := range out.Events {
		all[i] = *e.Message
	}
	return strings.Join(all, " "), out
}

// filter is what a page of FilterLogEvents has, as "stream:message".
func (w *world) filter(t testing.TB, in cloudwatchlogs.FilterLogEventsInput) (messages string, out *cloudwatchlogs.FilterLogEventsOutput) {
	t.Helper()
	out = check.Must(t, w.FilterLogEvents, &in)
	all := make([]string, len(out.Events))
	for i, e := range out.Events {
		all[i] = *e.LogStreamName + ":" + *e.Message
	}
	return strings.Join(all, " "), out
}

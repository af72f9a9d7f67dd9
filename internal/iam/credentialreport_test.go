package iam_test

import (
	"context"
	"encoding/csv"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"coffer/internal/api"
	iamapi "coffer/internal/api/iam"
	"coffer/internal/coffertest"
	"coffer/internal/coffertest/check"
	coffer "coffer/internal/iam"
	"coffer/internal/iam/iamtest"
	"coffer/internal/server"
	"coffer/internal/table"
)

// report waits until the report is complete, and returns its lines.
func report(t *testing.T, w *world) (out *iam.GetCredentialReportOutput, lines [][]string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for check.Must(t, w.GenerateCredentialReport, &iam.GenerateCredentialReportInput{}).State != types.ReportStateTypeComplete {
		select {
		case <-ctx.Done():
			t.Fatal("the report is never complete")
		case <-tick.C:
		}
	}
	out = check.Must(t, w.GetCredentialReport, &iam.GetCredentialReportInput{})
	lines, err := csv.NewReader(strings.NewReader(string(out.Content))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return out, lines
}

// aheadSigner signs for a time to come.
type aheadSigner struct {
	iam.HTTPSignerV4
	by *atomic.Int64
}

func (s aheadSigner) SignHTTP(ctx context.Context, c aws.Credentials, r *http.Request, hash, service, region string, at time.Time, o ...func(*v4.SignerOptions)) error {
	return s.HTTPSignerV4.SignHTTP(ctx, c, r, hash, service, region, at.Add(time.Duration(s.by.Load())), o...)
}

func TestCredentialReport(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64 // all clocks are ahead by as much
	w := newWorld(t, coffertest.With(func(c *server.Config) {
		c.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	}))
	w.Client = iam.NewFromConfig(w.Config("us-east-1"), func(o *iam.Options) { o.HTTPSignerV4 = aheadSigner{v4.NewSigner(), &ahead} })
	check.Must(t, w.CreateUser, &iam.CreateUserInput{UserName: new("a,b=c"), Path: new("/x/")})
	check.Must(t, w.CreateUser, &iam.CreateUserInput{UserName: new("Ana")})
	first, second := w.keys(t, "Ana"), w.keys(t, "Ana")
	check.Must(t, w.UpdateAccessKey, &iam.UpdateAccessKeyInput{UserName: new("Ana"), AccessKeyId: &second.AccessKeyID, Status: types.StatusTypeInactive})
	w.who(t, first) // used once, with STS
	check.Run(t, []check.Rule{
		{"none", check.Try(w.GetCredentialReport, &iam.GetCredentialReportInput{}), "ReportNotPresent: No report exists. Call GenerateCredentialReport to generate one."},
	})
	started := check.Must(t, w.GenerateCredentialReport, &iam.GenerateCredentialReportInput{})
	check.Equal(t, "started", string(started.State)+*started.Description, "STARTEDNo report exists. Starting a new report generation task")
	out, lines := report(t, w)
	check.Equal(t, "format", out.ReportFormat, "text/csv")
	check.Equal(t, "no line feed at the end", strings.HasSuffix(string(out.Content), "\n"), false)
	check.Equal(t, "columns", strings.Join(lines[0], ","), "user,arn,user_creation_time,password_enabled,password_last_used,password_last_changed,password_next_rotation,mfa_active,access_key_1_active,access_key_1_last_rotated,access_key_1_last_used_date,access_key_1_last_used_region,access_key_1_last_used_service,access_key_2_active,access_key_2_last_rotated,access_key_2_last_used_date,access_key_2_last_used_region,access_key_2_last_used_service,cert_1_active,cert_1_last_rotated,cert_2_active,cert_2_last_rotated")
	check.Equal(t, "lines", len(lines), 4)
	row := func(i int) string {
		fields := lines[i]
		for j, f := range fields {
			if _, err := time.Parse("2006-01-02T15:04:05+00:00", f); err == nil {
				fields[j] = "TIME"
			}
		}
		return strings.Join(fields, "|")
	}
	const none = "false|N/A|N/A|N/A|N/A"
	const certificates = "|false|N/A|false|N/A"
	check.Equal(t, "root", row(1), "<root_account>|"+w.arn("root")+"|TIME|not_supported|no_information|not_supported|not_supported|false|true|TIME|TIME|us-east-1|iam|"+none+certificates)
	check.Equal(t, "a user without keys", row(2), "a,b=c|"+w.arn("user/x/a,b=c")+"|TIME|false|N/A|N/A|N/A|false|"+none+"|"+none+certificates)
	// The older key is the first; of the same millisecond they can be in any order.
	const used, inactive = "true|TIME|TIME|us-east-1|sts", "false|TIME|N/A|N/A|N/A"
	ana := "Ana|" + w.arn("user/Ana") + "|TIME|false|N/A|N/A|N/A|false|"
	if got := row(3); got != ana+used+"|"+inactive+certificates && got != ana+inactive+"|"+used+certificates {
		t.Errorf("a user with keys: %s", got)
	}

	// For four hours it stays as it is.
	check.Must(t, w.CreateUser, &iam.CreateUserInput{UserName: new("late")})
	again, _ := report(t, w)
	check.Equal(t, "the same", again.GeneratedTime.Equal(*out.GeneratedTime) && string(again.Content) == string(out.Content), true)
	ahead.Store(int64(4*time.Hour + time.Minute))
	check.Run(t, []check.Rule{{"expired", check.Try(w.GetCredentialReport, &iam.GetCredentialReportInput{}), "ReportExpired: The most recent credential report has expired. To generate a new credential report, use GenerateCredentialReport."}})
	_, lines = report(t, w)
	check.Equal(t, "made anew", len(lines), 5)
}

// A report of many users is made in parts, and one with fewer parts leaves nothing of it behind.
func TestCredentialReportOfManyUsers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const users = 600
	for i := range users {
		check.Must(t, w.CreateUser, &iam.CreateUserInput{UserName: new(fmt.Sprintf("u%04d", i))})
	}
	_, lines := report(t, w)
	check.Equal(t, "lines", len(lines), users+2)
	for i, l := range lines[2:] {
		if l[0] != fmt.Sprintf("u%04d", i) || len(l) != len(lines[0]) {
			t.Fatalf("line %d: %v", i, l)
		}
	}
}

// A report with fewer parts than the one before leaves nothing of that behind.
func TestCredentialReportParts(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	service := coffer.New(coffer.Config{Directory: b.dir.Directory})
	tasks := service.Tasks()
	task := tasks[slices.IndexFunc(tasks, func(t api.Task) bool { return t.Name == "iam.credentialreport" })]
	step := func() (more bool) {
		t.Helper()
		r := &api.Request{Context: context.Background(), Time: b.now, Directory: b.dir, Read: iamtest.Reader(b.db)}
		err := b.db.Update(r.Context, func(tx *table.Tx) (err error) {
			r.Tx = tx
			more, err = task.Run(r)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return more
	}
	const users = 1100 // five parts
	change := func(do func(tx *table.Tx, u *coffer.User) error) {
		t.Helper()
		for from := 0; from < users; from += 20 {
			err := b.db.Update(context.Background(), func(tx *table.Tx) error {
				for i := from; i < from+20; i++ {
					if err := do(tx, &coffer.User{ID: fmt.Sprintf("AIDA%017d", i), Account: benchAccount, Name: fmt.Sprintf("u%04d", i), Path: "/"}); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	state := func() string {
		return *calls(b, iamapi.GenerateCredentialReport, &iamapi.GenerateCredentialReportInput{}).State
	}
	lines := func() int {
		return strings.Count(string(calls(b, iamapi.GetCredentialReport, &iamapi.GetCredentialReportInput{}).Content), "\n") // the last line has none
	}
	parts := func() (n int) {
		b.db.View(context.Background(), func(tx *table.Tx) error {
			n = 0
			for range coffer.ReportParts.Scan(tx, table.Range{}) {
				n++
			}
			return nil
		})
		return n
	}
	change(func(tx *table.Tx, u *coffer.User) error { return coffer.Users.Insert(tx, u) })
	check.Equal(t, "nothing to do", step(), false)
	check.Equal(t, "state", state(), "STARTED")
	for range 5 {
		check.Equal(t, "a part", step(), true)
		check.Equal(t, "state", state(), "INPROGRESS")
	}
	check.Equal(t, "the end", step(), true)
	check.Equal(t, "nothing more", step(), false)
	check.Equal(t, "state", state(), "COMPLETE")
	check.Equal(t, "lines", lines(), users+1)
	check.Equal(t, "parts", parts(), 5)

	change(func(tx *table.Tx, u *coffer.User) error { return coffer.Users.Delete(tx, table.K(u.ID)) })
	b.now = b.now.Add(4 * time.Hour)
	check.Equal(t, "state", state(), "STARTED")
	for step() {
	}
	check.Equal(t, "state", state(), "COMPLETE")
	check.Equal(t, "lines", lines(), 1)
	check.Equal(t, "parts", parts(), 1)
}

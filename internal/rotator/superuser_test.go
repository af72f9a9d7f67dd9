package rotator

import (
	"bytes"
	"context"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

// logTime is the time in a log line.
var logTime = regexp.MustCompile(`\t[0-9-]+T[0-9:.]+Z\t`)

// vault is a Secrets Manager that has values only: by ARN, and by label of the job's secret.
type vault struct {
	Client
	values map[string]string
}

func (v vault) GetSecretValue(_ context.Context, in *secretsmanager.GetSecretValueInput, _ ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error) {
	for _, k := range []string{*in.SecretId, aws.ToString(in.VersionStage)} {
		if s, ok := v.values[k]; ok {
			return &secretsmanager.GetSecretValueOutput{SecretString: &s}, nil
		}
	}
	return nil, &types.ResourceNotFoundException{}
}

// door is an engine that lets those in who have the password, and notes who came how.
type door struct {
	password Password
	logins   *[]Login
}

func (door) Kind() Kind { return Kind{Name: "Door", Engines: []string{"door"}, Port: 1} }

func (d door) Login(_ context.Context, l Login) (UserSession, error) {
	*d.logins = append(*d.logins, l)
	if l.Password != d.password {
		return nil, &LoginError{Reason: Refused, Text: "no"}
	}
	return inside{}, nil
}

// inside is a session that does nothing.
type inside struct{ UserSession }

func (inside) Close() {}

func newJob(values map[string]string, log *bytes.Buffer) *Job {
	return &Job{Event: Event{SecretId: "app", ClientRequestToken: "t"}, client: vault{values: values}, log: log, lookupEnv: func(string) (string, bool) { return "", false }}
}

// TestUnfitMaster: whoever names a secret as masterarn learns that it does not do, and nothing of what
// is in it or why, neither by the error nor by the log.
func TestUnfitMaster(t *testing.T) {
	d := logins[UserSession]{door{password: "right", logins: new([]Login)}}
	told := map[string]bool{}
	for name, value := range map[string]string{
		"absent":                             "",
		"text":                               "sesame",
		"no host":                            `{"a":1}`,
		"no password":                        `{"engine":"door","host":"h","username":"sesame"}`,
		"another engine":                     `{"engine":"sesame","host":"h","username":"root","password":"right"}`,
		"another host":                       `{"engine":"door","host":"sesame","username":"root","password":"right"}`,
		"a port that is none":                `{"engine":"door","host":"h","username":"root","password":"right","port":"sesame"}`,
		"the pending user":                   `{"engine":"door","host":"h","username":"app_clone","password":"right"}`,
		"a wrong password":                   `{"engine":"door","host":"h","username":"sesame","password":"wrong"}`,
		"another port, and a wrong password": `{"engine":"door","host":"h","username":"sesame","password":"wrong","port":5,"ssl":false}`,
	} {
		var log bytes.Buffer
		values := map[string]string{"master": value}
		if value == "" {
			values = nil
		}
		j := newJob(values, &log)
		current, err := d.read(j, "app", `{"engine":"door","host":"h","username":"app","password":"right","masterarn":"master"}`)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = d.superuser(t.Context(), j, current, Login{User: "app_clone"})
		if err == nil {
			t.Errorf("%s: it does", name)
			continue
		}
		f := j.failure(err)
		told[f.Type+f.Message+"\n"+logTime.ReplaceAllString(log.String(), "TIME")] = true
		if strings.Contains(f.Message+log.String(), "sesame") {
			t.Errorf("%s: %s\n%s", name, f.Message, &log)
		}
	}
	if len(told) != 1 {
		t.Errorf("there are differences: %v", told)
	}
}

// TestPreviousMode: AWSPREVIOUS is tried in the stricter one of its own mode and AWSCURRENT's.
func TestPreviousMode(t *testing.T) {
	for _, tt := range []struct{ previous, current, want string }{
		{`,"ssl":true`, `,"ssl":false`, "verified"}, {`,"ssl":false`, `,"ssl":true`, "verified"}, {`,"ssl":true`, "", "verified"},
		{"", `,"ssl":false`, "tried"}, {"", "", "tried"}, {`,"ssl":false`, "", "tried"}, {`,"ssl":false`, `,"ssl":false`, "plain"},
	} {
		var all []Login
		value := func(password, ssl string) string {
			return `{"engine":"door","host":"h","username":"app","password":"` + password + `"` + ssl + `}`
		}
		j := newJob(map[string]string{Current: value("wrong", tt.current), Pending: value("new", tt.current), Previous: value("right", tt.previous)}, &bytes.Buffer{})
		r := singleUser{logins[UserSession]{door{password: "right", logins: &all}}}
		current, err := r.version(t.Context(), j, Current)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.asBefore(t.Context(), j, current, current); err != nil {
			t.Fatal(err)
		}
		got := map[tlsMode]string{tlsVerify: "verified", tlsTry: "tried", tlsOff: "plain"}[all[len(all)-1].mode]
		if got != tt.want {
			t.Errorf("previous%s and current%s: %s, want %s", tt.previous, tt.current, got, tt.want)
		}
	}
}

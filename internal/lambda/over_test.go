package lambda_test

import (
	"context"
	"io"
	"sync"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/service/lambda"

	"coffer/internal/coffertest"
	"coffer/internal/lambda"
	"coffer/internal/server"
)

// leaving is a runner that goes on with the package after it has answered, as one whose
// caller has gone does.
type leaving struct{ readers sync.WaitGroup }

func (l *leaving) Run(ctx context.Context, f *lambda.Executable, _ lambda.Event) (*lambda.Answer, error) {
	for range 4 {
		l.readers.Go(func() {
			for {
				in, err := f.Code.Open(context.Background())
				if err != nil {
					return
				}
				_, err = io.Copy(io.Discard, in)
				in.Close()
				if err != nil {
					return
				}
			}
		})
	}
	return &lambda.Answer{Payload: []byte("{}")}, nil
}

// What reads a package does not reach for a request that is over, which is another's by then.
func TestPackageIsReadOnlyDuringItsRequest(t *testing.T) {
	t.Parallel()
	l := &leaving{}
	f := &front{T: t, runner: &runner{}}
	f.Server = coffertest.Start(t, coffertest.InMemory(), coffertest.With(func(c *server.Config) { c.Runner = l }))
	f.Client = f.Lambda(t)
	f.role = f.newRole("runs", trust)
	f.create("f")
	for range 200 {
		if _, err := f.Invoke(t.Context(), &sdk.InvokeInput{FunctionName: new("f")}); err != nil {
			t.Fatal(err)
		}
	}
	l.readers.Wait()
}

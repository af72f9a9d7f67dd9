package runner_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"coffer/internal/runner"
)

// bwrap's arguments are separated by zero bytes. A handler with one in it must not become
// further arguments, which could show a function the whole machine.
func TestHandlerIsNoArgument(t *testing.T) {
	t.Parallel()
	need(t, "python3")
	eachLayout(t, func(t *testing.T, change func(*runner.Config)) {
		b := start(t, change)
		secret := filepath.Join(b.dir, "root.key")
		if err := os.WriteFile(secret, []byte("the root key"), 0o600); err != nil {
			t.Fatal(err)
		}
		f := python(t, `
def lambda_handler(event, context):
    try:
        with open(event) as f: return f.read()
    except OSError as e:
        return "refused"
`)
		f.Handler += "\x00--bind\x00/\x00/h"
		payload, _ := json.Marshal("/h" + secret)
		a, err := b.Run(context.Background(), f, event(string(payload)))
		if err == nil {
			t.Errorf("it ran; what it read of the machine: %s", a.Payload)
		}
	})
}

package runner_test

import (
	"testing"

	"coffer/internal/runner"
)

func victim(string) int { return 0 }

func TestBuiltIn(t *testing.T) {
	t.Parallel()
	eachLayout(t, func(t *testing.T, change func(*runner.Config)) {
		b := start(t, change)
		b.works(built("echo"), `{"a":1}`, `{"a":1}`)
	})
}

func TestPython(t *testing.T) {
	t.Parallel()
	need(t, "python3")
	eachLayout(t, func(t *testing.T, change func(*runner.Config)) {
		b := start(t, change)
		b.works(python(t, "def lambda_handler(event, context):\n    return event\n"), `{"a":1}`, `{"a": 1}`)
	})
}

func TestNode(t *testing.T) {
	t.Parallel()
	need(t, "node")
	eachLayout(t, func(t *testing.T, change func(*runner.Config)) {
		b := start(t, change)
		b.works(node(t, "exports.handler = async (event) => event;"), `{"a":1}`, `{"a":1}`)
	})
}

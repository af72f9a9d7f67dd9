//go:build !linux

package rotatortest

import (
	"os/exec"
	"testing"
)

func give(testing.TB, ...string) {}

func run(t testing.TB, _ *exec.Cmd) { t.Skip("database servers are started on Linux only") }

type process struct{}

func start(t testing.TB, _ *exec.Cmd) *process {
	t.Skip("database servers are started on Linux only")
	return nil
}

func (*process) stop() {}

func (*process) quit() {}

func (*process) ended() string { return "" }

//go:build linux && !amd64 && !arm64

package runner

import "errors"

var errSeccomp = errors.New("seccomp: no filter for this architecture")

func seccompProgram(bool) ([]byte, error) { return nil, errSeccomp }
func enforceSeccomp(bool) error           { return errSeccomp }
func seccompAvailable() bool              { return false }

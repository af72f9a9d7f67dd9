//go:build !linux

package runner

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
)

// AWS's paths, which functions have with bubblewrap only.
const (
	taskRoot   = "/var/task"
	optRoot    = "/opt"
	runtimeDir = "/var/runtime"
	ourProgram = "/coffer"
)

type confinement struct {
	task, opt, runtime, private, program string
	roots, shut                          []string
	memory, storage                      int
}

func (r *Runner) findLayers() (*layers, error) {
	if runtime.GOOS == "windows" {
		return nil, errors.New("runner: functions do not run on Windows")
	}
	if r.cfg.User != "" {
		return nil, errors.New("runner: functions are given a user on Linux only")
	}
	const linux = "on Linux only"
	return &layers{missing: map[string]string{LayerUser: linux, LayerLandlock: linux, LayerSeccomp: linux, LayerBubblewrap: linux}}, nil
}

func (r *Runner) confine(_ *layers, s *spec, _ int, c confinement) error {
	s.setLimits(c)
	return os.Mkdir(filepath.Join(c.private, "tmp"), 0o700)
}

func (l *layers) describe() []Layer {
	return []Layer{
		{"supervisor", true, "ends the process group of a function with it or with the server", "what makes itself a session of its own escapes"},
		{"limits", true, "files, size of files, no core dumps", "memory and processes are not bounded"},
		{LayerUser, false, "functions run as a user that owns nothing", l.missing[LayerUser]},
		{LayerBubblewrap, false, "namespaces: own files, processes and /tmp", l.missing[LayerBubblewrap]},
		{LayerLandlock, false, "the kernel refuses files that are not the function's", l.missing[LayerLandlock]},
		{LayerSeccomp, false, "the kernel refuses system calls that functions do not need", l.missing[LayerSeccomp]},
	}
}

package runner

import (
	"io/fs"
	"os/exec"
)

func owner(fs.FileInfo) (int, bool) { return 0, false }

func (*Runner) runProbe(cmd *exec.Cmd) ([]byte, error) { return cmd.Output() }

//go:build unix

package runner

import (
	"io/fs"
	"os/exec"
	"syscall"
)

// owner is the uid of a file.
func owner(info fs.FileInfo) (uid int, known bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(st.Uid), true
}

// runProbe runs an interpreter as a function would be: one that only root can start is
// of no use.
func (r *Runner) runProbe(cmd *exec.Cmd) ([]byte, error) {
	if r.layers != nil && r.layers.users != nil {
		u := r.layers.users
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(u.probe), Gid: uint32(u.shared)}}
	}
	return cmd.Output()
}

package runner

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// memory is what the process tree uses, in bytes. Where the quick sum is over limit, the
// exact one decides.
func (p *process) memory(limit int64) int64 {
	pids := descendants(p.child.supervisor.Process.Pid)
	n := memoryOf(pids)
	if n > limit {
		n = exactMemoryOf(pids)
	}
	return n
}

// stored is what the process keeps in files, in bytes: in its temporary directory and in
// files without a name. Within bwrap /tmp has a bound of its own.
func (p *process) stored() int64 {
	if p.r.layers.bubblewrap != "" {
		return 0
	}
	n := weigh(filepath.Join(p.private, "tmp"))
	return n + namelessOf(descendants(p.child.supervisor.Process.Pid))
}

// weigh sums what is allocated to the files below dir. It stops after a bounded number of
// them, which then are too many.
func weigh(dir string) (bytes int64) {
	n := 0
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil // gone, or closed to us and then small
		}
		if n++; n > maxFiles {
			bytes = 1 << 62
			return fs.SkipAll
		}
		if info, err := e.Info(); err == nil {
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				bytes += st.Blocks * 512
			}
		}
		return nil
	})
	return bytes
}

// endUser kills what may be left of the user of a slot, before another function gets
// it. Where the supervisor did its work there is nothing.
func (r *Runner) endUser(slot int) {
	if r.layers.users == nil || r.layers.users.fixed {
		return
	}
	uid := r.layers.users.uid(slot)
	if err := endUsers(uid, uid); err != nil {
		r.logger.Error("processes of a function go on", "error", err)
	}
	if !r.layers.seccomp && r.layers.bubblewrap == "" {
		if err := removeShared(uid); err != nil {
			r.logger.Error("shared memory of a function stays", "error", err)
		}
	}
}

// removeShared removes the System V shared memory, queues and semaphores of a user, which
// outlive its processes.
func removeShared(uid int) (all error) {
	for _, kind := range []struct {
		file    string
		control uintptr
	}{{"shm", unix.SYS_SHMCTL}, {"msg", unix.SYS_MSGCTL}, {"sem", unix.SYS_SEMCTL}} {
		b, err := os.ReadFile("/proc/sysvipc/" + kind.file)
		if err != nil {
			continue // the kernel has none
		}
		column := -1
		for line := range strings.Lines(string(b)) {
			f := strings.Fields(line)
			if column < 0 { // the first line names the columns
				if column = slices.Index(f, "cuid"); column < 0 {
					break
				}
				continue
			}
			if len(f) <= column || f[column] != strconv.Itoa(uid) {
				continue
			}
			id, err := strconv.Atoi(f[1])
			if err != nil {
				continue
			}
			// semctl has the command third, the others second.
			second, third := uintptr(unix.IPC_RMID), uintptr(0)
			if kind.file == "sem" {
				second, third = 0, unix.IPC_RMID
			}
			if _, _, errno := unix.Syscall(kind.control, uintptr(id), second, third); errno != 0 && errno != unix.EINVAL && errno != unix.EIDRM {
				all = errors.Join(all, fmt.Errorf("%s %d: %w", kind.file, id, errno))
			}
		}
	}
	return all
}

// belongs reports whether the other end of a connection to the process's Runtime API
// is in its own tree.
func (p *process) belongs(remote, local string) bool {
	inode, uid, ok := socketOf(remote, local)
	if !ok {
		return false
	}
	if u := p.r.layers.users; u != nil && !u.fixed {
		return uid == u.uid(p.slot) // nobody else has this user
	}
	if p.child == nil || uid != ownUser(p) {
		return false
	}
	want := "socket:[" + inode + "]"
	for _, pid := range descendants(p.child.supervisor.Process.Pid) {
		if holds(pid, want) {
			return true
		}
	}
	return false
}

func ownUser(p *process) int {
	if u := p.r.layers.users; u != nil {
		return u.first
	}
	return os.Geteuid()
}

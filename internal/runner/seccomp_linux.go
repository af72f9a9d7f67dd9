//go:build linux && (amd64 || arm64)

package runner

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// refused are the system calls that no function needs: ways into the kernel that are rarely
// used and often broken, other processes' memory, and making namespaces, in which a
// process has rights that it has not outside.
var refused = append([]uint32{
	unix.SYS_ACCT, unix.SYS_ADD_KEY, unix.SYS_BPF, unix.SYS_CHROOT, unix.SYS_CLOCK_ADJTIME,
	unix.SYS_CLOCK_SETTIME, unix.SYS_DELETE_MODULE, unix.SYS_FANOTIFY_INIT, unix.SYS_FINIT_MODULE,
	unix.SYS_FSCONFIG, unix.SYS_FSMOUNT, unix.SYS_FSOPEN, unix.SYS_FSPICK, unix.SYS_INIT_MODULE,
	unix.SYS_KCMP, unix.SYS_KEXEC_FILE_LOAD, unix.SYS_KEXEC_LOAD, unix.SYS_KEYCTL, unix.SYS_LOOKUP_DCOOKIE,
	unix.SYS_MOUNT, unix.SYS_MOUNT_SETATTR, unix.SYS_MOVE_MOUNT, unix.SYS_NFSSERVCTL,
	unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_OPEN_TREE, unix.SYS_PERF_EVENT_OPEN, unix.SYS_PIDFD_GETFD,
	unix.SYS_PIVOT_ROOT, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PTRACE,
	unix.SYS_QUOTACTL, unix.SYS_QUOTACTL_FD, unix.SYS_REBOOT, unix.SYS_REQUEST_KEY, unix.SYS_SETDOMAINNAME,
	unix.SYS_SETHOSTNAME, unix.SYS_SETNS, unix.SYS_SETTIMEOFDAY, unix.SYS_SWAPOFF, unix.SYS_SWAPON,
	unix.SYS_SYSLOG, unix.SYS_UMOUNT2, unix.SYS_UNSHARE, unix.SYS_USERFAULTFD, unix.SYS_VHANGUP,
}, refusedHere...)

// absent are answered as by a kernel without them, so that callers take another way:
// io_uring would make sockets past this filter, and the flags of clone3 are in memory
// that a filter cannot read. Shared memory, semaphores and queues outlive who made them, and
// would wait for the next function with this user; a memfd is memory that no process shows.
var absent = []uint32{
	unix.SYS_CLONE3, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER, unix.SYS_IO_URING_SETUP,
	unix.SYS_SHMGET, unix.SYS_SHMAT, unix.SYS_SHMCTL, unix.SYS_SHMDT,
	unix.SYS_SEMGET, unix.SYS_SEMOP, unix.SYS_SEMTIMEDOP, unix.SYS_SEMCTL,
	unix.SYS_MSGGET, unix.SYS_MSGSND, unix.SYS_MSGRCV, unix.SYS_MSGCTL,
	unix.SYS_MQ_OPEN, unix.SYS_MQ_UNLINK, unix.SYS_MQ_TIMEDSEND, unix.SYS_MQ_TIMEDRECEIVE, unix.SYS_MQ_NOTIFY, unix.SYS_MQ_GETSETATTR,
	unix.SYS_MEMFD_CREATE, unix.SYS_MEMFD_SECRET,
}

// owners are what the owner of a file may do to it without opening it, which Landlock does not
// know or learned late: a function that is the server's own user could open the data to others.
var owners = append([]uint32{
	unix.SYS_FCHMODAT, unix.SYS_FCHMODAT2, unix.SYS_FCHOWNAT, unix.SYS_SETXATTR, unix.SYS_LSETXATTR,
	unix.SYS_SETXATTRAT, unix.SYS_REMOVEXATTR, unix.SYS_LREMOVEXATTR, unix.SYS_REMOVEXATTRAT, unix.SYS_TRUNCATE,
}, ownersHere...)

// Offsets in struct seccomp_data; arguments are 64 bits, their lower half first on
// both architectures.
const (
	seccompNumber    = 0
	seccompArch      = 4
	seccompArgument0 = 16

	socketTypes   = 0xf // without the flags SOCK_CLOEXEC and SOCK_NONBLOCK
	ioprioProcess = 1   // IOPRIO_WHO_PROCESS

	namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET
)

// seccompFilter allows all calls but those above, namespaces made by clone, and sockets
// other than of the internet, routing information (the resolver asks for it) and, with Unix,
// the local machine.
func (f filter) assemble() ([]bpf.RawInstruction, error) {
	refuse := func(errno uint32) bpf.Instruction {
		return bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | errno}
	}
	allow := bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW}
	families := []uint32{unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK}
	if f.Unix {
		families = append(families, unix.AF_UNIX)
	}
	p := []bpf.Instruction{
		bpf.LoadAbsolute{Off: seccompArch, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: auditArch, SkipTrue: 1},
		bpf.RetConstant{Val: unix.SECCOMP_RET_KILL_PROCESS}, // numbers of another architecture
		bpf.LoadAbsolute{Off: seccompNumber, Size: 4},
	}
	p = append(p, seccompHere...)
	for _, nr := range refused {
		p = append(p, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: nr, SkipTrue: 1}, refuse(uint32(unix.EPERM)))
	}
	for _, nr := range absent {
		p = append(p, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: nr, SkipTrue: 1}, refuse(uint32(unix.ENOSYS)))
	}
	if f.Own {
		for _, nr := range owners {
			p = append(p, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: nr, SkipTrue: 1}, refuse(uint32(unix.EPERM)))
		}
		// Limits, priority and processors of another process of the same user, the server's
		// threads among them, or of all of them; 0 is one's own.
		for _, nr := range []uint32{unix.SYS_PRLIMIT64, unix.SYS_SCHED_SETSCHEDULER, unix.SYS_SCHED_SETPARAM, unix.SYS_SCHED_SETATTR, unix.SYS_SCHED_SETAFFINITY} {
			p = append(p, only(nr, 0)...)
		}
		p = append(p, only(unix.SYS_SETPRIORITY, unix.PRIO_PROCESS, 0)...)
		p = append(p, only(unix.SYS_IOPRIO_SET, ioprioProcess, 0)...)
	}
	if !f.Unix {
		// One of a pair of datagram sockets can be connected anew, to any that takes such: the
		// journal's, say. A stream cannot.
		p = append(p,
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.SYS_SOCKETPAIR, SkipTrue: 6},
			bpf.LoadAbsolute{Off: seccompArgument0 + 8, Size: 4},
			bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: socketTypes},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.SOCK_STREAM, SkipTrue: 2},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.SOCK_SEQPACKET, SkipTrue: 1},
			refuse(uint32(unix.EPROTONOSUPPORT)),
			allow,
		)
	}
	p = append(p,
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.SYS_CLONE, SkipTrue: 4},
		bpf.LoadAbsolute{Off: seccompArgument0, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: namespaces, SkipTrue: 1},
		refuse(uint32(unix.EPERM)),
		allow,
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.SYS_SOCKET, SkipTrue: 1},
		allow,
		bpf.LoadAbsolute{Off: seccompArgument0, Size: 4},
	)
	for _, family := range families {
		p = append(p, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: family, SkipTrue: 1}, allow)
	}
	p = append(p, refuse(uint32(unix.EAFNOSUPPORT)))
	return bpf.Assemble(p)
}

// only allows a call with these first arguments and refuses it with others.
func only(nr uint32, arguments ...uint32) []bpf.Instruction {
	var body []bpf.Instruction
	for i, want := range arguments {
		body = append(body,
			bpf.LoadAbsolute{Off: seccompArgument0 + 8*uint32(i), Size: 4},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: want, SkipTrue: 1},
			bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
		)
	}
	body = append(body, bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW})
	return append([]bpf.Instruction{bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: nr, SkipTrue: uint8(len(body))}}, body...)
}

// program is the filter as bwrap reads it: an array of struct sock_filter.
func (f filter) program() ([]byte, error) {
	raw, err := f.assemble()
	if err != nil {
		return nil, fmt.Errorf("seccomp: %w", err)
	}
	var b bytes.Buffer
	for _, i := range raw {
		if err := binary.Write(&b, binary.NativeEndian, unix.SockFilter{Code: i.Op, Jt: i.Jt, Jf: i.Jf, K: i.K}); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

// enforce puts the calling thread and its later children under the filter. It needs
// no_new_privs.
func (f filter) enforce() error {
	raw, err := f.assemble()
	if err != nil {
		return fmt.Errorf("seccomp: %w", err)
	}
	steps := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		steps[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	program := unix.SockFprog{Len: uint16(len(steps)), Filter: &steps[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	return nil
}

// seccompAvailable asks whether the kernel takes filters: without a program a kernel
// that does says EFAULT.
func seccompAvailable() bool {
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, 0)
	return errno == unix.EFAULT
}

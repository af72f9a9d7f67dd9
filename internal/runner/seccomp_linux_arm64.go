package runner

import (
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

const auditArch = unix.AUDIT_ARCH_AARCH64

var refusedHere, ownersHere []uint32

var seccompHere []bpf.Instruction

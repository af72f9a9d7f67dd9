package runner

import "golang.org/x/sys/unix"

const ioctlReadable = unix.TIOCINQ // bytes in a pipe

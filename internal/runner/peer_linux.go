package runner

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// socketOf finds the socket at local address a with the other end b, as the kernel lists
// them (proc(5), /proc/net/tcp): its inode and its owner's uid.
func socketOf(a, b string) (inode string, uid int, ok bool) {
	from, err1 := netip.ParseAddrPort(a)
	to, err2 := netip.ParseAddrPort(b)
	if err1 != nil || err2 != nil || !from.Addr().Is4() || !to.Addr().Is4() {
		return "", 0, false
	}
	// An IPv6 socket can connect to an IPv4 address, and is in the other list.
	if inode, uid, ok = lineOf("/proc/net/tcp", hexAddress(from, ""), hexAddress(to, "")); ok {
		return inode, uid, true
	}
	return lineOf("/proc/net/tcp6", hexAddress(from, mappedPrefix), hexAddress(to, mappedPrefix))
}

// mappedPrefix is ::ffff: as three words in the machine's byte order.
var mappedPrefix = fmt.Sprintf("%08X%08X%08X", 0, 0, binary.NativeEndian.Uint32([]byte{0, 0, 0xff, 0xff}))

func hexAddress(a netip.AddrPort, prefix string) string {
	four := a.Addr().As4()
	return fmt.Sprintf("%s%08X:%04X", prefix, binary.NativeEndian.Uint32(four[:]), a.Port())
}

func lineOf(file, local, remote string) (inode string, uid int, ok bool) {
	f, err := os.Open(file)
	if err != nil {
		return "", 0, false
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		// sl local_address rem_address st queues timer retransmit uid timeout inode
		if line := lines.Text(); strings.Contains(line, local) {
			w := strings.Fields(line)
			if len(w) > 9 && w[1] == local && w[2] == remote && w[9] != "0" {
				uid, err := strconv.Atoi(w[7])
				return w[9], uid, err == nil
			}
		}
	}
	return "", 0, false
}

// holds reports whether a process has a file open, named as /proc names it.
func holds(pid int, file string) bool {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	names, err := readNames(dir)
	if err != nil {
		return false
	}
	for _, name := range names {
		if link, err := os.Readlink(dir + "/" + name); err == nil && link == file {
			return true
		}
	}
	return false
}

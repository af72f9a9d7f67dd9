package runner

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// descendants lists the processes below pid. One that forks meanwhile may be missed:
// who must have all asks until nothing is new.
func descendants(pid int) []int {
	below := children
	if !listsChildren() {
		all := allChildren()
		below = func(pid int) []int { return all[pid] }
	}
	var all []int
	for next := []int{pid}; len(next) > 0; {
		p := next[0]
		next = next[1:]
		for _, c := range below(p) {
			all = append(all, c)
			next = append(next, c)
		}
	}
	return all
}

// listsChildren reports whether the kernel lists the children of a thread
// (CONFIG_PROC_CHILDREN, which gVisor and some small kernels lack).
var listsChildren = sync.OnceValue(func() bool {
	_, err := os.Stat("/proc/thread-self/children")
	return err == nil
})

// allChildren lists the children of every process, by asking each for its parent.
func allChildren() map[int][]int {
	names, _ := readNames("/proc")
	all := make(map[int][]int)
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		// pid (name) state parent ...; the name may hold anything.
		stat, err := os.ReadFile("/proc/" + name + "/stat")
		if i := bytes.LastIndexByte(stat, ')'); err == nil && i >= 0 {
			if f := bytes.Fields(stat[i+1:]); len(f) > 1 {
				parent, _ := strconv.Atoi(string(f[1]))
				all[parent] = append(all[parent], pid)
			}
		}
	}
	return all
}

// children asks each thread of a process for those that it forked.
func children(pid int) []int {
	dir := fmt.Sprintf("/proc/%d/task", pid)
	threads, err := readNames(dir)
	if err != nil {
		return nil
	}
	var all []int
	for _, t := range threads {
		list, err := os.ReadFile(dir + "/" + t + "/children")
		if err != nil {
			continue
		}
		for _, word := range strings.Fields(string(list)) {
			if c, err := strconv.Atoi(word); err == nil {
				all = append(all, c)
			}
		}
	}
	return all
}

func readNames(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.Readdirnames(-1)
}

var pageSize = int64(os.Getpagesize())

// memoryOf is the memory of pids together, in bytes: resident pages that are not of files
// on a disk, shared ones included. Pages that processes share count for each, so that it is
// an upper bound.
func memoryOf(pids []int) (bytes int64) {
	for _, pid := range pids {
		if n, ok := kilobytes(fmt.Sprintf("/proc/%d/status", pid), "RssAnon:", "RssShmem:"); ok {
			bytes += n << 10
			continue
		}
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid)) // gVisor has no such lines
		if err != nil {
			continue
		}
		f := strings.Fields(string(b))
		if len(f) < 3 {
			continue
		}
		resident, _ := strconv.ParseInt(f[1], 10, 64)
		shared, _ := strconv.ParseInt(f[2], 10, 64)
		bytes += (resident - shared) * pageSize
	}
	return bytes
}

// exactMemoryOf counts a page that n processes share as one nth for each. It costs the
// kernel a walk of the page tables; a process that it may not be asked of counts as
// in memoryOf.
func exactMemoryOf(pids []int) (total int64) {
	for _, pid := range pids {
		n, ok := kilobytes(fmt.Sprintf("/proc/%d/smaps_rollup", pid), "Pss_Anon:", "Pss_Shmem:")
		if !ok {
			total += memoryOf([]int{pid})
			continue
		}
		total += n << 10
	}
	return total
}

// kilobytes sums lines of a file such as "RssAnon:  12 kB". All of them must be there.
func kilobytes(path string, names ...string) (sum int64, ok bool) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	found := 0
	for line := range bytes.Lines(b) {
		f := bytes.Fields(line)
		if len(f) < 2 || !slices.Contains(names, string(f[0])) {
			continue
		}
		n, err := strconv.ParseInt(string(f[1]), 10, 64)
		if err != nil {
			return 0, false
		}
		sum += n
		found++
	}
	return sum, found == len(names)
}

// namelessOf is what is allocated to files that pids have open and that have no name any
// more, in bytes: no walk of a directory finds them. Those of a memory file system are there too.
func namelessOf(pids []int) (bytes int64) {
	type file struct{ device, inode uint64 }
	seen := make(map[file]bool)
	for _, pid := range pids {
		dir := fmt.Sprintf("/proc/%d/fd/", pid)
		fds, err := readNames(dir)
		if err != nil {
			continue // gone
		}
		for _, fd := range fds {
			var st syscall.Stat_t
			if syscall.Stat(dir+fd, &st) != nil || st.Nlink != 0 || st.Mode&syscall.S_IFMT != syscall.S_IFREG {
				continue
			}
			if f := (file{uint64(st.Dev), st.Ino}); !seen[f] {
				seen[f] = true
				bytes += st.Blocks * 512
			}
		}
	}
	return bytes
}

// threadsOf counts the threads of a user's processes.
func threadsOf(uid int) (n int) {
	eachOf(uid, uid, func(_, threads int) { n += threads })
	return n
}

// processesOf lists the processes of the users first to last.
func processesOf(first, last int) (pids []int) {
	eachOf(first, last, func(pid, _ int) { pids = append(pids, pid) })
	return pids
}

func eachOf(first, last int, do func(pid, threads int)) {
	names, err := readNames("/proc")
	if err != nil {
		return
	}
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		// There is one directory in it for each thread.
		if owner, links, ok := ownerOf("/proc/" + name + "/task"); ok && owner >= first && owner <= last {
			do(pid, links-2)
		}
	}
}

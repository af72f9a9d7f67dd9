package runner

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
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

// memoryOf is the private memory of pids together, in bytes: resident pages that are
// not of files. Pages that processes still share after a fork count for each, so that
// it is an upper bound.
func memoryOf(pids []int) (bytes int64) {
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
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
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		anon := int64(-1)
		for line := range bytes.Lines(b) {
			if rest, ok := bytes.CutPrefix(line, []byte("Pss_Anon:")); ok {
				if f := strings.Fields(string(rest)); len(f) > 0 {
					anon, _ = strconv.ParseInt(f[0], 10, 64)
				}
			}
		}
		if err != nil || anon < 0 {
			total += memoryOf([]int{pid})
			continue
		}
		total += anon << 10
	}
	return total
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

package runner

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// descendants lists the processes below pid. One that forks meanwhile may be missed:
// who must have all asks until nothing is new.
func descendants(pid int) []int {
	var all []int
	for next := []int{pid}; len(next) > 0; {
		p := next[0]
		next = next[1:]
		for _, c := range children(p) {
			all = append(all, c)
			next = append(next, c)
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
	eachOf(uid, func(_, threads int) { n += threads })
	return n
}

// processesOf lists a user's processes.
func processesOf(uid int) (pids []int) {
	eachOf(uid, func(pid, _ int) { pids = append(pids, pid) })
	return pids
}

func eachOf(uid int, do func(pid, threads int)) {
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
		if owner, links, ok := ownerOf("/proc/" + name + "/task"); ok && owner == uid {
			do(pid, links-2)
		}
	}
}

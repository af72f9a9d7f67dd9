package runner

import "syscall"

// ownerOf is a file's owner and how many directories lead to it.
func ownerOf(path string) (uid, links int, ok bool) {
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		return 0, 0, false
	}
	return int(st.Uid), int(st.Nlink), true
}

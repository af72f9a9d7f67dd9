//go:build !linux

package runner

// Memory and storage are measured on Linux only, and so are connections told apart.

func (*process) memory(int64) int64       { return 0 }
func (*process) stored() int64            { return 0 }
func (*Runner) endUser(int)               {}
func (*process) belongs(_, _ string) bool { return true }

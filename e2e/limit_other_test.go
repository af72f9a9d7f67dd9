//go:build !unix

package e2e_test

func raiseFileLimit() error { return nil }

func fileLimit() int { return 1 << 30 }

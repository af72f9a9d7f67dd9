package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"coffer/internal/cli"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		// The real command line, in the test binary re-executed.
		"coffer": func() {
			os.Exit(cli.Main(os.Args[1:], cli.Env{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}))
		},
	})
}

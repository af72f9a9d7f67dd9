// Command coffer is AWS Secrets Manager on one's own machines.
// `coffer help` tells what it does.
package main

import (
	"os"

	"coffer/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], cli.Env{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}))
}

//go:build !linux

package main

import (
	"errors"
	"runtime"
	"syscall"
	"time"
)

var errLinux = errors.New("CPU time and memory of a process are read on Linux only")

func dieWithParent() *syscall.SysProcAttr { return nil }

func unprivileged() (*syscall.SysProcAttr, error) { return nil, nil }

func giveAway(string) error { return nil }

func cpuTime(int) (time.Duration, error) { return 0, errLinux }

func memoryOf(int) (memory, error) { return memory{}, errLinux }

func preciseTimers(bool) {}

func preciseSleep(d time.Duration) { time.Sleep(d) }

func cpuModel() string { return runtime.GOARCH }

func kernel() string { return runtime.GOOS }

//go:build unix

package main

import (
	"syscall"
	"time"
)

// processorTime returns what the process has used of all cores so far. Unlike
// time on the wall, it does not grow when others have the machine.
func processorTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

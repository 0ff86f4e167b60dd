//go:build unix && !linux

package pgtest

import (
	"os"
	"strconv"
	"syscall"
)

// Elsewhere a test that is killed leaves its server behind.
func endWithParent(*syscall.SysProcAttr) {}

// The server's processes end by themselves when the first one is gone.
func children(int) []*os.Process { return nil }

func alive(pid string) bool {
	n, err := strconv.Atoi(pid)
	return err == nil && syscall.Kill(n, 0) == nil
}

//go:build !unix

package pgtest

import (
	"os"
	"os/exec"
)

// No server is started where there are no Unix sockets for it: its tests are skipped, unless LATCHKEY_TEST_PG_DSN
// names one.
type account struct{ Uid, Gid uint32 }

func unprivileged() (*account, error) { return nil, errMissing }

func runAs(*exec.Cmd, *account) {}

func endWithUs(*exec.Cmd) {}

func children(int) []*os.Process { return nil }

func alive(string) bool { return true }

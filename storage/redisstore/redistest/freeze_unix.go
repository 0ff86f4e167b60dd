//go:build unix

package redistest

import (
	"syscall"
	"testing"
)

// Freeze stops the server without ending it, until the returned function is
// called.
func (s *Server) Freeze(t testing.TB) (thaw func()) {
	t.Helper()
	must(t, s.process.Signal(syscall.SIGSTOP))
	return func() { _ = s.process.Signal(syscall.SIGCONT) }
}

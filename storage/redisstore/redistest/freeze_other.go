//go:build !unix

package redistest

import "testing"

// Freeze skips the test: there is no signal that stops a process here.
func (s *Server) Freeze(t testing.TB) (thaw func()) {
	t.Skip("processes cannot be stopped and continued here")
	return nil
}

//go:build !linux && !darwin

package badgerstore

import "os"

// isOpen is true where nobody can replace a file that is open, and where it cannot be found out.
func isOpen(os.FileInfo) bool { return true }

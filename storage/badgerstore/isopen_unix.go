//go:build linux || darwin

package badgerstore

import (
	"os"
	"strconv"
	"syscall"
)

// isOpen reports whether this process has the file open, also if that cannot be found out.
func isOpen(file os.FileInfo) bool {
	want, ok := file.Sys().(*syscall.Stat_t)
	entries, err := os.ReadDir("/dev/fd")
	if !ok || err != nil {
		return true
	}
	for _, e := range entries {
		var is syscall.Stat_t
		if fd, err := strconv.Atoi(e.Name()); err != nil || syscall.Fstat(fd, &is) != nil {
			continue
		}
		if is.Dev == want.Dev && is.Ino == want.Ino {
			return true
		}
	}
	return false
}

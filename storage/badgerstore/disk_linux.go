package badgerstore

import (
	"errors"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// freeBytes is how much a program without privileges may still write to the file system of dir.
func freeBytes(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	if s.Blocks == 0 { // without a bound, as tmpfs may be
		return math.MaxInt64, nil
	}
	return int64(min(s.Bavail, math.MaxInt64/uint64(s.Bsize))) * int64(s.Bsize), nil
}

// allocate gives a file's first size bytes blocks on the disk, so that to write them cannot fail for want of room, and
// leaves its size alone. Where the file system cannot do that, the error is [errors.ErrUnsupported].
func allocate(f *os.File, size int64) error {
	for {
		err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, size)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return &os.PathError{Op: "fallocate", Path: f.Name(), Err: err}
		}
		return nil
	}
}

// mayWrite is an error when no file can be made in dir: it is gone, or read-only, or another user's.
func mayWrite(dir string) error {
	if err := unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
		return &os.PathError{Op: "write to", Path: dir, Err: err}
	}
	return nil
}

//go:build linux || darwin

package badgerstore

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// lockDir keeps other processes, including their Badger, out of dir until its file is closed. It is a lock on the open
// file: it ends with the process that held it, and needs no space on a full disk.
func lockDir(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errInUse
		}
		return nil, &os.PathError{Op: "lock", Path: dir, Err: err}
	}
	return f, nil
}

// ownLock says that lockDir replaces Badger's lock.
const ownLock = true

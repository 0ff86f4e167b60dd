package badgerstore

import (
	"errors"
	"math"
	"os"

	"golang.org/x/sys/windows"
)

// freeBytes is how much an unprivileged program may still write to dir's file system.
func freeBytes(dir string) (int64, error) {
	name, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, err
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(name, &free, nil, nil); err != nil {
		return 0, &os.PathError{Op: "ask for the free space of", Path: dir, Err: err}
	}
	return int64(min(free, math.MaxInt64)), nil
}

// allocate is not needed: NTFS gives a file its blocks when its size is set.
func allocate(*os.File, int64) error { return errors.ErrUnsupported }

func mayWrite(dir string) error {
	_, err := os.Stat(dir)
	return err
}

package main

import (
	"errors"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// resting returns what lets a generator rest (see [pace]). The thread of the
// calling goroutine stays its own, and is woken on the microsecond: by default
// the system adds up to 50.
func resting(all []*socket) (func(time.Duration), error) {
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return nil, err
	}
	wanted := make([]unix.PollFd, len(all))
	for i, s := range all {
		fd, err := s.descriptor()
		if err != nil {
			return nil, err
		}
		wanted[i] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
	}
	return func(d time.Duration) {
		limit := unix.NsecToTimespec(int64(d))
		if _, err := unix.Ppoll(wanted, &limit, nil); err != nil && !errors.Is(err, unix.EINTR) {
			time.Sleep(d) // an answer waits so long; it is never lost
		}
	}, nil
}

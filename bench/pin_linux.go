package main

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// twoCores returns two cores that this process may use; false if it has fewer.
func twoCores() (first, second int, ok bool) {
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) != nil {
		return 0, 0, false
	}
	var cores []int
	for i := range 64 * len(set) {
		if set.IsSet(i) {
			cores = append(cores, i)
		}
	}
	if len(cores) < 2 {
		return 0, 0, false
	}
	// The first core of a machine mostly serves the interrupts of its devices.
	return cores[0], cores[len(cores)-1], true
}

// pin keeps all threads of this process on one core until restore is called.
func pin(core int) (restore func(), err error) {
	var before, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return nil, err
	}
	one.Set(core)
	if err := setAffinity(&one); err != nil {
		return nil, err
	}
	return func() { _ = setAffinity(&before) }, nil
}

// setAffinity sets it for every thread. New threads have that of the one that
// starts them, so the second round catches what began during the first.
func setAffinity(set *unix.CPUSet) error {
	for range 2 {
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		for _, t := range threads {
			id, err := strconv.Atoi(t.Name())
			if err != nil {
				return err
			}
			if err := unix.SchedSetaffinity(id, set); err != nil && err != unix.ESRCH {
				return err
			}
		}
	}
	return nil
}

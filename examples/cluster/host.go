//go:build unix

package main

import (
	"fmt"
	"os"
	"testing"
)

// host lets pgtest and redistest run in a program that is no test.
type host struct {
	testing.TB
	cleanups []func()
}

// failure is what ends the goroutine of a test; here it is an error.
type failure string

func (f failure) Error() string { return string(f) }

// missing is a failure that skips a test.
type missing struct{ failure }

func (h *host) Helper()          {}
func (h *host) Cleanup(f func()) { h.cleanups = append(h.cleanups, f) }
func (h *host) TempDir() string {
	dir, err := os.MkdirTemp("", "latchkey-cluster-")
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func (h *host) Fatal(args ...any) { panic(failure(fmt.Sprint(args...))) }
func (h *host) Skip(args ...any)  { panic(missing{failure(fmt.Sprint(args...))}) }

func (h *host) do(f func()) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case missing:
			err = r
		case failure:
			err = r
		default:
			panic(r)
		}
	}()
	f()
	return nil
}

func (h *host) end() {
	for len(h.cleanups) > 0 {
		last := len(h.cleanups) - 1
		h.cleanups[last]()
		h.cleanups = h.cleanups[:last]
	}
}

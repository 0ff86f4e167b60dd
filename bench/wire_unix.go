//go:build unix

package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// socket is a [wire] over TCP. It calls read and write by itself, without the
// runtime's poller: one that only asks never parks.
type socket struct {
	conn     net.Conn
	raw      syscall.RawConn
	requests [][]byte

	buf  []byte
	have int

	// Of the system call: kept here so that no call makes a closure.
	out             []byte
	n               int
	err             error
	readFn, writeFn func(fd uintptr) bool
}

// dialSocket connects to a server whose answers are no longer than size.
func dialSocket(address string, requests [][]byte, size int) (*socket, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	s := &socket{conn: conn, requests: requests, buf: make([]byte, size)}
	if s.raw, err = conn.(*net.TCPConn).SyscallConn(); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	s.readFn = func(fd uintptr) bool { s.n, s.err = unix.Read(int(fd), s.buf[s.have:]); return true }
	s.writeFn = func(fd uintptr) bool { s.n, s.err = unix.Write(int(fd), s.out); return true }
	return s, nil
}

// send implements [wire].
func (s *socket) send(token uint32) error {
	s.out = s.requests[token]
	if err := s.raw.Write(s.writeFn); err != nil {
		return err
	}
	if s.err != nil {
		return s.err
	}
	if s.n < len(s.out) { // the connection is empty: a request fits
		return fmt.Errorf("only %d of %d bytes of a request were taken", s.n, len(s.out))
	}
	return nil
}

// poll implements [wire].
func (s *socket) poll() (int, error) {
	if err := s.raw.Read(s.readFn); err != nil {
		return 0, err
	}
	switch {
	case s.err == unix.EAGAIN || s.err == unix.EINTR:
		return 0, nil
	case s.err != nil:
		return 0, s.err
	case s.n == 0:
		return 0, io.ErrUnexpectedEOF
	}
	s.have += s.n
	status, size, err := parseAnswer(s.buf[:s.have])
	switch {
	case err != nil:
		return 0, err
	case size == 0 && s.have == len(s.buf):
		return 0, errors.New("the answer is too long")
	case size > 0 && size < s.have:
		return 0, errors.New("more came than one answer")
	case size > 0:
		s.have = 0
	}
	return status, nil
}

func (s *socket) close() { _ = s.conn.Close() }

// descriptor is the system's name of the connection.
func (s *socket) descriptor() (fd int, err error) {
	err = s.raw.Control(func(d uintptr) { fd = int(d) })
	return fd, err
}

// processCPU returns the time that all threads of this process were on a core,
// in and outside the kernel.
func processCPU() (time.Duration, error) {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0, err
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

package main

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
)

// listener is a port on loopback.
type listener struct {
	net.Listener
	port int
}

// listen takes the port, or the next that is free.
func listen(port int) (listener, error) {
	const tries = 100
	for p := port; p < port+tries && p < 1<<16; p++ {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p)))
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err != nil {
			return listener{}, err
		}
		return listener{l, p}, nil
	}
	return listener{}, fmt.Errorf("ports %d to %d are busy: choose another with -port", port, port+tries-1)
}

func (l listener) url() string { return fmt.Sprintf("http://localhost:%d", l.port) }

func (l listener) hosts() []string {
	return []string{fmt.Sprintf("localhost:%d", l.port), fmt.Sprintf("127.0.0.1:%d", l.port)}
}

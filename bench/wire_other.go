//go:build !unix

package main

import (
	"errors"
	"fmt"
	"time"
)

var errNoSockets = fmt.Errorf("this suite needs a Unix: %w", errors.ErrUnsupported)

type socket struct{ wire }

func dialSocket(string, [][]byte, int) (*socket, error) { return nil, errNoSockets }

func resting([]*socket) (func(time.Duration), error) { return nil, errNoSockets }

func (*socket) close() {}

func processCPU() (time.Duration, error) { return 0, errNoSockets }

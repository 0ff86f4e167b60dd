//go:build unix && !linux

package main

import "time"

// resting is nil where there is no ppoll: the generator takes a core.
func resting([]*socket) (func(time.Duration), error) { return nil, nil }

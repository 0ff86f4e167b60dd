//go:build !unix

package main

import "time"

var processStart = time.Now()

// processorTime is time on the wall where the system is not asked for more.
func processorTime() time.Duration { return time.Since(processStart) }

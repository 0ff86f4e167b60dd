package main

import (
	"os"
	"strconv"
	"strings"
)

// forgetPeak starts the peak of [processMemory] anew, where the system can.
func forgetPeak() { _ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) }

// processMemory returns the peak of the process's resident memory, what of it
// is its own now, and what is pages of mapped files; zeros where the system
// does not tell.
func processMemory() (peak, anon, file int64) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, 0, 0
	}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		switch name {
		case "VmHWM":
			peak = kib << 10
		case "RssAnon":
			anon = kib << 10
		case "RssFile":
			file = kib << 10
		}
	}
	return peak, anon, file
}

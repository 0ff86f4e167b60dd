package middleware

import "testing"

func TestTimesInRefusals(t *testing.T) {
	for seconds, want := range map[int64]string{
		1: "1 s", 61: "61 s", 119: "119 s", 120: "2 min", 150: "2 min 30 s", 3599: "59 min 59 s",
		3600: "1 h", 3601: "1 h 1 min", 86564: "24 h 3 min", 7199: "2 h",
	} {
		if got := string(appendTime(nil, seconds)); got != want {
			t.Errorf("%d seconds: %q, want %q", seconds, got, want)
		}
	}
	for seconds, want := range map[int64]string{1: "second", 60: "minute", 3600: "hour", 86400: "day", 90: "90 s", 604800: "168 h"} {
		if got := string(appendPeriod(nil, seconds)); got != want {
			t.Errorf("per %d seconds: %q, want %q", seconds, got, want)
		}
	}
}

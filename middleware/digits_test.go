package middleware

import (
	"strconv"
	"testing"
)

func TestAppendUintIsStrconv(t *testing.T) {
	for _, n := range []int64{0, 1, 9, 10, 11, 99, 100, 101, 109, 999, 1000, 1009, 12345, 86400, 100000, 999999, 1000000, 99999999, 100000000, 999999999, 1000000000, 1<<40 + 7} {
		if got, want := string(appendUint([]byte("x"), n)), "x"+strconv.FormatInt(n, 10); got != want {
			t.Errorf("%d is written as %s", n, got)
		}
	}
	for n := range int64(200_000) {
		if string(appendUint(nil, n)) != strconv.FormatInt(n, 10) {
			t.Fatal(n)
		}
	}
}

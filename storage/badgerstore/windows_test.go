package badgerstore

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/wontopos/latchkey/apikey"
)

func TestWindows(t *testing.T) {
	dir := t.TempDir()
	s := openIn(t, dir)
	ctx := t.Context()
	load := func(subject string) []byte {
		t.Helper()
		b, err := s.LoadWindows(ctx, subject)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if load("x") != nil {
		t.Error("nothing is nil")
	}
	state := []byte("state")
	for subject, ttl := range map[string]time.Duration{"x": time.Nanosecond, "y": time.Hour, "": time.Hour} {
		if err := s.SaveWindows(ctx, subject, state, ttl); err != nil {
			t.Fatal(err)
		}
	}
	state[0] = '#'
	if string(load("y")) != "state" {
		t.Error("the store copies what it is given")
	}
	load("y")[0] = '#'
	if string(load("y")) != "state" {
		t.Error("the caller owns what it is given")
	}
	if err := s.SaveWindows(ctx, "y", nil, time.Hour); err != nil || load("y") == nil {
		t.Errorf("an empty state is not none; error %v", err)
	}
	for what, err := range map[string]error{
		"ttl": s.SaveWindows(ctx, "z", nil, 0), "subject": s.SaveWindows(ctx, strings.Repeat("x", maxSubject+1), nil, 1),
		"state": s.SaveWindows(ctx, "z", make([]byte, maxValue+1), 1),
	} {
		if apikey.CodeOf(err) != apikey.InvalidArgument {
			t.Errorf("%s: got error %v, want InvalidArgument", what, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openIn(t, dir)
	if string(load("")) != "state" || load("y") == nil {
		t.Error("windows survive a restart")
	}
	var many []string
	for i := range 20_000 { // more than a transaction takes
		many = append(many, fmt.Sprint("nobody", i))
	}
	if err := s.DeleteWindows(ctx, append(many, "y", strings.Repeat("x", maxSubject+1))); err != nil {
		t.Fatal(err)
	}
	if load("y") != nil || load("") == nil {
		t.Error("those that are named are deleted, the others stay")
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if s.DeleteWindows(cancelled, []string{""}) == nil || load("") == nil {
		t.Error("a cancelled context changes nothing")
	}
}

// A state that ran out early would let a client over its limit. Badger counts in
// whole seconds; without rounding up this state would be gone at once.
func TestWindowsNeverRunOutEarly(t *testing.T) {
	s := openIn(t, t.TempDir())
	for range 20 {
		before := time.Now()
		if err := s.SaveWindows(t.Context(), "x", []byte("state"), 900*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		err := s.db.View(func(txn *badger.Txn) error {
			item, err := txn.Get(windowKey("x"))
			if err == nil && time.Unix(int64(item.ExpiresAt()), 0).Before(before.Add(900*time.Millisecond)) {
				err = fmt.Errorf("saved at %v for 900ms, gone from second %d on", before, item.ExpiresAt())
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

package limiter_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/limiter/limitertest"
)

// Hits that one reservation covers may come long after the record that holds
// it. Neither may run out under them.
func TestReservationEndsBeforeItsRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limit := apikey.Limit{Name: "day", N: 16, Window: 24 * time.Hour} // reserves 2
		j := newJournal()
		w := newWindow(t, limiter.Options{Journal: j})
		var admitted []limitertest.Hit
		start := time.Now()
		take := func() {
			if mustTake(t, w, ask("k", limit)).Allowed {
				admitted = append(admitted, limitertest.Hit{At: time.Since(start), Cost: 1})
			}
		}
		// Each wait is long enough for the second hit of a reservation to
		// fall near the end of what a careless ttl would be.
		for _, wait := range []time.Duration{23, 24, 25, 47, 48} {
			take()
			take() // leaves one reserved
			time.Sleep(wait * time.Hour)
			take()
			time.Sleep(20 * time.Hour)
			w = newWindow(t, limiter.Options{Journal: j}) // the crash
			d, err := w.Peek(t.Context(), ask("k", limit))
			if err != nil {
				t.Fatal(err)
			}
			if d.Windows[0].Remaining > 15 {
				t.Errorf("a hit admitted 20h before a crash still counts in a day: waited %dh before it, Remaining %d", wait, d.Windows[0].Remaining)
			}
			for range 20 {
				take()
			}
			time.Sleep(100 * time.Hour)
		}
		if err := limitertest.Check(admitted, limit); err != nil {
			t.Errorf("a crash never admits more than N: %v", err)
		}
	})
}

// A limiter that let an idle subject go wrote its record itself: nothing in it
// was used without its knowledge.
func TestOwnRecordsChargeNoReservation(t *testing.T) {
	for _, lose := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			j := newJournal()
			j.lose = lose
			w := newWindow(t, limiter.Options{Journal: j})
			mustTake(t, w, ask("k", minute))
			time.Sleep(2 * time.Minute)
			for range 20_000 {
				mustTake(t, w, ask("other", apikey.Limit{Name: "x", N: 1e9, Window: time.Second}))
			}
			if n := w.Subjects(); n != 1 {
				t.Fatalf("idle subjects are let go with a journal too: %d held", n)
			}
			if _, kept := j.records["k"]; kept != lose || j.deletes != 1 {
				t.Errorf("eviction deletes the record: kept %t, %d deletions", kept, j.deletes)
			}
			if d, err := w.Peek(t.Context(), ask("k", minute)); err != nil || d.Windows[0].Remaining != 60 {
				t.Errorf("a subject that comes back is charged nothing (deletion lost: %t): got %+v, %v", lose, d, err)
			}
		})
	}
}

// A deletion under way must not overtake the record of a subject that returns.
func TestDeletionNeverOvertakesTheNextRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		w := newWindow(t, limiter.Options{Journal: j})
		mustTake(t, w, ask("k", minute))
		time.Sleep(2 * time.Minute)
		j.enter = func(op, _ string) {
			if op == "delete" {
				time.Sleep(time.Second)
			}
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			for range 20_000 {
				mustTake(t, w, ask("other", apikey.Limit{Name: "x", N: 1e9, Window: time.Second}))
			}
		})
		time.Sleep(500 * time.Millisecond) // the deletion is under way
		for range 60 {
			mustTake(t, w, ask("k", minute))
		}
		wg.Wait()
		w = newWindow(t, limiter.Options{Journal: j}) // the crash
		if d := mustTake(t, w, ask("k", minute)); d.Allowed {
			t.Errorf("a deletion never overtakes the next record: admitted after a crash with all of N used: %+v", d)
		}
	})
}

func TestUndecodableRecordStartsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, spoil := range map[string]func([]byte) []byte{
			"empty":         func([]byte) []byte { return []byte{} },
			"cut":           func(b []byte) []byte { return b[:len(b)-1] },
			"one bit":       func(b []byte) []byte { b[len(b)-5] ^= 2; return b },
			"later version": func(b []byte) []byte { b[0]++; return b },
		} {
			j := newJournal()
			w := newWindow(t, limiter.Options{Journal: j})
			mustTake(t, w, ask("k", minute, day))
			mustTake(t, w, ask("k", minute, day)) // so that its record ends with a count
			mustTake(t, w, ask("sound", minute, day))
			r := j.records["k"]
			r.state = spoil(r.state)
			j.records["k"] = r

			var log bytes.Buffer
			w = newWindow(t, limiter.Options{Journal: j, Logger: slog.New(slog.NewTextHandler(&log, nil))})
			time.Sleep(30 * time.Second) // full since the start, not since the first use
			d := mustTake(t, w, ask("k", minute, day))
			if d.Allowed || d.Windows[0].Remaining != 0 || d.Windows[1].Remaining != 0 || d.Windows[0].Reset > 31*time.Second {
				t.Errorf("%s: a record that cannot be decoded starts its windows full: got %+v", name, d)
			}
			if !strings.Contains(log.String(), "level=ERROR") || !strings.Contains(log.String(), "subject=k") {
				t.Errorf("%s: it is logged: got %q", name, log.String())
			}
			if d := mustTake(t, w, ask("sound", minute, day)); !d.Allowed {
				t.Errorf("%s: other subjects are not affected: got %+v", name, d)
			}
			time.Sleep(d.RetryAfter)
			if d := mustTake(t, w, ask("k", minute, day)); !d.Allowed {
				t.Errorf("%s: it heals within its own window: got %+v", name, d)
			}
		}
	})
}

// Set back across a restart, the wall clock dates the record in the future.
func TestWallClockSetBackAcrossARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		w := newWindow(t, limiter.Options{Journal: j})
		w.Step(100 * time.Hour) // this process runs ahead of the next
		for range 60 {
			mustTake(t, w, ask("k", minute, day))
		}
		w = newWindow(t, limiter.Options{Journal: j})
		d := mustTake(t, w, ask("k", minute, day))
		if d.Allowed || d.RetryAfter > 61*time.Second || d.Windows[1].Reset > 24*time.Hour+10*time.Minute {
			t.Errorf("hits dated in the future count as hit at the start: got %+v", d)
		}
	})
}

// A reservation was made for the windows of its record only.
func TestChangedLimitsAreWrittenBeforeTheyAdmit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		w := newWindow(t, limiter.Options{Journal: j})
		first := apikey.Limit{Name: "minute", N: 80, Window: time.Minute} // reserves 10
		for range 1 + 2 + 4 + 8 + 1 {
			mustTake(t, w, ask("k", first)) // the last one leaves 9 reserved
		}
		for range 9 {
			mustTake(t, w, ask("k", first, day))
		}
		w = newWindow(t, limiter.Options{Journal: j}) // the crash
		time.Sleep(5 * time.Minute)
		d, err := w.Peek(t.Context(), ask("k", first, day))
		if err != nil || d.Windows[1].Remaining > 1000-9 {
			t.Errorf("hits in a new window survive a crash: got %v, %v", d, err)
		}
	})
}

// So is what it charged to a window of segments: it counts when all that was
// recorded has left.
func TestGhostsInSegmentsAreDatedAtTheRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		w := newWindow(t, limiter.Options{Journal: j})
		r := ask("k", apikey.Limit{Name: "hour", N: 800, Window: time.Hour})
		for range 1 + 2 + 4 + 8 + 1 { // the last one reserves 16
			mustTake(t, w, r)
		}
		time.Sleep(30 * time.Minute)
		w = newWindow(t, limiter.Options{Journal: j})
		time.Sleep(45 * time.Minute)
		if n := left(t, w, r)[0]; n != 800-16 {
			t.Errorf("a reservation of 16 counts from the restart on: %d are left of 800", n)
		}
	})
}

// What a crash charged is dated when the process started, so a subject that
// comes back later is charged less or nothing.
func TestGhostsAreDatedAtTheRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		w := newWindow(t, limiter.Options{Journal: j})
		for range 1 + 2 + 4 + 1 { // the last one reserves 7
			mustTake(t, w, ask("k", minute, day))
		}
		w = newWindow(t, limiter.Options{Journal: j})
		time.Sleep(2 * time.Minute)
		d, err := w.Peek(t.Context(), ask("k", minute, day))
		if err != nil || d.Windows[0].Remaining != 60 || d.Windows[1].Remaining != 1000-7-7 {
			t.Errorf("a reservation of 7 counts from the restart on: got %+v, %v", d, err)
		}
	})
}

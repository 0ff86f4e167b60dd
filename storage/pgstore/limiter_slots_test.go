package pgstore_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/storage/pgstore"
	"github.com/wontopos/latchkey/storage/pgstore/pgtest"
)

func atOnce(subject string, n int64) limiter.Request {
	return limiter.Request{Demands: []limiter.Demand{{Subject: subject, Limits: []apikey.Limit{{Name: "at-once", N: n, Concurrent: true}}}}}
}

// The places of a process that was stopped go to others after SlotLife. When it
// goes on, its requests are above N, at most as many as it has, and count again
// from the next renewal on.
func TestSlotsOfAStoppedProcessCountAgainWhenItGoesOn(t *testing.T) {
	s := newStore(t)
	at := time.Unix(2_000_000_000, 0).UnixNano()
	start := func() *pgstore.Limiter {
		l := newLimiter(t, s, patient)
		l.LeaveIdle()
		l.SetClock(func() int64 { return at })
		return l
	}
	stopped, other := start(), start()
	r := atOnce("k", 2)
	first, err := stopped.Take(t.Context(), r)
	must(t, err)
	admit(t, stopped, 1, r)
	at += int64(limiter.SlotLife) - 1000
	if d, err := other.Take(t.Context(), r); err != nil || d.Allowed || d.RetryAfter != limiter.Unknown {
		t.Errorf("before SlotLife has passed: %v, error %v", d, err)
	}
	must(t, stopped.RenewSlots(t.Context()))
	at += int64(limiter.SlotLife) - 1000
	if d, err := other.Take(t.Context(), r); err != nil || d.Allowed {
		t.Errorf("after a renewal: %v, error %v", d, err)
	}
	at += 1000
	admit(t, other, 2, r)
	must(t, stopped.RenewSlots(t.Context())) // it goes on
	if d, err := other.Peek(t.Context(), atOnce("k", 9)); err != nil || d.Windows[0].Remaining != 5 {
		t.Errorf("four are in progress: %v, error %v", d, err)
	}
	after, err := stopped.Settle(t.Context(), r, first, limiter.Settlement{Cost: 1, Over: true})
	if must(t, err); after.Windows[0].Remaining != 0 || after.Slot != 0 {
		t.Errorf("three are in progress: %+v", after)
	}
	must(t, stopped.RenewSlots(t.Context())) // does not bring back what is over
	if d, err := other.Peek(t.Context(), atOnce("k", 9)); err != nil || d.Windows[0].Remaining != 6 {
		t.Errorf("three are in progress: %v, error %v", d, err)
	}
	if _, err := s.Pool().Exec(t.Context(), s.SQL(`DELETE FROM "latchkey".limits`)); err != nil { // a crash may take what is not renewed
		t.Fatal(err)
	}
	must(t, stopped.RenewSlots(t.Context()))
	must(t, other.RenewSlots(t.Context()))
	if d, err := other.Peek(t.Context(), atOnce("k", 9)); err != nil || d.Windows[0].Remaining != 6 {
		t.Errorf("three are in progress: %v, error %v", d, err)
	}
}

// A renewal does not put back what was freed while it was under way.
func TestASlotIsFreedAfterTheRenewalThatIsUnderWay(t *testing.T) {
	s := newStore(t)
	l := newLimiter(t, s, patient)
	admit(t, l, 1, atOnce("a", 1))
	r := atOnce("b", 1)
	d, err := l.Take(t.Context(), r)
	must(t, err)
	tx, watch := connect(t, s), connect(t, s)
	exec(t, tx, `BEGIN`)
	exec(t, tx, `SELECT 1 FROM latchkey.limits WHERE subject = 'a' FOR UPDATE`)
	renewed, freed := make(chan error, 1), make(chan error, 1)
	go func() { renewed <- l.RenewSlots(t.Context()) }()
	eventually(t, "the renewal waits", func() bool { return waiters(t, watch) == 1 })
	go func() {
		_, err := l.Settle(t.Context(), r, d, limiter.Settlement{Over: true})
		freed <- err
	}()
	eventually(t, "the slot is freed, or about to be", func() bool {
		return len(freed) > 0 || strings.Contains(goroutines(), "pgstore.(*slots).release")
	})
	exec(t, tx, `ROLLBACK`)
	must(t, <-renewed)
	must(t, <-freed)
	admit(t, l, 1, r)
}

// As many slots as there may be, of more subjects than one renewal locks.
func TestManySlotsAreRenewed(t *testing.T) {
	s := newStore(t)
	l := newLimiter(t, s, patient)
	at := time.Unix(2_000_000_000, 0).UnixNano()
	l.LeaveIdle()
	l.SetClock(func() int64 { return at })
	all := atOnce("all", apikey.MaxConcurrent)
	for i := range 300 {
		r := atOnce(fmt.Sprint("key ", i), 1)
		r.Demands = append(r.Demands, all.Demands...)
		admit(t, l, 1, r)
	}
	at += int64(limiter.SlotLife) - 1000
	must(t, l.RenewSlots(t.Context()))
	at += int64(limiter.SlotLife) - 1000
	admit(t, l, apikey.MaxConcurrent-300, all)
	if d, err := l.Take(t.Context(), all); err != nil || d.Allowed {
		t.Errorf("one more than all: %v, error %v", d, err)
	}
	if d, err := l.Take(t.Context(), atOnce("key 299", 1)); err != nil || d.Allowed {
		t.Errorf("a second of one: %v, error %v", d, err)
	}
	at += 1000 // the first 300 are over
	if d, err := l.Peek(t.Context(), all); err != nil || d.Windows[0].Remaining != 300 {
		t.Errorf("got %v, error %v, want 300 remaining", d, err)
	}
}

// The goroutine that renews is there only while there is something to renew, and
// ends with the store.
func TestNoGoroutineRenewsNothing(t *testing.T) {
	s := open(t, pgtest.DSN(t), pgstore.Options{AutoMigrate: true, NoListen: true, Logger: quiet})
	l := newLimiter(t, s, patient)
	l.SetSlotLife(30 * time.Millisecond)
	renews := func() bool { return strings.Contains(goroutines(), "pgstore.(*Limiter).keepSlots") }
	r := atOnce("k", 2)
	d, err := l.Take(t.Context(), r)
	must(t, err)
	eventually(t, "a slot is held, and renewed", renews)
	_, err = l.Settle(t.Context(), r, d, limiter.Settlement{Over: true})
	must(t, err)
	eventually(t, "the goroutine has ended", func() bool { return !renews() })
	admit(t, l, 1, r)
	must(t, s.Close())
	if renews() {
		t.Error("the store is closed, and the goroutine goes on")
	}
}

// A server whose clock is in none of the periods that a client knows cannot
// begin one.
func TestLimiterWhoseClockIsFarFromTheServers(t *testing.T) {
	l := newLimiter(t, newStore(t), patient)
	at := time.Date(2033, 5, 18, 3, 33, 20, 0, time.UTC)
	r := limiter.Request{Demands: []limiter.Demand{{Subject: "k", Limits: []apikey.Limit{{Name: "day", N: 3, Period: apikey.Daily}}}}}
	for _, apart := range []int{-2, -1, 0, 1, 2} {
		l.SetClock(func() int64 { return at.UnixNano() })
		l.SetOwnClock(func() time.Time { return at.AddDate(0, 0, apart) })
		d, err := l.Take(t.Context(), r)
		if bad := apart*apart > 1; errors.Is(err, limiter.ErrUnavailable) != bad {
			t.Errorf("%d days apart: got %v, error %v", apart, d, err)
		}
		at = at.AddDate(0, 0, 30)
		if apart == 1 && d.Windows[0].Reset != 20*time.Hour+26*time.Minute+40*time.Second {
			t.Errorf("the day ends by the server's clock: %v", d)
		}
	}
	at = at.AddDate(0, 0, -30)
	l.SetOwnClock(func() time.Time { return at })
	if d, err := l.Peek(t.Context(), r); err != nil || d.Windows[0].Remaining != 3 {
		t.Errorf("nothing was charged: %v, error %v", d, err)
	}
}

package latchkey_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/engine"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/memstore"
)

// slowUsage takes its time to write usage.
type slowUsage struct {
	storage.Store
	takes    time.Duration // a write
	each     time.Duration // and each key in it
	turns    chan struct{} // if not nil, of capacity 1: one write at a time
	doubtful bool          // once ctx has ended, it says so, although it has written
	writes   atomic.Int64
	running  atomic.Int64
	most     atomic.Int64 // at a time
	longest  atomic.Int64 // of the writes, in nanoseconds
	started  atomic.Pointer[time.Time]
	finished atomic.Pointer[time.Time]
}

func (s *slowUsage) Unwrap() storage.Store { return s.Store }

func (s *slowUsage) AddUsage(ctx context.Context, batch []storage.UsageDelta) error {
	s.writes.Add(1)
	s.most.Store(max(s.most.Load(), s.running.Add(1)))
	defer s.running.Add(-1)
	if s.turns != nil {
		s.turns <- struct{}{}
		defer func() { <-s.turns }()
	}
	begun := time.Now()
	s.started.CompareAndSwap(nil, &begun)
	time.Sleep(s.takes + time.Duration(len(batch))*s.each)
	at := time.Now()
	s.longest.Store(max(s.longest.Load(), int64(at.Sub(begun))))
	s.finished.Store(&at)
	ended := ctx.Err()
	err := s.Store.AddUsage(context.WithoutCancel(ctx), batch)
	if s.doubtful && ended != nil {
		return ended
	}
	return err
}

// countOne makes one request with each token.
func countOne(t *testing.T, s *latchkey.Service, tokens ...string) {
	t.Helper()
	for _, token := range tokens {
		v, err := engine.Of(s).Verify(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		v.Count(apikey.OK, 0, fromHome)
	}
}

// TestReadingUsageWritesNothing: whoever reads sees what was counted, whether it
// is written or not.
func TestReadingUsageWritesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &slowUsage{Store: memstore.New()}
		s := serviceOn(t, store, latchkey.Options{FlushEvery: time.Hour})
		k, token := create(t, s, func(n *latchkey.NewKey) { n.Scopes = []string{"orders:read"} })
		idle, _ := create(t, s)
		counted := func() (n uint64) {
			t.Helper()
			all, err := s.Activity(t.Context(), []string{idle.ID, k.ID}, time.Now())
			if err != nil || len(all[0].Days) != 0 {
				t.Fatal(all, err)
			}
			for _, d := range all[1].Days {
				n += d.Counts.Total()
			}
			if len(all[1].Days) > 1 || n > 0 && all[1].Last.Network != "10.1.2.0/24" {
				t.Errorf("activity %+v", all[1])
			}
			return n
		}
		time.Sleep(24 * time.Hour)
		for range 100 {
			countOne(t, s, token)
			counted()
		}
		time.Sleep(time.Second)
		if n := counted(); n != 100 {
			t.Errorf("%d of 100 requests are counted a second later", n)
		}
		countOne(t, s, token)
		usage := func(want uint64, hours int) {
			t.Helper()
			u, err := s.Usage(t.Context(), k.ID, time.Now().Add(-time.Hour))
			if err != nil {
				t.Fatal(err)
			}
			if n := u.Of(1).Counts.Total(); n != want || len(u.Hours) != hours || u.Hours[hours-1].Counts.Total() == 0 || u.Last().UserAgent != "curl/8.5.0" {
				t.Errorf("usage %+v, want %d requests in %d hours", u, want, hours)
			}
		}
		usage(101, 1)
		if got := listed(t, s, latchkey.ListRequest{UnusedSince: time.Now().Add(-time.Hour)}); len(got) != 1 {
			t.Errorf("%q are unused, one of two keys was used", got)
		}
		if n := store.writes.Load(); n != 0 {
			t.Errorf("reading wrote %d times", n)
		}
		time.Sleep(time.Hour) // a flush
		if n := store.writes.Load(); n != 1 {
			t.Errorf("a flush wrote %d times", n)
		}
		countOne(t, s, token)
		usage(102, 1)
		if n := counted(); n < 101 {
			t.Errorf("%d of 102 requests are counted, some of them written", n)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

// TestWhoReadsWaitsForItsOwnKeysOnly: what is written takes its time, and keeps
// nobody waiting who asks for something else.
func TestWhoReadsWaitsForItsOwnKeysOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &slowUsage{Store: memstore.New(), takes: time.Second}
		s := serviceOn(t, store, latchkey.Options{FlushEvery: time.Minute})
		used, token := create(t, s)
		other, _ := create(t, s)
		countOne(t, s, token)
		time.Sleep(time.Minute + 100*time.Millisecond) // a flush began a while ago
		for _, tc := range []struct {
			what string
			read func() error
			wait time.Duration
		}{
			{"activity of another key", func() error { _, err := s.Activity(t.Context(), []string{other.ID}, time.Now()); return err }, 0},
			{"usage of another key", func() error { _, err := s.Usage(t.Context(), other.ID, time.Now()); return err }, 0},
			{"usage of none", func() error { _, err := s.Activity(t.Context(), nil, time.Now()); return err }, 0},
			{"usage of the key that is written", func() error { _, err := s.Usage(t.Context(), used.ID, time.Now()); return err }, 900 * time.Millisecond},
			{"usage of the key that was written", func() error { _, err := s.Usage(t.Context(), used.ID, time.Now()); return err }, 0},
		} {
			begun := time.Now()
			if err := tc.read(); err != nil {
				t.Error(err)
			}
			if took := time.Since(begun); took != tc.wait {
				t.Errorf("%s took %v, want %v", tc.what, took, tc.wait)
			}
		}
		countOne(t, s, token)
		time.Sleep(time.Minute - 900*time.Millisecond)
		begun := time.Now()
		if _, err := s.List(t.Context(), latchkey.ListRequest{UnusedSince: time.Now()}); err != nil || time.Since(begun) == 0 {
			t.Errorf("a list by use did not wait for what is written: %v, %v", time.Since(begun), err)
		}
	})
}

// pausing lets others work after it has read usage, and takes usage when it
// likes to.
type pausing struct{ *memstore.Store }

func (p pausing) AddUsage(ctx context.Context, batch []storage.UsageDelta) error {
	time.Sleep(time.Millisecond)
	if rand.IntN(3) == 0 {
		return errors.New("not now")
	}
	return p.Store.AddUsage(ctx, batch)
}

func (p pausing) Usage(ctx context.Context, id string, since time.Time) (apikey.Usage, error) {
	defer time.Sleep(2 * time.Millisecond)
	return p.Store.Usage(ctx, id, since)
}

// TestUsageIsNeverReadTwiceNorMissed holds every reading against what was counted
// before it began and after it ended, while a flush follows the other.
func TestUsageIsNeverReadTwiceNorMissed(t *testing.T) {
	s := serviceOn(t, pausing{memstore.New()}, latchkey.Options{FlushEvery: time.Millisecond})
	const keys = 200 // several parts a flush
	each := longer(100, 300)
	var ids, tokens []string
	for range keys {
		k, token := create(t, s)
		ids, tokens = append(ids, k.ID), append(tokens, token)
	}
	var begun, ended [keys]atomic.Int64
	var counting, reading sync.WaitGroup
	for w := range 4 {
		counting.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 1))
			for n := range keys * each / 4 {
				if n%100 == 0 {
					time.Sleep(time.Millisecond)
				}
				i := r.IntN(keys)
				v, err := engine.Of(s).Verify(context.Background(), tokens[i])
				if err != nil {
					t.Error(err)
					return
				}
				begun[i].Add(1)
				v.Count(apikey.OK, 0, fromHome)
				ended[i].Add(1)
			}
		})
	}
	done := make(chan struct{})
	for w := range 2 {
		reading.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 2))
			var seen [keys]int64 // by lists, which may be a second late
			for n := 0; ; n++ {
				select {
				case <-done:
					if n >= 100 {
						return
					}
				default:
				}
				i := r.IntN(keys)
				least := ended[i].Load()
				u, err := s.Usage(context.Background(), ids[i], time.Time{})
				most := begun[i].Load()
				n := int64(u.Of(1).Counts.Total())
				hours := int64(0)
				for _, h := range u.Hours {
					hours += int64(h.Counts.Total())
				}
				if err != nil || n < least || n > most || hours != n {
					t.Errorf("%d requests were read, %d by the hour, of %d to %d: %v", n, hours, least, most, err)
					return
				}
				all, err := s.Activity(context.Background(), ids[i:i+1], time.Now())
				most, n = begun[i].Load(), 0
				for _, d := range all[0].Days {
					n += int64(d.Counts.Total())
				}
				if err != nil || n < seen[i] || n > most {
					t.Errorf("a list has %d requests, after %d, of at most %d: %v", n, seen[i], most, err)
					return
				}
				seen[i] = n
			}
		})
	}
	counting.Wait()
	close(done)
	reading.Wait()
	for i, id := range ids {
		if u, err := s.Usage(t.Context(), id, time.Time{}); err != nil || int64(u.Of(1).Counts.Total()) != begun[i].Load() {
			t.Fatalf("%d requests of %d, %v", u.Of(1).Counts.Total(), begun[i].Load(), err)
		}
	}
}

// TestAddIsWhatAStoreDoes holds what is owed, added to what a store tells, against
// a store that was given it.
func TestAddIsWhatAStoreDoes(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	now := time.Date(2026, 7, 1, 0, 30, 0, 0, time.UTC)
	for range 300 {
		written, all := memstore.New(), memstore.New()
		for _, store := range []*memstore.Store{written, all} {
			if _, err := store.Apply(t.Context(), storage.Change{
				Record: storage.Record{Key: apikey.Key{ID: "key", Owner: "acme", Secrets: make([]apikey.Secret, 1)}, Digests: make([]storage.Digest, 1)},
				Entry:  apikey.AuditEntry{At: now, Actor: "test", KeyID: "key"},
			}); err != nil {
				t.Fatal(err)
			}
		}
		var deltas []storage.UsageDelta
		for range r.IntN(12) {
			d := storage.UsageDelta{KeyID: "key", Secret: 1 + r.Uint32N(3), Hour: now.Add(-time.Duration(r.IntN(60)) * time.Hour).Truncate(time.Hour)}
			for range 1 + r.IntN(3) {
				fields := d.Counts.Fields()
				*fields[r.IntN(len(fields))] += 1 + r.Uint64N(5)
			}
			if r.IntN(2) == 0 {
				d.Last = apikey.LastUse{At: d.Hour.Add(time.Duration(r.IntN(3))*time.Minute + time.Duration(d.Secret)*time.Second), Route: fmt.Sprint(r.IntN(2)), Status: 200 * r.IntN(2)}
			}
			for _, scope := range []string{"a", "b", "c"} {
				if r.IntN(3) == 0 {
					d.Scopes = append(d.Scopes, scope)
				}
			}
			deltas = append(deltas, d)
		}
		half := 0
		if len(deltas) > 0 {
			half = r.IntN(len(deltas))
		}
		if err := written.AddUsage(t.Context(), deltas[:half]); err != nil {
			t.Fatal(err)
		}
		if err := all.AddUsage(t.Context(), deltas); err != nil {
			t.Fatal(err)
		}
		since := now.Add(-time.Duration(r.IntN(60)) * time.Hour)
		got, _ := written.Usage(t.Context(), "key", since)
		want, _ := all.Usage(t.Context(), "key", since)
		gotDays, _ := written.Activity(t.Context(), []string{"key"}, since)
		wantDays, _ := all.Activity(t.Context(), []string{"key"}, since)
		for _, d := range deltas[half:] {
			latchkey.AddToUsage(&got, d, since)
			latchkey.AddToActivity(&gotDays[0], d, since)
		}
		got.ScopesSince, want.ScopesSince = time.Time{}, time.Time{}
		if fmt.Sprint(got) != fmt.Sprint(want) || !slices.Equal(gotDays[0].Days, wantDays[0].Days) || gotDays[0].Last != wantDays[0].Last {
			t.Fatalf("of %+v\nusage    %+v\nwant     %+v\nactivity %+v\nwant     %+v", deltas, got, want, gotDays, wantDays)
		}
	}
}

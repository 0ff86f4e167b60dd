package latchkey_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
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

func TestUsageCountsEveryOutcomeExactly(t *testing.T) {
	mem := memstore.New()
	s := serviceOn(t, mem, latchkey.Options{FlushEvery: time.Millisecond})
	k, token := create(t, s)
	const workers, each = 8, 900
	codes := []apikey.Code{
		apikey.OK, apikey.RateLimited, apikey.InsufficientScope, apikey.NetworkNotAllowed, apikey.EnvironmentMismatch,
		apikey.ExpiredKey, apikey.DisabledKey, apikey.RevokedKey, apikey.Unavailable,
	}
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := range each {
				v, err := engine.Of(s).Verify(context.Background(), token)
				if err != nil {
					t.Error(err)
					return
				}
				v.Count(codes[i%len(codes)], 0, fromHome)
				if i == each/2 { // snapshots come and go
					_, _ = s.Update(context.Background(), ops, k.ID, latchkey.Update{Metadata: &map[string]string{"n": time.Now().String()}})
				}
			}
		})
	}
	wg.Wait()
	u, err := s.Usage(t.Context(), k.ID, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	for name, n := range u.Of(1).Counts.All() {
		want := uint64(workers * each / len(codes))
		if name == "cut" { // no code: see the tests of requests in flight
			want = 0
		}
		if n != want {
			t.Errorf("%s was counted %d times, want %d", name, n, want)
		}
	}
}

func TestLastUseTellsWhenAndFromWhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, latchkey.Options{})
		defer s.Close(t.Context())
		k, token := create(t, s)
		v, _ := engine.Of(s).Verify(t.Context(), token)
		v.Count(apikey.OK, 0, &engine.Use{Source: netip.MustParseAddr("2001:db8:1:2:3::4"), UserAgent: strings.Repeat("é", 100) + "\n"})
		at := time.Now()
		v.Count(apikey.InsufficientScope, 0, &engine.Use{Source: home, UserAgent: "refused"})
		time.Sleep(time.Hour)
		u, err := s.Usage(t.Context(), k.ID, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		last := u.Last()
		if !last.At.Equal(at) || last.Network != "2001:db8:1::/48" || last.UserAgent != strings.Repeat("é", 64) {
			t.Errorf("last use %+v, want an admitted request at %v", last, at)
		}
	})
}

// flaky refuses usage while it is down, and counts the writes.
type flaky struct {
	*memstore.Store
	down   atomic.Bool
	writes atomic.Int64
}

func (f *flaky) AddUsage(ctx context.Context, batch []storage.UsageDelta) error {
	f.writes.Add(1)
	if f.down.Load() {
		return errors.New("disk full")
	}
	return f.Store.AddUsage(ctx, batch)
}

func TestUsageIsWrittenInBatchesAndNeverLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &flaky{Store: memstore.New()}
		s := serviceOn(t, store, latchkey.Options{FlushEvery: time.Second})
		k, token := create(t, s)
		total := func() uint64 {
			u, err := store.Usage(t.Context(), k.ID, time.Time{})
			if err != nil {
				t.Fatal(err)
			}
			return u.Of(1).Counts.Total()
		}
		request := func(n int) {
			for range n {
				v, err := engine.Of(s).Verify(t.Context(), token)
				if err != nil {
					t.Fatal(err)
				}
				v.Count(apikey.OK, 0, fromHome)
			}
		}
		request(1000)
		if n := store.writes.Load(); n != 0 {
			t.Errorf("%d writes before a flush was due", n)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := total(); got != 1000 || store.writes.Load() != 1 {
			t.Errorf("after one flush interval %d requests are stored by %d writes", got, store.writes.Load())
		}
		time.Sleep(time.Hour)
		if n := store.writes.Load(); n != 1 {
			t.Errorf("%d writes while nothing was used", n)
		}
		store.down.Store(true)
		request(10)
		time.Sleep(10 * time.Second)
		request(10)
		store.down.Store(false)
		request(1)
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := total(); got != 1021 {
			t.Errorf("%d requests are stored after an outage and a clean stop, want 1021", got)
		}
	})
}

// TestLostUsageIsSaidToBeLost: there is no room for ever for a store that takes no
// usage, and what is dropped is not said to be tried again.
func TestLostUsageIsSaidToBeLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		store := &flaky{Store: memstore.New()}
		s := serviceOn(t, store, latchkey.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		s.OweAtMost(2)
		var ids, tokens []string
		for range 3 {
			k, token := create(t, s)
			ids, tokens = append(ids, k.ID), append(tokens, token)
		}
		store.down.Store(true)
		countOne(t, s, tokens...)
		time.Sleep(6 * time.Second)
		if err := s.Close(t.Context()); err == nil {
			t.Error("Close says that all is written")
		}
		if text := log.String(); strings.Count(text, `"usage is lost:`) != 1 || strings.Count(text, "requests=1\n") != 1 {
			t.Errorf("one request was dropped, and the log says:\n%s", text)
		}
		store.down.Store(false)
		want(t, "Close when the store takes usage again", s.Close(t.Context()), nil)
		if n := stored(t, store, ids...); n != 2 {
			t.Errorf("%d requests are stored, 3 were counted and 1 dropped", n)
		}
	})
}

// A request that is refused after it was counted as admitted counts once, as
// refused, also if the count has been collected meanwhile: while it is owed.
func TestARequestIsCountedOnceThatIsRefusedAfterACollection(t *testing.T) {
	mem := memstore.New()
	s := serviceOn(t, mem, latchkey.Options{FlushEvery: time.Hour})
	k, token := create(t, s)
	usage := func() apikey.UsageSecret {
		u, err := s.Usage(t.Context(), k.ID, time.Time{}) // collects
		if err != nil {
			t.Fatal(err)
		}
		return u.Of(1)
	}
	admit := func() (engine.Verified, *engine.Sample) {
		v, err := engine.Of(s).Verify(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		return v, v.Count(apikey.OK, 0, fromHome)
	}
	refuse := func(v engine.Verified, sample *engine.Sample) {
		usage()
		v.Recount(apikey.InsufficientScope, sample)
		sample.Ended("", "", 403)
	}
	for range 3 {
		refuse(admit())
	}
	if got := usage(); got.Counts != (apikey.Counts{Scope: 3}) || !got.Last.At.IsZero() {
		t.Errorf("three refused requests: %+v", got)
	}
	v, sample := admit()
	usage()
	if _, err := s.Update(t.Context(), ops, k.ID, latchkey.Update{Metadata: &map[string]string{"a": "b"}}); err != nil {
		t.Fatal(err)
	}
	admit()
	refuse(v, sample)
	if got := usage(); got.Counts != (apikey.Counts{Scope: 4, Allowed: 1}) {
		t.Errorf("a fourth, of a key that was changed and used meanwhile: %+v", got)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := stored(t, mem, k.ID); n != 5 {
		t.Errorf("%d requests are stored, want 5", n)
	}
}

// What the store has as admitted stays admitted: a refusal of the same request is
// not counted beside it.
func TestARequestIsCountedOnceThatIsRefusedAfterAFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memstore.New()
		s := serviceOn(t, mem, latchkey.Options{})
		k, token := create(t, s)
		v, _ := engine.Of(s).Verify(t.Context(), token)
		sample := v.Count(apikey.OK, 0, fromHome)
		time.Sleep(10 * time.Second)
		v.Recount(apikey.InsufficientScope, sample)
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := stored(t, mem, k.ID); n != 1 {
			t.Errorf("one request is counted %d times", n)
		}
	})
}

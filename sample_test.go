package latchkey_test

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/engine"
	"github.com/wontopos/latchkey/storage/memstore"
)

// sample makes an admitted request that the last use tells of.
func sample(t testing.TB, s *latchkey.Service, token, route string) *engine.Sample {
	t.Helper()
	v, err := engine.Of(s).Verify(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	p := v.Count(apikey.OK, 0, &engine.Use{Source: home, UserAgent: "curl/8", Route: route})
	if p == nil {
		t.Fatal("the first request since the flush is not the sample")
	}
	return p
}

func usageOf(t testing.TB, s *latchkey.Service, id string) apikey.Usage {
	t.Helper()
	u, err := s.Usage(t.Context(), id, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestLastUseTellsWhatWasAskedAndHowItEnded(t *testing.T) {
	for _, tc := range []struct {
		name, route, endRoute string
		status                int
		want                  string
		wantStatus            int
	}{
		{"a route that is known from the start", "GET /v1/apis/{id}", "", 404, "GET /v1/apis/{id}", 404},
		{"a route that is known in the end", "", "GET /v1/apis", 200, "GET /v1/apis", 200},
		{"a route that is better known in the end", "GET /v1/", "GET /v1/apis/{id}", 200, "GET /v1/apis/{id}", 200},
		{"an end without a status", "GET /v1/apis", "", 0, "GET /v1/apis", 0},
		{"no status of HTTP", "GET /v1/apis", "", 1000, "GET /v1/apis", 0},
		{"a number below zero", "GET /v1/apis", "", -200, "GET /v1/apis", 0},
		{"control characters", "GET /\x00\x1b[31m\r\n\x7f", "", 200, "GET /  [31m   ", 200},
		{"control characters in the end", "", "GET /\x00\xff\r\n", 200, "GET /   ", 200},
		{"control characters of eight bits, and those that turn a text", "GET /a\u009b31m\u202eb\u2066", "", 200, "GET /a 31m b ", 200},
		{"markup is kept as it is: the page escapes it", "", "GET /<script>", 200, "GET /<script>", 200},
		{"a long one", "", strings.Repeat("é", 100), 200, strings.Repeat("é", 64), 200},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newService(t, latchkey.Options{})
			k, token := create(t, s)
			sample(t, s, token, tc.route).Ended("", tc.endRoute, tc.status)
			if got := usageOf(t, s, k.ID).Last(); got.Route != tc.want || got.Status != tc.wantStatus || got.UserAgent != "curl/8" {
				t.Errorf("last use %+v, want %q and status %d", got, tc.want, tc.wantStatus)
			}
		})
	}
	(*engine.Sample)(nil).Ended("", "GET /", 200) // of all requests that are none
}

// A slow handler outlives the flush that writes its use down.
func TestARequestThatOutlivesItsFlushTellsItsEndLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, latchkey.Options{FlushEvery: time.Second})
		defer s.Close(t.Context())
		k, token := create(t, s)
		slow := sample(t, s, token, "GET /slow")
		time.Sleep(2 * time.Hour)
		first := usageOf(t, s, k.ID)
		if got := first.Last(); got.Route != "GET /slow" || got.Status != 0 {
			t.Errorf("while it is served: %+v, want its route and no status", got)
		}
		slow.Ended("", "", 204)
		slow.Ended("", "GET /other", 500)
		for _, where := range []string{"in memory", "in the store"} {
			u := usageOf(t, s, k.ID)
			if got := u.Last(); got.Route != "GET /slow" || got.Status != 204 || !got.At.Equal(first.Last().At) {
				t.Errorf("after its end, %s: %+v, want the first end that was told, of the same instant", where, got)
			}
			if len(u.Hours) != 1 || u.Hours[0] != first.Hours[0] || u.Of(1).Counts.Total() != 1 {
				t.Errorf("%s: its end is counted as a request, or in an hour of its own: %+v", where, u)
			}
			time.Sleep(time.Minute) // for the next flush
		}

		slow = sample(t, s, token, "GET /slow")
		time.Sleep(time.Minute)
		sample(t, s, token, "GET /quick").Ended("", "", 200)
		slow.Ended("", "", 500)
		if got := usageOf(t, s, k.ID).Last(); got.Route != "GET /quick" || got.Status != 200 {
			t.Errorf("the late end of an older use stands before a newer one: %+v", got)
		}
	})
}

// Flushes and ends race: whatever the order, the end is not lost.
func TestNoEndIsLostBetweenFlushes(t *testing.T) {
	mem := memstore.New()
	s := serviceOn(t, mem, latchkey.Options{FlushEvery: 50 * time.Microsecond})
	k, token := create(t, s)
	const workers, each = 4, 500
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				v, err := engine.Of(s).Verify(t.Context(), token)
				if err != nil {
					t.Error(err)
					return
				}
				v.Count(apikey.OK, 0, fromHome).Ended("", "", 201)
			}
		})
	}
	wg.Wait()
	if got := usageOf(t, s, k.ID); got.Last().Status != 201 || got.Of(1).Counts.Allowed != workers*each {
		t.Errorf("the newest use has no end, or requests are missing: %+v", got.Of(1))
	}
}

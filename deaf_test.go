package latchkey_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/memstore"
)

// deafFeed is a link whose polls hang while it is deaf, whatever their context
// says.
type deafFeed struct {
	*link
	deaf    atomic.Bool
	release chan struct{}
}

func (d *deafFeed) Poll(ctx context.Context, q storage.FeedQuery) (storage.FeedPage, error) {
	if d.deaf.Load() {
		<-d.release
	}
	return d.link.Poll(ctx, q)
}

func (d *deafFeed) Await(ctx context.Context) error {
	<-d.release
	return d.link.Await(ctx)
}

// Nobody waits for a poll that ignores its context: a change waits one lease, and
// no longer than its own context, a request two seconds, and Close as long as it
// may. Polls that hang do not pile up, and when they return all is well again.
func TestNobodyWaitsForAPollThatIgnoresItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSharedStore()
		d := &deafFeed{link: &link{store: store}, release: make(chan struct{})}
		s := serviceOn(t, d, latchkey.Options{})
		k, token := create(t, s)
		countOne(t, s, token)
		d.deaf.Store(true)
		took := func(what string, least, most time.Duration, kind error, call func(ctx context.Context) error) {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			began := time.Now()
			err := call(ctx)
			want(t, what, err, kind)
			if took := time.Since(began); took < least || took > most {
				t.Errorf("%s returned after %v, want %v to %v", what, took, least, most)
			}
		}
		took("Disable with a context", time.Second, time.Second, context.DeadlineExceeded, func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			_, err := s.Disable(ctx, ops, k.ID, "")
			return err
		})
		took("Enable", 3*time.Second, 3*time.Second, nil, func(ctx context.Context) error {
			_, err := s.Enable(ctx, ops, k.ID)
			return err
		})
		took("Verify", 0, 2*time.Second, apikey.Unavailable, func(context.Context) error { return verify(t, s, token) })
		before := runtime.NumGoroutine()
		time.Sleep(time.Hour)
		if n := runtime.NumGoroutine() - before; n > 2*64+10 {
			t.Errorf("%d goroutines are left of polls that hang", n)
		}
		d.deaf.Store(false)
		close(d.release)
		time.Sleep(time.Second)
		want(t, "Verify when polls are answered", verify(t, s, token), nil)

		d.release = make(chan struct{})
		d.deaf.Store(true)
		countOne(t, s, token)
		took("Close", 0, 3*time.Second, nil, func(ctx context.Context) error { return s.Close(ctx) })
		if n := stored(t, store.mem, k.ID); n != 2 {
			t.Errorf("%d of 2 requests are stored", n)
		}
		close(d.release)
	})
}

// OnDue that ignores its context keeps neither the keys after it nor Close.
func TestNothingWaitsForOnDueThatIgnoresItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var told atomic.Int64
		mem := memstore.New()
		maker := serviceOn(t, mem, latchkey.Options{})
		create(t, maker)
		create(t, maker)
		time.Sleep(time.Second)
		s := serviceOn(t, mem, latchkey.Options{MaxAge: time.Nanosecond, OnDue: func(context.Context, apikey.Key) {
			told.Add(1)
			<-release
		}})
		time.Sleep(90 * time.Second)
		if n := told.Load(); n != 2 {
			t.Errorf("%d of 2 keys were reported while OnDue hangs", n)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		want(t, "Close", s.Close(ctx), nil)
		close(release)
	})
}

// panicking is a store and a PlanSource that panic once in the call named.
type panicking struct {
	*batchLink
	in atomic.Value
}

func (p *panicking) may(call string) {
	if p.in.CompareAndSwap(call, "") {
		panic("a mistake in " + call)
	}
}

func (p *panicking) Get(ctx context.Context, id string) (storage.Record, error) {
	p.may("Get")
	return p.link.Get(ctx, id)
}

func (p *panicking) GetBatch(ctx context.Context, ids []string) ([]storage.Record, []error) {
	p.may("GetBatch")
	return p.batchLink.GetBatch(ctx, ids)
}

func (p *panicking) Poll(ctx context.Context, q storage.FeedQuery) (storage.FeedPage, error) {
	p.may("Poll")
	return p.link.Poll(ctx, q)
}

func (p *panicking) AddUsage(ctx context.Context, batch []storage.UsageDelta) error {
	p.may("AddUsage")
	return p.link.AddUsage(ctx, batch)
}

func (p *panicking) Plan(_ context.Context, name string) (apikey.Plan, error) {
	p.may("Plan")
	return apikey.Plan{Name: name, Unlimited: true}, nil
}

// A panic of a store or of a PlanSource is an error for those who wait for the
// call, and no more: neither the process ends nor does anybody wait for ever, and
// the next call is made. The log has it once, with the stack.
func TestAPanicOfAStoreOrAPlanSourceIsAnError(t *testing.T) {
	for _, kind := range []string{"in this process", "one at a time", "in batches"} {
		for _, call := range []string{"Get", "GetBatch", "Plan", "Poll", "AddUsage"} {
			t.Run(kind+", "+call, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var log bytes.Buffer
					shared := newSharedStore()
					p := &panicking{batchLink: &batchLink{link: &link{store: shared, delay: time.Millisecond}}}
					p.in.Store("")
					o := latchkey.Options{PlanSource: p, DefaultPlan: "any", Logger: slog.New(slog.NewTextHandler(&log, nil))}
					var store storage.Store = p
					switch kind {
					case "in this process":
						store = struct {
							storage.Store
							storage.Notifier
						}{p, shared.mem}
					case "one at a time":
						store = struct {
							storage.Store
							storage.Feed
						}{p, p}
					}
					maker, _ := process(t, shared, latchkey.LeaseOptions{Async: true})
					defer maker.Close(t.Context())
					k, token := create(t, maker)
					s := serviceOn(t, store, o)
					time.Sleep(2 * time.Second)
					p.in.Store(call)
					failed := make(chan error, 3)
					for range cap(failed) {
						go func() { failed <- verify(t, s, token) }()
					}
					for range cap(failed) {
						if err := <-failed; err != nil {
							want(t, "a request that waits for a call that panics", err, apikey.Unavailable)
						}
					}
					want(t, "a request after it", verify(t, s, token), nil)
					countOne(t, s, token)
					time.Sleep(20 * time.Second)
					want(t, "Close", s.Close(t.Context()), nil)
					if n := stored(t, shared.mem, k.ID); n != 1 {
						t.Errorf("%d of 1 requests are stored", n)
					}
					done := p.in.Load() == ""
					if n := strings.Count(log.String(), "panicked\""); done != (n > 0) || n > 1 {
						t.Errorf("the call has panicked: %v; the log has it %d times:\n%s", done, n, log.String())
					}
				})
			})
		}
	}
}

// A panic of OnDue ends neither the process nor the reports.
func TestAPanicOfOnDueKeepsNoOtherKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var told atomic.Int64
		mem := memstore.New()
		maker := serviceOn(t, mem, latchkey.Options{})
		create(t, maker)
		create(t, maker)
		time.Sleep(time.Second)
		s := serviceOn(t, mem, latchkey.Options{MaxAge: time.Nanosecond, Logger: slog.New(slog.NewTextHandler(&log, nil)), OnDue: func(context.Context, apikey.Key) {
			told.Add(1)
			panic(errors.New("a mistake"))
		}})
		synctest.Wait()
		if n := told.Load(); n != 2 || strings.Count(log.String(), "panicked\"") != 2 {
			t.Errorf("%d of 2 keys were reported; the log:\n%s", n, log.String())
		}
		want(t, "Close", s.Close(t.Context()), nil)
	})
}

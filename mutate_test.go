package latchkey_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/memstore"
)

// lateNotices announces its changes when the test says so.
type lateNotices struct {
	*memstore.Store
	written chan struct{} // a change is in the store
	tell    chan struct{}
}

func (l *lateNotices) Subscribe(f func(storage.Notice)) (cancel func()) {
	return l.Store.Subscribe(func(n storage.Notice) {
		if n.Revision > 1 {
			l.written <- struct{}{}
			<-l.tell
		}
		f(n)
	})
}

// Two people revoke a key at once. The one who comes second finds it done, while
// the first has not come so far that anybody obeys it.
func TestAChangeThatFindsItsWorkDoneIsInForceAllTheSame(t *testing.T) {
	type call func(s *latchkey.Service, id string) (apikey.Key, error)
	for what, c := range map[string]struct {
		do   call
		want error
	}{
		"revoke": {func(s *latchkey.Service, id string) (apikey.Key, error) {
			return s.Revoke(context.Background(), ops, id, "leaked")
		}, apikey.RevokedKey},
		"disable": {func(s *latchkey.Service, id string) (apikey.Key, error) {
			return s.Disable(context.Background(), ops, id, "paused")
		}, apikey.DisabledKey},
	} {
		store := &lateNotices{memstore.New(), make(chan struct{}), make(chan struct{})}
		s := serviceOn(t, store, latchkey.Options{})
		k, token := create(t, s)
		f := takeOff(t, s, token)

		first := make(chan error)
		go func() { _, err := c.do(s, k.ID); first <- err }()
		<-store.written
		again, err := c.do(s, k.ID)
		want(t, what+" for the second time", err, nil)
		if again.Revision != 2 {
			t.Errorf("%s for the second time: the key is at revision %d, want the first one's 2", what, again.Revision)
		}
		want(t, "a request after the second "+what+" returned", verify(t, s, token), c.want)
		want(t, "a request in flight when the second "+what+" returned", f.cause(), c.want)
		close(store.tell)
		want(t, what+" for the first time", <-first, nil)
		f.Leave()
	}
}

// Somebody gives up waiting for a revocation to be in force everywhere, and
// revokes again: now nil has to mean that it is.
func TestRevokingAgainWaitsForEveryProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSharedStore()
		here, _ := process(t, store, latchkey.LeaseOptions{})
		defer here.Close(t.Context())
		there, l := process(t, store, latchkey.LeaseOptions{})
		defer there.Close(t.Context())
		k, token := create(t, here)
		want(t, "before", verify(t, there, token), nil)
		l.cut.Store(true)
		l.deaf.Store(true)
		defer func() { l.cut.Store(false); l.deaf.Store(false) }()

		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := here.Revoke(ctx, ops, k.ID, "leaked"); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Revoke that is given up: got error %v", err)
		}
		want(t, "on a process that is cut off, within its lease", verify(t, there, token), nil)
		if _, err := here.Revoke(t.Context(), ops, k.ID, "leaked"); err != nil {
			t.Fatal(err)
		}
		want(t, "on a process that is cut off, after Revoke returned nil", verify(t, there, token), apikey.Unavailable)
	})
}

// meeting holds the first two reads until both have read.
type meeting struct {
	storage.Store
	reads sync.WaitGroup
	once  [2]sync.Once
}

func (m *meeting) Unwrap() storage.Store { return m.Store }

func (m *meeting) Get(ctx context.Context, id string) (storage.Record, error) {
	r, err := m.Store.Get(ctx, id)
	for i := range m.once {
		mine := false
		if m.once[i].Do(func() { mine = true }); mine {
			m.reads.Done()
			break
		}
	}
	m.reads.Wait()
	return r, err
}

// Two people revoke a key at once, and both read it before either has written.
func TestRevokingTwiceAtOnceIsNoError(t *testing.T) {
	mem := memstore.New()
	k, _ := create(t, serviceOn(t, mem, latchkey.Options{}))
	store := &meeting{Store: mem}
	store.reads.Add(2)
	s := serviceOn(t, store, latchkey.Options{})
	var (
		group sync.WaitGroup
		got   [2]apikey.Key
	)
	for i, reason := range []string{"leaked", "tidying up"} {
		group.Go(func() {
			var err error
			got[i], err = s.Revoke(context.Background(), ops, k.ID, reason)
			want(t, "revoking at the same time as somebody else", err, nil)
		})
	}
	group.Wait()
	if got[0].RevokeReason == "" || got[0].RevokeReason != got[1].RevokeReason || got[0].Revision != 2 || got[1].Revision != 2 {
		t.Errorf("the first revocation and its reason stand: got %+v", got)
	}
}

package latchkey_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/storage"
)

// lasting is a feed whose news stay until the next poll, as the contract allows.
type lasting struct {
	*link
	news   chan struct{} // closed while there are some
	awaits int
}

func (l *lasting) Await(ctx context.Context) error {
	if l.awaits++; l.awaits > 1000 {
		<-ctx.Done()
		return ctx.Err()
	}
	select {
	case <-l.news:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// News are passed on once for each poll: who asks for them again before it has
// begun is answered at once, and would never stop asking.
func TestNewsAreAwaitedOnceAPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := &lasting{link: &link{store: newSharedStore(), delay: 200 * time.Millisecond}, news: make(chan struct{})}
		close(feed.news)
		s := serviceOn(t, feed, latchkey.Options{})
		time.Sleep(10 * time.Second)
		_ = s.Close(t.Context())
		if polls := int(feed.polls.Load()); feed.awaits > polls+1 {
			t.Errorf("the feed was asked for news %d times in %d polls", feed.awaits, polls)
		}
	})
}

// crowded is a feed in which another change arrives with the answer to the first
// acknowledgement, and that gives no news of it.
type crowded struct {
	*link
	once   sync.Once
	arrive func()
}

func (c *crowded) Await(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func (c *crowded) Poll(ctx context.Context, q storage.FeedQuery) (storage.FeedPage, error) {
	if q.Acked != 0 {
		c.once.Do(c.arrive)
	}
	return c.link.Poll(ctx, q)
}

// A change that arrives with the answer to an acknowledgement is acknowledged at
// once as well, and not at the next poll of the clock: somebody waits for it.
func TestAChangeThatArrivesWithAnAcknowledgement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSharedStore()
		here, _ := process(t, store, latchkey.LeaseOptions{Async: true})
		arrived := time.Time{}
		feed := &crowded{link: &link{store: store, delay: time.Millisecond}, arrive: func() {
			create(t, here)
			arrived = time.Now()
		}}
		there := serviceOn(t, feed, latchkey.Options{Lease: latchkey.LeaseOptions{Instance: "there"}})
		time.Sleep(10 * time.Millisecond)
		create(t, here)
		acked := func() bool {
			store.mu.Lock()
			defer store.mu.Unlock()
			return store.instances["there"].acked == 2
		}
		for began := time.Now(); !acked(); time.Sleep(time.Millisecond) {
			if time.Since(began) > 5*time.Second {
				t.Fatal("the changes are not acknowledged")
			}
		}
		if took := time.Since(arrived); took > 100*time.Millisecond {
			t.Errorf("the second change was acknowledged after %v", took)
		}
		_ = there.Close(t.Context())
	})
}

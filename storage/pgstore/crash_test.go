package pgstore_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/pgstore"
	"github.com/wontopos/latchkey/storage/pgstore/pgtest"
)

// acknowledged is what a store has said of a key.
type acknowledged struct {
	revision         uint64
	revoked, deleted bool
	used             uint64
}

// load uses a store from several goroutines until the server is gone, and
// remembers what was acknowledged.
type load struct {
	mu     sync.Mutex
	keys   map[string]acknowledged
	acks   int
	enough chan struct{} // closed at the ack that is awaited
	until  int
}

func (l *load) say(id string, edit func(a *acknowledged)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.keys[id]
	edit(&a)
	l.keys[id] = a
	if l.acks++; l.acks == l.until {
		close(l.enough)
	}
}

// one is the life of one key. It ends with the first error.
func (l *load) one(ctx context.Context, s *pgstore.Store) error {
	id := fmt.Sprintf("%016x", rand.Uint64())
	c := changeOf(id, 0, func(k *apikey.Key) {
		k.CreatedAt, k.Metadata = time.Now(), map[string]string{"filler": noise(rand.IntN(2000))}
	})
	apply := func() error {
		rev, err := s.Apply(ctx, c)
		if err == nil {
			c.Expect = rev
			l.say(id, func(a *acknowledged) {
				a.revision, a.revoked, a.deleted = rev, !c.Record.Key.RevokedAt.IsZero(), c.Delete
			})
		}
		return err
	}
	for range 1 + rand.IntN(4) {
		if err := apply(); err != nil {
			return err
		}
	}
	for range 3 {
		if err := s.AddUsage(ctx, []storage.UsageDelta{{KeyID: id, Secret: 1, Hour: time.Now(), Counts: apikey.Counts{Allowed: 1}}}); err != nil {
			return err
		}
		l.say(id, func(a *acknowledged) { a.used++ })
	}
	if rand.IntN(2) == 0 {
		return nil
	}
	revoked(&c.Record.Key)
	if err := apply(); err != nil || rand.IntN(3) > 0 {
		return err
	}
	c.Delete = true
	return apply()
}

func TestAKilledServerLosesNothing(t *testing.T) {
	t.Parallel()
	rounds := 2
	if os.Getenv("LATCHKEY_LONG") != "" {
		rounds = 20
	}
	server := pgtest.Start(t)
	s := open(t, server.DSN(), pgstore.Options{AutoMigrate: true, Logger: quiet})
	keys, acks, epoch := map[string]acknowledged{}, 0, poll(t, s, storage.FeedQuery{}).Epoch
	for round := range rounds {
		l := &load{keys: keys, enough: make(chan struct{}), until: 100 + rand.IntN(900)}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				for l.one(ctx, s) == nil {
				}
			})
		}
		select {
		case <-l.enough:
		case <-ctx.Done():
			t.Fatal("the load does not get on")
		}
		server.Kill(t)
		wg.Wait()
		cancel()
		acks += l.acks
		server.Start(t)
		eventually(t, "the store has new connections", func() bool { _, err := s.Poll(t.Context(), storage.FeedQuery{}); return err == nil })

		for id, a := range keys {
			if err := stillThere(t.Context(), s, id, a); err != nil {
				t.Errorf("round %d of %d: %v", round+1, rounds, err)
			}
		}
		wholeFeed(t, s, epoch)
		if t.Failed() {
			return
		}
	}
	t.Logf("%d keys, %d acknowledgements over %d kills", len(keys), acks, rounds)
}

func stillThere(ctx context.Context, s *pgstore.Store, id string, a acknowledged) error {
	r, err := s.Get(ctx, id)
	switch {
	case a.deleted:
		if !errors.Is(err, apikey.NotFound) {
			return fmt.Errorf("key %s was purged; get: %v", id, err)
		}
	case errors.Is(err, apikey.NotFound) && a.revoked: // purged, killed before it could be said
	case err != nil:
		return fmt.Errorf("key %s: %w", id, err)
	case r.Key.Revision < a.revision:
		return fmt.Errorf("key %s is at revision %d, %d was acknowledged", id, r.Key.Revision, a.revision)
	case a.revoked && r.Key.RevokedAt.IsZero():
		return fmt.Errorf("key %s was revoked and is not any more", id)
	}
	trail, terr := s.Audit(ctx, apikey.AuditQuery{KeyID: id})
	if terr != nil || uint64(len(trail)) < a.revision || err == nil && uint64(len(trail)) != r.Key.Revision {
		return fmt.Errorf("key %s at revision %d has %d audit entries, error %v", id, r.Key.Revision, len(trail), terr)
	}
	// What was in flight may have been counted, once.
	u, uerr := s.Usage(ctx, id, time.Time{})
	if n := u.Of(1).Counts.Total(); err == nil && (uerr != nil || n < a.used || n > a.used+1) {
		return fmt.Errorf("usage of %s: %d, error %v; %d were acknowledged", id, n, uerr, a.used)
	}
	return nil
}

// wholeFeed checks that the feed and the audit trail tell of the same changes,
// without a gap.
func wholeFeed(t *testing.T, s *pgstore.Store, epoch string) {
	t.Helper()
	last := uint64(0)
	for {
		p := poll(t, s, storage.FeedQuery{After: last, Limit: 1000})
		if p.Epoch != epoch || p.Truncated {
			t.Fatalf("the feed goes on: epoch %q, truncated %v", p.Epoch, p.Truncated)
		}
		for _, c := range p.Changes {
			if last++; c.Position != last {
				t.Fatalf("after position %d comes %d", last-1, c.Position)
			}
		}
		if len(p.Changes) == 0 {
			if p.Head != last {
				t.Errorf("the feed has %d changes, its head is %d", last, p.Head)
			}
			break
		}
	}
	if n := count(t, s.Pool(), `SELECT count(*) FROM latchkey.audit AS a JOIN latchkey.feed AS f ON f.position = a.seq AND f.key_id = a.key_id`); uint64(n) != last {
		t.Errorf("%d of %d changes in the feed have their audit entry", n, last)
	}
}

package apikey_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage/memstore"
)

// TestWritesAreShortAgainWhenTheStoreIsSlow: what one write of many keys told of a
// store that has become slow, the next one heeds.
func TestWritesAreShortAgainWhenTheStoreIsSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &slowUsage{Store: memstore.New(), each: 50 * time.Microsecond}
		s := serviceOn(t, store, apikey.Options{})
		var tokens []string
		for range 1024 {
			_, token := create(t, s)
			tokens = append(tokens, token)
		}
		flush := func() time.Duration {
			store.longest.Store(0)
			countOne(t, s, tokens...)
			time.Sleep(10 * time.Second)
			return time.Duration(store.longest.Load())
		}
		flush()
		if quick := flush(); quick < 10*time.Millisecond {
			t.Fatalf("writes of %v at most: the store is not given more at a time for being quick", quick)
		}
		store.each = time.Millisecond
		flush()
		if slow := flush(); slow > 80*time.Millisecond {
			t.Errorf("a write took %v, after one that told how slow the store is", slow)
		}
	})
}

// TestAFlushRests: thousands of keys are written in parts that a store takes a few
// hundredths of a second for, with rests while there is time for them.
func TestAFlushRests(t *testing.T) {
	const keys = 1024
	for _, tc := range []struct {
		each        time.Duration // of a key
		least, most time.Duration // the first flush
		next        time.Duration // and at most a later one
	}{
		{100 * time.Microsecond, 300 * time.Millisecond, 520 * time.Millisecond, 520 * time.Millisecond}, // a fifth of the time
		{time.Millisecond, 2400 * time.Millisecond, 2600 * time.Millisecond, 2600 * time.Millisecond},    // all the time there is
		{4 * time.Millisecond, 2 * time.Second, 2400 * time.Millisecond, 2400 * time.Millisecond},        // no time to rest: two at a time
	} {
		t.Run(fmt.Sprint(tc.each), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &slowUsage{Store: memstore.New(), each: tc.each}
				s := serviceOn(t, store, apikey.Options{})
				var tokens []string
				for range keys {
					_, token := create(t, s)
					tokens = append(tokens, token)
				}
				flush := func(least, most time.Duration) {
					t.Helper()
					countOne(t, s, tokens...)
					begun := time.Now().Truncate(5 * time.Second)
					time.Sleep(time.Until(begun.Add(9900 * time.Millisecond)))
					if took := store.finished.Load().Sub(begun) - 5*time.Second; took < least || took > most {
						t.Errorf("the flush took %v, want %v to %v", took, least, most)
					}
				}
				time.Sleep(time.Until(time.Now().Truncate(5 * time.Second).Add(5 * time.Second)))
				flush(tc.least, tc.most)
				for range 3 {
					flush(tc.least/2, tc.next)
				}
				if d := time.Duration(store.longest.Load()); d > 80*time.Millisecond {
					t.Errorf("one write took %v", d)
				}

				// Close does not rest, and writes two parts at a time.
				countOne(t, s, tokens...)
				begun := time.Now()
				if err := s.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
				if took, work := time.Since(begun), keys*tc.each; took > work/2+100*time.Millisecond {
					t.Errorf("Close wrote for %v, %v would do", took, work/2)
				}
			})
		})
	}
}

// TestManyKeysAreFlushedSooner: a flush that takes long begins so early that no
// count gets older than one and a half times FlushEvery, on a store that writes
// two parts at a time and on one that writes one after the other.
func TestManyKeysAreFlushedSooner(t *testing.T) {
	for name, store := range map[string]*slowUsage{
		"two at a time":       {each: 5 * time.Millisecond},
		"one after the other": {each: 2500 * time.Microsecond, turns: make(chan struct{}, 1)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store.Store = memstore.New()
				if store.turns != nil {
					store.turns = make(chan struct{}, 1) // of this bubble
				}
				s := serviceOn(t, store, apikey.Options{})
				var tokens []string
				for range 2000 { // five seconds
					_, token := create(t, s)
					tokens = append(tokens, token)
				}
				countOne(t, s, tokens...)
				time.Sleep(30 * time.Second) // the pace is known
				for range 3 {
					countOne(t, s, tokens...)
					begun := time.Now()
					time.Sleep(13 * time.Second)
					if age := store.finished.Load().Sub(begun); age > 7600*time.Millisecond {
						t.Errorf("a count was %v old when it was written", age)
					}
				}
			})
		})
	}
}

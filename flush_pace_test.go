package latchkey_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/storage/memstore"
)

// TestWritesAreShortAgainWhenTheStoreIsSlow: what one write of many keys told of a
// store that has become slow, the next one heeds.
func TestWritesAreShortAgainWhenTheStoreIsSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &slowUsage{Store: memstore.New(), each: 50 * time.Microsecond}
		s := serviceOn(t, store, latchkey.Options{})
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
		if quick := flush(); quick < 2*time.Millisecond {
			t.Fatalf("writes of %v at most: the store is not given more at a time for being quick", quick)
		}
		store.each = time.Millisecond
		flush()
		if slow := flush(); slow > 20*time.Millisecond {
			t.Errorf("a write took %v, after one that told how slow the store is", slow)
		}
	})
}

// TestAFlushRests: thousands of keys are written in parts that a store in this
// process takes a few thousandths of a second for, with rests while there is time
// for them.
func TestAFlushRests(t *testing.T) {
	const keys = 1024
	type span [2]time.Duration
	ms := func(least, most int) span {
		return span{time.Duration(least) * time.Millisecond, time.Duration(most) * time.Millisecond}
	}
	for _, tc := range []struct {
		each        time.Duration // of a key
		first, next span          // what flushes take
		writers     int64         // at a time
	}{
		{100 * time.Microsecond, ms(300, 520), ms(300, 520), 1},      // a fifth of the time
		{time.Millisecond, ms(2400, 2600), ms(2400, 2600), 1},        // half of FlushEvery
		{1500 * time.Microsecond, ms(2400, 2600), ms(2900, 3100), 1}, // twice as long as it writes, once that is known
		{4 * time.Millisecond, ms(2000, 2400), ms(2500, 3100), 2},    // three fifths of FlushEvery, which takes two writers
	} {
		t.Run(fmt.Sprint(tc.each), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &slowUsage{Store: memstore.New(), each: tc.each}
				s := serviceOn(t, store, latchkey.Options{})
				var tokens []string
				for range keys {
					_, token := create(t, s)
					tokens = append(tokens, token)
				}
				flush := func(want span) {
					t.Helper()
					time.Sleep(1234 * time.Millisecond) // between two flushes
					store.started.Store(nil)
					countOne(t, s, tokens...)
					counted := time.Now()
					time.Sleep(10 * time.Second)
					if took := store.finished.Load().Sub(*store.started.Load()); took < want[0] || took > want[1] {
						t.Errorf("the flush took %v, want %v to %v", took, want[0], want[1])
					}
					if age := store.finished.Load().Sub(counted); age > 7600*time.Millisecond {
						t.Errorf("a count was %v old when it was written", age)
					}
				}
				flush(tc.first)
				for range 3 {
					flush(tc.next)
				}
				if d := time.Duration(store.longest.Load()); d > max(10*time.Millisecond, 17*tc.each) {
					t.Errorf("one write took %v", d)
				}

				if n := store.most.Load(); n != tc.writers {
					t.Errorf("%d writes at a time, want %d", n, tc.writers)
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
				s := serviceOn(t, store, latchkey.Options{})
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

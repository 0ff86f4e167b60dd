package histories

import (
	"flag"
	"os"
	"testing"
	"time"
)

var only = flag.Uint64("history", 0, "run this history alone, until it fails, or 100 times")

func TestTheLifeOfAKeyIsLinearizable(t *testing.T) {
	for _, store := range worlds {
		t.Run(store.name, func(t *testing.T) {
			t.Parallel()
			w := store.open(t)
			histories, operations := 4, 500
			if os.Getenv("LATCHKEY_LONG") != "" {
				histories, operations = 200, 2000
			}
			if *only != 0 {
				histories = 100
			}
			var ran, checked time.Duration
			var done, verified, unavailable, lost int64
			for i := range histories {
				seed := uint64(i) + 1
				if *only != 0 {
					seed = *only
				}
				h, err := newHistory(t.Context(), w, seed, operations)
				must(t, err)
				at := time.Now()
				must(t, h.run(t.Context()))
				ran += time.Since(at)
				at = time.Now()
				check(t, len(w.instances), h.all)
				if store.atomic {
					check(t, 0, atomicPart(h.all))
				}
				checked += time.Since(at)
				done += int64(len(h.all))
				verified += h.verified.Load()
				unavailable += h.unavailable.Load()
				lost += h.lost.Load()
				if t.Failed() {
					t.Fatalf("history %d of %d operations; to run it again: -run '/^%s$' . -args -history=%d", seed, operations, store.name, seed)
				}
			}
			t.Logf("%d histories of %d operations: %v to run, %v to check %d entries; of %d verifications %d could not be answered, of %d changes the answer was lost",
				histories, operations, ran.Round(time.Millisecond), checked.Round(time.Millisecond), done, verified, unavailable, lost)
			if unavailable*100 > verified {
				t.Errorf("%d of %d verifications could not be answered: nothing was seen of what they would have said", unavailable, verified)
			}
		})
	}
}

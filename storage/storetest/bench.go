package storetest

import (
	"fmt"
	"testing"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// Bench measures a store that holds 1,000 keys of 10 owners: reading a key that
// exists and one that does not, changing one (from one goroutine, and from
// sixteen), listing a page of 100, and adding 100 counts of usage.
func Bench(b *testing.B, open func(t testing.TB) storage.Store) {
	e := &env{t: b, s: open(b), ctx: b.Context()}
	const keys = 1000
	recs := make([]storage.Record, keys)
	for i := range recs {
		r, err := e.create(fmt.Sprintf("key-%012d", i), func(k *apikey.Key) {
			k.Owner, k.CreatedAt = fmt.Sprint("owner", i%10), at(i)
		})
		if err != nil {
			b.Fatal(err)
		}
		recs[i] = r
	}
	batch := make([]storage.UsageDelta, 100)
	for i := range batch {
		batch[i] = delta(recs[i].Key.ID, 1, 0, 3)
		batch[i].Last = lastUse(i, "curl/8")
	}
	run := func(name string, f func(i int) error) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := f(i); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	run("get", func(i int) error { _, err := e.s.Get(e.ctx, recs[i%keys].Key.ID); return err })
	run("get-missing", func(int) error {
		if _, err := e.s.Get(e.ctx, "nobody-000000000"); err == nil {
			return broken("found")
		}
		return nil
	})
	run("apply", func(i int) (err error) {
		recs[i%keys], err = e.apply(recs[i%keys], "update")
		return err
	})
	b.Run("apply-16", func(b *testing.B) {
		b.ReportAllocs()
		const writers = 16
		turns, done := make(chan struct{}), make(chan error)
		for w := range writers {
			go func() {
				mine, err := recs[w*50:w*50+50], error(nil)
				for i := 0; ; i++ {
					if _, ok := <-turns; !ok {
						done <- err
						return
					}
					if err == nil {
						mine[i%50], err = e.apply(mine[i%50], "update")
					}
				}
			}()
		}
		for b.Loop() {
			turns <- struct{}{}
		}
		close(turns)
		for range writers {
			if err := <-done; err != nil {
				b.Error(err)
			}
		}
	})
	run("list-100", func(int) error {
		_, err := e.s.List(e.ctx, storage.Query{Owner: "owner3"})
		return err
	})
	run("add-usage-100", func(int) error { return e.s.AddUsage(e.ctx, batch) })
}

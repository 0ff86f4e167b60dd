package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// BenchList measures the work for a page of keys in a store with 100,000 keys
// of one owner: the first page of 25 in each order, searches for terms that
// half of the keys, three of them, and none have, filters that leave all out,
// and the activity of 25 keys with thirty days of hourly usage. It reports the
// median and the worst of each, in milliseconds.
//
// The function open returns a store that contains the records; their revision
// is 1.
func BenchList(b *testing.B, open func(t testing.TB, records []storage.Record) storage.Store) {
	const keys = 100_000
	records := make([]storage.Record, keys)
	for i := range records {
		r := plain(fmt.Sprintf("%016x", uint64(i)*0x9e3779b97f4a7c15))
		k := &r.Key
		k.Revision, k.CreatedAt, k.Plan = 1, start.Add(-time.Duration(i)*time.Minute), []string{"free", "pro"}[i%2]
		k.Name = fmt.Sprintf("Production-Backend-%05d", i)
		if i%2 == 0 {
			k.Name, k.Environment = fmt.Sprintf("staging worker %05d", i), "test"
		}
		if i%33_000 == 7777 {
			k.Name = fmt.Sprintf("the needle %d", i)
		}
		records[i] = r
	}
	e := &env{t: b, s: open(b, records), ctx: b.Context()}
	var page []string
	for i := range 25 {
		page = append(page, records[i].Key.ID)
		var batch []storage.UsageDelta
		for h := range 30 * 24 {
			d := delta(records[i].Key.ID, 1, -h, 7)
			d.Last = lastUse(-h, "curl/8")
			batch = append(batch, d)
		}
		if err := e.s.AddUsage(e.ctx, batch); err != nil {
			b.Fatal(err)
		}
	}
	run := func(name string, f func() error) {
		b.Run(name, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				begun := time.Now()
				if err := f(); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(begun))
			}
			slices.Sort(took)
			ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
			b.ReportMetric(ms(took[len(took)/2]), "p50-ms")
			b.ReportMetric(ms(took[len(took)-1]), "max-ms")
		})
	}
	for _, q := range []struct {
		name string
		q    storage.Query
		want int
	}{
		{"all", storage.Query{}, 25},
		{"search-half", storage.Query{Search: "back"}, 25},
		{"search-three", storage.Query{Search: "needle"}, 3},
		{"search-none", storage.Query{Search: "nobody"}, 0},
		{"search-thousand", storage.Query{Search: "worker 01"}, 25},
		{"search-id", storage.Query{Search: records[5].Key.ID}, 1},
		{"test", storage.Query{Environment: "test", Plan: "free"}, 25},
		{"revoked", storage.Query{State: apikey.Revoked}, 0},
		{"unused", storage.Query{UnusedSince: start.AddDate(0, 0, -30)}, 25},
	} {
		for _, q.q.Order = range everyOrder {
			q.q.Owner, q.q.Limit = "acme", 25
			run(q.name+"/"+[]string{"newest", "oldest", "name"}[q.q.Order], func() error {
				l, err := e.s.List(e.ctx, q.q)
				if err == nil && len(l.Records) != q.want && l.Next.IsZero() { // otherwise the page is short
					err = broken("%+v: %d records, want %d", q.q, len(l.Records), q.want)
				}
				return err
			})
		}
	}
	run("activity-25", func() error {
		all, err := e.s.Activity(e.ctx, page, start.AddDate(0, 0, -30))
		if err == nil && len(all[24].Days) < 30 {
			err = broken("%d days", len(all[24].Days))
		}
		return err
	})
}

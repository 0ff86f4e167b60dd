package storetest

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

var listChecks = []check{
	{name: "the list is newest first, and by ID in descending byte order at one instant", run: func(e *env) error {
		var want []storage.Position
		for i, id := range []string{
			"b", "B", "a", "A", "0", "_", "-", "~", "aa", "ab", "aB", "Z", "z", "\u00e9", "\u00ff", "\u0100",
			"\u07ff", "\u0800", "\uffff", "\U00010000", "\U0010ffff",
		} {
			when := at(i % 3) // three times, mixed
			if _, err := e.create(id, func(k *apikey.Key) { k.CreatedAt = when }); err != nil {
				return err
			}
			want = append(want, storage.Position{CreatedAt: when, ID: id})
		}
		slices.SortFunc(want, func(a, b storage.Position) int {
			if !a.CreatedAt.Equal(b.CreatedAt) {
				return b.CreatedAt.Compare(a.CreatedAt)
			}
			return strings.Compare(b.ID, a.ID)
		})
		for _, limit := range []int{1, 2, 7, 1000} {
			got, err := e.walk(storage.Query{Limit: limit}, nil)
			if err != nil {
				return err
			}
			w := []string{}
			for _, p := range want {
				w = append(w, p.ID)
			}
			if err := equal(fmt.Sprintf("pages of %d", limit), got, w); err != nil {
				return err
			}
		}
		return nil
	}},
	{name: "instants a microsecond apart, before 1970 and far away are in order", run: func(e *env) error {
		times := []time.Time{
			time.Date(1, 1, 1, 0, 0, 1, 0, time.UTC), time.Date(1969, 12, 31, 23, 59, 59, 999_999_000, time.UTC), time.Unix(0, 0),
			time.Unix(0, 1000), start, start.Add(time.Microsecond), time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC),
		}
		want := []string{}
		for i, t := range times {
			id := fmt.Sprint("key", 9-i) // in the opposite order of time
			if _, err := e.create(id, func(k *apikey.Key) { k.CreatedAt = t }); err != nil {
				return err
			}
			want = slices.Insert(want, 0, id)
		}
		got, err := e.walk(storage.Query{Limit: 2}, nil)
		if err != nil {
			return err
		}
		return equal("newest first", got, want)
	}},
	{name: "keys that are created meanwhile never shift a page", run: func(e *env) error {
		old := map[string]bool{}
		for i := range 30 {
			id := fmt.Sprintf("old-%02d", i)
			old[id] = true
			if _, err := e.create(id, func(k *apikey.Key) { k.CreatedAt = at(i / 4) }); err != nil {
				return err
			}
		}
		n := 0
		got, err := e.walk(storage.Query{Limit: 4}, func() error {
			n++
			for i, when := range []int{100 + n, n % 8, 0} { // ahead of, amid and behind the cursor
				if _, err := e.create(fmt.Sprintf("new-%02d-%d", n, i), func(k *apikey.Key) { k.CreatedAt = at(when) }); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		seen := map[string]bool{}
		for _, id := range got {
			if seen[id] {
				return broken("key %q is on two pages", id)
			}
			seen[id] = true
		}
		for id := range old {
			if !seen[id] {
				return broken("key %q, there from the start, is on no page", id)
			}
		}
		return nil
	}},
	{name: "a cursor outlives the key that it points at", run: func(e *env) error {
		want := []string{}
		byID := map[string]storage.Record{}
		for i := range 12 {
			id := fmt.Sprintf("key-%02d", i)
			r, err := e.create(id, func(k *apikey.Key) { k.CreatedAt = at(i / 2) })
			if err != nil {
				return err
			}
			if byID[id], err = e.revoke(r); err != nil {
				return err
			}
			want = slices.Insert(want, 0, id)
		}
		var got []string
		q := storage.Query{Limit: 3}
		for {
			page, err := e.s.List(e.ctx, q)
			if err != nil {
				return err
			}
			for _, r := range page.Records {
				got = append(got, r.Key.ID)
				c := change(byID[r.Key.ID], "purge")
				c.Delete = true
				if _, err := e.s.Apply(e.ctx, c); err != nil {
					return err
				}
			}
			if q.After = page.Next; q.After.IsZero() {
				break
			}
		}
		return equal("every key is on one page while all are purged behind the cursor", got, want)
	}},
	{name: "owner and environment select exactly", run: func(e *env) error {
		owners := []string{"a", "ab", "a/b", "A", "ab\u0301", strings.Repeat("a", 200)}
		environments := []string{"live", "liv", "test", "live2"}
		all := map[storage.Query][]string{}
		n := 0
		for range 3 {
			for _, o := range owners {
				for _, env := range environments {
					n++
					id := fmt.Sprintf("key-%03d", n)
					if _, err := e.create(id, func(k *apikey.Key) { k.Owner, k.Environment, k.CreatedAt = o, env, at(n) }); err != nil {
						return err
					}
					for _, q := range []storage.Query{{Owner: o}, {Environment: env}, {Owner: o, Environment: env}} {
						all[q] = slices.Insert(all[q], 0, id)
					}
				}
			}
		}
		all[storage.Query{Owner: "nobody"}] = []string{}
		all[storage.Query{Owner: "a", Environment: "nowhere"}] = []string{}
		all[storage.Query{Owner: "live"}] = []string{}
		for q, want := range all {
			q.Limit = 2
			got, err := e.walk(q, nil)
			if err != nil {
				return err
			}
			if err := equal(fmt.Sprintf("list %+v", q), got, want); err != nil {
				return err
			}
		}
		return nil
	}},
	{name: "a page has at most the limit: 100 by default, 1000 at most", run: func(e *env) error {
		for i := range 1005 {
			if _, err := e.create(fmt.Sprintf("key-%04d", i), nil); err != nil {
				return err
			}
		}
		for limit, want := range map[int]int{-1: 100, 0: 100, 1: 1, 2: 2, 999: 999, 1000: 1000, 1001: 1000, math.MaxInt: 1000} {
			list, err := e.list(storage.Query{Limit: limit})
			if err != nil {
				return err
			}
			if err := equal(fmt.Sprintf("records for limit %d", limit), len(list), want); err != nil {
				return err
			}
			trail, err := e.s.Audit(e.ctx, apikey.AuditQuery{Limit: limit})
			if err != nil {
				return err
			}
			if err := equal(fmt.Sprintf("audit entries for limit %d", limit), len(trail), want); err != nil {
				return err
			}
		}
		return nil
	}},
}

// list reads one page.
func (e *env) list(q storage.Query) ([]storage.Record, error) {
	l, err := e.s.List(e.ctx, q)
	return l.Records, err
}

// walk reads all pages and returns the IDs, calling between after each page (of
// the first 200 records, so that the list has an end).
func (e *env) walk(q storage.Query, between func() error) ([]string, error) {
	all := []string{}
	for {
		page, err := e.s.List(e.ctx, q)
		if err != nil {
			return nil, err
		}
		if len(page.Records) > q.PageLimit() {
			return nil, broken("a page has %d records, the limit is %d", len(page.Records), q.PageLimit())
		}
		all = append(all, ids(page.Records)...)
		if page.Next.IsZero() {
			return all, nil
		}
		if !q.After.IsZero() && rank(q.Order, page.Next, q.After) <= 0 {
			return nil, broken("list %+v goes on at %+v: the cursor must move", q, page.Next)
		}
		q.After = page.Next
		if between != nil && len(all) < 200 {
			if err := between(); err != nil {
				return nil, err
			}
		}
	}
}

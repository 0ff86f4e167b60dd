package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// delta counts n allowed and one limited request.
func delta(id string, secret uint32, hour int, n uint64) storage.UsageDelta {
	d := storage.UsageDelta{KeyID: id, Secret: secret, Hour: start.Add(time.Duration(hour) * time.Hour)}
	d.Counts.Allowed = n
	d.Counts.RateLimited = 1
	return d
}

func lastUse(ms int, agent string) apikey.LastUse {
	return apikey.LastUse{At: at(ms), Network: "10.0.0.0/24", UserAgent: agent, Route: "GET /things/{id}", Status: 200 + ms%300}
}

var usageChecks = []check{
	{name: "usage adds up by hour and secret, oldest first", run: func(e *env) error {
		if _, err := e.create("key", nil); err != nil {
			return err
		}
		u, err := e.s.Usage(e.ctx, "key", time.Time{})
		if err != nil {
			return err
		}
		u.ScopesSince = time.Time{}
		if err := equal("a key without usage has the zero Usage, but for since when scopes are counted", u, apikey.Usage{}); err != nil {
			return err
		}
		for range 3 {
			if err := e.s.AddUsage(e.ctx, []storage.UsageDelta{
				delta("key", 2, 0, 10), delta("key", 1, -2, 1), delta("key", 300, -1, 5), delta("key", 1, 0, 7), delta("key", 2, -2, 3),
			}); err != nil {
				return err
			}
		}
		row := func(hour int, secret uint32, n uint64) apikey.UsageHour {
			h := apikey.UsageHour{Hour: start.Add(time.Duration(hour) * time.Hour), Secret: secret}
			h.Counts.Allowed, h.Counts.RateLimited = 3*n, 3
			return h
		}
		total := func(secret uint32, allowed, limited uint64) apikey.UsageSecret {
			s := apikey.UsageSecret{Secret: secret}
			s.Counts.Allowed, s.Counts.RateLimited = allowed, limited
			return s
		}
		rows := []apikey.UsageHour{row(-2, 1, 1), row(-2, 2, 3), row(-1, 300, 5), row(0, 1, 7), row(0, 2, 10)}
		totals := []apikey.UsageSecret{total(1, 24, 6), total(2, 39, 6), total(300, 15, 3)}
		for since, first := range map[time.Time]int{
			{}: 0, start.Add(-2 * time.Hour): 0, start.Add(-time.Hour): 2, start: 3, start.Add(time.Hour): 5,
		} {
			u, err := e.s.Usage(e.ctx, "key", since)
			if err != nil {
				return err
			}
			if err := equal(fmt.Sprintf("hours since %v", since), len(u.Hours), len(rows)-first); err != nil {
				return err
			}
			for i, h := range u.Hours {
				if err := equal(fmt.Sprintf("hour %d since %v", i, since), h, rows[first+i]); err != nil {
					return err
				}
			}
			if err := equal("totals, whatever the period asked for", u.Secrets, totals); err != nil {
				return err
			}
		}
		return nil
	}},
	{name: "batches of usage commute", run: func(e *env) error {
		rnd := rand.New(rand.NewPCG(1, 2))
		var deltas []storage.UsageDelta
		for i := range 400 {
			d := delta("", uint32(rnd.IntN(3)), -rnd.IntN(5), uint64(rnd.IntN(1000)))
			fields := d.Counts.Fields()
			*pick(rnd, fields[:]) += 3
			if i%2 == 0 {
				d.Last = lastUse(rnd.IntN(1000)*1000+i, fmt.Sprint("agent ", i)) // no two at the same time
			}
			if i%3 == 0 {
				d.Scopes = []string{someScopes[i%len(someScopes)], "orders:read"}
			}
			deltas = append(deltas, d)
		}
		var want apikey.Usage
		for round := range 3 {
			id := fmt.Sprint("key", round)
			if _, err := e.create(id, nil); err != nil {
				return err
			}
			for i := range deltas {
				deltas[i].KeyID = id
			}
			rnd.Shuffle(len(deltas), func(i, j int) { deltas[i], deltas[j] = deltas[j], deltas[i] })
			for batch := range slices.Chunk(deltas, []int{400, 1, 37}[round]) {
				if err := e.s.AddUsage(e.ctx, batch); err != nil {
					return err
				}
			}
			u, err := e.s.Usage(e.ctx, id, time.Time{})
			if err != nil {
				return err
			}
			if round == 0 {
				want = u
			}
			if err := equal("usage after another order and other batches", u, want); err != nil {
				return err
			}
		}
		return nil
	}},
	{name: "concurrent batches of usage lose nothing", run: func(e *env) error {
		if _, err := e.create("key", nil); err != nil {
			return err
		}
		const writers, batches = 8, 20
		var wg sync.WaitGroup
		errs := make([]error, writers)
		for w := range writers {
			wg.Go(func() {
				for range batches {
					errs[w] = errors.Join(errs[w], e.s.AddUsage(e.ctx, []storage.UsageDelta{delta("key", 1, 0, 1), delta("key", 2, 0, 1)}))
				}
			})
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			return err
		}
		u, err := e.s.Usage(e.ctx, "key", time.Time{})
		if err != nil {
			return err
		}
		for _, n := range []uint32{1, 2} {
			if err := equal("requests counted", u.Of(n).Counts.Allowed, writers*batches); err != nil {
				return err
			}
		}
		return nil
	}},
	{name: "the last use is the newest, not the one that was told last", run: func(e *env) error {
		if _, err := e.create("key", nil); err != nil {
			return err
		}
		for i, step := range []struct{ tell, want apikey.LastUse }{
			{apikey.LastUse{}, apikey.LastUse{}},
			{lastUse(5, "five"), lastUse(5, "five")},
			{lastUse(3, "three"), lastUse(5, "five")},
			{apikey.LastUse{}, lastUse(5, "five")},
			{lastUse(8, "eight"), lastUse(8, "eight")},
			{lastUse(7, "seven"), lastUse(8, "eight")},
		} {
			d := delta("key", 1, 0, 1)
			d.Last = step.tell
			d.Last.At = d.Last.At.In(time.FixedZone("somewhere", 3600))
			if step.tell.At.IsZero() {
				d.Last.At = time.Time{}
			}
			if err := e.s.AddUsage(e.ctx, []storage.UsageDelta{d}); err != nil {
				return err
			}
			u, err := e.s.Usage(e.ctx, "key", time.Time{})
			if err != nil {
				return err
			}
			if err := equal(fmt.Sprintf("last use after step %d", i), u.Of(1).Last, step.want); err != nil {
				return err
			}
		}
		return nil
	}},
	{name: "usage of a key that does not exist is dropped, and brings none back", run: func(e *env) error {
		if _, err := e.create("key", nil); err != nil {
			return err
		}
		batch := []storage.UsageDelta{delta("nobody", 1, 0, 5), delta("", 1, 0, 5), delta("key", 1, 0, 5), delta("ke", 1, 0, 5)}
		for i := range batch {
			batch[i].Scopes = someScopes
		}
		if err := e.s.AddUsage(e.ctx, batch); err != nil {
			return err
		}
		u, err := e.s.Usage(e.ctx, "key", time.Time{})
		if err != nil {
			return err
		}
		if err := equal("the others of the batch are counted", u.Of(1).Counts.Total(), 6); err != nil {
			return err
		}
		if err := e.hasNoUsage("nobody"); err != nil {
			return err
		}
		_, err = e.s.Get(e.ctx, "nobody")
		if err := want("get", err, apikey.NotFound); err != nil {
			return err
		}
		if _, err := e.create("nobody", nil); err != nil {
			return err
		}
		return e.hasNoUsage("nobody")
	}},
	{name: "a purge takes the usage of its key and of no other", run: func(e *env) error {
		for _, id := range []string{"key", "key2", "ke"} {
			if _, err := e.create(id, nil); err != nil {
				return err
			}
			for h := range 40 {
				d := delta(id, uint32(h%3), -h, 1)
				d.Last, d.Scopes = lastUse(h, "curl"), someScopes[:1+h%4]
				if err := e.s.AddUsage(e.ctx, []storage.UsageDelta{d}); err != nil {
					return err
				}
			}
		}
		r, err := e.get("key")
		if err != nil {
			return err
		}
		if r, err = e.revoke(r); err != nil {
			return err
		}
		c := change(r, "purge")
		c.Delete = true
		if _, err := e.s.Apply(e.ctx, c); err != nil {
			return err
		}
		late := delta("key", 1, 0, 1)
		late.Scopes = someScopes
		if err := e.s.AddUsage(e.ctx, []storage.UsageDelta{late}); err != nil { // a late flush
			return err
		}
		if err := e.hasNoUsage("key"); err != nil {
			return err
		}
		for _, id := range []string{"key2", "ke"} {
			u, err := e.s.Usage(e.ctx, id, time.Time{})
			if err != nil {
				return err
			}
			if err := equal("rows of "+id, len(u.Hours), 40); err != nil {
				return err
			}
			if err := equal("scopes of "+id, len(u.Scopes), 4); err != nil {
				return err
			}
		}
		return nil
	}},
	{name: "usage survives a restart", needs: needsReopen, run: func(e *env) error {
		if _, err := e.create("key", nil); err != nil {
			return err
		}
		d := delta("key", 1, 0, 5)
		d.Last, d.Scopes = lastUse(1, "curl"), someScopes
		var before apikey.Usage
		for round := range 2 {
			if err := e.s.AddUsage(e.ctx, []storage.UsageDelta{d}); err != nil {
				return err
			}
			u, err := e.s.Usage(e.ctx, "key", time.Time{})
			if err != nil {
				return err
			}
			if err := equal("total", u.Of(1).Counts.Total(), uint64(6*(round+1))); err != nil {
				return err
			}
			before = u
			e.reopen()
		}
		u, err := e.s.Usage(e.ctx, "key", time.Time{})
		if err != nil {
			return err
		}
		return equal("usage after a restart", u, before)
	}},
}

func (e *env) hasNoUsage(id string) error {
	u, err := e.s.Usage(e.ctx, id, time.Time{})
	if err != nil {
		return err
	}
	u.ScopesSince = time.Time{}
	if err := equal(fmt.Sprintf("usage of %q", id), u, apikey.Usage{}); err != nil {
		return err
	}
	a, err := e.s.Activity(e.ctx, []string{id}, start.AddDate(-1, 0, 0))
	if err != nil {
		return err
	}
	return equal(fmt.Sprintf("activity of %q", id), a, []apikey.Activity{{ID: id}})
}

// pick returns one of all, at random.
func pick[T any](r *rand.Rand, all []T) T { return all[r.IntN(len(all))] }

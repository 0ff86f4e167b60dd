package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

var queryChecks = []check{
	{name: "a query selects and orders what a model of it does, page by page", run: func(e *env) error {
		seed := uint64(time.Now().UnixNano())
		err := e.againstModel(rand.New(rand.NewPCG(seed, 0)))
		if err != nil {
			return broken("seed %d: %w", seed, err)
		}
		return nil
	}},
	{name: "in no order do keys that are created meanwhile shift a page", run: func(e *env) error {
		r := rand.New(rand.NewPCG(1, 2))
		for _, q := range []storage.Query{
			{Order: storage.OldestFirst},
			{Order: storage.ByName},
			{Order: storage.ByName, Owner: "acme"},
			{Search: "back"},
			{Order: storage.OldestFirst, Search: "back"},
			{Order: storage.ByName, Search: "back", Owner: "acme"},
		} {
			name := func() string { return oneOf(r, "back", "a-back", "m Back", "zz.back", "back 7") }
			make := func(n int, prefix string) (map[string]bool, error) {
				made := map[string]bool{}
				for i := range n {
					id := fmt.Sprintf("%s-%d-%q-%d-%d", prefix, q.Order, q.Search+q.Owner, i, r.Uint32())
					made[id] = true
					_, err := e.create(id, func(k *apikey.Key) { k.Name, k.CreatedAt = name(), at(r.IntN(8)) })
					if err != nil {
						return nil, err
					}
				}
				return made, nil
			}
			old, err := make(12, "old")
			if err != nil {
				return err
			}
			q.Limit = 5
			got, err := e.walk(q, func() error { _, err := make(2, "new"); return err })
			if err != nil {
				return err
			}
			seen := map[string]bool{}
			for _, id := range got {
				if seen[id] {
					return broken("list %+v: key %q is on two pages", q, id)
				}
				seen[id] = true
			}
			for id := range old {
				if !seen[id] {
					return broken("list %+v: key %q, there from the start, is on no page", q, id)
				}
			}
		}
		return nil
	}},
	{name: "a search begins words, whatever the letter case", run: func(e *env) error {
		for id, name := range map[string]string{
			"4fGhIdOfAKey": "production-backend", "one": "Back office", "two": "", "three": "été_2", "four": "100%", "five": "a\u00adb",
		} {
			if _, err := e.create(id, func(k *apikey.Key) { k.Name = name }); err != nil {
				return err
			}
		}
		for term, want := range map[string][]string{
			"back":                {"one", "4fGhIdOfAKey"},
			"BACK":                {"one", "4fGhIdOfAKey"},
			"production-b":        {"4fGhIdOfAKey"},
			"ckend":               {},
			"-backend":            {},
			"back end":            {},
			"office":              {"one"},
			"4FGHID":              {"4fGhIdOfAKey"},
			"idofakey":            {},
			"ÉTÉ":                 {"three"},
			"ete":                 {},
			"2":                   {"three"},
			"%":                   {},
			"100%":                {"four"},
			"_":                   {},
			"b":                   {"one", "five", "4fGhIdOfAKey"},
			"production-backendx": {},
		} {
			got, err := e.walk(storage.Query{Search: term, Limit: 2}, nil)
			if err != nil {
				return err
			}
			slices.Sort(want)
			slices.Sort(got)
			if err := equal(fmt.Sprintf("search for %q", term), got, want); err != nil {
				return err
			}
		}
		return nil
	}},
	{name: "a search finds keys of its owner only, where they are now", run: func(e *env) error {
		r, err := e.create("key", func(k *apikey.Key) { k.Name = "billing" })
		if err != nil {
			return err
		}
		if _, err := e.create("another", func(k *apikey.Key) { k.Name, k.Owner, k.Environment = "billing", "other", "test" }); err != nil {
			return err
		}
		is := func(when string, q storage.Query, want ...string) error {
			for _, q.Order = range everyOrder {
				got, err := e.walk(q, nil)
				if err != nil {
					return err
				}
				slices.Sort(got)
				if err := equal(fmt.Sprintf("%s: list %+v", when, q), got, append([]string{}, want...)); err != nil {
					return err
				}
			}
			return nil
		}
		for q, want := range map[storage.Query][]string{
			{Search: "bill"}:                       {"another", "key"},
			{Search: "bill", Owner: "acme"}:        {"key"},
			{Search: "bill", Owner: "other"}:       {"another"},
			{Search: "bill", Environment: "test"}:  {"another"},
			{Search: "key", Owner: "other"}:        {},
			{Search: "bill", Owner: "nobody"}:      {},
			{Owner: "other", Environment: "live"}:  {},
			{Search: "another", Owner: "acme"}:     {},
			{Search: "billing\x01", Owner: "acme"}: {},
		} {
			if err := is("at first", q, want...); err != nil {
				return err
			}
		}
		r.Key.Name, r.Key.Owner, r.Key.Environment = "invoices", "third", "test"
		if r, err = e.apply(r, "update"); err != nil {
			return err
		}
		for q, want := range map[storage.Query][]string{
			{Search: "bill"}:                       {"another"},
			{Search: "bill", Owner: "acme"}:        {},
			{Search: "bill", Owner: "third"}:       {},
			{Search: "inv", Owner: "acme"}:         {},
			{Search: "inv", Owner: "third"}:        {"key"},
			{Search: "key", Owner: "third"}:        {"key"},
			{Owner: "third", Environment: "live"}:  {},
			{Search: "inv", Environment: "test"}:   {"key"},
			{Search: "inv", Environment: "live"}:   {},
			{Search: "inv", Plan: "free"}:          {"key"},
			{Search: "inv", State: apikey.Revoked}: {},
		} {
			if err := is("after a change", q, want...); err != nil {
				return err
			}
		}
		if r, err = e.revoke(r); err != nil {
			return err
		}
		c := change(r, "purge")
		c.Delete = true
		if _, err := e.s.Apply(e.ctx, c); err != nil {
			return err
		}
		for _, q := range []storage.Query{{Search: "inv"}, {Search: "key"}, {Search: "inv", Owner: "third"}, {Owner: "third"}} {
			if err := is("after a purge", q); err != nil {
				return err
			}
		}
		return nil
	}},
	{name: "where filters leave most out, nothing is skipped and the list ends", run: func(e *env) error {
		m := newModel()
		r := rand.New(rand.NewPCG(3, 4))
		const keys = 160 // more than the longest page
		for i := range keys {
			k, err := e.create(fmt.Sprintf("key-%03d", i), func(k *apikey.Key) {
				k.CreatedAt, k.Name = at(-r.IntN(200)), fmt.Sprint("name ", r.IntN(50))
				if i%50 == 7 {
					k.Plan, k.Name = "pro", fmt.Sprint("rare ", i)
				}
			})
			if err != nil {
				return err
			}
			m.keys[k.Key.ID] = k.Key
		}
		for _, q := range []storage.Query{
			{Plan: "pro"},
			{Plan: "none"},
			{State: apikey.Revoked},
			{Search: "rare"},
			{Search: "name"},
			{Search: "key-1", Plan: "pro"},
			{UnusedSince: at(-150)},
			{ExpiresBefore: time.Now()},
			{Rotating: true},
			{OmitRevoked: true},
			{SecretBefore: at(-150)},
			{Search: "nobody"},
			{Search: "key", State: apikey.Active, Plan: "pro"},
		} {
			for _, q.Order = range everyOrder {
				for _, q.Limit = range []int{2, 100} {
					got, err := e.walk(q, nil)
					if err != nil {
						return err
					}
					if err := equal(fmt.Sprintf("list %+v", q), got, m.list(q)); err != nil {
						return err
					}
				}
			}
		}
		for _, q := range []storage.Query{{}, {Owner: "acme"}, {Environment: "live"}} { // filters that leave nothing out
			for _, q.Order = range everyOrder {
				q.Limit = 7
				for n := 0; n < keys; n += 7 {
					page, err := e.s.List(e.ctx, q)
					if err != nil {
						return err
					}
					if len(page.Records) != min(7, keys-n) {
						return broken("list %+v: a page amid the list has %d records", q, len(page.Records))
					}
					q.After = page.Next
				}
			}
		}
		return nil
	}},
	{name: "what a query selects survives a restart", needs: needsReopen, run: func(e *env) error {
		m := newModel()
		r := rand.New(rand.NewPCG(5, 6))
		for i := range 40 {
			k := plain(fmt.Sprint("key", i))
			vary(r, &k)
			k, err := e.apply(k, "create")
			if err != nil {
				return err
			}
			m.keys[k.Key.ID] = k.Key
		}
		e.reopen()
		for range 40 {
			if err := e.agrees(m, randomQuery(r, m)); err != nil {
				return err
			}
		}
		return nil
	}},
}

// againstModel changes keys at random and compares lists with the model.
func (e *env) againstModel(r *rand.Rand) error {
	m := newModel()
	records := map[string]storage.Record{}
	for i := range 200 {
		id := fmt.Sprintf("%s%d", oneOf(r, "aB", "Ab", "k", "Z"), i/2) // often an existing one
		k, exists := records[id]
		if !exists {
			k = plain(id)
		}
		action := "update"
		switch n := r.IntN(10); {
		case !k.Key.RevokedAt.IsZero() && n < 5:
			c := change(k, "purge")
			c.Delete = true
			if _, err := e.s.Apply(e.ctx, c); err != nil {
				return err
			}
			delete(records, id)
			delete(m.keys, id)
			delete(m.last, id)
			continue
		case exists && n == 9:
			d := delta(id, uint32(1+r.IntN(3)), -1, 1)
			d.Last = lastUse(-10_000*r.IntN(40), "curl")
			if err := e.s.AddUsage(e.ctx, []storage.UsageDelta{d}); err != nil {
				return err
			}
			if d.Last.At.After(m.last[id]) {
				m.last[id] = d.Last.At
			}
			continue
		case exists && n > 6 && k.Key.RevokedAt.IsZero():
			k.Key.RevokedAt, action = at(2), "revoke"
		default:
			vary(r, &k)
		}
		k, err := e.apply(k, action)
		if err != nil {
			return err
		}
		records[id], m.keys[id] = k, k.Key
		if i%4 == 0 {
			if err := e.agrees(m, randomQuery(r, m)); err != nil {
				return err
			}
		}
	}
	for range 80 {
		if err := e.agrees(m, randomQuery(r, m)); err != nil {
			return err
		}
	}
	for _, limit := range []int{1, 2, 3} {
		if err := e.agrees(m, storage.Query{Order: storage.ByName, Limit: limit}); err != nil {
			return err
		}
	}
	return nil
}

func (e *env) agrees(m model, q storage.Query) error {
	got, err := e.walk(q, nil)
	if err != nil {
		return err
	}
	return equal(fmt.Sprintf("list %+v", q), got, m.list(q))
}

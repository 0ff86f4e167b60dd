package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// The suite's own definition of how uses add up.

// newest holds the newest hour of each scope.
type newest map[string]time.Time

func (n newest) add(d storage.UsageDelta) {
	for _, scope := range d.Scopes {
		if d.Hour.After(n[scope]) {
			n[scope] = d.Hour
		}
	}
}

func (n newest) list() []apikey.ScopeUse {
	var all []apikey.ScopeUse
	for scope, hour := range n {
		i, _ := slices.BinarySearchFunc(all, scope, func(u apikey.ScopeUse, s string) int { return strings.Compare(u.Scope, s) })
		all = slices.Insert(all, i, apikey.ScopeUse{Scope: scope, Hour: hour})
	}
	return all
}

// someScopes sort differently under some locales.
var someScopes = []string{"*", "orders:*", "orders:read", "orders-old:read", "orders.v2:read", "orders_x:read", "things:read", "things:write"}

var useChecks = []check{
	{name: "a last use tells what was asked and how it ended, once that is known", run: func(e *env) error {
		if _, err := e.create("key", nil); err != nil {
			return err
		}
		tell := func(ms int, route string, status int) apikey.LastUse {
			return apikey.LastUse{At: at(ms), Network: "10.0.0.0/24", UserAgent: "curl", Route: route, Status: status}
		}
		for i, step := range []struct{ tell, want apikey.LastUse }{
			{tell(5, "", 0), tell(5, "", 0)},
			{tell(5, "GET /things/{id}", 0), tell(5, "GET /things/{id}", 0)},
			{tell(5, "", 0), tell(5, "GET /things/{id}", 0)},
			{tell(5, "GET /things/{id}", 404), tell(5, "GET /things/{id}", 404)},
			{tell(5, "GET /things/{id}", 0), tell(5, "GET /things/{id}", 404)},
			{tell(4, "GET /older", 200), tell(5, "GET /things/{id}", 404)},
			{apikey.LastUse{}, tell(5, "GET /things/{id}", 404)},
			{tell(6, "GET /%3Cscript%3E<script>\u202e'\"", 0), tell(6, "GET /%3Cscript%3E<script>\u202e'\"", 0)},
			{tell(5, "GET /things/{id}", 200), tell(6, "GET /%3Cscript%3E<script>\u202e'\"", 0)},
			{tell(6, "GET /things", 599), tell(6, "GET /things", 599)},
		} {
			d := delta("key", 1, 0, 1)
			d.Last = step.tell
			if i%2 == 1 { // counted before; this adds detail
				d.Counts = apikey.Counts{}
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
			if err := equal(fmt.Sprintf("requests counted after step %d", i), u.Of(1).Counts.Total(), uint64(i/2+1)*2); err != nil {
				return err
			}
		}
		// Within one batch, in both orders.
		for i, route := range []string{"GET /one", "GET /two"} {
			early, late := delta("key", 2, -i, 1), delta("key", 2, 0, 1)
			early.Last, late.Last = tell(10+i, route, 0), tell(10+i, route, 201)
			batch := []storage.UsageDelta{early, late}
			if i == 1 {
				slices.Reverse(batch)
			}
			if err := e.s.AddUsage(e.ctx, batch); err != nil {
				return err
			}
			u, err := e.s.Usage(e.ctx, "key", time.Time{})
			if err != nil {
				return err
			}
			if err := equal("last use told twice in a batch", u.Of(2).Last, tell(10+i, route, 201)); err != nil {
				return err
			}
		}
		return nil
	}},
	{name: "a scope was used in the newest hour that was told, whatever the secret", run: func(e *env) error {
		rnd := rand.New(rand.NewPCG(3, 4))
		model := map[string]newest{"key": {}, "key2": {}, "ke": {}}
		for id := range model {
			if _, err := e.create(id, nil); err != nil {
				return err
			}
		}
		ids := []string{"key", "key2", "ke"}
		for round := range 40 {
			var batch []storage.UsageDelta
			for range 1 + rnd.IntN(4) {
				d := delta(ids[rnd.IntN(len(ids))], uint32(1+rnd.IntN(2)), -rnd.IntN(6), 1)
				if round%5 == 0 {
					d.Hour = d.Hour.AddDate(0, 0, -400) // no hour that old may be kept
				}
				for _, i := range rnd.Perm(len(someScopes))[:rnd.IntN(3)] {
					d.Scopes = append(d.Scopes, someScopes[i])
				}
				model[d.KeyID].add(d)
				batch = append(batch, d)
			}
			if err := e.s.AddUsage(e.ctx, batch); err != nil {
				return err
			}
			for _, id := range ids {
				u, err := e.s.Usage(e.ctx, id, start.Add(time.Hour)) // a period with nothing in it
				if err != nil {
					return err
				}
				if err := equal(fmt.Sprintf("scopes of %s after batch %d, ordered by name", id, round), u.Scopes, model[id].list()); err != nil {
					return err
				}
			}
		}
		return nil
	}},
	{name: "since when scopes are counted is told for every key, and stays", run: func(e *env) error {
		if _, err := e.create("key", nil); err != nil {
			return err
		}
		var first time.Time
		for i, id := range []string{"key", "nobody", "key"} {
			u, err := e.s.Usage(e.ctx, id, time.Time{})
			if err != nil {
				return err
			}
			switch {
			case u.ScopesSince.IsZero():
				return broken("usage of %q does not tell since when scopes are counted", id)
			case u.ScopesSince.Location() != time.UTC:
				return broken("since when scopes are counted is told in %v, not in UTC", u.ScopesSince.Location())
			case i == 0:
				first = u.ScopesSince
			}
			if err := equal("since when scopes are counted", u.ScopesSince, first); err != nil {
				return err
			}
			if err := e.s.AddUsage(e.ctx, []storage.UsageDelta{delta("key", 1, 0, 1)}); err != nil {
				return err
			}
		}
		return nil
	}},
}

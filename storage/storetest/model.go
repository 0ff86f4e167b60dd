package storetest

import (
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// The suite's own definition of what a query selects, and in which order,
// independent of that in package storage.

var wordPattern = regexp.MustCompile(`[\p{L}\p{Nd}]+`)

func lower(s string) string { return strings.Map(unicode.ToLower, s) }

// found reports whether term is the beginning of a word of the name, or the ID.
func found(term string, k *apikey.Key) bool {
	begins := func(s string) bool { return strings.HasPrefix(lower(s), lower(term)) }
	if begins(k.Name) || begins(k.ID) {
		return true
	}
	return slices.ContainsFunc(wordPattern.FindAllStringIndex(k.Name, -1), func(at []int) bool { return begins(k.Name[at[0]:]) })
}

// selects reports whether a query selects a key that was last used at last.
func selects(q storage.Query, k *apikey.Key, last time.Time) bool {
	same := func(want, is string) bool { return want == "" || want == is }
	ended := func(t time.Time) bool { return !t.IsZero() && t.Before(time.Now()) }
	state := apikey.Active
	switch {
	case !k.RevokedAt.IsZero():
		state = apikey.Revoked
	case !k.DisabledAt.IsZero():
		state = apikey.Disabled
	case ended(k.ExpiresAt):
		state = apikey.Expired
	}
	rotating := k.RevokedAt.IsZero() && !ended(k.ExpiresAt) && len(k.Secrets) == 2 && !ended(k.Secrets[1].EndsAt)
	if k.CreatedAt.After(last) {
		last = k.CreatedAt
	}
	return same(q.Owner, k.Owner) && same(q.Environment, k.Environment) && same(q.Plan, k.Plan) &&
		same(string(q.State), string(state)) && (q.Search == "" || found(q.Search, k)) &&
		(q.UnusedSince.IsZero() || last.Before(q.UnusedSince)) && (!q.Rotating || rotating) &&
		(q.ExpiresBefore.IsZero() || !k.ExpiresAt.IsZero() && k.ExpiresAt.Before(q.ExpiresBefore)) &&
		(!q.OmitRevoked || state != apikey.Revoked) && (q.SecretBefore.IsZero() || k.Secrets[0].CreatedAt.Before(q.SecretBefore))
}

// rank is negative if a comes before b.
func rank(o storage.Order, a, b storage.Position) int {
	var by []int
	switch o {
	case storage.NewestFirst:
		by = []int{b.CreatedAt.Compare(a.CreatedAt), strings.Compare(b.ID, a.ID)}
	case storage.OldestFirst:
		by = []int{a.CreatedAt.Compare(b.CreatedAt), strings.Compare(a.ID, b.ID)}
	case storage.ByName:
		by = []int{strings.Compare(lower(a.Name), lower(b.Name)), strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID)}
	}
	for _, c := range by {
		if c != 0 {
			return c
		}
	}
	return 0
}

// model holds the keys that a store should have, and their last uses.
type model struct {
	keys map[string]apikey.Key
	last map[string]time.Time
}

func newModel() model {
	return model{keys: map[string]apikey.Key{}, last: map[string]time.Time{}}
}

// list returns the IDs of all keys that a query selects, in its order.
func (m model) list(q storage.Query) []string {
	var places []storage.Position
	for id, k := range m.keys {
		if selects(q, &k, m.last[id]) {
			places = append(places, storage.Position{CreatedAt: k.CreatedAt, Name: k.Name, ID: id})
		}
	}
	slices.SortFunc(places, func(a, b storage.Position) int { return rank(q.Order, a, b) })
	all := []string{}
	for _, p := range places {
		all = append(all, p.ID)
	}
	return all
}

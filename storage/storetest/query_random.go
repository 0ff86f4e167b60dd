package storetest

import (
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// The values for random keys and queries: few, so that many coincide, and those
// on which foldings, collations and patterns differ.
var (
	nameParts = []string{
		"production", "Backend", "back", "PROD", "été", "ÉTÉ", "e\u0301te", "straße", "STRASSE", "İstanbul", "ΣΊΣΥΦΟΣ", "σίσυφος",
		"日本", "7", "a1b", "🔑", "%", "_", "x", "ǅ", "K", "Å",
	}
	nameGaps   = []string{" ", "-", "_", "/", "", "  ", ".", "🔑", "\u200d", "%"}
	owners     = []string{"acme", "acm", "Acme", "other"}
	plans      = []string{"free", "pro"}
	everyOrder = []storage.Order{storage.NewestFirst, storage.OldestFirst, storage.ByName}
)

func oneOf[T any](r *rand.Rand, all ...T) T { return all[r.IntN(len(all))] }

func randomName(r *rand.Rand) string {
	var b strings.Builder
	for range 1 + r.IntN(3) {
		part := oneOf(r, nameParts...)
		if b.Len()+len(part) < 100 {
			b.WriteString(part + oneOf(r, nameGaps...))
		}
	}
	return b.String()
}

// vary gives a key random values. Its ID stays.
func vary(r *rand.Rand, record *storage.Record) {
	k := &record.Key
	k.Name, k.Owner, k.Environment, k.Plan = randomName(r), oneOf(r, owners...), oneOf(r, "live", "test"), oneOf(r, plans...)
	if r.IntN(6) == 0 {
		k.Name = "twin" // a page ends among several keys with the same name
	}
	k.CreatedAt = at(-10_000 * r.IntN(40)) // some at the same time
	k.DisabledAt, k.ExpiresAt = time.Time{}, time.Time{}
	switch r.IntN(5) {
	case 0:
		k.DisabledAt = at(1)
	case 1:
		k.ExpiresAt = time.Now().Add(-time.Hour).Truncate(time.Microsecond)
	case 2:
		k.ExpiresAt = time.Now().Add(1000 * time.Hour).Truncate(time.Microsecond)
	}
	k.Secrets, record.Digests = k.Secrets[:1:1], record.Digests[:1:1]
	k.Secrets[0].CreatedAt = at(-10_000 * r.IntN(40))
	if r.IntN(3) == 0 { // a rotation, in progress or past
		ends := oneOf(r, time.Time{}, time.Now().Add(-time.Hour), time.Now().Add(time.Hour)).Truncate(time.Microsecond)
		k.Secrets = append(k.Secrets, apikey.Secret{Number: 2, CreatedAt: k.CreatedAt, EndsAt: ends})
		record.Digests = append(record.Digests, storage.Digest{Sum: [32]byte{2}, Pepper: 1})
	}
}

// randomTerm is a part of some key's name, of an ID, or of neither.
func randomTerm(r *rand.Rand, m model) string {
	names := []string{randomName(r)}
	for id, k := range m.keys {
		if names = append(names, k.Name, id); len(names) > 5 {
			break
		}
	}
	slices.Sort(names) // the result depends on the seed, not on the map's order
	text := []rune(oneOf(r, names...))
	if len(text) == 0 {
		return "x"
	}
	from := oneOf(r, 0, r.IntN(len(text)))
	term := string(text[from:min(len(text), from+1+r.IntN(6))])
	return oneOf(r, term, strings.ToUpper(term), strings.ToLower(term))
}

func randomQuery(r *rand.Rand, m model) storage.Query {
	q := storage.Query{Order: oneOf(r, everyOrder...), Limit: oneOf(r, 1, 3, 10, 1000)}
	some := func(n int) bool { return r.IntN(n) == 0 }
	if some(2) {
		q.Owner = oneOf(r, owners...)
	}
	if some(4) {
		q.Environment = oneOf(r, "live", "test")
	}
	if some(5) {
		q.Plan = oneOf(r, plans...)
	}
	if some(5) {
		q.State = oneOf(r, apikey.Active, apikey.Disabled, apikey.Expired, apikey.Revoked)
	}
	if some(2) {
		q.Search = randomTerm(r, m)
	}
	if some(4) {
		q.UnusedSince = at(-10_000 * r.IntN(40))
	}
	if some(12) {
		q.ExpiresBefore = time.Now().Add(time.Duration(oneOf(r, -1000, 0, 500, 2000)) * time.Hour)
	}
	q.Rotating, q.OmitRevoked = some(12), some(6)
	if some(8) {
		q.SecretBefore = at(-10_000 * r.IntN(40))
	}
	return q
}

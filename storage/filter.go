package storage

import (
	"slices"
	"strings"
	"time"

	"github.com/wontopos/latchkey/apikey"
)

// Filter decides which records a query selects. Whatever indexes a store has,
// it returns no record that its Filter rejects, so index rows that have become
// stale return nothing. A Filter may be used concurrently.
type Filter struct {
	q    Query
	term string
	at   time.Time
}

// NewFilter returns the filter of a query, with the time that decides the state
// of keys.
func NewFilter(q Query, at time.Time) Filter {
	q.UnusedSince, q.ExpiresBefore = NormalizeTime(q.UnusedSince), NormalizeTime(q.ExpiresBefore)
	q.SecretBefore = NormalizeTime(q.SecretBefore)
	return Filter{q: q, term: Fold(q.Search), at: at}
}

// Match reports whether the query selects a key, judging by the record alone.
// If [Filter.ByUse] is true, [Filter.Unused] must be asked as well.
func (f *Filter) Match(k *apikey.Key) bool {
	q := &f.q
	return (q.Owner == "" || k.Owner == q.Owner) &&
		(q.Environment == "" || k.Environment == q.Environment) &&
		(q.Plan == "" || k.Plan == q.Plan) &&
		(q.State == "" || k.StateAt(f.at) == q.State) &&
		(q.UnusedSince.IsZero() || NormalizeTime(k.CreatedAt).Before(q.UnusedSince)) &&
		(!q.Rotating || k.RotatingAt(f.at)) &&
		(q.ExpiresBefore.IsZero() || !k.ExpiresAt.IsZero() && NormalizeTime(k.ExpiresAt).Before(q.ExpiresBefore)) &&
		(!q.OmitRevoked || k.RevokedAt.IsZero()) &&
		(q.SecretBefore.IsZero() || len(k.Secrets) > 0 && NormalizeTime(k.Secrets[0].CreatedAt).Before(q.SecretBefore)) &&
		(f.term == "" || slices.ContainsFunc(Terms(k), func(t string) bool { return strings.HasPrefix(t, f.term) }))
}

// ByUse reports whether the query depends on the last use of keys.
func (f *Filter) ByUse() bool { return !f.q.UnusedSince.IsZero() }

// Unused reports whether a key whose newest use was at last, or zero for never,
// counts as unused.
func (f *Filter) Unused(last time.Time) bool {
	return f.q.UnusedSince.IsZero() || last.Before(f.q.UnusedSince)
}

// Selective reports whether the query may leave out most of the keys of its
// owner and environment, so that a store must bound how many it looks at.
func (f *Filter) Selective() bool {
	q := &f.q
	return q.Plan != "" || q.State != "" || f.term != "" || q.Rotating || !q.UnusedSince.IsZero() || !q.ExpiresBefore.IsZero() ||
		q.OmitRevoked || !q.SecretBefore.IsZero()
}

// Start returns the place to begin after: that of q.After or, with
// [NewestFirst], past the keys created too late for q.UnusedSince if
// that is further.
func Start(q Query) Position {
	q.After.CreatedAt = NormalizeTime(q.After.CreatedAt)
	p := Position{CreatedAt: NormalizeTime(q.UnusedSince)}
	if q.Order == NewestFirst && !p.IsZero() && After(q.Order, p, q.After) {
		return p
	}
	return q.After
}

// After reports whether p comes strictly after another place; everything comes
// after the zero one.
func After(o Order, p, other Position) bool {
	return other.IsZero() || Compare(o, p, other) > 0
}

package apikey

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// Outcome is how a request with a known key ended. Its values are stored:
// new ones go at the end.
type Outcome uint8

// The outcomes that are counted.
const (
	OutcomeAllowed Outcome = iota
	OutcomeRateLimited
	OutcomeScope
	OutcomeNetwork
	OutcomeEnvironment
	OutcomeExpired
	OutcomeDisabled
	OutcomeRevoked
	OutcomeUnavailable
	OutcomeCut // admitted, then cut in flight
	NumOutcomes
)

var outcomeNames = [NumOutcomes]string{
	"allowed", "rate_limited", "insufficient_scope", "network_not_allowed", "environment_mismatch",
	"expired_key", "disabled_key", "revoked_key", "unavailable", "cut",
}

// String returns the stable name: for refusals, that of their [Code].
func (o Outcome) String() string {
	if o < NumOutcomes {
		return outcomeNames[o]
	}
	return "unknown"
}

// OutcomeOf returns the outcome that counts a code.
func OutcomeOf(c Code) Outcome {
	switch c {
	case OK:
		return OutcomeAllowed
	case RateLimited:
		return OutcomeRateLimited
	case InsufficientScope:
		return OutcomeScope
	case NetworkNotAllowed:
		return OutcomeNetwork
	case EnvironmentMismatch:
		return OutcomeEnvironment
	case ExpiredKey:
		return OutcomeExpired
	case DisabledKey:
		return OutcomeDisabled
	case RevokedKey:
		return OutcomeRevoked
	}
	return OutcomeUnavailable
}

// Counts holds one number for each [Outcome].
type Counts [NumOutcomes]uint64

// Add adds o to c.
func (c *Counts) Add(o Counts) {
	for i, n := range o {
		c[i] += n
	}
}

// Total is the number of requests, admitted or not. A request that was cut
// was admitted first and counts once.
func (c Counts) Total() uint64 {
	var sum uint64
	for o, n := range c {
		if Outcome(o) != OutcomeCut {
			sum += n
		}
	}
	return sum
}

// LastUse tells of the newest admitted request with a secret that was looked at:
// the first after each flush is. Its texts are what clients sent: escape them
// wherever they are shown.
type LastUse struct {
	At        time.Time `json:"at,omitzero"`
	Network   string    `json:"network,omitempty"`    // the source's /24 or /48, for example 10.0.0.0/24
	UserAgent string    `json:"user_agent,omitempty"` // at most 128 bytes
	// Route is what was asked: the pattern that the route was registered with,
	// for example "GET /v1/apis/{id}", else method and path, never the query;
	// at most 128 bytes.
	Route string `json:"route,omitempty"`
	// Status is the final HTTP status of the response; 0 while the request is
	// being served, and when nobody told.
	Status int `json:"status,omitempty"`
}

// Replaces reports whether a store keeps l instead of old: when l is newer, or
// tells more of the same instant. Both times are in microseconds, as stored.
func (l LastUse) Replaces(old LastUse) bool {
	if l.At.IsZero() || !l.At.Equal(old.At) {
		return l.At.After(old.At)
	}
	return old.Status == 0 && (l.Status != 0 || old.Route == "" && l.Route != "")
}

// UsageDelta is what one secret of one key did since the last flush, within
// one hour. One without counts tells more of a last use that was written before.
type UsageDelta struct {
	KeyID  string
	Secret uint32    // [Secret.Number]
	Hour   time.Time // start of the hour, UTC
	Counts Counts
	Last   LastUse  // zero when no request was admitted
	Scopes []string // granted scopes that let requests through, each once
}

// add adds another delta of the same secret and hour.
func (d *UsageDelta) add(other UsageDelta) {
	d.Counts.Add(other.Counts)
	if other.Last.Replaces(d.Last) {
		d.Last = other.Last
	}
	for _, scope := range other.Scopes {
		if !slices.Contains(d.Scopes, scope) {
			d.Scopes = append(d.Scopes, scope)
		}
	}
}

// Usage is what was counted for a key.
type Usage struct {
	// Hours holds one row an hour and secret that saw requests, oldest
	// first, then by secret.
	Hours []UsageHour
	// Secrets has, for each secret ever used, all that was counted and its
	// last use, whatever the period asked for; ordered by number.
	Secrets []UsageSecret
	// Scopes has each granted scope that let a request through, whatever the
	// secret and the period asked for, ordered by name. A wide scope is there
	// when no narrower one of the key would have done, and of alternatives that
	// a route accepts the first: what is not there can be taken away.
	Scopes []ScopeUse
	// ScopesSince is since when the store has counted scopes. A scope that is not
	// in Scopes was not used from then on; of the time before nothing is known.
	// Zero when the store does not count them.
	ScopesSince time.Time
}

// ScopeUse tells when a granted scope last let a request through.
type ScopeUse struct {
	Scope string
	Hour  time.Time // the start of the hour, UTC: no finer, to save writes
}

// UsageHour counts one secret's requests in one hour.
type UsageHour struct {
	Hour   time.Time
	Secret uint32
	Counts Counts
}

// UsageSecret sums up one secret.
type UsageSecret struct {
	Secret uint32
	Counts Counts
	Last   LastUse
}

// add adds what is not in the store yet; since is what u was asked for.
func (u *Usage) add(d UsageDelta, since time.Time) {
	if d.Counts != (Counts{}) && !d.Hour.Before(since) {
		at, found := slices.BinarySearchFunc(u.Hours, d, func(h UsageHour, d UsageDelta) int {
			return cmp.Or(h.Hour.Compare(d.Hour), cmp.Compare(h.Secret, d.Secret))
		})
		if !found {
			u.Hours = slices.Insert(u.Hours, at, UsageHour{Hour: d.Hour, Secret: d.Secret})
		}
		u.Hours[at].Counts.Add(d.Counts)
	}
	at, found := slices.BinarySearchFunc(u.Secrets, d.Secret, func(s UsageSecret, n uint32) int { return cmp.Compare(s.Secret, n) })
	if !found {
		u.Secrets = slices.Insert(u.Secrets, at, UsageSecret{Secret: d.Secret})
	}
	s := &u.Secrets[at]
	s.Counts.Add(d.Counts)
	if d.Last.Replaces(s.Last) {
		s.Last = d.Last
	}
	if u.ScopesSince.IsZero() {
		return // not counted
	}
	for _, scope := range d.Scopes {
		at, found := slices.BinarySearchFunc(u.Scopes, scope, func(s ScopeUse, name string) int { return cmp.Compare(s.Scope, name) })
		if !found {
			u.Scopes = slices.Insert(u.Scopes, at, ScopeUse{Scope: scope})
		}
		if d.Hour.After(u.Scopes[at].Hour) {
			u.Scopes[at].Hour = d.Hour
		}
	}
}

// Last returns the newest use of any secret.
func (u Usage) Last() LastUse {
	var last LastUse
	for _, s := range u.Secrets {
		if s.Last.At.After(last.At) {
			last = s.Last
		}
	}
	return last
}

// Of returns the summary of one secret; zero when it was never used.
func (u Usage) Of(secret uint32) UsageSecret {
	for _, s := range u.Secrets {
		if s.Secret == secret {
			return s
		}
	}
	return UsageSecret{Secret: secret}
}

// UsageRetention is how long stores keep hourly rows, at least.
const UsageRetention = 35 * 24 * time.Hour

// Usage returns what was counted for a key at and after since, this process's
// counts up to now included.
func (s *Service) Usage(ctx context.Context, id string, since time.Time) (Usage, error) {
	if err := s.enter(); err != nil {
		return Usage{}, err
	}
	defer s.leave()
	if err := validTime("since", since); err != nil {
		return Usage{}, err
	}
	return s.usage(ctx, id, since)
}

func (s *Service) usage(ctx context.Context, id string, since time.Time) (u Usage, err error) {
	err = s.outbox.read(ctx, []string{id}, 0, func(owed func(string) []UsageDelta) error {
		if u, err = s.store.Usage(ctx, id, since); err != nil {
			return storeError("usage", err)
		}
		for _, d := range owed(id) {
			u.add(d, since)
		}
		return nil
	})
	return u, err
}

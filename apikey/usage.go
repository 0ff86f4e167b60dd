package apikey

import "time"

// Outcome is how a request with a known key ended. The values are stored: add
// new ones at the end.
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

// String returns the stable name; for refusals, that of their [Code].
func (o Outcome) String() string {
	if o < NumOutcomes {
		return outcomeNames[o]
	}
	return "unknown"
}

// OutcomeOf returns the outcome under which a code is counted.
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

// Total is the number of requests, admitted or not. A request that was cut was
// admitted first, and counts once.
func (c Counts) Total() uint64 {
	var sum uint64
	for o, n := range c {
		if Outcome(o) != OutcomeCut {
			sum += n
		}
	}
	return sum
}

// LastUse describes the newest sampled request among those that a secret
// admitted: the first after each flush is sampled. Its texts are what clients
// sent: escape them wherever they are shown.
type LastUse struct {
	At        time.Time `json:"at,omitzero"`
	Network   string    `json:"network,omitempty"`    // the source's /24 or /48, for example 10.0.0.0/24
	UserAgent string    `json:"user_agent,omitempty"` // at most 128 bytes
	// Route is what was asked for: the pattern with which the route was
	// registered, for example "GET /v1/apis/{id}", otherwise the method and path,
	// never the query; at most 128 bytes.
	Route string `json:"route,omitempty"`
	// Status is the final HTTP status of the response; 0 while the request is
	// being served, and if nobody reported it.
	Status int `json:"status,omitempty"`
}

// Replaces reports whether a store keeps l instead of old: if l is newer, or
// has more detail for the same time. Both times are in microseconds, as stored.
func (l LastUse) Replaces(old LastUse) bool {
	if l.At.IsZero() || !l.At.Equal(old.At) {
		return l.At.After(old.At)
	}
	return old.Status == 0 && (l.Status != 0 || old.Route == "" && l.Route != "")
}

// Usage is what has been counted for a key.
type Usage struct {
	// Hours has one row for each hour and secret with requests, oldest first, then
	// by secret.
	Hours []UsageHour
	// Secrets has, for each secret ever used, its total counts and its last use,
	// regardless of the period asked for; ordered by number.
	Secrets []UsageSecret
	// Scopes has each granted scope that let a request through, regardless of the
	// secret and the period asked for, ordered by name. A wide scope is listed
	// only if it was needed: no narrower scope of the key covered the request. If
	// a route accepts alternatives, the first one counts. A scope that is not
	// listed can be taken away.
	Scopes []ScopeUse
	// ScopesSince is when the store began to count scopes. A scope that is not in
	// Scopes has not been used since then; nothing is known about the time before.
	// Zero if the store does not count them.
	ScopesSince time.Time
}

// ScopeUse says when a granted scope last let a request through.
type ScopeUse struct {
	Scope string
	Hour  time.Time // the start of the hour, UTC: a finer time would cost more writes
}

// UsageHour counts one secret's requests in one hour.
type UsageHour struct {
	Hour   time.Time
	Secret uint32
	Counts Counts
}

// UsageSecret summarises one secret.
type UsageSecret struct {
	Secret uint32
	Counts Counts
	Last   LastUse
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

// Of returns the summary of one secret; zero if it was never used.
func (u Usage) Of(secret uint32) UsageSecret {
	for _, s := range u.Secrets {
		if s.Secret == secret {
			return s
		}
	}
	return UsageSecret{Secret: secret}
}

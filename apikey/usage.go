package apikey

import (
	"iter"
	"time"
)

// Counts says how requests with a known key ended. The fields are stored in
// this order: new ones come at the end.
type Counts struct {
	Allowed     uint64
	RateLimited uint64
	Scope       uint64 // [InsufficientScope]
	Network     uint64 // [NetworkNotAllowed]
	Environment uint64 // [EnvironmentMismatch]
	Expired     uint64
	Disabled    uint64
	Revoked     uint64
	Unavailable uint64
	Cut         uint64 // of those allowed: cut in flight
}

// countNames are the stable names of the fields; for refusals, that of their [Code].
var countNames = [...]string{
	"allowed", "rate_limited", "insufficient_scope", "network_not_allowed", "environment_mismatch",
	"expired_key", "disabled_key", "revoked_key", "unavailable", "cut",
}

// Fields returns pointers to the fields, in the order in which they are stored.
func (c *Counts) Fields() [len(countNames)]*uint64 {
	return [...]*uint64{
		&c.Allowed, &c.RateLimited, &c.Scope, &c.Network, &c.Environment, &c.Expired, &c.Disabled, &c.Revoked, &c.Unavailable, &c.Cut,
	}
}

// All returns the stable name and the number of each field, in the order in
// which they are stored: "allowed" first, "cut" last, and between them the
// refusals, with the names of their codes.
func (c Counts) All() iter.Seq2[string, uint64] {
	return func(yield func(string, uint64) bool) {
		for i, n := range c.Fields() {
			if !yield(countNames[i], *n) {
				return
			}
		}
	}
}

// Add adds o to c.
func (c *Counts) Add(o Counts) {
	more := o.Fields()
	for i, n := range c.Fields() {
		*n += *more[i]
	}
}

// Total is the number of requests, admitted or not. A request that was cut was
// admitted first, and counts once.
func (c Counts) Total() (sum uint64) {
	for _, n := range c.Fields() {
		sum += *n
	}
	return sum - c.Cut
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

package apikey

import "time"

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

// LastUse tells of the newest admitted request with a secret.
type LastUse struct {
	At        time.Time `json:"at,omitzero"`
	Network   string    `json:"network,omitempty"`    // the source's /24 or /48, for example 10.0.0.0/24
	UserAgent string    `json:"user_agent,omitempty"` // at most 128 bytes
}

// UsageDelta is what one secret of one key did since the last flush, within
// one hour.
type UsageDelta struct {
	KeyID  string
	Secret uint32    // [Secret.Number]
	Hour   time.Time // start of the hour, UTC
	Counts Counts
	Last   LastUse // zero when no request was admitted
}

// Usage is what was counted for a key.
type Usage struct {
	// Hours holds one row an hour and secret that saw requests, oldest
	// first, then by secret.
	Hours []UsageHour
	// Secrets has, for each secret ever used, all that was counted and its
	// last use, whatever the period asked for; ordered by number.
	Secrets []UsageSecret
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

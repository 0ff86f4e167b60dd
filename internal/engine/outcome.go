package engine

import (
	"github.com/wontopos/latchkey/apikey"
)

// outcome is how a request with a known key ended: the index of its count in
// [apikey.Counts.Fields].
type outcome uint8

const (
	allowed outcome = iota
	rateLimited
	lacksScope
	onNetwork
	elsewhere
	expired
	disabled
	revoked
	unconfirmed
	wasCut
	numOutcomes
)

// outcomeOf returns the outcome under which a code is counted.
func outcomeOf(c apikey.Code) outcome {
	switch c {
	case apikey.OK:
		return allowed
	case apikey.RateLimited:
		return rateLimited
	case apikey.InsufficientScope:
		return lacksScope
	case apikey.NetworkNotAllowed:
		return onNetwork
	case apikey.EnvironmentMismatch:
		return elsewhere
	case apikey.ExpiredKey:
		return expired
	case apikey.DisabledKey:
		return disabled
	case apikey.RevokedKey:
		return revoked
	}
	return unconfirmed
}

package apikey

import (
	"maps"
	"net/netip"
	"slices"
	"time"
)

// Key is what is known about an API key, without its secrets' digests. A Key
// returned by this package belongs to the caller: nothing in it is shared.
//
// Times are UTC with microsecond precision; the zero time means "never".
type Key struct {
	ID          string            `json:"id"`          // 16 base62 characters, public
	Name        string            `json:"name"`        // for people
	Owner       string            `json:"owner"`       // the account that the key acts for
	Environment string            `json:"environment"` // "live", "test", …
	Scopes      []string          `json:"scopes"`      // what it may do; see [Requirement]
	Plan        string            `json:"plan"`        // names its limits
	Limits      []Limit           `json:"limits"`      // its own limits; they replace the plan's
	Networks    []netip.Prefix    `json:"networks"`    // where it may be used from; empty means anywhere
	Metadata    map[string]string `json:"metadata"`    // the application's own; at most 64 KiB

	CreatedAt time.Time `json:"created_at"`
	CreatedBy string    `json:"created_by"`
	UpdatedAt time.Time `json:"updated_at"`
	ExpiresAt time.Time `json:"expires_at,omitzero"` // zero: does not expire

	DisabledAt time.Time `json:"disabled_at,omitzero"`
	DisabledBy string    `json:"disabled_by,omitempty"`
	// Locked says that somebody who runs the service disabled the key: an [Actor]
	// who is a Customer cannot enable it.
	Locked bool `json:"locked,omitempty"`

	RevokedAt    time.Time `json:"revoked_at,omitzero"`
	RevokedBy    string    `json:"revoked_by,omitempty"`
	RevokeReason string    `json:"revoke_reason,omitempty"`

	// Secrets holds the current secret and, once the key has been rotated, the one
	// before it: [current] or [current, previous].
	Secrets []Secret `json:"secrets"`

	// Revision counts the key's changes, from 1. Compare-and-swap and cache
	// freshness depend on it.
	Revision uint64 `json:"revision"`
}

// Secret is one secret of a key, without its digest.
type Secret struct {
	// Number counts the key's secrets from 1; it identifies the secret in usage
	// and audit.
	Number    uint32    `json:"number"`
	CreatedAt time.Time `json:"created_at"`
	// EndsAt is when a rotation ends the secret; zero means that no end is set.
	EndsAt time.Time `json:"ends_at,omitzero"`
	// Grace is set on the previous secret while its end depends on the first use
	// of the new one (latchkey.RotateOptions.StartOnFirstUse); EndsAt is zero until then.
	Grace time.Duration `json:"grace,omitempty"`
	// FirstUsedAt is when a secret made by a rotation was first seen in use; zero
	// means not yet. It is never set for a key's very first secret.
	FirstUsedAt time.Time `json:"first_used_at,omitzero"`
}

// State is the state of a key at an instant.
type State string

// The states. Revoked is final; the others can change into each other.
const (
	Active   State = "active"
	Disabled State = "disabled"
	Expired  State = "expired"
	Revoked  State = "revoked"
)

// StateAt returns the key's state at t. If several apply, the most final wins:
// revoked, disabled, expired.
func (k *Key) StateAt(t time.Time) State {
	switch {
	case !k.RevokedAt.IsZero():
		return Revoked
	case !k.DisabledAt.IsZero():
		return Disabled
	case !k.ExpiresAt.IsZero() && !t.Before(k.ExpiresAt):
		return Expired
	}
	return Active
}

// LiveAt reports whether the secret itself works at t; for the key's own state,
// see [Key.StateAt].
func (s *Secret) LiveAt(t time.Time) bool { return s.EndsAt.IsZero() || t.Before(s.EndsAt) }

// RotatingAt reports whether the key has two secrets that work at t, or will
// work once the key is enabled again.
func (k *Key) RotatingAt(t time.Time) bool {
	if !k.RevokedAt.IsZero() || !k.ExpiresAt.IsZero() && !t.Before(k.ExpiresAt) {
		return false
	}
	return len(k.Secrets) == 2 && k.Secrets[1].LiveAt(t)
}

// NextSecret is the number of the secret that a rotation would make now. It
// only grows: a number is never reused, even after a rotation was cancelled.
func (k *Key) NextSecret() uint32 {
	var most uint32
	for _, s := range k.Secrets {
		most = max(most, s.Number)
	}
	return most + 1
}

// Clone returns a copy that shares no memory with k.
func (k Key) Clone() Key {
	k.Scopes = slices.Clone(k.Scopes)
	k.Limits = slices.Clone(k.Limits)
	k.Networks = slices.Clone(k.Networks)
	k.Metadata = maps.Clone(k.Metadata)
	k.Secrets = slices.Clone(k.Secrets)
	return k
}

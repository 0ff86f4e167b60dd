package apikey

import (
	"slices"
	"strings"

	"github.com/wontopos/latchkey/internal/redact"
)

// A scope names what a key may do: "resource:action", for example
// "marketplace:read". It has two or more segments, each of 1 or more characters
// of a-z, 0-9, '.', '_' and '-', and at most 128 bytes in all. A scope granted
// to a key may end in ":*" (every action of the resource) or be "*"
// (everything); a scope required by a route may not.

// MaxScopes bounds the scopes of one key.
const MaxScopes = 64

// Scope is an entry of the catalogue of scopes that a service offers.
type Scope struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
}

// Validate returns an error if a route cannot require the scope.
func (s Scope) Validate() error { return validScope(s.Name, false) }

// ValidateGrant returns an error if the scope cannot be granted to a key. A grant may be wider than what a route
// requires: "*" or "resource:*".
func (s Scope) ValidateGrant() error { return validScope(s.Name, true) }

// GrantedBy reports whether a key with the granted scope has this one.
func (s Scope) GrantedBy(granted string) bool { return grants(granted, s.Name) }

func validScope(s string, wildcard bool) error {
	const field = "Name"
	if len(s) == 0 || len(s) > 128 {
		return invalidf(field, "a scope has 1 to 128 characters, like \"marketplace:read\"")
	}
	rest := s
	if wildcard {
		if s == "*" {
			return nil
		}
		rest = strings.TrimSuffix(s, ":*")
	}
	segments := strings.Split(rest, ":")
	if len(segments) < 2 && rest == s {
		return invalidf(field, "%s has no action: write \"resource:action\"", redact.Quoted(s))
	}
	for _, segment := range segments {
		if segment == "" {
			return invalidf(field, "%s has an empty part", redact.Quoted(s))
		}
		for i := range len(segment) {
			c := segment[i]
			if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-') {
				return invalidf(field, "%s may hold a-z, 0-9, '.', '_' and '-' between its colons, and '*' only as the last part of a granted scope", redact.Quoted(s))
			}
		}
	}
	return nil
}

// grants reports whether a granted scope covers a required one.
func grants(granted, required string) bool {
	if granted == required {
		return true
	}
	n := len(granted)
	if n == 0 || granted[n-1] != '*' {
		return false
	}
	return n == 1 || strings.HasPrefix(required, granted[:n-1])
}

// granting returns the index of the narrowest granted scope that covers a
// required one, or -1 if none does. The scopes of a key are sorted, so a wide
// scope comes before those within it: '*' is less than every other character.
func granting(granted []string, required string) int {
	for i := len(granted) - 1; i >= 0; i-- {
		if grants(granted[i], required) {
			return i
		}
	}
	return -1
}

func hasScope(granted []string, required string) bool { return granting(granted, required) >= 0 }

// place is the bit of one of a key's granted scopes in a set of them. There are at most [MaxScopes].
func place(i int) uint64 { return 1 << (uint(i) % MaxScopes) }

// Requirement is what a route requires of a key's scopes. No key meets the zero
// value: a route open to any valid key uses [AnyKey]. A Requirement is
// immutable and may be shared.
type Requirement struct {
	scopes []string // of oneOf: after the scopes of each alternative comes an empty one
	mode   requirementMode
	text   string // the scopes, space-separated, as RFC 6750 writes them
}

type requirementMode uint8

const (
	denyAll requirementMode = iota
	allOf
	anyOf
	anyKey
	oneOf
)

// AllOf is met by a key that has all of the scopes.
func AllOf(scopes ...string) (Requirement, error) { return newRequirement(allOf, scopes) }

// AnyOf is met by a key that has at least one of the scopes.
func AnyOf(scopes ...string) (Requirement, error) { return newRequirement(anyOf, scopes) }

// AnyKey is met by every valid key, whatever its scopes.
func AnyKey() Requirement { return Requirement{mode: anyKey} }

// OneOf is met by a key that meets at least one of the requirements, such as
// one that has two scopes or a third.
func OneOf(needs ...Requirement) (Requirement, error) {
	if len(needs) == 0 {
		return Requirement{}, invalidf("needs", "name at least one requirement")
	}
	if len(needs) == 1 && needs[0].mode != denyAll {
		return needs[0], nil
	}
	one, open := Requirement{mode: oneOf}, false
	var names []string
	for i, q := range needs {
		switch q.mode {
		case denyAll:
			return Requirement{}, invalidf("needs", "requirement %d is the zero one, which no key meets", i)
		case anyOf:
			for _, s := range q.scopes {
				one.scopes = append(one.scopes, s, "")
			}
		case allOf:
			one.scopes = append(append(one.scopes, q.scopes...), "")
		case oneOf:
			one.scopes = append(one.scopes, q.scopes...)
		case anyKey:
			open = true
		}
		for _, s := range strings.Fields(q.text) {
			if !slices.Contains(names, s) {
				names = append(names, s)
			}
		}
	}
	if open {
		return AnyKey(), nil
	}
	if !slices.ContainsFunc(needs, func(q Requirement) bool { return q.mode != anyOf && len(q.scopes) > 1 }) {
		return AnyOf(names...) // which says so to clients
	}
	one.text = strings.Join(names, " ")
	return one, nil
}

func newRequirement(mode requirementMode, scopes []string) (Requirement, error) {
	if len(scopes) == 0 {
		return Requirement{}, invalidf("scopes", "name at least one scope; a route for any valid key says AnyKey")
	}
	for _, s := range scopes {
		if err := validScope(s, false); err != nil {
			err.(*Error).Field = "scopes"
			return Requirement{}, err
		}
	}
	return Requirement{scopes: slices.Clone(scopes), mode: mode, text: strings.Join(scopes, " ")}, nil
}

// MetBy reports whether the granted scopes meet the requirement.
func (q Requirement) MetBy(granted []string) bool {
	_, met := q.Used(granted)
	return met
}

// Used reports whether the granted scopes meet the requirement, and which of
// them it uses, as a set of bits: bit i stands for granted[i]. It uses for each
// required scope the narrowest that covers it; of alternatives the first that is
// granted. So a key can lose all scopes that its requests did not use, at once,
// and every one of those requests is still allowed. granted is sorted, as
// [Key.Scopes] is, and has at most [MaxScopes].
func (q *Requirement) Used(granted []string) (used uint64, met bool) {
	switch q.mode {
	case allOf:
		return useAll(q.scopes, granted)
	case anyOf:
		for _, s := range q.scopes {
			if i := granting(granted, s); i >= 0 {
				return place(i), true
			}
		}
		return 0, false
	case anyKey:
		return 0, true
	case oneOf:
		for rest := q.scopes; len(rest) > 0; {
			end := slices.Index(rest, "")
			if used, met = useAll(rest[:end], granted); met {
				return used, true
			}
			rest = rest[end+1:]
		}
	}
	return 0, false
}

// useAll is Used of all of the scopes.
func useAll(scopes, granted []string) (used uint64, met bool) {
	for _, s := range scopes {
		i := granting(granted, s)
		if i < 0 {
			return 0, false
		}
		used |= place(i)
	}
	return used, true
}

// Missing returns the required scopes that are not granted: for AnyOf, if none
// is granted, all of the alternatives; for OneOf those of the alternative that
// lacks the fewest, so that a key that gets them meets it.
func (q Requirement) Missing(granted []string) []string {
	if q.mode != oneOf {
		return missing(q.scopes, granted)
	}
	end := slices.Index(q.scopes, "")
	fewest := missing(q.scopes[:end], granted)
	for rest := q.scopes[end+1:]; len(rest) > 0; rest = rest[end+1:] {
		end = slices.Index(rest, "")
		if other := missing(rest[:end], granted); len(other) < len(fewest) {
			fewest = other
		}
	}
	return fewest
}

func missing(scopes, granted []string) (missing []string) {
	for _, s := range scopes {
		if !hasScope(granted, s) {
			missing = append(missing, s)
		}
	}
	return missing
}

// Any reports whether any one of the scopes is enough, as for AnyOf.
func (q Requirement) Any() bool { return q.mode == anyOf }

// String returns the scopes, space-separated, as the scope attribute of
// RFC 6750 wants them.
func (q Requirement) String() string { return q.text }

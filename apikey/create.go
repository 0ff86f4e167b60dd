package apikey

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// NewKey says what key to create.
type NewKey struct {
	Name        string            // for people; required, at most 128 bytes
	Owner       string            // the account; required, at most 256 bytes
	Environment string            // default the first environment
	Scopes      []string          // what it may do; empty means only routes for any key
	Plan        string            // default [Options.DefaultPlan]
	Limits      []Limit           // instead of the plan's limits; at most [MaxLimits]
	Networks    []netip.Prefix    // where it may be used from; empty means anywhere
	Metadata    map[string]string // the application's own; at most 64 KiB
	ExpiresAt   time.Time         // zero means never

	// Once names this creation, so that it is made once: another Create with
	// the same name makes no key, in whichever process and however long after.
	// It returns the key that is there, without a token, and
	// [ErrAlreadyCreated], or [ErrOnceReused] and no key when it asks for
	// something else than the first did. The name is forgotten when the key is
	// purged, or when the pepper is removed that was the newest at the time.
	//
	// Names are compared byte by byte, at most [MaxOnce] of them. Put into it
	// who asks, so that nobody meets the names of others, and what cannot be
	// guessed: without [Options.Peppers] the key's id can be told from it.
	// Processes that share a store need the same peppers. Empty means a
	// creation of its own.
	Once string
}

// Bounds of a key's fields, in bytes.
const (
	maxOwner    = 256
	maxReason   = 512
	maxMetadata = 64 << 10
	maxNetworks = 64
)

// Create makes a key and returns its token: the only time that the secret can
// be had. The token works at once.
func (s *Service) Create(ctx context.Context, by Actor, n NewKey) (Key, Token, error) {
	if err := s.enter(); err != nil {
		return Key{}, Token{}, err
	}
	defer s.leave()
	if err := by.validate(); err != nil {
		return Key{}, Token{}, err
	}
	id, ids, request := "", []string(nil), [sha256.Size]byte{}
	if n.Once != "" {
		if len(n.Once) > MaxOnce {
			return Key{}, Token{}, invalidf("once", "%d bytes, at most %d are allowed", len(n.Once), MaxOnce)
		}
		ids, request = s.digest.onceIDs(n.Once), n.request()
		if k, err := s.replay(ctx, ids, request); err != nil {
			return k, Token{}, err
		}
		id = ids[0]
	}
	defaultTo(&n.Environment, s.envs[0].Name)
	defaultTo(&n.Plan, s.o.DefaultPlan)
	at := now()
	k := Key{
		Name: n.Name, Owner: n.Owner, Environment: n.Environment, Scopes: slices.Clone(n.Scopes),
		Plan: n.Plan, Limits: slices.Clone(n.Limits), Networks: slices.Clone(n.Networks),
		Metadata: maps.Clone(n.Metadata), ExpiresAt: stamp(n.ExpiresAt),
		CreatedAt: at, CreatedBy: by.ID, UpdatedAt: at,
		Secrets: []Secret{{Number: 1, CreatedAt: at}},
	}
	env, ok := s.environment(k.Environment)
	if !ok {
		return Key{}, Token{}, invalidf("environment", "%q is none of this service's environments", k.Environment)
	}
	if !k.ExpiresAt.IsZero() && !k.ExpiresAt.After(at) {
		return Key{}, Token{}, invalidf("expires_at", "%v has passed already", k.ExpiresAt.Format(time.RFC3339))
	}
	if err := s.validate(ctx, &Key{}, &k); err != nil {
		return Key{}, Token{}, err
	}
	defer s.cache.changes.Add(1)
	for range maxTries { // an id of 95 random bits: once is enough
		token, parsed := s.format.mint(env, id)
		k.ID = strings.Clone(parsed.id) // a view would keep the token wherever the id is kept
		var err error
		k.Revision, err = s.store.Apply(ctx, Change{
			Record: Record{Key: k, Digests: []Digest{s.digest.sign(parsed)}, Request: request},
			Entry: AuditEntry{
				At: at, Actor: by.ID, From: by.From, Action: ActionCreate, KeyID: k.ID, Owner: k.Owner,
				Details: map[string]string{"name": k.Name, "environment": k.Environment, "plan": k.Plan, "scopes": strings.Join(k.Scopes, " ")},
			},
		})
		if errors.Is(err, ErrConflict) {
			if there, err := s.replay(ctx, ids, request); err != nil { // the same creation was quicker
				return there, Token{}, err
			}
			continue
		}
		if err != nil {
			return Key{}, Token{}, storeError("create", err)
		}
		if id != "" {
			s.cache.forget(id) // a name may come again after a purge, an id of chance does not
		}
		return k, token, nil
	}
	return Key{}, Token{}, ErrConflict
}

// validate checks and normalises what people may set. What stays as it was may
// name a plan or a scope that the service does not have any more.
func (s *Service) validate(ctx context.Context, before, k *Key) error {
	if strings.TrimSpace(k.Name) == "" {
		return invalidf("name", "give the key a name, like \"production-backend\"")
	}
	if err := validText("name", k.Name, MaxName); err != nil {
		return err
	}
	if k.Owner == "" {
		return invalidf("owner", "name the account that the key acts for")
	}
	if err := validText("owner", k.Owner, maxOwner); err != nil {
		return err
	}
	if !slices.Equal(before.Scopes, k.Scopes) {
		if err := s.validateScopes(k); err != nil {
			return err
		}
	}
	if before.Plan != k.Plan {
		_, err := s.o.PlanSource.Plan(ctx, k.Plan)
		if errors.Is(err, ErrUnknownPlan) {
			return invalidf("plan", "%q is none of this service's plans", k.Plan)
		} else if err != nil {
			return storeError("plan", err)
		}
	}
	if err := validLimits("limits", k.Limits); err != nil {
		return err
	}
	if len(k.Networks) > maxNetworks {
		return invalidf("networks", "%d networks, at most %d are allowed", len(k.Networks), maxNetworks)
	}
	for i, p := range k.Networks {
		if !p.IsValid() {
			return invalidf(fmt.Sprintf("networks[%d]", i), "must be a network like 10.0.0.0/8 or 2001:db8::/32")
		}
		if p.Addr().Is4In6() && p.Bits() >= 96 { // ::ffff:10.0.0.0/104 is 10.0.0.0/8
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		k.Networks[i] = p.Masked()
	}
	size := 0
	for name, value := range k.Metadata {
		if name == "" || !utf8.ValidString(name+value) || strings.IndexByte(name+value, 0) >= 0 {
			return invalidf("metadata", "names must not be empty, and all must be UTF-8 without NUL")
		}
		size += len(name) + len(value)
	}
	if size > maxMetadata {
		return invalidf("metadata", "%d bytes, at most %d are allowed", size, maxMetadata)
	}
	return nil
}

func (s *Service) validateScopes(k *Key) error {
	if len(k.Scopes) > MaxScopes {
		return invalidf("scopes", "%d scopes, at most %d are allowed", len(k.Scopes), MaxScopes)
	}
	for i, scope := range k.Scopes {
		field := fmt.Sprintf("scopes[%d]", i)
		if err := validScope(field, scope, true); err != nil {
			return err
		}
		if len(s.o.Scopes) > 0 && !slices.ContainsFunc(s.o.Scopes, func(known Scope) bool { return grants(scope, known.Name) }) {
			return invalidf(field, "%q is none of this service's scopes", scope)
		}
	}
	slices.Sort(k.Scopes)
	k.Scopes = slices.Compact(k.Scopes)
	return nil
}

// validText accepts UTF-8 without control characters.
func validText(field, s string, most int) error {
	if len(s) > most {
		return invalidf(field, "%d bytes, at most %d are allowed", len(s), most)
	}
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return invalidf(field, "must be UTF-8 text without control characters")
	}
	return nil
}

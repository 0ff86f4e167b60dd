package latchkey

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

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/bounds"
	"github.com/wontopos/latchkey/internal/faults"
	"github.com/wontopos/latchkey/internal/redact"
	"github.com/wontopos/latchkey/storage"
)

// NewKey describes the key to create.
type NewKey struct {
	Name        string            // for people; required, one line of at most 128 characters
	Owner       string            // the account; required, one line of at most 256 characters and 768 bytes
	Environment string            // default the first environment
	Scopes      []string          // what it may do; empty means only routes open to any key
	Plan        string            // default [Options.DefaultPlan]
	Limits      []apikey.Limit    // instead of the plan's limits; at most [apikey.MaxLimits]
	Networks    []netip.Prefix    // where it may be used from; empty means anywhere
	Metadata    map[string]string // the application's own; at most 1,024 entries and 64 KiB
	ExpiresAt   time.Time         // zero means never; at most the end of 9999, UTC

	// Once names this creation, so that it happens only once: another Create with
	// the same name makes no key, in any process and however much later. It
	// returns the existing key, without a token, and [apikey.AlreadyCreated]; if it
	// asks for something else than the first one did, it returns [apikey.OnceReused]
	// and no key. The name is forgotten when the key is purged, or when the pepper
	// that was newest at the time is removed.
	//
	// Names are compared byte by byte, up to [MaxOnce] bytes long. Include who
	// asks, so that callers do not meet each other's names, and something that
	// cannot be guessed: without [Options.Peppers] the key's id can be derived
	// from the name. Processes that share a store need the same peppers. Empty
	// means that every Create makes a key.
	Once string
}

// Bounds of a key's fields. Texts are measured in characters, as people and
// JSON Schema count them.
const (
	maxName       = storage.MaxName
	maxOwner      = 256
	maxOwnerBytes = 768 // what fits the indexes of every store
	maxReason     = 512
	maxActor      = 256
	maxMetadata   = 64 << 10 // bytes, all names and values together
	maxEntries    = 1024     // of metadata
	maxNetworks   = 64
)

// Create makes a key and returns its token, the only chance to get the secret.
// The token works at once.
func (s *Service) Create(ctx context.Context, by apikey.Actor, n NewKey) (apikey.Key, Token, error) {
	if err := s.engine.Enter(); err != nil {
		return apikey.Key{}, Token{}, err
	}
	defer s.engine.Leave()
	by, err := s.actor(by)
	if err != nil {
		return apikey.Key{}, Token{}, err
	}
	id, ids, request := "", []string(nil), [sha256.Size]byte{}
	if n.Once != "" {
		if len(n.Once) > MaxOnce {
			return apikey.Key{}, Token{}, faults.Invalid("once", "%d bytes, at most %d are allowed", len(n.Once), MaxOnce)
		}
		ids, request = s.digest.OnceIDs(n.Once), n.request()
		if k, err := s.replay(ctx, ids, request); err != nil {
			return k, Token{}, err
		}
		id = ids[0]
	}
	defaultTo(&n.Environment, s.o.Environments[0].Name)
	defaultTo(&n.Plan, s.o.DefaultPlan)
	at := bounds.Now()
	k := apikey.Key{
		Name: n.Name, Owner: n.Owner, Environment: n.Environment, Scopes: slices.Clone(n.Scopes),
		Plan: n.Plan, Limits: slices.Clone(n.Limits), Networks: slices.Clone(n.Networks),
		Metadata: maps.Clone(n.Metadata), ExpiresAt: bounds.Stamp(n.ExpiresAt),
		CreatedAt: at, CreatedBy: by.ID, UpdatedAt: at,
		Secrets: []apikey.Secret{{Number: 1, CreatedAt: at}},
	}
	env, ok := s.engine.Environment(k.Environment)
	if !ok {
		return apikey.Key{}, Token{}, faults.Invalid("environment", "there is no environment %s", redact.Quoted(k.Environment))
	}
	if !k.ExpiresAt.IsZero() && !k.ExpiresAt.After(at) {
		return apikey.Key{}, Token{}, faults.Invalid("expires_at", "%v has passed already", k.ExpiresAt.Format(time.RFC3339))
	}
	if err := s.validate(ctx, &apikey.Key{}, &k); err != nil {
		return apikey.Key{}, Token{}, err
	}
	for range maxTries { // an id has 95 random bits: one try is enough
		text, parsed := s.format.Mint(env, id)
		k.ID = strings.Clone(parsed.ID) // a view would keep the whole token in memory with the id
		var err error
		k.Revision, err = s.store.Apply(ctx, storage.Change{
			Record: storage.Record{Key: k, Digests: []storage.Digest{s.digest.Sign(parsed)}, Request: request},
			Entry: apikey.AuditEntry{
				At: at, Actor: by.ID, From: by.From, Action: "create", KeyID: k.ID, Owner: k.Owner,
				Details: map[string]string{"name": k.Name, "environment": k.Environment, "plan": k.Plan, "scopes": strings.Join(k.Scopes, " ")},
			},
		})
		if errors.Is(err, apikey.Conflict) {
			if there, err := s.replay(ctx, ids, request); err != nil { // another process made the same creation first
				return there, Token{}, err
			}
			continue
		}
		if err != nil {
			return apikey.Key{}, Token{}, storeError("create", err)
		}
		if id != "" {
			s.engine.Forget(id) // a name may be used again after a purge; a random id does not come again
		}
		return k, newToken(text), nil
	}
	return apikey.Key{}, Token{}, apikey.Conflict
}

// validate checks and normalises the fields that people may set. It leaves an
// unchanged field alone: it may name a plan or a scope that the service no
// longer has, or date from a time with other bounds.
func (s *Service) validate(ctx context.Context, before, k *apikey.Key) error {
	if before.Name != k.Name {
		if strings.TrimSpace(k.Name) == "" {
			return faults.Invalid("name", "give the key a name, like \"production-backend\"")
		}
		if err := s.validWords("name", k.Name, maxName); err != nil {
			return err
		}
	}
	if k.Owner == "" {
		return faults.Invalid("owner", "name the account that the key acts for")
	}
	if before.Owner != k.Owner {
		if err := s.validWords("owner", k.Owner, maxOwner); err != nil {
			return err
		}
		if len(k.Owner) > maxOwnerBytes {
			return faults.Invalid("owner", "%d bytes, at most %d are allowed", len(k.Owner), maxOwnerBytes)
		}
	}
	if !slices.Equal(before.Scopes, k.Scopes) {
		if err := s.validateScopes(k); err != nil {
			return err
		}
	}
	if before.Plan != k.Plan {
		_, err := s.o.PlanSource.Plan(ctx, k.Plan)
		if errors.Is(err, apikey.NotFound) {
			return faults.Invalid("plan", "there is no plan %s", redact.Quoted(k.Plan))
		} else if err != nil {
			return storeError("plan", err)
		}
		if err := validText("plan", k.Plan, maxOwner); err != nil { // with a PlanSource
			return err
		}
	}
	if !slices.Equal(before.Limits, k.Limits) {
		if err := (apikey.Plan{Name: "own", Limits: k.Limits, Unlimited: len(k.Limits) == 0}).Validate(); err != nil {
			return faults.Renamed(err, "Plan.Limits", "limits")
		}
	}
	if !slices.Equal(before.Networks, k.Networks) {
		if err := validateNetworks(k.Networks); err != nil {
			return err
		}
	}
	if !maps.Equal(before.Metadata, k.Metadata) {
		if err := s.validateMetadata(k.Metadata); err != nil {
			return err
		}
	}
	return validTime("expires_at", k.ExpiresAt)
}

func validateNetworks(networks []netip.Prefix) error {
	if len(networks) > maxNetworks {
		return faults.Invalid("networks", "%d networks, at most %d are allowed", len(networks), maxNetworks)
	}
	for i, p := range networks {
		n, ok := bounds.Network(p)
		if !ok {
			return faults.Invalid(fmt.Sprintf("networks[%d]", i), "must be a network like 10.0.0.0/8 or 2001:db8::/32")
		}
		networks[i] = n
	}
	return nil
}

// validateMetadata allows any text that can be stored as a value, including
// several lines: the service displays none of them.
func (s *Service) validateMetadata(metadata map[string]string) error {
	if len(metadata) > maxEntries {
		return faults.Invalid("metadata", "%d entries, at most %d are allowed", len(metadata), maxEntries)
	}
	size := 0
	for name, value := range metadata {
		if name == "" || !bounds.Storable(name) || !bounds.Storable(value) {
			return faults.Invalid("metadata", "names must not be empty, and all must be UTF-8 without NUL")
		}
		if s.Redact(name) != name || s.Redact(value) != value {
			return faults.Invalid("metadata", "%s", holdsSecret)
		}
		size += len(name) + len(value)
	}
	if size > maxMetadata {
		return faults.Invalid("metadata", "%d bytes, at most %d are allowed", size, maxMetadata)
	}
	return nil
}

func (s *Service) validateScopes(k *apikey.Key) error {
	if len(k.Scopes) > apikey.MaxScopes {
		return faults.Invalid("scopes", "%d scopes, at most %d are allowed", len(k.Scopes), apikey.MaxScopes)
	}
	for i, scope := range k.Scopes {
		field := fmt.Sprintf("scopes[%d]", i)
		if err := (apikey.Scope{Name: scope}).ValidateGrant(); err != nil {
			return faults.Renamed(err, "Name", field)
		}
		if len(s.o.Scopes) > 0 && !slices.ContainsFunc(s.o.Scopes, func(known apikey.Scope) bool { return known.GrantedBy(scope) }) {
			return faults.Invalid(field, "there is no scope %s", redact.Quoted(scope))
		}
	}
	slices.Sort(k.Scopes)
	k.Scopes = slices.Compact(k.Scopes)
	return nil
}

const holdsSecret = "looks like an API key: never write one here; if it is real, rotate it now"

// validWords is validText for texts that are stored and displayed: they must
// contain no secret.
func (s *Service) validWords(field, text string, most int) error {
	if err := validText(field, text, most); err != nil {
		return err
	}
	if s.Redact(text) != text {
		return faults.Invalid(field, "%s", holdsSecret)
	}
	return nil
}

// validText accepts a line of text: see [bounds.Text].
func validText(field, s string, most int) error {
	if n := utf8.RuneCountInString(s); n > most {
		return faults.Invalid(field, "%d characters, at most %d are allowed", n, most)
	}
	if !bounds.Text(s) {
		return faults.Invalid(field, "must be one line of UTF-8 text, without control characters and without those that turn its direction")
	}
	return nil
}

// validTime accepts the zero time, and every time that can be represented: see
// [bounds.Time].
func validTime(field string, t time.Time) error {
	if !t.IsZero() && !bounds.Time(t) {
		return faults.Invalid(field, "must be in the years 1 to 9999, in UTC")
	}
	return nil
}

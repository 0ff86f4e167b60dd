package latchkey

import (
	"context"
	"errors"
	"iter"
	"strconv"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/bounds"
	"github.com/wontopos/latchkey/internal/faults"
	"github.com/wontopos/latchkey/storage"
)

// Get returns a key.
func (s *Service) Get(ctx context.Context, id string) (apikey.Key, error) {
	if err := s.engine.Enter(); err != nil {
		return apikey.Key{}, err
	}
	defer s.engine.Leave()
	r, err := s.store.Get(ctx, id)
	return r.Key, storeError("get", err)
}

// Identity says whose a pasted token is.
type Identity struct {
	Key    apikey.Key
	Secret apikey.Secret // which of the key's secrets the token contains
	Works  bool          // a request with it would be authenticated now
}

// Identify finds the key of a token that somebody found, without using it:
// nothing is charged or counted. A token whose secret is wrong is
// [apikey.NotFound], even if its id is right.
func (s *Service) Identify(ctx context.Context, token string) (Identity, error) {
	if err := s.engine.Enter(); err != nil {
		return Identity{}, err
	}
	defer s.engine.Leave()
	t, ok := s.format.Parse(token)
	if !ok {
		return Identity{}, &apikey.Error{Code: apikey.InvalidArgument, Field: "token", Msg: "this is no key of this service: check that all of it was pasted"}
	}
	r, err := s.store.Get(ctx, t.ID)
	if errors.Is(err, apikey.NotFound) {
		s.digest.Decoy(t)
		return Identity{}, apikey.NotFound
	}
	if err != nil {
		return Identity{}, storeError("get", err)
	}
	at := bounds.Now()
	for i := range r.Digests {
		if s.digest.Knows(r.Digests[i].Pepper, t.Env) && s.digest.Matches(t, &r.Digests[i]) && r.Key.Environment == s.o.Environments[t.Env].Name {
			secret := r.Key.Secrets[i]
			return Identity{Key: r.Key, Secret: secret, Works: r.Key.StateAt(at) == apikey.Active && secret.LiveAt(at)}, nil
		}
	}
	return Identity{}, apikey.NotFound
}

// RecordFound records in the audit trail of a key that somebody found one of
// its secrets: who, when, and which one. Call it with the result of
// [Service.Identify], once the actor is allowed to know about the key. Only the
// key's revision changes. For a revoked key, whose trail has ended, nothing is
// written.
func (s *Service) RecordFound(ctx context.Context, by apikey.Actor, id string, secret uint32) (apikey.Key, error) {
	return s.mutate(ctx, by, id, "found", func(r *storage.Record, e *apikey.AuditEntry) error {
		if !r.Key.RevokedAt.IsZero() {
			return errUnchanged
		}
		e.Details = map[string]string{"secret": strconv.FormatUint(uint64(secret), 10)}
		return nil
	})
}

// Due returns the active keys of an owner (of everybody, if empty) whose
// current secret is older than [Options.MaxAge], or will be within ahead. It
// reads every record of the owner.
func (s *Service) Due(ctx context.Context, owner string, ahead time.Duration) ([]apikey.Key, error) {
	if err := s.engine.Enter(); err != nil {
		return nil, err
	}
	defer s.engine.Leave()
	var due []apikey.Key
	for k, err := range s.allDue(ctx, owner, ahead) {
		if err != nil {
			return nil, err
		}
		due = append(due, k)
	}
	return due, nil
}

// allDue is Due, one key at a time; nothing follows an error.
func (s *Service) allDue(ctx context.Context, owner string, ahead time.Duration) iter.Seq2[apikey.Key, error] {
	return func(yield func(apikey.Key, error) bool) {
		at := bounds.Now()
		for r, err := range s.all(ctx, owner) {
			if err != nil {
				yield(apikey.Key{}, err)
				return
			}
			if r.Key.StateAt(at) == apikey.Active && at.Add(ahead).Sub(r.Key.Secrets[0].CreatedAt) >= s.o.MaxAge && !yield(r.Key, nil) {
				return
			}
		}
	}
}

// PepperUse counts the working secrets under each pepper: a pepper that is no
// longer in use can be removed from [Options.Peppers]. It reads every record.
func (s *Service) PepperUse(ctx context.Context) (map[uint32]int, error) {
	if err := s.engine.Enter(); err != nil {
		return nil, err
	}
	defer s.engine.Leave()
	at, use := bounds.Now(), make(map[uint32]int)
	for r, err := range s.all(ctx, "") {
		if err != nil {
			return nil, err
		}
		for i, d := range r.Digests {
			if r.Key.RevokedAt.IsZero() && r.Key.Secrets[i].LiveAt(at) {
				use[d.Pepper]++
			}
		}
	}
	return use, nil
}

// MinPurgeAge is how long a key must have been revoked before it may be purged:
// longer than any request, cache or log needs it.
const MinPurgeAge = 24 * time.Hour

// Purge removes the records of keys that were revoked at least age ago, and
// returns how many it removed. Their audit trail stays. From then on a token of
// a purged key is unknown ([apikey.InvalidKey] rather than [apikey.RevokedKey]).
func (s *Service) Purge(ctx context.Context, by apikey.Actor, age time.Duration) (int, error) {
	if err := s.engine.Enter(); err != nil {
		return 0, err
	}
	defer s.engine.Leave()
	by, err := s.actor(by)
	if err != nil {
		return 0, err
	}
	if age < MinPurgeAge {
		return 0, faults.Invalid("age", "%v is too short: keys revoked less than %v ago stay", age, MinPurgeAge)
	}
	at, n := bounds.Now(), 0
	for r, err := range s.all(ctx, "") {
		if err != nil {
			return n, err
		}
		if r.Key.RevokedAt.IsZero() || at.Sub(r.Key.RevokedAt) < age {
			continue
		}
		entry := apikey.AuditEntry{At: at, Actor: by.ID, From: by.From, Action: "purge", KeyID: r.Key.ID, Owner: r.Key.Owner}
		_, err := s.store.Apply(ctx, storage.Change{Record: r, Expect: r.Key.Revision, Delete: true, Entry: entry})
		switch {
		case err == nil:
			n++
		case errors.Is(err, apikey.InvalidArgument): // not written by a Service; the others can go
			s.o.Logger.WarnContext(ctx, "a key cannot be purged", "key", r.Key.ID, "error", err)
		case !errors.Is(err, apikey.Conflict) && !errors.Is(err, apikey.NotFound): // another purge was quicker
			return n, storeError("purge", err)
		}
	}
	return n, nil
}

package latchkey

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/bounds"
	"github.com/wontopos/latchkey/internal/faults"
	"github.com/wontopos/latchkey/storage"
)

// maxTries bounds how often a compare-and-swap is retried against other writers
// of the same key.
const maxTries = 64

// errUnchanged ends a mutation that has nothing to change.
var errUnchanged = errors.New("unchanged")

// mutate reads a record, lets edit change a copy, and applies it with its audit
// entry in one transaction. It starts over if another writer came in between,
// so edit may run several times and must not keep anything. An edit that
// returns errUnchanged succeeds without a write, but only once the state that
// it found is in force: whoever wrote that state may still be waiting.
func (s *Service) mutate(ctx context.Context, by apikey.Actor, id, action string, edit func(r *storage.Record, e *apikey.AuditEntry) error) (apikey.Key, error) {
	if err := s.engine.Enter(); err != nil {
		return apikey.Key{}, err
	}
	defer s.engine.Leave()
	by, err := s.actor(by)
	if err != nil {
		return apikey.Key{}, err
	}
	for try := range maxTries {
		r, err := s.store.Get(ctx, id)
		if err != nil {
			return apikey.Key{}, storeError("get", err)
		}
		expect, at := r.Key.Revision, bounds.Now()
		entry := apikey.AuditEntry{At: at, Actor: by.ID, From: by.From, Action: action, KeyID: id, Owner: r.Key.Owner}
		if err := edit(&r, &entry); errors.Is(err, errUnchanged) {
			s.takeIn(&r)
			return r.Key, s.settle(ctx, by, &r.Key)
		} else if err != nil {
			return apikey.Key{}, err
		}
		r.Key.UpdatedAt = at
		r.Key.Revision, err = s.store.Apply(ctx, storage.Change{Record: r, Expect: expect, Entry: entry})
		switch {
		case err == nil:
			if !s.engine.Synchronous() { // otherwise the store has announced it
				s.takeIn(&r)
			}
			return r.Key, s.settle(ctx, by, &r.Key)
		case !errors.Is(err, apikey.Conflict) && !errors.Is(err, apikey.InvalidState): // revoked meanwhile
			s.engine.Forget(id) // the outcome may be unknown: trust nothing
			return apikey.Key{}, storeError(string(action), err)
		}
		select { // another writer was quicker
		case <-ctx.Done():
			return apikey.Key{}, ctx.Err()
		case <-time.After(rand.N(time.Duration(try+1) * 100 * time.Microsecond)):
		}
	}
	return apikey.Key{}, apikey.Conflict
}

// settle waits until a change is in force everywhere. Its error says that the
// change is written, but that some processes may not have it yet.
func (s *Service) settle(ctx context.Context, by apikey.Actor, k *apikey.Key) error {
	return s.engine.Settle(ctx, k, by != upkeeper)
}

// revokeAgain revokes a key whose revocation the store has lost.
func (s *Service) revokeAgain(ctx context.Context, id string) error {
	_, err := s.Revoke(ctx, upkeeper, id, "revoked before the store lost the change")
	return err
}

// takeIn applies a record that was written to the cache and the requests in
// flight of this process.
func (s *Service) takeIn(r *storage.Record) {
	shared := r.Clone()
	s.engine.Notice(storage.Notice{ID: r.Key.ID, Revision: r.Key.Revision, Record: &shared})
}

// actor validates who makes a change, for records and the audit trail.
func (s *Service) actor(a apikey.Actor) (apikey.Actor, error) {
	if a.ID == "" {
		return a, faults.Invalid("actor", "say who makes the change: the audit trail records it")
	}
	if err := validText("actor", a.ID, maxActor); err != nil {
		return a, err
	}
	a.ID, a.From = s.Redact(a.ID), s.Redact(a.From)
	return a, validText("actor.from", a.From, maxActor)
}

// refuseRevoked is the first step of every edit but Revoke: revoked is final.
func refuseRevoked(k *apikey.Key) error {
	if !k.RevokedAt.IsZero() {
		return &apikey.Error{Code: apikey.InvalidState, Msg: "the key is revoked, which is final: create a new one"}
	}
	return nil
}

// Disable turns a key off until Enable; requests in flight are cut. A disabled
// key stays unchanged, with one exception: an actor who is not a Customer also
// locks the key, even if its customer has disabled it first. Disable returns
// once no request is admitted any more.
func (s *Service) Disable(ctx context.Context, by apikey.Actor, id, reason string) (apikey.Key, error) {
	return s.mutate(ctx, by, id, "disable", func(r *storage.Record, e *apikey.AuditEntry) error {
		if err := refuseRevoked(&r.Key); err != nil {
			return err
		}
		if err := validText("reason", reason, maxReason); err != nil {
			return err
		}
		k := &r.Key
		if !k.DisabledAt.IsZero() && (by.Customer || k.Locked) {
			return errUnchanged
		}
		if k.DisabledAt.IsZero() {
			k.DisabledAt = e.At
		}
		k.DisabledBy, k.Locked, e.Reason = e.Actor, !by.Customer, reason
		return nil
	})
}

// Enable undoes Disable. An enabled key stays unchanged. A Customer cannot
// enable a key that is [apikey.Key.Locked]: the error's code is [apikey.Forbidden].
func (s *Service) Enable(ctx context.Context, by apikey.Actor, id string) (apikey.Key, error) {
	return s.mutate(ctx, by, id, "enable", func(r *storage.Record, _ *apikey.AuditEntry) error {
		if err := refuseRevoked(&r.Key); err != nil {
			return err
		}
		if r.Key.DisabledAt.IsZero() {
			return errUnchanged
		}
		if by.Customer && r.Key.Locked {
			return &apikey.Error{Code: apikey.Forbidden, Msg: "this key was disabled by an administrator, and only an administrator can enable it"}
		}
		r.Key.DisabledAt, r.Key.DisabledBy, r.Key.Locked = time.Time{}, "", false
		return nil
	})
}

// Revoke ends a key permanently. When it returns nil the revocation is written,
// no request is admitted with the key any more, and requests in flight have
// been cut. Revoking twice is not an error and keeps the first reason.
//
// On a store that several processes share ([storage.Feed]), Revoke and all other
// changes of a key return when every live process has acknowledged them, or at
// the latest one lease after the commit ([LeaseOptions]), when no process can
// trust what it knew before. An error with a Key then means that the change is
// written, but that ctx ended during the wait.
func (s *Service) Revoke(ctx context.Context, by apikey.Actor, id, reason string) (apikey.Key, error) {
	return s.mutate(ctx, by, id, "revoke", func(r *storage.Record, e *apikey.AuditEntry) error {
		if err := validText("reason", reason, maxReason); err != nil {
			return err
		}
		if !r.Key.RevokedAt.IsZero() {
			return errUnchanged
		}
		reason := s.Redact(reason) // may be longer, unchecked: nothing may keep anybody from revoking a leaked key
		r.Key.RevokedAt, r.Key.RevokedBy, r.Key.RevokeReason, e.Reason = e.At, e.Actor, reason, reason
		return nil
	})
}

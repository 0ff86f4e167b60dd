package latchkey

import (
	"context"
	"fmt"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/bounds"
	"github.com/wontopos/latchkey/internal/faults"
	"github.com/wontopos/latchkey/storage"
)

// DefaultGrace is how long the old secret works after [Service.Rotate].
const DefaultGrace = 24 * time.Hour

// MaxGrace bounds how long two secrets of a key work side by side.
const MaxGrace = 90 * 24 * time.Hour

// RotateOptions says how the old secret ends.
type RotateOptions struct {
	// Grace is how long the old secret keeps working; default [DefaultGrace].
	Grace time.Duration
	// Immediately ends the old secret now and cuts its requests in flight: for a
	// secret that leaked. Grace must then be zero.
	Immediately bool
	// StartOnFirstUse starts the grace when the new secret is first used, rather
	// than now: the old secret works until the new one is deployed.
	StartOnFirstUse bool
	// Number, when not 0, identifies the rotation by the secret that it makes:
	// [apikey.Key.NextSecret] of the key as the caller saw it. Numbers are never reused,
	// so a rotation with a number happens only once, however often and by
	// whichever process it is requested. If the key's next secret has another
	// number, Rotate returns [apikey.Conflict].
	Number uint32
	// Reason is for the audit trail; at most 512 bytes.
	Reason string
}

// Rotate gives the key a second secret under the same id and returns its token:
// same scopes, same limits (one budget), same audit trail. The old secret works
// until its grace ends, never past the key's own expiry. A key has at most two
// working secrets: rotating again before the old one has ended is
// [apikey.InvalidState]; finish or cancel first.
//
// An error with a Key and a Token means that the secret exists, but ctx ended
// while Rotate waited for other processes, as with [Service.Revoke]. The token
// cannot be retrieved again: do not drop it.
func (s *Service) Rotate(ctx context.Context, by apikey.Actor, id string, o RotateOptions) (apikey.Key, Token, error) {
	switch {
	case o.Grace < 0 || o.Grace > MaxGrace:
		return apikey.Key{}, Token{}, faults.Invalid("grace", "%v is not between 0 and %v", o.Grace, MaxGrace)
	case o.Immediately && (o.Grace != 0 || o.StartOnFirstUse):
		return apikey.Key{}, Token{}, faults.Invalid("grace", "a rotation that ends the old secret immediately has no grace")
	}
	if err := validText("reason", o.Reason, maxReason); err != nil {
		return apikey.Key{}, Token{}, err
	}
	defaultTo(&o.Grace, DefaultGrace)
	var token Token
	k, err := s.mutate(ctx, by, id, "rotate", func(r *storage.Record, e *apikey.AuditEntry) error {
		k := &r.Key
		if err := refuseRevoked(k); err != nil {
			return err
		}
		number := k.NextSecret()
		if o.Number != 0 && o.Number != number {
			return &apikey.Error{Code: apikey.Conflict, Msg: fmt.Sprintf("the key's next secret is number %d, not %d: its secrets have changed since you looked", number, o.Number)}
		}
		if k.StateAt(e.At) == apikey.Expired {
			return &apikey.Error{Code: apikey.InvalidState, Msg: "the key has expired: set a later expiry first, or create a new key"}
		}
		if len(k.Secrets) == 2 && k.Secrets[1].LiveAt(e.At) {
			return &apikey.Error{Code: apikey.InvalidState, Msg: "the key is being rotated already: finish or cancel that first"}
		}
		env, ok := s.engine.Environment(k.Environment)
		if !ok {
			return faults.Invalid("environment", "there is no environment %q any more", k.Environment)
		}
		old := k.Secrets[0]
		switch {
		case o.Immediately:
			old.EndsAt = e.At
		case o.StartOnFirstUse:
			old.Grace = o.Grace
		default:
			old.EndsAt = e.At.Add(o.Grace)
		}
		text, parsed := s.format.Mint(env, k.ID)
		token = newToken(text)
		k.Secrets = []apikey.Secret{{Number: number, CreatedAt: e.At}, old}
		r.Digests = []storage.Digest{s.digest.Sign(parsed), r.Digests[0]}
		e.Reason = o.Reason
		e.Details = map[string]string{"secret": fmt.Sprint(k.Secrets[0].Number), "old_secret_ends": endText(&old)}
		return nil
	})
	if k.ID == "" { // nothing was written: a token made by a failed edit belongs to no secret
		token = Token{}
	}
	return k, token, err
}

func endText(old *apikey.Secret) string {
	if old.Grace > 0 {
		return old.Grace.String() + " after the new secret is first used"
	}
	return timeText(old.EndsAt)
}

// Rotation describes the progress of a rotation.
type Rotation struct {
	Old, New apikey.Secret
	OldUsage apikey.UsageSecret
	NewUsage apikey.UsageSecret
	InFlight int // requests being served with the old secret, in this process
	// Safe reports that the new secret is in use and the old one has been
	// quiet for [Options.Quiet]: FinishRotation would succeed.
	Safe bool
	// Reason says in words why it is safe or unsafe.
	Reason string
}

// Rotation reports on the rotation of a key. If the key does not have two
// working secrets, it returns [apikey.InvalidState].
func (s *Service) Rotation(ctx context.Context, id string) (Rotation, error) {
	if err := s.engine.Enter(); err != nil {
		return Rotation{}, err
	}
	defer s.engine.Leave()
	r, err := s.store.Get(ctx, id)
	if err != nil {
		return Rotation{}, storeError("get", err)
	}
	return s.rotation(ctx, &r.Key)
}

func (s *Service) rotation(ctx context.Context, k *apikey.Key) (Rotation, error) {
	at := bounds.Now()
	if !k.RotatingAt(at) {
		return Rotation{}, &apikey.Error{Code: apikey.InvalidState, Msg: "the key is not being rotated"}
	}
	usage, err := s.usage(ctx, k.ID, at)
	if err != nil {
		return Rotation{}, err
	}
	rot := Rotation{Old: k.Secrets[1], New: k.Secrets[0]}
	rot.OldUsage, rot.NewUsage = usage.Of(rot.Old.Number), usage.Of(rot.New.Number)
	rot.InFlight = s.engine.InFlight(k.ID, rot.Old.Number)
	oldLast := rot.OldUsage.Last.At
	switch quiet := at.Sub(oldLast); {
	case rot.InFlight > 0:
		rot.Reason = fmt.Sprintf("%d requests with the old secret are being served right now", rot.InFlight)
	case rot.NewUsage.Last.At.IsZero():
		rot.Reason = "the new secret has not been used yet"
	case !oldLast.IsZero() && quiet < s.o.Quiet:
		rot.Reason = fmt.Sprintf("the old secret was last used %v ago", quiet.Round(time.Second))
	case oldLast.IsZero():
		rot.Safe, rot.Reason = true, "the old secret was never used: safe to finish"
	default:
		rot.Safe, rot.Reason = true, fmt.Sprintf("no request with the old secret for %v: safe to finish", quiet.Round(time.Second))
	}
	return rot, nil
}

// FinishRotation ends the old secret now. If the old secret is in use, or the
// new one was never used, it returns [apikey.SecretInUse] with the reason, unless
// forced; requests in flight with the old secret are then cut.
func (s *Service) FinishRotation(ctx context.Context, by apikey.Actor, id string, force bool) (apikey.Key, error) {
	return s.mutate(ctx, by, id, "finish_rotation", func(r *storage.Record, e *apikey.AuditEntry) error {
		if err := refuseRevoked(&r.Key); err != nil {
			return err
		}
		rot, err := s.rotation(ctx, &r.Key)
		if err != nil {
			return err
		}
		if !rot.Safe && !force {
			return &apikey.Error{Code: apikey.SecretInUse, Msg: rot.Reason + "; wait until it has gone quiet, or force"}
		}
		old := &r.Key.Secrets[1]
		old.EndsAt, old.Grace = e.At, 0
		e.Details = map[string]string{"secret": fmt.Sprint(old.Number), "state": rot.Reason}
		if !rot.Safe {
			e.Details["forced"] = "true"
		}
		return nil
	})
}

// CancelRotation undoes a rotation: the new secret ends now, its requests in
// flight are cut, and the old one keeps working without an end.
func (s *Service) CancelRotation(ctx context.Context, by apikey.Actor, id string) (apikey.Key, error) {
	return s.mutate(ctx, by, id, "cancel_rotation", func(r *storage.Record, e *apikey.AuditEntry) error {
		if err := refuseRevoked(&r.Key); err != nil {
			return err
		}
		if !r.Key.RotatingAt(e.At) {
			return &apikey.Error{Code: apikey.InvalidState, Msg: "the key is not being rotated: the old secret has ended, so there is nothing to go back to"}
		}
		dropped, kept := r.Key.Secrets[0], r.Key.Secrets[1]
		dropped.EndsAt = e.At
		kept.EndsAt, kept.Grace = time.Time{}, 0
		r.Key.Secrets = []apikey.Secret{kept, dropped}
		r.Digests = []storage.Digest{r.Digests[1], r.Digests[0]}
		e.Details = map[string]string{"secret": fmt.Sprint(dropped.Number)}
		return nil
	})
}

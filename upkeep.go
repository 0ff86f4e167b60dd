package latchkey

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/engine"
	"github.com/wontopos/latchkey/internal/foreign"
	"github.com/wontopos/latchkey/storage"
)

// upkeeper is the actor of what the service does on its own.
var upkeeper = apikey.Actor{ID: "latchkey"}

// upkeepLoop does what requests discovered.
func (s *Service) upkeepLoop() {
	for {
		select {
		case <-s.engine.Stopped().Done():
			return
		case job := <-s.engine.Jobs():
			if err := s.do(s.engine.Stopped(), job); err != nil && s.engine.Stopped().Err() == nil {
				s.o.Logger.Warn("upkeep of a key failed; its next use tries again", "key", job.KeyID, "error", err)
				s.engine.Forget(job.KeyID)
			}
		}
	}
}

// do records the first use of a rotated-in secret (which starts a grace that
// waited for it), and replaces a digest under an old pepper.
func (s *Service) do(ctx context.Context, job engine.Job) error {
	_, err := s.mutate(ctx, upkeeper, job.KeyID, "first_use", func(r *storage.Record, e *apikey.AuditEntry) error {
		k := &r.Key
		if !k.RevokedAt.IsZero() || k.Secrets[0].Number != job.Secret {
			return errUnchanged
		}
		changed := false
		if len(k.Secrets) == 2 && k.Secrets[0].FirstUsedAt.IsZero() && k.RotatingAt(e.At) {
			k.Secrets[0].FirstUsedAt, changed = e.At, true
			if old := &k.Secrets[1]; old.Grace > 0 {
				old.EndsAt, old.Grace = e.At.Add(old.Grace), 0
			}
			e.Details = map[string]string{"secret": fmt.Sprint(job.Secret), "old_secret_ends": endText(&k.Secrets[1])}
		}
		if r.Digests[0] == job.From && job.To.Pepper > job.From.Pepper {
			r.Digests[0] = job.To
			if !changed {
				e.Action = "redigest"
				e.Details = map[string]string{"pepper": fmt.Sprintf("%d -> %d", job.From.Pepper, job.To.Pepper)}
			}
			changed = true
		}
		if !changed {
			return errUnchanged
		}
		return nil
	})
	return err
}

const (
	dueEvery    = time.Hour   // how often to look for keys that OnDue should report
	duePatience = time.Minute // how long one call of OnDue may take
)

// callDue calls OnDue. What goes wrong in it has been logged.
func (s *Service) callDue(k apikey.Key) {
	_, _ = foreign.Patiently(s.engine.Stopped(), s.due, duePatience, func(ctx context.Context) (none struct{}, err error) {
		s.o.OnDue(ctx, k)
		return none, nil
	})
}

// dueLoop calls OnDue for the secrets that become due.
func (s *Service) dueLoop() {
	var told map[string]uint32 // the keys that are due now, with the secret that was reported
	tick := time.NewTicker(dueEvery)
	defer tick.Stop()
	for {
		told = s.tellDue(told)
		select {
		case <-s.engine.Stopped().Done():
			return
		case <-tick.C:
		}
	}
}

// tellDue calls OnDue for every due secret that no process has reported. Its
// result is for the next call: those keys need not be checked again.
func (s *Service) tellDue(told map[string]uint32) map[string]uint32 {
	still := make(map[string]uint32)
	for k, err := range s.allDue(s.engine.Stopped(), "", s.o.DueAhead) {
		if err != nil {
			if s.engine.Stopped().Err() == nil {
				s.o.Logger.Warn("keys due for rotation could not be listed; the next try is in an hour", "error", err)
			}
			return told
		}
		if secret := k.Secrets[0].Number; told[k.ID] != secret {
			first, err := s.claimDue(s.engine.Stopped(), &k)
			if err != nil {
				if s.engine.Stopped().Err() == nil {
					s.o.Logger.Warn("a key due for rotation could not be told of; the next try is in an hour", "key", k.ID, "error", err)
				}
				continue
			}
			if first {
				s.callDue(k)
			}
		}
		still[k.ID] = k.Secrets[0].Number
	}
	return still
}

// claimDue records in the audit trail that a key's current secret is reported
// as due, and reports whether this is the first such record. The revision of
// the key ensures that only one process writes it.
func (s *Service) claimDue(ctx context.Context, k *apikey.Key) (first bool, err error) {
	due := k.Secrets[0]
	_, err = s.mutate(ctx, upkeeper, k.ID, "due", func(r *storage.Record, e *apikey.AuditEntry) error {
		first = false
		if r.Key.StateAt(e.At) != apikey.Active || r.Key.Secrets[0].Number != due.Number {
			return errUnchanged // the key has changed since
		}
		e.Details = map[string]string{"secret": fmt.Sprint(due.Number)}
		if told, err := s.toldDue(ctx, k.ID, due.CreatedAt, e.Details["secret"]); err != nil || told {
			return cmp.Or(err, errUnchanged)
		}
		first = true
		return nil
	})
	return first, err
}

// toldDue looks for claimDue's entry, from the newest back to when the secret
// was made.
func (s *Service) toldDue(ctx context.Context, id string, made time.Time, secret string) (bool, error) {
	q := apikey.AuditQuery{KeyID: id}
	for {
		entries, err := s.store.Audit(ctx, q)
		if err != nil {
			return false, storeError("audit", err)
		}
		for i := range entries {
			switch e := &entries[i]; {
			case e.Action == "due" && e.Details["secret"] == secret:
				return true, nil
			case e.At.Before(made):
				return false, nil
			}
			q.Before = entries[i].Seq
		}
		if len(entries) < q.PageLimit() {
			return false, nil
		}
	}
}

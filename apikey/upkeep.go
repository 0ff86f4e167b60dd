package apikey

import (
	"cmp"
	"context"
	"fmt"
	"time"
)

// upkeepJob is work that a request found, to be done after it: the hot path
// never writes.
type upkeepJob struct {
	keyID  string
	secret uint32 // number of the current secret that was used
	from   Digest
	to     Digest // under the newest pepper; zero when that is not the job
}

// upkeeper is the actor of what the service does by itself.
var upkeeper = Actor{ID: "latchkey"}

// noteUse queues what the use of a current secret calls for. A full queue
// leaves the marks: a later request queues it.
func (s *Service) noteUse(snap *snapshot, token string) {
	job := upkeepJob{keyID: snap.key.ID, secret: snap.key.Secrets[0].Number, from: snap.current.digest}
	first, redigest := snap.firstUse.Swap(false), snap.redigest.Swap(false)
	if redigest {
		t, _ := s.format.parse(token) // once more: hardly ever is a secret signed anew
		job.to = s.digest.sign(t)
	}
	if !first && !redigest {
		return
	}
	select {
	case s.upkeep <- job:
	default:
		snap.firstUse.Store(first)
		snap.redigest.Store(redigest)
	}
}

func (s *Service) upkeepLoop() {
	for {
		select {
		case <-s.stopped.Done():
			return
		case job := <-s.upkeep:
			if err := s.do(s.stopped, job); err != nil && s.stopped.Err() == nil {
				s.log.Warn("upkeep of a key failed; its next use tries again", "key", job.keyID, "error", err)
				s.cache.forget(job.keyID)
			}
		}
	}
}

// do writes down the first use of a rotated-in secret (and so starts a grace
// that waited for it), and replaces a digest under an old pepper.
func (s *Service) do(ctx context.Context, job upkeepJob) error {
	_, err := s.mutate(ctx, upkeeper, job.keyID, ActionFirstUse, func(r *Record, e *AuditEntry) error {
		k := &r.Key
		if !k.RevokedAt.IsZero() || k.Secrets[0].Number != job.secret {
			return errUnchanged
		}
		changed := false
		if len(k.Secrets) == 2 && k.Secrets[0].FirstUsedAt.IsZero() && k.RotatingAt(e.At) {
			k.Secrets[0].FirstUsedAt, changed = e.At, true
			if old := &k.Secrets[1]; old.Grace > 0 {
				old.EndsAt, old.Grace = e.At.Add(old.Grace), 0
			}
			e.Details = map[string]string{"secret": fmt.Sprint(job.secret), "old_secret_ends": endText(&k.Secrets[1])}
		}
		if r.Digests[0] == job.from && job.to.Pepper > job.from.Pepper {
			r.Digests[0] = job.to
			if !changed {
				e.Action = ActionRedigest
				e.Details = map[string]string{"pepper": fmt.Sprintf("%d -> %d", job.from.Pepper, job.to.Pepper)}
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
	dueEvery    = time.Hour   // how often OnDue's keys are looked for
	duePatience = time.Minute // how long one call of OnDue may take
)

func (s *Service) callDue(k Key) {
	ctx, cancel := context.WithTimeout(s.stopped, duePatience)
	defer cancel()
	s.o.OnDue(ctx, k)
}

// dueLoop calls OnDue for the secrets that get due.
func (s *Service) dueLoop() {
	var told map[string]uint32 // the keys that are due now, with the secret that was told
	tick := time.NewTicker(dueEvery)
	defer tick.Stop()
	for {
		told = s.tellDue(told)
		select {
		case <-s.stopped.Done():
			return
		case <-tick.C:
		}
	}
}

// tellDue calls OnDue for every secret that is due and that no process has told
// of. What it returns is for the next call: those need not be looked at again.
func (s *Service) tellDue(told map[string]uint32) map[string]uint32 {
	still := make(map[string]uint32)
	for k, err := range s.allDue(s.stopped, "", s.o.DueAhead) {
		if err != nil {
			if s.stopped.Err() == nil {
				s.log.Warn("keys due for rotation could not be listed; the next try is in an hour", "error", err)
			}
			return told
		}
		if secret := k.Secrets[0].Number; told[k.ID] != secret {
			first, err := s.claimDue(s.stopped, &k)
			if err != nil {
				if s.stopped.Err() == nil {
					s.log.Warn("a key due for rotation could not be told of; the next try is in an hour", "key", k.ID, "error", err)
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

// claimDue writes into the audit trail that it is told that the current secret of
// a key is due, and reports whether nobody had written it before. The revision of
// the key makes sure that one process writes it.
func (s *Service) claimDue(ctx context.Context, k *Key) (first bool, err error) {
	due := k.Secrets[0]
	_, err = s.mutate(ctx, upkeeper, k.ID, ActionDue, func(r *Record, e *AuditEntry) error {
		first = false
		if r.Key.StateAt(e.At) != Active || r.Key.Secrets[0].Number != due.Number {
			return errUnchanged // it was changed since
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

// toldDue looks for the entry of claimDue, from the newest back to when the
// secret was made.
func (s *Service) toldDue(ctx context.Context, id string, made time.Time, secret string) (bool, error) {
	q := AuditQuery{KeyID: id}
	for {
		entries, err := s.store.Audit(ctx, q)
		if err != nil {
			return false, storeError("audit", err)
		}
		for i := range entries {
			switch e := &entries[i]; {
			case e.Action == ActionDue && e.Details["secret"] == secret:
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

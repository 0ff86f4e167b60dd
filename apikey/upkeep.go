package apikey

import (
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

// dueLoop calls OnDue once for each secret that gets due.
func (s *Service) dueLoop() {
	told := make(map[string]uint32)
	tick := time.NewTicker(dueEvery)
	defer tick.Stop()
	for {
		keys, err := s.due(s.stopped, "", s.o.DueAhead)
		if err != nil && s.stopped.Err() == nil {
			s.log.Warn("keys due for rotation could not be listed", "error", err)
		}
		for _, k := range keys {
			if secret := k.Secrets[0].Number; told[k.ID] != secret {
				told[k.ID] = secret
				s.callDue(k)
			}
		}
		select {
		case <-s.stopped.Done():
			return
		case <-tick.C:
		}
	}
}

package limiter

import (
	"hash/maphash"
	"strings"
	"sync"
)

const escrowShards = 64

// escrowShard holds the accounts of some of the subjects. Mutexes are locked in
// this order: one shard, then accounts in the order of their subjects.
type escrowShard struct {
	mu       sync.Mutex
	accounts map[string]*account
	most     int // the size for which the map has memory
	credit   int
}

func (e *Escrow) shardOf(subject string) *escrowShard {
	return &e.shards[maphash.String(e.seed, subject)%escrowShards]
}

// find returns the account of the subject. If there is none it makes one, which
// goes into the table if keep is set, and reports whether that triggers a
// sweep.
func (e *Escrow) find(d *Demand, keep bool) (a *account, due bool, err error) {
	s := e.shardOf(d.Subject)
	s.mu.Lock()
	defer s.mu.Unlock()
	if a = s.accounts[d.Subject]; a != nil {
		return a, false, nil
	}
	if err := checkLimits(d.Limits); err != nil {
		return nil, false, err
	}
	a = newAccount(strings.Clone(d.Subject))
	if !keep {
		return a, false, nil
	}
	if s.accounts == nil {
		s.accounts = map[string]*account{}
	}
	s.accounts[a.subject] = a
	s.most = max(s.most, len(s.accounts))
	if s.credit += newCredit; s.credit >= sweepCredit {
		s.credit, due = s.credit-sweepCredit, true
	}
	return a, due, nil
}

// sweep inspects a few accounts of the next shard, starting wherever the map's
// iteration does, and removes the idle ones. No mutex is held.
func (e *Escrow) sweep() {
	s := &e.shards[e.hand.Add(1)%escrowShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	now, seen := e.now(), 0
	for subject, a := range s.accounts {
		if seen++; seen > sweepBuckets {
			break
		}
		if !a.mu.TryLock() { // in use
			continue
		}
		if a.idle(now) {
			a.gone = true
			delete(s.accounts, subject)
		}
		a.mu.Unlock()
	}
	if s.most > 64 && 4*len(s.accounts) < s.most { // a map never shrinks
		kept := make(map[string]*account, len(s.accounts))
		for subject, a := range s.accounts {
			kept[subject] = a
		}
		s.accounts, s.most = kept, len(kept)
	}
}

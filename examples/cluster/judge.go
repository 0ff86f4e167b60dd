//go:build unix

package main

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// key is a key and what happened to it, in nanoseconds since the beginning by
// the monotonic clock of this process; 0 is not yet.
type key struct {
	id, token string

	sent  atomic.Int64            // Revoke was called
	known atomic.Int64            // somebody refused it: it was committed before
	acked atomic.Int64            // Revoke returned
	used  atomic.Int64            // when the last request that was accepted started
	gone  [instances]atomic.Int64 // when each instance first refused it
	under atomic.Int64            // requests under way
}

// judge decides whether what the instances answer is allowed. It sees requests
// from outside, by one clock: when they were sent and when the answer was there.
type judge struct {
	began time.Time
	lease time.Duration

	answers [instances]tally
	unsent  atomic.Int64

	mu       sync.Mutex
	script   string
	scripts  []string
	figures  map[string]*figures // by script
	evidence []string            // the first violations
}

// tally counts the answers of an instance.
type tally struct{ ok, unauthorized, limited, unavailable, other atomic.Int64 }

// figures are the results of one script.
type figures struct {
	rounds     int
	elsewhere  []time.Duration // from Revoke's call to 401 on another instance
	revokes    []time.Duration // how long Revoke took
	lastUse    time.Duration   // the longest from a call that was acknowledged to the start of a request that was accepted
	good       int             // requests with good keys at instances that were left alone
	disturbed  int             // of those, what was not answered with 200
	refused503 int             // answers 503 at instances in trouble
	most       int             // of a limited key's requests, those in the fullest window
	limited    int             // and those that were refused
	notes      []string
	violations map[string]int
}

// The rules.
const (
	ruleStale   = "accepted after Revoke returned"
	ruleLate    = "accepted later than a lease after the commit"
	ruleServing = "served while cut off for longer than a lease"
	ruleGood    = "a good key was answered with 401"
	ruleRevoke  = "Revoke took longer than a lease"
	ruleResumed = "accepted after it went on"
	ruleLost    = "an acknowledged revocation was lost"
	ruleHerd    = "recovery was a herd of reads"
	ruleGoal    = "slower than the goal"
	ruleCalm    = "instances that were left alone were disturbed"
	ruleOver    = "more than the limit was admitted in a window"
	ruleFresh   = "a new secret was refused"
	ruleRotate  = "a request failed during a rotation"
	ruleEarly   = "a cached key was refused before the lease ended"
	ruleOutage  = "an answer in an outage was neither 200 nor 503"
)

// Requests and clocks are not judged finer than slack; calls that wait for a
// lease, and then for a poll on a machine that is busy, than patience.
const (
	slack    = 10 * time.Millisecond
	patience = 500 * time.Millisecond
)

func newJudge(lease time.Duration) *judge {
	return &judge{began: time.Now(), lease: lease, figures: map[string]*figures{}}
}

func (j *judge) now() time.Duration { return time.Since(j.began) }

func (j *judge) begin(script string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.script = script
	j.scripts = append(j.scripts, script)
	j.figures[script] = &figures{violations: map[string]int{}}
}

// with changes the figures of the script that plays.
func (j *judge) with(f func(*figures)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if now := j.figures[j.script]; now != nil {
		f(now)
	}
}

func (j *judge) violation(rule, format string, args ...any) {
	j.with(func(f *figures) { f.violations[rule]++ })
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.evidence) < 20 {
		j.evidence = append(j.evidence, fmt.Sprintf("%v %s: %s: %s", j.now().Round(time.Millisecond), j.script, rule, fmt.Sprintf(format, args...)))
	}
}

// observe judges one answer to a request that was sent at an instant.
func (j *judge) observe(m *member, k *key, sent time.Duration, status int) {
	now := j.now()
	calledAt := time.Duration(k.sent.Load())
	switch status {
	case http.StatusOK:
		j.answers[m.index].ok.Add(1)
		j.accepted(m, k, sent, now)
	case http.StatusUnauthorized:
		j.answers[m.index].unauthorized.Add(1)
		if calledAt == 0 {
			j.violation(ruleGood, "by %s", m.name)
		}
		k.known.CompareAndSwap(0, int64(now))
		k.gone[m.index].CompareAndSwap(0, int64(now))
	case http.StatusTooManyRequests:
		j.answers[m.index].limited.Add(1)
	case http.StatusServiceUnavailable:
		j.answers[m.index].unavailable.Add(1)
		if m.troubled.Load() {
			j.with(func(f *figures) { f.refused503++ })
		}
	default:
		j.answers[m.index].other.Add(1)
	}
	if calledAt == 0 && status != http.StatusTooManyRequests && !m.troubled.Load() && sent > time.Duration(m.calmAt.Load()) {
		j.with(func(f *figures) {
			f.good++
			if status != http.StatusOK {
				f.disturbed++
			}
		})
	}
}

func (j *judge) accepted(m *member, k *key, sent, now time.Duration) {
	for {
		last := k.used.Load()
		if int64(sent) <= last || k.used.CompareAndSwap(last, int64(sent)) {
			break
		}
	}
	if acked := time.Duration(k.acked.Load()); acked != 0 && sent > acked {
		j.violation(ruleStale, "by %s, sent %v after", m.name, sent-acked)
	}
	if known := time.Duration(k.known.Load()); known != 0 && sent > known+j.lease+slack {
		j.violation(ruleLate, "by %s, sent %v after it was refused elsewhere", m.name, sent-known)
	}
	if cut := time.Duration(m.cutAt.Load()); cut != 0 && sent > cut+j.lease+slack {
		j.violation(ruleServing, "by %s, sent %v after, answered at once %v", m.name, sent-cut, now-sent)
	}
}

// acknowledged notes that Revoke has just returned.
func (j *judge) acknowledged(k *key) {
	acked, called := j.now(), time.Duration(k.sent.Load())
	k.acked.Store(int64(acked))
	// Who was answered before acked was stored was not judged by it.
	if used := time.Duration(k.used.Load()); used > acked {
		j.violation(ruleStale, "sent %v after", used-acked)
	}
	took, used := acked-called, time.Duration(k.used.Load())-called
	j.with(func(f *figures) {
		f.revokes = append(f.revokes, took)
		f.lastUse = max(f.lastUse, used)
	})
	if took > j.lease+patience {
		j.violation(ruleRevoke, "%v", took)
	}
}

// settled takes in how long the other instances went on with a key.
func (j *judge) settled(by *member, k *key) {
	j.with(func(f *figures) {
		for i := range k.gone {
			if gone := k.gone[i].Load(); i != by.index && gone != 0 {
				f.elsewhere = append(f.elsewhere, time.Duration(gone-k.sent.Load()))
			}
		}
	})
}

func (j *judge) note(format string, args ...any) {
	j.with(func(f *figures) { f.notes = append(f.notes, fmt.Sprintf(format, args...)) })
}

// stale counts accepts after Revoke returned.
func (j *judge) stale() (n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, f := range j.figures {
		n += f.violations[ruleStale] + f.violations[ruleResumed]
	}
	return n
}

func (j *judge) broken() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, f := range j.figures {
		if len(f.violations) > 0 {
			return true
		}
	}
	return false
}

// percentile returns the p-th of durations, 0 without any.
func percentile(d []time.Duration, p float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	d = slices.Sorted(slices.Values(d))
	return d[min(len(d)-1, int(p*float64(len(d))))]
}

package slots

import (
	"sync"
	"testing"
	"time"

	"github.com/wontopos/latchkey/limiter"
)

// judge knows which requests are in progress for certain: each from when its
// process has said that it was admitted until its process is told that it is
// over.
type judge struct {
	*testing.T
	began time.Time
	all   []*process

	mu   sync.Mutex // guards the judge's part of the processes, too
	most int        // in progress at one time, those of lost processes included
}

func (j *judge) now() time.Duration { return time.Since(j.began) }

// held is how many requests of some processes are in progress.
func (j *judge) held(of ...*process) (n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, p := range of {
		n += len(p.places)
	}
	return n
}

// take asks for a place, and notes it.
func (j *judge) take(p *process) (limiter.Decision, bool) {
	j.Helper()
	d, err := p.call("Take", atOnce(limitN))
	if err != nil {
		j.Errorf("Take: %v", err)
	}
	if !d.Allowed {
		return d, false
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	p.places = append(p.places, d)
	reached, total := 0, 0
	for _, q := range j.all {
		if total += len(q.places); !q.lost {
			reached += len(q.places)
		}
	}
	if j.most = max(j.most, total); reached > limitN {
		j.Errorf("%d requests are in progress at processes that live and reach the server, and the limit is %d", reached, limitN)
	}
	return d, true
}

func (j *judge) admit(p *process, rule string) {
	j.Helper()
	if d, ok := j.take(p); !ok {
		j.Fatalf("%s: %v", rule, d)
	}
}

func (j *judge) refuse(rule string, by ...*process) {
	j.Helper()
	for _, p := range by {
		if d, ok := j.take(p); ok || d.RetryAfter != limiter.Unknown {
			j.Fatalf("%s: %v", rule, d)
		}
	}
}

// rush takes n places at once, or as many as there are.
func (j *judge) rush(p *process, n int) {
	var callers sync.WaitGroup
	for range n {
		callers.Go(func() { j.take(p) })
	}
	callers.Wait()
}

// end ends one request of a process.
func (j *judge) end(p *process) {
	j.Helper()
	j.mu.Lock()
	d := p.places[0]
	p.places = p.places[1:]
	j.mu.Unlock()
	if _, err := p.call("End", d); err != nil {
		j.Fatal("Settle:", err)
	}
}

// lose notes that processes do not reach the server any more, and find that they
// do again.
func (j *judge) lose(all ...*process) { j.setLost(true, all) }
func (j *judge) find(all ...*process) { j.setLost(false, all) }

func (j *judge) setLost(lost bool, all []*process) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, p := range all {
		p.lost = lost
	}
}

// kill ends a process, and with it its requests.
func (j *judge) kill(p *process) {
	j.mu.Lock()
	p.places = nil
	j.mu.Unlock()
	must(j.T, p.cmd.Process.Kill())
}

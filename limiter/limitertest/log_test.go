package limitertest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/wontopos/latchkey/limiter"
)

// process is a Log in which requests in progress end some time after their
// process has died, as in limiters that processes share.
type process struct {
	*Log
	mu   sync.Mutex
	ends []func()
	life time.Duration
}

func (p *process) Take(ctx context.Context, r limiter.Request) (limiter.Decision, error) {
	d, err := p.Log.Take(ctx, r)
	p.mu.Lock()
	defer p.mu.Unlock()
	if d.Slot != 0 {
		p.ends = append(p.ends, func() { p.Log.end(r, d) })
	}
	return d, err
}

// end frees the slots of a request, and leaves its charges.
func (l *Log) end(r limiter.Request, d limiter.Decision) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.admitted[d.Slot-1].end(r)
}

// exactLog is the harness of a Log. It forgets nothing, whatever happens.
func exactLog() Harness {
	return Harness{
		New:     func(testing.TB) limiter.Limiter { return new(Log) },
		Virtual: true,
		Step:    func(_ testing.TB, l limiter.Limiter, d time.Duration) { l.(*Log).skew += d },
		Restart: endAll,
		Crash:   endAll,
	}
}

// endAll ends the only process.
func endAll(_ testing.TB, l limiter.Limiter) limiter.Limiter {
	log := l.(*Log)
	log.mu.Lock()
	defer log.mu.Unlock()
	log.past.endAll()
	return l
}

// manyProcesses is the harness of Logs that share what they know.
func manyProcesses(life time.Duration) Harness {
	h := Harness{
		New:     func(testing.TB) limiter.Limiter { return &process{Log: new(Log), life: life} },
		Virtual: true,
		Peer: func(_ testing.TB, l limiter.Limiter) limiter.Limiter {
			return &process{Log: l.(*process).Log, life: life}
		},
	}
	h.Step = func(_ testing.TB, l limiter.Limiter, d time.Duration) { l.(*process).skew += d }
	h.Kill = func(_ testing.TB, l limiter.Limiter) {
		p := l.(*process)
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, end := range p.ends {
			time.AfterFunc(p.life, end)
		}
	}
	return h
}

func TestLog(t *testing.T) { Run(t, exactLog()) }

func TestLogShared(t *testing.T) {
	for _, r := range processRules {
		if messages := breaks(t, r.name, manyProcesses(limiter.SlotLife)); len(messages) > 0 {
			t.Errorf("%s: %s", r.name, messages[0])
		}
	}
}

// A limiter that lacks all kinds but plain windows passes, too.
func TestLogOfWindowsAlone(t *testing.T) {
	h := exactLog()
	h.NoQuotas, h.NoConcurrent, h.NoUnits, h.NoShadows = true, true, true, true
	h.New = func(testing.TB) limiter.Limiter { return windowsAlone{new(Log)} }
	h.Step, h.Restart, h.Crash = nil, nil, nil
	Run(t, h)
}

type windowsAlone struct{ *Log }

func (w windowsAlone) check(r limiter.Request) error {
	lacks := r.Shadow || len(r.Amounts) > 0
	for _, q := range r.Demands {
		for _, l := range q.Limits {
			lacks = lacks || l.Shadow || l.Window == 0 || l.Unit != ""
		}
	}
	if lacks {
		return errors.Join(limiter.ErrInvalid, checkRequest(r))
	}
	return nil
}

func (w windowsAlone) Take(ctx context.Context, r limiter.Request) (limiter.Decision, error) {
	if err := w.check(r); err != nil {
		return limiter.Decision{}, err
	}
	return w.Log.Take(ctx, r)
}

func (w windowsAlone) Peek(ctx context.Context, r limiter.Request) (limiter.Decision, error) {
	if err := w.check(r); err != nil {
		return limiter.Decision{}, err
	}
	return w.Log.Peek(ctx, r)
}

func (w windowsAlone) Settle(ctx context.Context, r limiter.Request, d limiter.Decision, s limiter.Settlement) (limiter.Decision, error) {
	if err := w.check(r); err != nil {
		return limiter.Decision{}, err
	}
	return w.Log.Settle(ctx, r, d, s)
}

package main

import (
	"errors"
	"net/http"
	"testing"
	"time"
)

// fakeServer answers one request after the other, in virtual time: each look at
// the clock takes a microsecond.
type fakeServer struct {
	now, free       time.Duration // free: when the server has done what it has
	each            time.Duration // time of a request
	stallAt, resume time.Duration // nothing is begun from stallAt on
	sent            int
	concurrent, top int
	status          int
}

func (s *fakeServer) clock() time.Duration {
	s.now += time.Microsecond
	return s.now
}

// fakeWire is a connection to it.
type fakeWire struct {
	server *fakeServer
	done   time.Duration // 0: none under way
}

func (w *fakeWire) send(uint32) error {
	s := w.server
	if w.done != 0 {
		return errors.New("a second request on a connection that has one under way")
	}
	begin := max(s.now, s.free)
	if s.stallAt <= begin && begin < s.resume {
		begin = s.resume
	}
	s.free = begin + s.each
	w.done = s.free
	s.sent++
	s.concurrent++
	s.top = max(s.top, s.concurrent)
	return nil
}

func (w *fakeWire) poll() (int, error) {
	if w.server.now < w.done {
		return 0, nil
	}
	w.done = 0
	w.server.concurrent--
	return w.server.status, nil
}

func (s *fakeServer) wires(n int) []wire {
	w := make([]wire, n)
	for i := range w {
		w[i] = &fakeWire{server: s}
	}
	return w
}

func stalling() *fakeServer {
	return &fakeServer{each: 20 * time.Microsecond, stallAt: 500 * time.Millisecond, resume: 600 * time.Millisecond, status: http.StatusOK}
}

// TestOpenLoopOmitsNothing: a server that stalls for 100 ms of a second keeps
// the requests waiting that are due meanwhile, 100 of 1,000. With four
// connections only four of them have been sent; all of them count.
func TestOpenLoopOmitsNothing(t *testing.T) {
	s := stalling()
	v, err := generate(s.wires(4), []uint32{0}, 0, pace{every: time.Millisecond, length: time.Second}, s.clock)
	if err != nil {
		t.Fatal(err)
	}
	if v.n != 1000 || s.sent != 1000 {
		t.Errorf("%d requests were sent and %d answered, want the 1000 that were due", s.sent, v.n)
	}
	if s.top != 4 {
		t.Errorf("%d requests at a time, want 4: the stall fills the connections", s.top)
	}
	// Request number i of the stall waits 100 ms - i ms: the tenth part of all
	// requests, evenly between 0 and 100 ms.
	for _, c := range []struct {
		quantile    float64
		least, most time.Duration
	}{
		{0.5, 20 * time.Microsecond, 40 * time.Microsecond},
		{0.95, 45 * time.Millisecond, 55 * time.Millisecond},
		{0.99, 88 * time.Millisecond, 95 * time.Millisecond},
		{1, 99 * time.Millisecond, 102 * time.Millisecond},
	} {
		if got := v.latency.quantile(c.quantile); got < c.least || got > c.most {
			t.Errorf("quantile %v is %v, want %v to %v", c.quantile, got, c.least, c.most)
		}
	}
	if v.took < time.Second-time.Millisecond || v.took > time.Second+time.Millisecond {
		t.Errorf("took %v", v.took)
	}
}

// TestDrop: what a slow server has kept waiting until the time is over is not
// sent any more, where the pace says so.
func TestDrop(t *testing.T) {
	s := &fakeServer{each: 20 * time.Microsecond, stallAt: 500 * time.Millisecond, resume: 1100 * time.Millisecond, status: http.StatusOK}
	v, err := generate(s.wires(4), []uint32{0}, 0, pace{every: time.Millisecond, length: time.Second, drop: true}, s.clock)
	if err != nil || v.n != s.sent || v.n < 500 || v.n > 510 {
		t.Errorf("%d requests were sent and %d answered, want those of half the time: %v", s.sent, v.n, err)
	}
}

// TestClosedLoopOmits shows why p99 is not taken there: the same stall touches
// as many requests as there are connections.
func TestClosedLoopOmits(t *testing.T) {
	s := stalling()
	v, err := generate(s.wires(4), []uint32{0}, 0, pace{length: time.Second}, s.clock)
	if err != nil {
		t.Fatal(err)
	}
	if p99 := v.latency.quantile(0.99); p99 > time.Millisecond {
		t.Errorf("p99 is %v", p99)
	}
	// 900 ms at 20 µs each, and no more than a few µs lost between two.
	if v.n < 35_000 || v.n > 45_004 {
		t.Errorf("%d requests, want nearly 45000: the server is to be busy", v.n)
	}
}

func TestGenerateStopsAtMost(t *testing.T) {
	s := stalling()
	v, err := generate(s.wires(4), []uint32{0}, 0, pace{length: time.Hour, most: 10}, s.clock)
	if err != nil || v.n != 10 || s.sent != 10 {
		t.Errorf("%d requests were sent and %d answered (%v), want 10", s.sent, v.n, err)
	}
}

// TestGenerateNoticesItsOwnStalls: time in which the generator does not run is
// reported as such.
func TestGenerateNoticesItsOwnStalls(t *testing.T) {
	s := stalling()
	s.resume = 0 // no stall of the server
	stalled := false
	clock := func() time.Duration {
		if s.now > 300*time.Millisecond && !stalled {
			stalled = true
			s.now += 50 * time.Millisecond
		}
		return s.clock()
	}
	v, err := generate(s.wires(4), []uint32{0}, 0, pace{every: time.Millisecond, length: time.Second}, clock)
	if err != nil || v.away < 50*time.Millisecond || v.away > 51*time.Millisecond {
		t.Errorf("the generator was away for %v (%v), want 50ms", v.away, err)
	}
	if longest := v.latency.quantile(1); longest < 49*time.Millisecond {
		t.Errorf("the longest latency is %v: its own stall is to be counted", longest)
	}
}

func TestGenerateRefusesWrongAnswers(t *testing.T) {
	s := stalling()
	s.status = http.StatusUnauthorized
	if _, err := generate(s.wires(4), []uint32{0}, 0, pace{length: time.Second}, s.clock); err == nil {
		t.Error("answers 401 to good keys were taken")
	}
	s.status = http.StatusOK
	s.each = time.Hour
	if _, err := generate(s.wires(4), []uint32{0}, 0, pace{length: time.Second}, s.clock); err == nil {
		t.Error("a server that does not answer was waited for")
	}
}

// TestGenerateRests: one that may rest looks a few times a request, and
// measures the same.
func TestGenerateRests(t *testing.T) {
	s := stalling()
	looks := 0
	clock := func() time.Duration { looks++; return s.clock() }
	wires := s.wires(4)
	rest := func(d time.Duration) {
		until := s.now + d
		for _, w := range wires {
			if done := w.(*fakeWire).done; done > 0 {
				until = min(until, done)
			}
		}
		s.now = max(s.now, until)
	}
	v, err := generate(wires, []uint32{0}, 0, pace{every: time.Millisecond, length: time.Second, rest: rest}, clock)
	if err != nil || v.n != 1000 {
		t.Fatalf("%d requests were answered (%v), want 1000", v.n, err)
	}
	if looks > 15*1000 {
		t.Errorf("it looked %d times for 1000 requests", looks)
	}
	if p50, p99 := v.latency.quantile(0.5), v.latency.quantile(0.99); p50 < 20*time.Microsecond || p50 > 40*time.Microsecond || p99 < 88*time.Millisecond || p99 > 95*time.Millisecond {
		t.Errorf("p50 %v, p99 %v", p50, p99)
	}
	if v.away > 0 {
		t.Errorf("resting is no stall: %v", v.away)
	}
}

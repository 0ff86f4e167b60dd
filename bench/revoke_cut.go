package main

import (
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"time"
)

// cutFigures tell how soon handlers were unblocked.
type cutFigures struct {
	store          string
	revoke         []float64  // how long Revoke took, round by round, in ns
	start, ret     *histogram // from its call, and from its return, of all rounds
	startP99, retP []float64  // p99 of each round
}

// measureCut revokes a key with many requests in flight, round after round. The
// first round is not counted.
func (s *revokeServer) measureCut(shape revokeShape) (f cutFigures, err error) {
	f.start, f.ret = newHistogram(), newHistogram()
	for round := range shape.rounds + 1 {
		called, returned, err := s.cutRound(shape.inFlight)
		if err != nil {
			return f, err
		}
		if round == 0 {
			continue
		}
		start, ret := newHistogram(), newHistogram()
		for _, end := range s.ends {
			start.record(end.Sub(called))
			ret.record(end.Sub(returned))
		}
		f.revoke = append(f.revoke, float64(returned.Sub(called)))
		f.startP99 = append(f.startP99, float64(start.quantile(0.99)))
		f.retP = append(f.retP, float64(ret.quantile(0.99)))
		f.start.add(start)
		f.ret.add(ret)
	}
	return f, nil
}

// cutRound leaves the instants in s.ends.
func (s *revokeServer) cutRound(n int) (called, returned time.Time, err error) {
	id, auth, err := s.newKey()
	if err != nil {
		return called, returned, err
	}
	s.ends = make([]time.Time, n)
	s.waiting.Store(0)
	s.landed.Store(0)
	clients := make([]*revokeClient, n)
	for i := range clients {
		c, err := s.dial(auth)
		if err != nil {
			return called, returned, err
		}
		defer func() { _ = c.conn.Close() }()
		clients[i] = c
		if status, _, err := c.get(); status != http.StatusOK {
			return called, returned, fmt.Errorf("a good key was answered with %d: %w", status, err)
		}
		if _, err := c.conn.Write(c.parked); err != nil {
			return called, returned, err
		}
	}
	if err := reaches(&s.waiting, n); err != nil {
		return called, returned, err
	}
	runtime.GC()
	// The clients do not read before it is over: they are to be on another
	// machine, and to take no core from the server.
	if called, returned, err = s.revoke(id); err != nil {
		return called, returned, err
	}
	if err := reaches(&s.landed, n); err != nil {
		return called, returned, err
	}
	for _, c := range clients {
		if status, keep, err := c.read(); status != http.StatusUnauthorized || keep {
			return called, returned, fmt.Errorf("a request in flight was answered with %d (connection stays: %t): %w", status, keep, err)
		}
	}
	return called, returned, nil
}

// reaches waits until the counter has come to n.
func reaches(counter *atomic.Int64, n int) error {
	for start := time.Now(); counter.Load() < int64(n); time.Sleep(time.Millisecond) {
		if time.Since(start) > answerWithin {
			return fmt.Errorf("%d of %d requests are missing", int64(n)-counter.Load(), n)
		}
	}
	return nil
}

const cutNote = `A server of net/http on 127.0.0.1 in this process; %d keep-alive connections that have served one request each and now have one in
flight, all with the same key. Each handler waits for r.Context().Done() and notes the time. Of %d rounds together, each
with a key of its own; the goals are judged by the median of the rounds' p99. A handler that was unblocked before Revoke returned counts as 0 from its return.
The clients read nothing until all handlers are unblocked; every one then finds a 401 and a closed connection.

What this does not show: a network, TLS, HTTP/2, several instances. "Unblocked" is when the handler runs again, so the
figure contains the wait for one of the %d cores, which are busy with writing the refusals of the handlers before it. badgerstore syncs a file in Revoke: that is the disk's time.`

func reportCuts(out *report, shape revokeShape, all []cutFigures) {
	if len(all) == 0 {
		return
	}
	title := fmt.Sprintf("revoke: %d requests in flight", shape.inFlight)
	out.tables = append(out.tables, table{
		title: title, note: fmt.Sprintf(cutNote, shape.inFlight, shape.rounds, runtime.GOMAXPROCS(0)),
		columns: []string{"store", "Revoke takes", "from its call: p50", "p99", "longest", "from its return: p50", "p99", "longest"},
	})
	d := distribution{title: title + ": from the call of Revoke to the handler unblocked"}
	for _, f := range all {
		cells := []string{f.store, millis(median(f.revoke))}
		for _, h := range []*histogram{f.start, f.ret} {
			for _, q := range []float64{0.5, 0.99, 1} {
				cells = append(cells, millis(float64(h.quantile(q))))
			}
		}
		out.row(title, cells...)
		d.lines = append(d.lines, f.start.line(f.store))
		for _, g := range []struct {
			from string
			p99  []float64
		}{{"return", f.retP}, {"call", f.startP99}} {
			m := median(g.p99)
			out.goal(m < float64(time.Millisecond),
				fmt.Sprintf("from the %s of Revoke to the handler unblocked, %d requests in flight, p99", g.from, shape.inFlight),
				f.store, extent(g.p99), "< 1 ms")
		}
	}
	out.distributions = append(out.distributions, d)
}

func millis(ns float64) string { return fmt.Sprintf("%.3f ms", ns/float64(time.Millisecond)) }

// extent writes the median, the lowest and the highest.
func extent(ns []float64) string {
	low, high := ns[0], ns[0]
	for _, x := range ns {
		low, high = min(low, x), max(high, x)
	}
	of := func(x float64) string { return strings.TrimSuffix(millis(x), " ms") }
	return fmt.Sprintf("%s [%s, %s]", millis(median(ns)), of(low), of(high))
}

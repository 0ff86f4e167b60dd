package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/wontopos/latchkey/middleware"
)

// flushedAPI is the API beside the flushes.
type flushedAPI struct {
	plan clientPlan
	stop []func()
}

func (s *shutdownRun) openAPI() (*flushedAPI, error) {
	a := &flushedAPI{}
	g, err := middleware.New(s.service, middleware.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	a.stop = append(a.stop, func() { _ = g.Close(context.Background()) })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		a.close()
		return nil, err
	}
	server := &http.Server{Handler: wrapRequire(g), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	go func() { _ = server.Serve(l) }()
	a.stop = append(a.stop, func() { _ = server.Close() })
	var auth []string
	for _, k := range s.keys[s.shape.many:] {
		auth = append(auth, "Bearer "+k.token)
	}
	a.plan = clientPlan{
		Address: l.Addr().String(), Requests: rawRequests(auth), Connections: 32, Size: shortAnswer, Length: s.shape.turn,
		Every: time.Second / time.Duration(s.shape.apiRate), Order: newIDs(len(auth), roomy).sequence(zipfAll, 1<<16),
	}
	return a, nil
}

func (a *flushedAPI) close() {
	for _, f := range slices.Backward(a.stop) {
		f()
	}
}

// measure asks the API without a flush and beside flushes of n keys, by turns.
func (a *flushedAPI) measure(s *shutdownRun, n int) (alone, beside *besideArm, err error) {
	alone, beside = new(besideArm), new(besideArm)
	for round := range s.shape.rounds {
		for turn := range 2 {
			arm, used := alone, 0
			if (turn+round)%2 == 1 {
				arm, used = beside, n
			}
			if err := s.quiet(); err != nil {
				return nil, nil, err
			}
			if used > 0 {
				s.tap.expect(used)
				s.use(s.keys[:used], 3)
				for !s.tap.started() {
					time.Sleep(time.Millisecond)
				}
			}
			a.plan.Offset = round * 7919
			r, err := client(a.plan)
			if err != nil {
				return nil, nil, err
			}
			s.counted.Add(uint64(r.N + a.plan.Connections)) // each connection begins with a request that is not timed
			arm.turns = append(arm.turns, r.histogram())
		}
	}
	return alone, beside, nil
}

type besideArm struct{ turns []*histogram }

func (b *besideArm) p99() float64 {
	all := newHistogram()
	for _, h := range b.turns {
		all.add(h)
	}
	return float64(all.quantile(0.99))
}

func (b *besideArm) over(o *besideArm) (q []float64) {
	for i, h := range b.turns {
		q = append(q, float64(h.quantile(0.99))/float64(o.turns[i].quantile(0.99)))
	}
	return q
}

package main

import (
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"time"

	"github.com/wontopos/latchkey/middleware"
)

// loadContestant is a peer behind a real server.
type loadContestant struct {
	peer
	handler func(k *keyset) (http.Handler, func(), error)
}

func loadContestants() []loadContestant {
	plain := func(h func(*keyset) http.Handler) func(*keyset) (http.Handler, func(), error) {
		return func(k *keyset) (http.Handler, func(), error) { return h(k), nothing, nil }
	}
	guarded := func(wrap func(*middleware.Guard) http.Handler) func(*keyset) (http.Handler, func(), error) {
		return func(k *keyset) (http.Handler, func(), error) { return guardHandler(k, wrap) }
	}
	return []loadContestant{
		{barePeer(), plain(func(*keyset) http.Handler { return http.HandlerFunc(bare) })},
		{bareFields(), plain(func(*keyset) http.Handler { return http.HandlerFunc(twoFields) })},
		{handTypical(noLimits), plain(func(k *keyset) http.Handler {
			return handWritten(newTypicalKeys(k).find, nil, http.HandlerFunc(served))
		})},
		{handHTTPRate(), plain(httprateHandler)},
		{latchkeyRequire(), guarded(wrapRequire)},
		{latchkeyHandlerFunc(), guarded(wrapHandlerFunc)},
	}
}

// loadShape is how large a run is.
type loadShape struct {
	keys, connections, rounds int
	turn                      time.Duration
}

// loadSuite measures a real server on the loopback interface: first how much it
// can do, then how long requests take while it has half of that to do.
func loadSuite(o *options, out *report) error {
	return loadWith(o, out, loadShape{10_000, 32, o.plan.rounds, max(10*o.plan.time, time.Second)})
}

func loadWith(o *options, out *report, shape loadShape) error {
	all := slices.DeleteFunc(loadContestants(), func(c loadContestant) bool { return !o.only.MatchString(c.name) })
	if len(all) == 0 {
		return nil
	}
	l := &loadRun{shape: shape, profile: o.plan.profile, out: out, start: time.Now()}
	defer l.close()
	out.progress("load: set-up")
	if err := l.open(all); err != nil {
		return err
	}
	if err := l.warm(); err != nil {
		return err
	}
	out.progress("load: closed loop")
	if err := l.rounds(pace{length: shape.turn}, func(c *loaded) *[]loadTurn { return &c.closed }); err != nil {
		return err
	}
	rate := l.rate()
	out.progress("load: open loop, %.0f requests a second", rate)
	every := time.Duration(float64(time.Second) / rate)
	if err := l.rounds(pace{every: every, length: shape.turn}, func(c *loaded) *[]loadTurn { return &c.opened }); err != nil {
		return err
	}
	l.report(rate)
	return nil
}

// loaded is a contestant in the server, and what it did.
type loaded struct {
	loadContestant
	wires          []wire
	closed, opened []loadTurn
}

// loadTurn is one turn of one contestant.
type loadTurn struct {
	volley
	cpu time.Duration // of the server process
}

func (t loadTurn) perSecond() float64 { return float64(t.n) / t.took.Seconds() }
func (t loadTurn) cpuEach() float64   { return float64(t.cpu) / float64(t.n) }
func (t loadTurn) busy() float64      { return float64(t.cpu) / float64(t.took) }
func (t loadTurn) lost() float64      { return float64(t.away) / float64(t.took) }
func (t loadTurn) p99() float64       { return float64(t.latency.quantile(0.99)) }

func columnOf(turns []loadTurn, of func(loadTurn) float64) []float64 {
	c := make([]float64, len(turns))
	for i, t := range turns {
		c[i] = of(t)
	}
	return c
}

// bareFields tells what of a guard's cost is net/http's, whoever sends fields.
func bareFields() peer {
	return peer{name: "bare+fields", how: "the handler alone, with two constants for RateLimit and RateLimit-Policy", does: admitAll}
}

func twoFields(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h["Ratelimit-Policy"] = []string{`"minute";q=999999999;w=60, "day";q=999999999;w=86400`}
	h["Ratelimit"] = []string{`"minute";r=999912345;t=60, "day";r=999912345;t=86400`}
	bare(w, r)
}

// loadRun is one run of the suite.
type loadRun struct {
	shape   loadShape
	profile string // folder for a CPU profile of the server; "" is none
	out     *report
	start   time.Time // the clock's zero
	server  *loadServer
	all     []*loaded
	ring    []uint32
	pinned  bool
	closers []func()
}

func (l *loadRun) close() {
	for _, f := range slices.Backward(l.closers) {
		f()
	}
}

func (l *loadRun) clock() time.Duration { return time.Since(l.start) }

// open starts the server and connects to it. The server and this process have
// one core each.
func (l *loadRun) open(all []loadContestant) error {
	p := serverPlan{Keys: l.shape.keys, Core: -1, Profile: l.profile}
	for _, c := range all {
		p.Names = append(p.Names, c.name)
		l.out.setup(c.peer)
	}
	ours, theirs, ok := twoCores()
	if ok {
		p.Core = theirs
	}
	var err error
	if l.server, err = startLoadServer(p); err != nil {
		return err
	}
	l.closers = append(l.closers, func() { _ = l.server.stop() })

	procs := runtime.GOMAXPROCS(1)
	l.closers = append(l.closers, func() { runtime.GOMAXPROCS(procs) })
	if ok {
		restore, err := pin(ours)
		if err != nil {
			return err
		}
		l.pinned = true
		l.closers = append(l.closers, restore)
	}

	l.ring = newIDs(l.shape.keys, roomy).sequence(zipfAll, min(1<<20, 8*l.shape.keys))
	requests := rawRequests(l.server.Auth)
	for _, c := range all {
		x := &loaded{loadContestant: c}
		for range l.shape.connections {
			s, err := dialSocket(l.server.Addresses[c.name], requests, shortAnswer)
			if err != nil {
				return err
			}
			l.closers = append(l.closers, s.close)
			x.wires = append(x.wires, s)
		}
		l.all = append(l.all, x)
	}
	return nil
}

// warm checks that every contestant tells a bad key from a good one, and uses
// every key once: what is made on first use is made.
func (l *loadRun) warm() error {
	every := make([]uint32, l.shape.keys)
	for i := range every {
		every[i] = uint32(i)
	}
	for _, c := range l.all {
		for _, bad := range []int{0, 1} { // mistyped, unknown
			want := http.StatusUnauthorized
			if c.does == admitAll {
				want = http.StatusOK
			}
			status, err := ask(c.wires[0], uint32(l.shape.keys+bad))
			if err != nil || status != want {
				return fmt.Errorf("%s: a bad key was answered with %d, want %d: %w", c.name, status, want, err)
			}
		}
		if _, err := generate(c.wires, every, 0, pace{length: time.Hour, most: len(every)}, l.clock); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

// ask makes one request.
func ask(w wire, token uint32) (int, error) {
	if err := w.send(token); err != nil {
		return 0, err
	}
	for start := time.Now(); time.Since(start) < answerWithin; {
		if status, err := w.poll(); status != 0 || err != nil {
			return status, err
		}
	}
	return 0, errors.New("no answer")
}

// rounds lets the contestants take turns, as measure does.
func (l *loadRun) rounds(p pace, to func(*loaded) *[]loadTurn) error {
	for round := range l.shape.rounds {
		for turn := range l.all {
			c := l.all[(turn+round)%len(l.all)]
			t, err := l.turn(c, p, round*7919)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			*to(c) = append(*to(c), t)
		}
	}
	return nil
}

func (l *loadRun) turn(c *loaded, p pace, offset int) (t loadTurn, err error) {
	before, err := l.server.mark(turnBegins)
	if err != nil {
		return t, err
	}
	if t.volley, err = generate(c.wires, l.ring, offset, p, l.clock); err != nil {
		return t, err
	}
	after, err := l.server.mark(turnEnds)
	if err != nil {
		return t, err
	}
	flush := after.Flush.Seconds() * min(1, t.took.Seconds()/flushEvery.Seconds())
	t.cpu = after.CPU - before.CPU + time.Duration(flush*float64(time.Second))
	return t, nil
}

// flushEvery is how often a Service writes usage by default. The end of a turn
// makes it write more often, so a turn is charged with its share.
const flushEvery = 5 * time.Second

// rate is that of the open loop: half of what the slowest can do.
func (l *loadRun) rate() float64 {
	slowest := 0.0
	for i, c := range l.all {
		if x := median(columnOf(c.closed, loadTurn.perSecond)); i == 0 || x < slowest {
			slowest = x
		}
	}
	return slowest / 2
}

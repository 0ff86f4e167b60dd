package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/limiter"
	fiberutils "github.com/gofiber/utils/v2"

	"github.com/wontopos/latchkey/limiter/limitertest"
)

// The accuracy suite asks each limiter for 60 requests in 60 seconds.
const (
	accuracyLimit  = 60
	accuracyWindow = time.Minute
	realWindow     = time.Second
)

// accuracyRow is how exact a limiter is.
type accuracyRow struct {
	name    string
	worst   int64  // most admitted in any window, over all arrivals
	pattern string // the arrivals that it was
	least   int64  // fewest admitted in any window of a steady client at twice the limit, after the first
}

// arrivals are instants from the start of a whole minute.
type arrivals struct {
	name string
	at   []time.Duration
}

// adversary returns the arrivals that tell exact limiters from others.
func adversary() []arrivals {
	const w, n = accuracyWindow, accuracyLimit
	const e = w / 100 // from an edge: enough for a real clock, too
	rng := rand.New(rand.NewPCG(60, 60))
	var random []time.Duration
	for at := time.Duration(0); at < 6*w; at += time.Duration(rng.ExpFloat64() * float64(w) / (2 * n)) {
		random = append(random, at)
	}
	return []arrivals{
		{steadyName, every(0, 12*w, w/(2*n))},
		{"all at once, then as fast as it lets", slices.Concat(burst(0, n), every(0, 3*w, 100*time.Millisecond))},
		{"one, a burst before the window ends, then as fast as it lets", slices.Concat(burst(0, 1), burst(w-e, n), every(w, 4*w, 100*time.Millisecond))},
		{"one, the rest before the window ends, then one a second", slices.Concat(burst(0, 1), burst(w-e, n-1), every(w+time.Second, 4*w, time.Second))},
		{"a burst on both sides of each window's edge", slices.Concat(burst(0, 1), burst(w-e, n), burst(w+e, n), burst(2*w-e, n), burst(2*w+e, n))},
		{"a burst in the middle of each window", slices.Concat(burst(w/2, n), burst(w, n), burst(w+w/2, n), burst(2*w, n))},
		{"on and off, five times the limit", slices.Concat(every(0, w/5, w/(5*n)), every(2*w/3, 2*w/3+w/5, w/(5*n)), every(4*w/3, 4*w/3+w/5, w/(5*n)))},
		{"at random, twice the limit", random},
	}
}

const steadyName = "steady, twice the limit"

func burst(at time.Duration, n int) []time.Duration { return slices.Repeat([]time.Duration{at}, n) }

func every(from, to, step time.Duration) (at []time.Duration) {
	for ; from < to; from += step {
		at = append(at, from)
	}
	return at
}

// exactness are the contestants: the limiters alone, and fiber's, which cannot
// be had without its server. go-limiter links to the system's clock itself and
// gets a shorter window in real time.
func exactness() []peer {
	peers := limitersAlone()
	for i, p := range peers {
		if p.name == "go-limiter" {
			peers[i] = alone(p.name, p.module, p.how, func(b budget, n int) (func() allow, func(), error) {
				return openGoLimiterFor(b, n, realWindow)
			})
			peers[i].real = realWindow
		}
	}
	return append(
		peers,
		fiberLimiter("fiber-fixed", limiter.FixedWindow{}), fiberLimiter("fiber-sliding", limiter.SlidingWindow{}),
	)
}

func fiberLimiter(name string, kind limiter.Handler) peer {
	return peer{
		name: name, module: fiberModule, how: "limiter middleware", does: limitOnly,
		open: func(k *keyset) (func() op, func(), error) {
			app := fiber.New()
			app.Get("/things", limiter.New(limiter.Config{
				Max: int(k.budget.minute), Expiration: accuracyWindow, LimiterMiddleware: kind,
				KeyGenerator: func(fiber.Ctx) string { return k.ids[0] },
			}), func(c fiber.Ctx) error { return c.Send(okBody) })
			return fiberOps(app, k), fiberutils.StopTimeStampUpdater, nil
		},
	}
}

// accuracySuite runs in virtual time, so that minutes take milliseconds.
func accuracySuite(o *options, out *report) error {
	out.progress("accuracy")
	for _, p := range o.chosen(exactness()) {
		out.setup(p)
		row := accuracyRow{name: p.name}
		all := adversary()
		histories, errs := make([][]limitertest.Hit, len(all)), make([]error, len(all))
		if p.real > 0 {
			var group sync.WaitGroup
			for i, a := range all {
				group.Go(func() { histories[i], errs[i] = admittedReally(p, a.at) })
			}
			group.Wait()
		}
		for i, a := range all {
			if p.real == 0 {
				histories[i], errs[i] = admitted(o.t, p, a.at)
			}
			if errs[i] != nil {
				return fmt.Errorf("%s: %s: %w", p.name, a.name, errs[i])
			}
			history := histories[i]
			if worst, _ := limitertest.Worst(history, accuracyWindow); worst > row.worst {
				row.worst, row.pattern = worst, a.name
			}
			if a.name == steadyName {
				row.least = least(history, a.at[len(a.at)-1])
			}
		}
		out.accuracy = append(out.accuracy, row)
	}
	return nil
}

// kept holds on to the limiters: ulule's ends its goroutine in a finalizer,
// which must not reach into a bubble.
var kept []any

// admitted lets the arrivals come to a new limiter and returns those that it
// admits.
func admitted(t *testing.T, p peer, at []time.Duration) (history []limitertest.Hit, err error) {
	fiberutils.StopTimeStampUpdater() // its clock must be the bubble's
	defer func() {
		// Some rivals start goroutines that nobody can end. When the bubble
		// finds them after the last arrival, that is all right.
		if r := recover(); r != nil && !strings.Contains(fmt.Sprint(r), "deadlock") {
			panic(r)
		}
	}()
	synctest.Test(t, func(*testing.T) {
		k := newIDs(1, budget{accuracyLimit, roomy.day})
		ops, closer, openErr := p.open(k)
		if err = openErr; err != nil {
			return
		}
		defer closer()
		kept = append(kept, ops)
		f, start := ops(), time.Now()
		at := slices.Sorted(slices.Values(at))
		for _, d := range at {
			time.Sleep(time.Until(start.Add(d)))
			if f(0) == http.StatusOK {
				history = append(history, limitertest.Hit{At: d, Cost: 1})
			}
		}
	})
	return history, err
}

// admittedReally is admitted on the real clock, with everything as much
// shorter as the window is. Hits are at the instants when they were made, so
// that a late one does no wrong.
func admittedReally(p peer, at []time.Duration) (history []limitertest.Hit, err error) {
	ops, closer, err := p.open(newIDs(1, budget{accuracyLimit, roomy.day}))
	if err != nil {
		return nil, err
	}
	defer closer()
	scale := accuracyWindow / p.real
	f, start := ops(), time.Now()
	for _, d := range slices.Sorted(slices.Values(at)) {
		time.Sleep(time.Until(start.Add(d / scale)))
		made := time.Since(start)
		if f(0) == http.StatusOK {
			history = append(history, limitertest.Hit{At: made * scale, Cost: 1})
		}
	}
	return history, nil
}

// least returns the fewest hits in any window between the end of the first and
// the end of the arrivals. Windows that begin right behind a hit suffice.
func least(history []limitertest.Hit, end time.Duration) int64 {
	low := int64(-1)
	for _, from := range history {
		if from.At < accuracyWindow || from.At+accuracyWindow > end {
			continue
		}
		var n int64
		for _, h := range history {
			if h.At > from.At && h.At <= from.At+accuracyWindow {
				n++
			}
		}
		if low < 0 || n < low {
			low = n
		}
	}
	return max(low, 0)
}

func (r *report) writeAccuracy(w io.Writer) {
	if len(r.accuracy) == 0 {
		return
	}
	fmt.Fprintf(w, "## accuracy: limit %d in any %v, virtual time\n\nAn exact log of a steady client's requests would admit 60 in each window. go-limiter is measured in real time with\na window of a second. fiber's sliding limiter also counts the requests that it refuses.\n\n| limiter | most in any window | with | least of a steady client at twice the limit |\n|---|---:|---|---:|\n", accuracyLimit, accuracyWindow)
	for _, a := range r.accuracy {
		fmt.Fprintf(w, "| %s | %d | %s | %d |\n", a.name, a.worst, a.pattern, a.least)
	}
	fmt.Fprintln(w)
}

func (r *report) judgeAccuracy() {
	for _, a := range r.accuracy {
		if a.name != "latchkey-Window" {
			continue
		}
		r.verdicts = append(
			r.verdicts,
			verdict{"most admitted in any 60 s at limit 60", "all arrivals", fmt.Sprint(a.worst), "<= 60", a.worst <= accuracyLimit},
			verdict{"least admitted of a steady client at twice the limit", "any 60 s", fmt.Sprint(a.least), ">= 58", a.least >= 58},
		)
	}
}

package main

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// wire is one keep-alive connection with at most one request under way.
type wire interface {
	// send starts a request with the token.
	send(token uint32) error
	// poll returns the status of the answer once it is there whole, and 0
	// until then. It does not wait.
	poll() (status int, err error)
}

// pace says when requests are sent. With every == 0 the loop is closed: each
// connection sends its next request when it has an answer. Else it is open:
// request number i is due at i*every, whatever the server does, and goes out
// then or as soon as a connection is free.
type pace struct {
	every, length time.Duration
	most          int  // requests; 0 is no bound but length
	drop          bool // when length is over, what is due and could not be sent never is
	// rest leaves the core to others until there may be something to do: an
	// answer, or a request that is due after the given time. nil: look all the
	// time.
	rest func(time.Duration)
}

// next returns when request number i is due, and whether there is one.
func (p pace) next(i int, now time.Duration) (due time.Duration, ok bool) {
	if due = now; p.every > 0 {
		due = time.Duration(i) * p.every
	}
	return due, due < p.length && (p.most == 0 || i < p.most) && !(p.drop && now >= p.length)
}

// volley is what became of the requests of one turn.
type volley struct {
	n    int
	took time.Duration // until the last answer
	// latency is counted from the instant at which a request was due. One that
	// had to wait for a connection, because the server was slow with those
	// before it, has waited: nothing is omitted.
	latency *histogram
	// away is how long the generator itself did not look, in gaps of more
	// than awayFrom. Answers that came meanwhile are counted too long.
	away time.Duration
}

const awayFrom = 100 * time.Microsecond

// answerWithin bounds the wait for answers after the last request.
const answerWithin = 30 * time.Second

// generate sends requests over the wires at the pace, with tokens in the order
// of the ring from offset on, and waits for all answers, each of which must be
// 200. One goroutine that never sleeps, unless the pace lets it rest, does it
// all: no timer and no scheduler lies between the due instant and the
// connection, or between an answer and the clock.
func generate(wires []wire, ring []uint32, offset int, p pace, clock func() time.Duration) (volley, error) {
	var (
		b     = volley{latency: newHistogram()}
		idle  = make([]int, len(wires)) // in the order in which they became so
		busy  = make([]int, 0, len(wires))
		due   = make([]time.Duration, len(wires)) // of the request under way
		start = clock()
		last  time.Duration
		sent  int
	)
	for i := range idle {
		idle[i] = i
	}
	for {
		now := clock() - start
		if gap := now - last; gap > awayFrom {
			b.away += gap
		}
		last = now
		at, more := p.next(sent, now)
		if more && at <= now && len(idle) > 0 {
			w := idle[0]
			idle = slices.Delete(idle, 0, 1)
			busy = append(busy, w)
			due[w] = at
			if err := wires[w].send(ring[(offset+sent)%len(ring)]); err != nil {
				return b, err
			}
			sent++
		}
		if !more && len(busy) == 0 {
			b.took = last
			return b, nil
		}
		if now > p.length+answerWithin {
			return b, errors.New("no answer for a long time")
		}
		answers := b.n
		for i := 0; i < len(busy); {
			w := busy[i]
			status, err := wires[w].poll()
			switch {
			case err != nil:
				return b, err
			case status == 0:
				i++
				continue
			case status != http.StatusOK:
				return b, fmt.Errorf("a good key was answered with %d", status)
			}
			b.n++
			b.latency.record(clock() - start - due[w])
			busy = slices.Delete(busy, i, i+1)
			idle = append(idle, w)
		}
		if p.rest == nil || b.n > answers {
			continue
		}
		now = clock() - start
		switch at, more := p.next(sent, now); {
		case !more || len(idle) == 0:
			p.rest(time.Second) // only an answer brings something to do
		case at > now:
			p.rest(at - now)
		}
		last = clock() - start
	}
}

package admin

import (
	"cmp"
	"context"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/wontopos/latchkey/internal/bounds"
)

// turns gives one request at a time the right to hash a password, fairly.
// Requests from networks whose last sign-in was right come first, then those
// from networks that sent no wrong password, then the rest; within each group,
// networks take turns. If too many requests wait, the worst network with the
// most of them loses one. So guesses keep nobody out unless they come from
// more networks than are remembered, and then everybody has the same chance. If
// all requests come from one network, through a proxy that the guard does not
// trust, each waits for those before it.
type turns struct {
	mu       sync.Mutex
	taken    bool
	waiting  []*waiter // in order of arrival
	networks map[netip.Addr]standing
	served   uint64 // turns so far
}

const (
	// maxWaiting bounds how many requests wait for a turn.
	maxWaiting = 128
	// signInWait is how long a request waits.
	signInWait = 15 * time.Second
	// maxNetworks bounds how many networks are remembered.
	maxNetworks = 4096
)

type waiter struct {
	from netip.Addr
	turn chan bool // whether it is this request's turn, or it lost its place
}

// standing is what is known about a network.
type standing struct {
	rank   int    // by its last password: -1 right, 1 wrong, 0 none yet
	served uint64 // its last turn
}

// take waits for a turn and reports whether it came.
func (t *turns) take(ctx context.Context, from netip.Addr) bool {
	t.mu.Lock()
	if !t.taken {
		t.taken = true
		t.mu.Unlock()
		return true
	}
	w := &waiter{from, make(chan bool, 1)}
	t.waiting = append(t.waiting, w)
	if len(t.waiting) > maxWaiting {
		worst := t.worst()
		t.waiting[worst].turn <- false
		t.waiting = slices.Delete(t.waiting, worst, worst+1)
	}
	t.mu.Unlock()
	late := time.NewTimer(signInWait)
	defer late.Stop()
	select {
	case mine := <-w.turn:
		return mine
	case <-ctx.Done():
	case <-late.C:
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.Index(t.waiting, w); i >= 0 {
		t.waiting = slices.Delete(t.waiting, i, i+1)
	} else if <-w.turn { // its turn has just come
		t.next()
	}
	return false
}

// worst returns the waiting request to drop when too many wait: one from the
// network with the worst rank, then with the most requests. Among equals it is a
// random one: if it were the newest, those who ask again at once would keep
// everybody else out.
func (t *turns) worst() int {
	count := make(map[netip.Addr]int)
	for _, w := range t.waiting {
		count[w.from]++
	}
	worst, equals := 0, 1
	for i := 1; i < len(t.waiting); i++ {
		from, other := t.waiting[i].from, t.waiting[worst].from
		switch order := cmp.Or(cmp.Compare(t.networks[from].rank, t.networks[other].rank), cmp.Compare(count[from], count[other])); {
		case order > 0:
			worst, equals = i, 1
		case order == 0:
			if equals++; rand.N(equals) == 0 {
				worst = i
			}
		}
	}
	return worst
}

// give returns a turn; right says whether the password was right.
func (t *turns) give(from netip.Addr, right bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.served++
	n := standing{rank: 1, served: t.served}
	if right {
		n.rank = -1
	}
	if len(t.networks) >= maxNetworks { // first forget those from which nobody signed in
		maps.DeleteFunc(t.networks, func(_ netip.Addr, n standing) bool { return n.rank > 0 })
	}
	if len(t.networks) >= maxNetworks || t.networks == nil {
		t.networks = make(map[netip.Addr]standing)
	}
	t.networks[from] = n
	t.next()
}

// next gives the turn to the next request.
func (t *turns) next() {
	best := -1
	for i, w := range t.waiting {
		if best < 0 {
			best = i
			continue
		}
		a, b := t.networks[w.from], t.networks[t.waiting[best].from]
		if a.rank < b.rank || a.rank == b.rank && a.served < b.served {
			best = i
		}
	}
	if t.taken = best >= 0; t.taken {
		t.waiting[best].turn <- true
		t.waiting = slices.Delete(t.waiting, best, best+1)
	}
}

type clientKey struct{}

// withClient passes an authorizer of this package the address of the client,
// as the guard determines it.
func withClient(r *http.Request, client netip.Addr) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), clientKey{}, client))
}

// networkOf returns the network that a request comes from, its /24 or /48, as
// in [apikey.LastUse]; zero if it is unknown. Whoever has one address of IPv6
// may have all of a /48.
func networkOf(r *http.Request) netip.Addr {
	addr, known := r.Context().Value(clientKey{}).(netip.Addr)
	if !known { // the authorizer is called without a handler
		addr = bounds.Address(r.RemoteAddr)
	}
	bits := 24
	if addr.Is6() {
		bits = 48
	}
	network, _ := addr.WithZone("").Prefix(bits)
	return network.Addr()
}

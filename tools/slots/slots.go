// Package slots tries with real processes what becomes of requests in progress
// when a process dies, stands still, or loses its server. The tests of limiters
// that processes share run it, and are the processes:
//
//	func TestMain(m *testing.M) {
//		slots.Main(open) // does not return in a process that Run has started
//		redistest.Main(m)
//	}
//
// A process does what it is told: the test takes and ends the requests of each,
// and so knows by its own clock which are in progress.
package slots

import (
	"testing"
	"time"
)

// slack is how much later than promised things may happen on a machine that is
// busy with others.
const slack = time.Second

const (
	share  = 2 // of each of three processes
	limitN = 3*share + 1
)

// Run starts four processes, and does harm to three of them. Each reaches the
// server, which listens at the address, through a wire.
func Run(t *testing.T, network, address string, config Config) {
	j, life := &judge{T: t, began: time.Now()}, config.Life
	dies, stands := start(j, network, address, config), start(j, network, address, config)
	cut, lives := start(j, network, address, config), start(j, network, address, config)

	const long = "streams keep their places for as long as they last"
	for _, p := range []*process{dies, stands, cut} {
		for range share {
			j.admit(p, long)
		}
	}
	j.admit(lives, long) // so that something goes on to count
	for full := j.now(); j.now() < full+life*5/4; time.Sleep(life / 20) {
		j.refuse(long, dies, stands, cut, lives)
	}

	const free = "the places of a process that is gone are free within a slot's life"
	j.lose(dies, stands, cut)
	j.kill(dies)
	must(t, pause(stands.cmd.Process))
	cut.wire.Cut(true)
	harmed := j.now()
	var first, last time.Duration
	for before := 1; before < limitN; time.Sleep(life / 50) {
		j.rush(lives, limitN)
		if n := j.held(lives); n > before {
			if last = j.now() - harmed; before == 1 {
				first = last
			}
			before = n
		}
		if before < limitN && j.now() > harmed+life+slack {
			t.Fatalf("%s: after %v there are %d of %d", free, j.now()-harmed, before, limitN)
		}
	}
	j.refuse("what was lost is taken once", lives)

	const back = "what a process that comes back still serves counts again within a third of a slot's life"
	returned := j.now()
	cut.wire.Heal()
	must(t, resume(stands.cmd.Process))
	for _, p := range []*process{lives, stands, cut} {
		for {
			n, err := p.counted()
			if want := j.held(lives, stands, cut); n == want && err == nil {
				break
			} else if j.now() > returned+life/3+slack {
				t.Fatalf("%s: after %v they are %d (error %v), and %d are in progress", back, j.now()-returned, n, err, want)
			}
			time.Sleep(life / 100)
		}
	}
	counted := j.now() - returned
	j.find(stands, cut)
	for j.held(lives, stands, cut) >= limitN {
		j.refuse(back, lives, stands, cut)
		j.end(lives)
	}
	j.admit(stands, "a place is free")

	for _, p := range []*process{lives, stands, cut} {
		for j.held(p) > 0 {
			j.end(p)
		}
	}
	for range limitN {
		j.admit(cut, "nothing is left behind")
	}
	j.refuse("nothing is left behind", lives, stands, cut)
	t.Logf("slots last %v, the limit is %d: %d places of processes that were gone were taken after %v to %v, at most %d requests were in progress, and all counted %v after the return",
		life, limitN, limitN-1, first.Round(time.Millisecond), last.Round(time.Millisecond), j.most, counted.Round(time.Millisecond))
}

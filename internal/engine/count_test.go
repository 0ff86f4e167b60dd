package engine

import (
	"hash/maphash"
	"net/netip"
	"testing"

	"github.com/wontopos/latchkey/apikey"
)

// TestWhoeverIsCountedIsListed: a request does not rely on another, which may take
// its time, to have its count collected.
func TestWhoeverIsCountedIsListed(t *testing.T) {
	eng := new(Engine)
	c := &credential{terms: &terms{engine: eng}}
	c.last.Store(newSample(c, nil)) // another request is the last use, and has not listed the secret yet
	Verified{c}.Count(apikey.OK, 0, nil)
	if n := eng.Counted(); n != 1 {
		t.Errorf("%d secrets are to be collected, want one", n)
	}
}

func TestWhatIsKeptOfAUseNamesNoHostAndControlsNothing(t *testing.T) {
	all := &texts{seed: maphash.MakeSeed()}
	if got := sourceOf(netip.MustParseAddr("::ffff:10.1.2.3")).network(all); got != "10.1.2.0/24" {
		t.Errorf("network of a mapped address is %s", got)
	}
	if got := clip("a\x00b\xffc", 128); got != "a bc" {
		t.Errorf("clip = %q", got)
	}
}

// TestNothingIsSampledWithoutALastUse: a request that took "sampled" for true
// would leave the last use as it is until the next collection.
func TestNothingIsSampledWithoutALastUse(t *testing.T) {
	eng := new(Engine)
	c := &credential{terms: &terms{engine: eng}}
	check := func(when string, want bool) {
		t.Helper()
		if got := c.allowed.Load()&sampled != 0; got != want {
			t.Errorf("%s: sampled is %t, want %t", when, got, want)
		}
	}
	eng.meter.listSampled(c) // its sample was collected between the two steps
	check("a last use that was taken away before it was listed", false)
	c.last.Store(newSample(c, nil))
	eng.meter.listSampled(c)
	check("a last use", true)
	c.allowed.Store(sampled) // a request has set it after the counts were collected
	c.takeLast()
	check("after a collection", false)
	s := newSample(c, nil)
	c.last.Store(s)
	c.allowed.Store(sampled | listed | 1)
	eng.meter.recount(c, lacksScope, s)
	check("after the request was refused inside", false)
}

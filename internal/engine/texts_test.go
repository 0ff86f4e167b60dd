package engine

import (
	"hash/maphash"
	"net/netip"
	"strings"
	"testing"

	"github.com/wontopos/latchkey/apikey"
)

// TestSharedTextsHoldNoSecrets, no memory of a request, and nothing that usage
// would not hold.
func TestSharedTextsHoldNoSecrets(t *testing.T) {
	redact := func(s string) string { return strings.ReplaceAll(s, "secret", "[redacted]") }
	all := &texts{seed: maphash.MakeSeed()}
	for _, tc := range []struct{ method, what, want string }{
		{"GET", "/things/{id}", "GET /things/{id}"},
		{"", "curl/8", "curl/8"},
		{"GET", "", ""},
		{"GET", "/secret", "GET /[redacted]"},
		{"", "a\x00b", "a b"},
		{"", strings.Repeat("x", 200), strings.Repeat("x", longestText)},
		{strings.Repeat("M", 600), "/", strings.Repeat("M", longestText)},
		{"", strings.Repeat("x", 4*longestText-3) + "secret", strings.Repeat("x", longestText)},
	} {
		what := []byte(tc.what)
		for range 2 { // the second time it may be found
			if got := all.clean(tc.method, string(what), redact); got != tc.want {
				t.Errorf("%q %q becomes %q, want %q", tc.method, tc.what, got, tc.want)
			}
		}
	}
	for i := range all.all {
		if s := all.all[i].Load(); s != nil && (clip(redact(*s), longestText) != *s) {
			t.Errorf("kept %q", *s)
		}
	}
}

// TestTheFirstRequestOfAFlushAllocatesOnce: with ten thousand keys in use it is
// every second one.
func TestTheFirstRequestOfAFlushAllocatesOnce(t *testing.T) {
	eng := &Engine{o: Options{Redact: strings.Clone}, texts: texts{seed: maphash.MakeSeed()}}
	c := &credential{terms: &terms{engine: eng}}
	u := Use{Source: netip.MustParseAddr("10.1.2.3"), UserAgent: "curl/8"}
	if n := testing.AllocsPerRun(100, func() {
		c.last.Store(nil)
		Verified{c}.Count(apikey.OK, 0, &u).Ended("GET", "/things", 200)
	}); n > 1 {
		t.Errorf("%v allocations, want one", n)
	}
}

package bounds_test

import (
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	"github.com/wontopos/latchkey/internal/bounds"
)

// TestWhatIsTakenCanBeTold: each instant is in JSON what it was, or is refused.
func TestWhatIsTakenCanBeTold(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		at   time.Time
		want bool
	}{
		{time.Time{}, false},
		{bounds.First, true},
		{bounds.Last, true},
		{bounds.Last.Add(999 * time.Nanosecond), true}, // it is cut
		{bounds.Last.Add(time.Microsecond), false},
		{bounds.First.Add(-time.Nanosecond), false},
		{time.Date(9999, 12, 31, 23, 59, 59, 0, time.FixedZone("", -5*3600)), false},
		{time.Date(1<<20, 1, 1, 0, 0, 0, 0, time.UTC), false},
		{time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC), false},
		{time.Unix(-1<<62, 0), false},
		{time.Unix(1<<62, 0), false},
	} {
		if got := bounds.Time(c.at); got != c.want {
			t.Errorf("%v can be told: %v, want %v", c.at, got, c.want)
		}
		clamped := bounds.Clamp(c.at)
		text, err := json.Marshal(clamped.UTC().Truncate(time.Microsecond))
		var again time.Time
		if err != nil || json.Unmarshal(text, &again) != nil || clamped.IsZero() != c.at.IsZero() || again.Sub(clamped).Abs() >= time.Microsecond {
			t.Errorf("%v is told as %s (%v), which is %v", c.at, text, err, again)
		}
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"": true, "production-backend": true, "größe 価格 🔑": true, "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645": true, "\U0001f469\u200d\U0001f4bb": true,
		"a\x00b": false, "a\nb": false, "a\x1b[31m": false, "a\x7f": false, "a\u009b31m": false, "a\xff": false, "\xed\xa0\x80": false,
		"a\u2028b": false, "a\u2029b": false, "a\u202eb": false, "a\u2066b": false, "a\u200fb": false, "a\u061cb": false,
	} {
		if got := bounds.Text(text); got != want {
			t.Errorf("%q is a line of text: %v, want %v", text, got, want)
		}
	}
}

func TestNetworksAndAddresses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"10.1.2.3/8": "10.0.0.0/8", "::ffff:192.0.2.0/120": "192.0.2.0/24", "::ffff:0.0.0.0/96": "0.0.0.0/0",
		"::/0": "::/0", "2001:db8::1/32": "2001:db8::/32", "::ffff:10.0.0.0/95": "",
	} {
		got, ok := bounds.Network(netip.MustParsePrefix(text))
		if ok != (want != "") || ok && got.String() != want {
			t.Errorf("network %s is %v, %v; want %q", text, got, ok, want)
		}
	}
	if _, ok := bounds.Network(netip.Prefix{}); ok {
		t.Error("no network at all was taken")
	}
	for text, want := range map[string]string{
		"192.0.2.1:80": "192.0.2.1", "192.0.2.1": "192.0.2.1", "[2001:db8::1]:80": "2001:db8::1", "[2001:db8::1]": "2001:db8::1",
		"2001:db8::1": "2001:db8::1", "[::ffff:192.0.2.1]:80": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1", "fe80::1%eth0": "fe80::1%eth0",
		"@": "invalid IP", "": "invalid IP", "/run/x.sock": "invalid IP", "[192.0.2.1": "invalid IP", "unknown": "invalid IP", "host:80": "invalid IP",
	} {
		if got := bounds.Address(text).String(); got != want {
			t.Errorf("address %q is %s, want %s", text, got, want)
		}
	}
}

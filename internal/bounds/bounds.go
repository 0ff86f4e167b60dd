// Package bounds says which times, texts and networks latchkey takes: no more than every store can keep and every
// answer can tell. What it accepts at the service, an answer in JSON, a row of PostgreSQL and a browser can show.
//
// It is a leaf: it imports nothing of this module, and every package of the root module may import it.
package bounds

import (
	"net/netip"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// First and Last are the first and the last instant that can be represented. JSON and RFC 3339 have years of four digits,
// and Go takes the very first instant of year 1 for no time at all.
var (
	First = time.Time{}.Add(time.Microsecond)
	Last  = time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC)
)

// Time reports whether t can be represented, in UTC and cut to the microsecond. The zero time cannot: callers that take it
// for "never" look for it first.
func Time(t time.Time) bool { return !t.Before(First) && t.Before(Last.Add(time.Microsecond)) }

// Clamp returns the instant nearest to t that can be represented. The zero time stays the zero time.
func Clamp(t time.Time) time.Time {
	switch {
	case t.IsZero() || Time(t):
		return t
	case t.Before(First):
		return First
	}
	return Last
}

// Storable reports whether every store can keep s: UTF-8 without NUL.
func Storable(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

// Text reports whether s is a line of text: UTF-8 without control characters, without characters that turn the
// direction of what stands around them, and without those that begin a new line.
func Text(s string) bool { return utf8.ValidString(s) && !strings.ContainsFunc(s, Unwanted) }

// Unwanted reports whether no text holds r: see [Text].
func Unwanted(r rune) bool {
	if r < 0x7f {
		return r < ' '
	}
	return unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp, unicode.Bidi_Control)
}

// Network returns a network as addresses are compared with it: masked, and one of IPv4 in IPv4's own form. It is
// false for one that is not valid, and for one that no address could be in: part of what IPv6 maps IPv4 to, with more
// around it. Write that as IPv4.
func Network(p netip.Prefix) (netip.Prefix, bool) {
	if !p.IsValid() {
		return p, false
	}
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return p, false
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), true
}

// Address reads an address with or without a port, in brackets or not; it is not valid when s is none. An address of
// IPv4 comes in IPv4's own form.
func Address(s string) netip.Addr {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap()
	}
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		s = s[1 : len(s)-1]
	}
	addr, _ := netip.ParseAddr(s)
	return addr.Unmap()
}

// Socket reports whether s is what net/http and the net package call the other end of a Unix socket: "@", a path, or
// nothing.
func Socket(s string) bool { return s == "" || s[0] == '@' || s[0] == '/' }

// PageLimit returns how many rows a page has when n are asked for: 100 by default, at most 1,000.
func PageLimit(n int) int {
	if n <= 0 {
		return 100
	}
	return min(n, 1000)
}

// Now returns the current time, as it is written into records.
func Now() time.Time { return Stamp(time.Now()) }

// Stamp returns t as it is written into records: in UTC and cut to the microsecond.
func Stamp(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Microsecond)
}

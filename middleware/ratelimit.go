package middleware

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"strconv"
	"time"

	"github.com/wontopos/latchkey/internal/engine"
	"github.com/wontopos/latchkey/limiter"
)

// The fields of draft-ietf-httpapi-ratelimit-headers, spelled as http.Header
// spells them.
const (
	fieldPolicy = "Ratelimit-Policy"
	fieldLimit  = "Ratelimit"

	legacyPrefix = "X-Ratelimit-"
)

// AppendRateLimitPolicy appends the value of the RateLimit-Policy field:
// "minute";q=60;w=60, …. A calendar period has no w, and qu says what is counted
// if it is not requests. It appends nothing if the limiter was not asked, or about
// shadows alone.
func (o *Outcome) AppendRateLimitPolicy(dst []byte) []byte {
	if !o.announces() {
		return dst
	}
	start := len(dst)
	dst = append(dst, o.keyPolicy()...)
	if o.owner != nil && o.owner.policy != "" {
		if len(dst) > start {
			dst = append(dst, ", "...)
		}
		dst = append(dst, o.owner.policy...)
	}
	return dst
}

// announces reports whether the client is told of limits.
func (o *Outcome) announces() bool { return o.decision.N > 0 && !o.of().o.Shadow }

// keyPolicy returns the limits under the key's own name as the value of
// RateLimit-Policy.
func (o *Outcome) keyPolicy() string {
	if o.set != nil {
		return o.set.policy
	}
	return o.verified.RateLimitPolicy()
}

// AppendRateLimit appends the value of the RateLimit field: "minute";r=59;t=60,
// …, where r is what is left and t the seconds until it grows, if that is known.
// It appends nothing if the limiter was not asked, or about shadows alone.
func (o *Outcome) AppendRateLimit(dst []byte) []byte {
	if !o.announces() {
		return dst
	}
	return o.appendRateLimit(dst)
}

func (o *Outcome) appendRateLimit(dst []byte) []byte {
	items, left := o.keyItems(), o.decision.Windows[:o.decision.N]
	own := min(len(items), len(left))
	start := len(dst)
	dst = appendItems(dst, items, left[:own])
	if o.owner == nil || len(left) == own {
		return dst
	}
	end := len(dst)
	if end > start {
		dst = append(dst, ", "...)
	}
	begin := len(dst)
	if dst = appendItems(dst, o.owner.items, left[own:]); len(dst) == begin { // shadows
		dst = dst[:end]
	}
	return dst
}

// keyItems returns the beginnings of the items of the limits under the key's own
// name: see engine.LimitFields.
func (o *Outcome) keyItems() []string {
	if o.set != nil {
		return o.set.items
	}
	return o.verified.RateLimitItems()
}

// appendItems appends one item for each status, but none for a shadow.
func appendItems(dst []byte, items []string, left []limiter.Status) []byte {
	for i := range min(len(items), len(left)) {
		item, s := items[i], &left[i]
		if item == "" {
			continue
		}
		dst = append(dst, item...)
		dst = appendUint(dst, min(s.Remaining, engine.MostInField))
		if s.Reset > 0 {
			dst = append(dst, ";t="...)
			dst = appendUint(dst, ceilSeconds(s.Reset))
		}
	}
	return dst
}

// appendUint is strconv.AppendInt for numbers that are not negative and have at
// most nine digits.
func appendUint(dst []byte, n int64) []byte {
	if n >= 1e9 {
		return strconv.AppendInt(dst, n, 10)
	}
	rest := uint32(n)
	size := bits.Len32(rest|1) * 1233 >> 12 // the digits, or one less: log10(2) is 1233/4096
	if rest >= powers[size] {
		size++
	}
	start := len(dst)
	dst = slices.Grow(dst, 9)[:start+size]
	at := dst[start:] // written from its end
	for ; len(at) >= 2; at = at[:len(at)-2] {
		binary.LittleEndian.PutUint16(at[len(at)-2:], pairs[rest%100])
		rest /= 100
	}
	if len(at) == 1 {
		at[0] = '0' + byte(rest)
	}
	return dst
}

var (
	// pairs holds the decimal digits of the numbers below 100.
	pairs = func() (t [100]uint16) {
		for i := range t {
			t[i] = '0' + uint16(i)/10 | ('0'+uint16(i)%10)<<8
		}
		return t
	}()
	// powers holds the smallest numbers with more than i digits; 0 has one.
	powers = [...]uint32{0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9}
)

// tightest returns the limit that X-RateLimit-* describe: one that refused the
// request; else, of those that count requests over a time, the one with the least
// left; of several, the one that recovers last. It is -1 if there is none.
func (o *Outcome) tightest() int {
	best := -1
	for i := range o.decision.N {
		a := &o.decision.Windows[i]
		if l, _, shadow := o.limit(i); shadow || !a.Violated && (l.Concurrent || l.Unit != "") {
			continue
		}
		if best < 0 {
			best = i
			continue
		}
		b := &o.decision.Windows[best]
		if a.Violated != b.Violated {
			if a.Violated {
				best = i
			}
		} else if a.Remaining < b.Remaining || a.Remaining == b.Remaining && a.Reset > b.Reset {
			best = i
		}
	}
	return best
}

// eachRateLimit calls set with every rate-limit field.
func (o *Outcome) eachRateLimit(set func(name, value string)) {
	if policy := string(o.AppendRateLimitPolicy(make([]byte, 0, 128))); policy != "" {
		set("RateLimit-Policy", policy)
		set("RateLimit", string(o.AppendRateLimit(make([]byte, 0, 128))))
	}
	if o.of().o.LegacyHeaders {
		o.eachLegacy(set)
	}
}

func (o *Outcome) eachLegacy(set func(name, value string)) {
	i := o.tightest()
	if i < 0 {
		return
	}
	limit, _, _ := o.limit(i)
	left := &o.decision.Windows[i]
	set("X-RateLimit-Limit", strconv.FormatInt(limit.N, 10))
	set("X-RateLimit-Remaining", strconv.FormatInt(left.Remaining, 10))
	set("X-RateLimit-Reset", strconv.FormatInt(epochCeil(time.Now().Add(left.Reset)), 10))
}

func epochCeil(t time.Time) int64 {
	if t.Nanosecond() > 0 {
		return t.Unix() + 1
	}
	return t.Unix()
}

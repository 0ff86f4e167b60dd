package middleware

import (
	"slices"
	"strconv"
	"time"

	"github.com/wontopos/latchkey/internal/engine"
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
	start, own := len(dst), len(o.keyLimits())
	for i := range o.decision.N {
		var item string
		switch {
		case i >= own:
			if item = o.owner.item(i - own); item != "" && i == own && len(dst) > start {
				dst = append(dst, ", "...)
			}
		case o.set != nil:
			item = o.set.item(i)
		default:
			item = o.verified.RateLimitItem(i)
		}
		if item == "" { // a shadow
			continue
		}
		w := &o.decision.Windows[i]
		dst = append(dst, item...)
		dst = appendUint(dst, min(w.Remaining, engine.MostInField))
		if w.Reset > 0 {
			dst = append(dst, ";t="...)
			dst = appendUint(dst, ceilSeconds(w.Reset))
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
	rest, size := uint32(n), 1
	for limit := uint32(10); rest >= limit; limit *= 10 {
		size++
	}
	dst = slices.Grow(dst, size)[:len(dst)+size]
	at := dst[len(dst)-size:] // written from its end
	for ; len(at) >= 2; at = at[:len(at)-2] {
		pair := &pairs[rest%100]
		at[len(at)-2], at[len(at)-1] = pair[0], pair[1]
		rest /= 100
	}
	if len(at) == 1 {
		at[0] = '0' + byte(rest)
	}
	return dst
}

// pairs holds the decimal digits of the numbers below 100.
var pairs = func() (t [100][2]byte) {
	for i := range t {
		t[i] = [2]byte{'0' + byte(i/10), '0' + byte(i%10)}
	}
	return t
}()

// tightest returns the limit that X-RateLimit-* describe: one that refused the
// request; else, of those that count requests over a time, the one with the least
// left; of several, the one that recovers last. It is -1 if there is none.
func (o *Outcome) tightest() int {
	best := -1
	for i := range o.decision.N {
		a := &o.decision.Windows[i]
		if l, _ := o.limit(i); l.Shadow || !a.Violated && (l.Concurrent || l.Unit != "") {
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
	limit, _ := o.limit(i)
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

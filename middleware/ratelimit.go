package middleware

import (
	"slices"
	"strconv"
	"time"

	"github.com/wontopos/latchkey/apikey"
)

// The fields of draft-ietf-httpapi-ratelimit-headers, spelled as http.Header
// spells them.
const (
	fieldPolicy = "Ratelimit-Policy"
	fieldLimit  = "Ratelimit"

	legacyPrefix = "X-Ratelimit-"
)

// AppendRateLimitPolicy appends the value of the RateLimit-Policy field:
// "minute";q=60;w=60, …. It appends nothing if the limiter was not asked.
func (o *Outcome) AppendRateLimitPolicy(dst []byte) []byte {
	if o.decision.N == 0 {
		return dst
	}
	dst = append(dst, o.verified.RateLimitPolicy()...)
	for i := len(o.verified.Limits()); i < o.decision.N; i++ {
		l, prefix := o.limit(i)
		dst = appendItem(dst, i, prefix, l.Name)
		dst = append(dst, ";q="...)
		dst = strconv.AppendInt(dst, l.N, 10)
		dst = append(dst, ";w="...)
		dst = strconv.AppendInt(dst, int64(l.Window/time.Second), 10)
	}
	return dst
}

// AppendRateLimit appends the value of the RateLimit field: "minute";r=59;t=60,
// …, where r is what is left and t the seconds until it grows. It appends
// nothing if the limiter was not asked.
func (o *Outcome) AppendRateLimit(dst []byte) []byte {
	own := o.verified.Limits()
	for i := range o.decision.N {
		w := &o.decision.Windows[i]
		if i < len(own) {
			dst = append(dst, o.verified.RateLimitItem(i)...)
		} else {
			owner, prefix := o.limit(i)
			dst = appendItem(dst, i, prefix, owner.Name)
			dst = append(dst, ";r="...)
		}
		dst = appendUint(dst, w.Remaining)
		dst = append(dst, ";t="...)
		dst = appendUint(dst, ceilSeconds(w.Reset))
	}
	return dst
}

// appendItem begins item i of a list. A name needs no escapes inside quotes.
func appendItem(dst []byte, i int, prefix, name string) []byte {
	if i > 0 {
		dst = append(dst, ", "...)
	}
	dst = append(dst, '"')
	dst = append(dst, prefix...)
	dst = append(dst, name...)
	return append(dst, '"')
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

// tightest returns the window that X-RateLimit-* describe: one that refused the
// request; else the one with the least left; of several, the one that recovers
// last.
func (o *Outcome) tightest() (limit apikey.Limit, remaining int64, reset time.Duration) {
	best := 0
	for i := 1; i < o.decision.N; i++ {
		a, b := &o.decision.Windows[i], &o.decision.Windows[best]
		if a.Violated != b.Violated {
			if a.Violated {
				best = i
			}
		} else if a.Remaining < b.Remaining || a.Remaining == b.Remaining && a.Reset > b.Reset {
			best = i
		}
	}
	limit, _ = o.limit(best)
	return limit, o.decision.Windows[best].Remaining, o.decision.Windows[best].Reset
}

// eachRateLimit calls set with every rate-limit field.
func (o *Outcome) eachRateLimit(set func(name, value string)) {
	if o.decision.N == 0 {
		return
	}
	policy := o.verified.RateLimitPolicy()
	if o.decision.N > len(o.verified.Limits()) {
		policy = string(o.AppendRateLimitPolicy(make([]byte, 0, 128)))
	}
	set("RateLimit-Policy", policy)
	set("RateLimit", string(o.AppendRateLimit(make([]byte, 0, 128))))
	if o.of().o.LegacyHeaders {
		o.eachLegacy(set)
	}
}

func (o *Outcome) eachLegacy(set func(name, value string)) {
	limit, remaining, reset := o.tightest()
	set("X-RateLimit-Limit", strconv.FormatInt(limit.N, 10))
	set("X-RateLimit-Remaining", strconv.FormatInt(remaining, 10))
	set("X-RateLimit-Reset", strconv.FormatInt(epochCeil(time.Now().Add(reset)), 10))
}

func epochCeil(t time.Time) int64 {
	if t.Nanosecond() > 0 {
		return t.Unix() + 1
	}
	return t.Unix()
}

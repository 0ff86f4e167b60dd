package redisstore

import (
	"strings"
	"time"
)

// ClockAt makes the limiter's server read its clock from two keys, seconds and
// microseconds.
func (l *Limiter) ClockAt(seconds, micros string) {
	l.script = newScript(strings.Replace(limitLua, "call('TIME')", "call('MGET', '"+seconds+"', '"+micros+"')", 1))
}

// SlotsLast changes how long slots last that nobody renews.
func (l *Limiter) SlotsLast(d time.Duration) { l.slots.life = d }

// Key is the key of a subject.
func (l *Limiter) Key(subject string) string { return l.key(subject) }

package storage

import (
	"maps"
	"math"
	"time"

	"github.com/wontopos/latchkey/apikey"
)

// Normalize returns r as stores keep and return it: a copy that shares no
// memory with r, with all times in UTC and truncated to the microsecond.
func Normalize(r Record) Record {
	r = r.Clone()
	for _, t := range recordTimes(&r.Key) {
		*t = NormalizeTime(*t)
	}
	for i := range r.Key.Secrets {
		s := &r.Key.Secrets[i]
		s.CreatedAt, s.EndsAt, s.FirstUsedAt = NormalizeTime(s.CreatedAt), NormalizeTime(s.EndsAt), NormalizeTime(s.FirstUsedAt)
	}
	return r
}

// NormalizeEntry does for an audit entry what [Normalize] does for a record.
func NormalizeEntry(e apikey.AuditEntry) apikey.AuditEntry {
	e.At = NormalizeTime(e.At)
	e.Details = maps.Clone(e.Details)
	return e
}

// firstMicro and lastMicro are the limits of an int64 of microseconds, some
// 300,000 years away. [CheckChange] accepts no time so far away; a query may
// ask for one, which must not be mistaken for another.
var firstMicro, lastMicro = time.UnixMicro(math.MinInt64), time.UnixMicro(math.MaxInt64)

// NormalizeTime returns t in UTC, truncated to the microsecond, without a
// monotonic reading. The zero time stays the zero time. A time that
// microseconds cannot represent becomes the nearest one that they can.
func NormalizeTime(t time.Time) time.Time {
	switch {
	case t.Before(firstMicro):
		t = firstMicro
	case t.After(lastMicro):
		t = lastMicro
	}
	return time.UnixMicro(t.UnixMicro()).UTC()
}

package storage

import (
	"cmp"
	"maps"
	"strings"
	"time"

	"github.com/wontopos/latchkey/apikey"
)

// Normalize returns r as stores keep it and give it back: a copy that shares no
// memory with r, all times in UTC and cut to the microsecond.
func Normalize(r apikey.Record) apikey.Record {
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

// NormalizeTime returns t in UTC, cut to the microsecond, without a monotonic
// reading. The zero time stays the zero time.
func NormalizeTime(t time.Time) time.Time { return time.UnixMicro(t.UnixMicro()).UTC() }

// PositionOf returns the place of a key in the order of [apikey.Store.List].
func PositionOf(k *apikey.Key) apikey.Position {
	return apikey.Position{CreatedAt: NormalizeTime(k.CreatedAt), ID: k.ID}
}

// Compare is the order of [apikey.Store.List]: negative when a comes before b.
// Newer keys come first; of two keys of one instant, the one whose ID is
// greater in byte order.
func Compare(a, b apikey.Position) int {
	return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), strings.Compare(b.ID, a.ID))
}

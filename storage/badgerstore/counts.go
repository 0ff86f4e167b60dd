package badgerstore

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// Usage rows are counts, preceded by how many there are, so that outcomes can
// be added:
//
//	hour:  counts of a secret
//	day:   counts of a key
//	total: of a secret: counts, microsecond of the last use, network, user agent, route, status;
//	       second of the newest hour, its counts; second of its day, its counts; number of scopes used in the hour, their names
//	scope: second of the start of the newest hour
//
// **The counts of a secret's newest hour and newest day are in its total**, and
// move to a row of their own when a later hour or day begins. So a flush reads
// and writes one row for each secret. Counts that arrive late are added to the
// row of their hour and day. A reader adds the two: a directory of format 3 may
// also have a row for the newest hour.
//
// A total that an older program wrote ends with the status, or with the user
// agent.
func appendCounts(dst []byte, c apikey.Counts) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(c.Fields())))
	for _, n := range c.All() {
		dst = binary.AppendUvarint(dst, n)
	}
	return dst
}

// splitCounts returns the counts that b begins with, and the rest.
func splitCounts(b []byte) (c apikey.Counts, rest []byte, err error) {
	n, b, err := splitUvarint(b)
	if err == nil && n > uint64(len(c.Fields())) {
		err = fmt.Errorf("%w: %d counts", storage.ErrCorrupt, n)
	}
	fields := c.Fields()
	for i := range n {
		if err != nil {
			break
		}
		*fields[i], b, err = splitUvarint(b)
	}
	return c, b, err
}

// total is what a total row holds.
type total struct {
	apikey.UsageSecret
	hour   time.Time // the newest
	inHour apikey.Counts
	day    time.Time // the newest
	inDay  apikey.Counts
	scopes []string // used in hour, which is already in their rows
}

func appendTotal(dst []byte, t *total) []byte {
	dst = appendCounts(dst, t.Counts)
	dst = binary.AppendVarint(dst, t.Last.At.UnixMicro())
	dst = str(dst, t.Last.Network)
	dst = str(dst, t.Last.UserAgent)
	dst = str(dst, t.Last.Route)
	dst = binary.AppendUvarint(dst, uint64(t.Last.Status))
	dst = appendCounts(appendHour(dst, t.hour), t.inHour)
	dst = appendCounts(appendHour(dst, t.day), t.inDay)
	dst = binary.AppendUvarint(dst, uint64(len(t.scopes)))
	for _, scope := range t.scopes {
		dst = str(dst, scope)
	}
	return dst
}

func decodeTotal(b []byte) (t total, err error) {
	if t.Counts, b, err = splitCounts(b); err != nil {
		return t, err
	}
	at, n := binary.Varint(b)
	if n <= 0 {
		return t, fmt.Errorf("%w: bad time", storage.ErrCorrupt)
	}
	t.Last.At = time.UnixMicro(at).UTC()
	if t.Last.Network, b, err = splitString(b[n:]); err == nil {
		t.Last.UserAgent, b, err = splitString(b)
	}
	if err != nil || len(b) == 0 {
		return t, err
	}
	var status, scopes uint64
	if t.Last.Route, b, err = splitString(b); err == nil {
		status, b, err = splitUvarint(b)
	}
	t.Last.Status = int(status)
	if err != nil || len(b) == 0 {
		return t, err
	}
	if t.hour, b, err = splitStart(b); err == nil {
		t.inHour, b, err = splitCounts(b)
	}
	if err == nil {
		t.day, b, err = splitStart(b)
	}
	if err == nil {
		t.inDay, b, err = splitCounts(b)
	}
	if err == nil {
		scopes, b, err = splitUvarint(b)
	}
	for range scopes {
		var scope string
		if err == nil {
			scope, b, err = splitString(b)
		}
		if err != nil {
			break
		}
		t.scopes = append(t.scopes, scope)
	}
	return t, err
}

func appendHour(dst []byte, start time.Time) []byte { return binary.AppendVarint(dst, start.Unix()) }

func decodeHour(b []byte) (time.Time, error) {
	t, _, err := splitStart(b)
	return t, err
}

// splitStart returns the start of an hour or a day, with which b begins, and
// the rest.
func splitStart(b []byte) (time.Time, []byte, error) {
	s, n := binary.Varint(b)
	if n <= 0 {
		return time.Time{}, nil, fmt.Errorf("%w: bad hour", storage.ErrCorrupt)
	}
	return time.Unix(s, 0).UTC(), b[n:], nil
}

func splitUvarint(b []byte) (uint64, []byte, error) {
	v, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, nil, fmt.Errorf("%w: bad number", storage.ErrCorrupt)
	}
	return v, b[n:], nil
}

func splitString(b []byte) (string, []byte, error) {
	n, b, err := splitUvarint(b)
	if err == nil && n > uint64(len(b)) {
		err = fmt.Errorf("%w: bad length", storage.ErrCorrupt)
	}
	if err != nil {
		return "", nil, err
	}
	return string(b[:n]), b[n:], nil
}

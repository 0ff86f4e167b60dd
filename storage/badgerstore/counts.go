package badgerstore

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// Usage rows are counts, behind their number so that outcomes can be added:
//
//	hour:  counts
//	day:   counts
//	total: counts, microsecond of the last use, network, user agent, route, status
//	scope: second of the start of the newest hour
//
// What was added to a total later is left out by the programs before, and for
// theirs unknown.
func appendCounts(dst []byte, c apikey.Counts) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(c)))
	for _, n := range c {
		dst = binary.AppendUvarint(dst, n)
	}
	return dst
}

// splitCounts returns the counts that b begins with, and the rest.
func splitCounts(b []byte) (c apikey.Counts, rest []byte, err error) {
	n, b, err := splitUvarint(b)
	if err == nil && n > uint64(len(c)) {
		err = fmt.Errorf("%w: %d counts", storage.ErrCorrupt, n)
	}
	for i := range n {
		if err != nil {
			break
		}
		c[i], b, err = splitUvarint(b)
	}
	return c, b, err
}

func appendTotal(dst []byte, t apikey.UsageSecret) []byte {
	dst = appendCounts(dst, t.Counts)
	dst = binary.AppendVarint(dst, t.Last.At.UnixMicro())
	dst = str(dst, t.Last.Network)
	dst = str(dst, t.Last.UserAgent)
	dst = str(dst, t.Last.Route)
	return binary.AppendUvarint(dst, uint64(t.Last.Status))
}

func decodeTotal(b []byte) (t apikey.UsageSecret, err error) {
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
	var status uint64
	if t.Last.Route, b, err = splitString(b); err == nil {
		status, _, err = splitUvarint(b)
	}
	t.Last.Status = int(status)
	return t, err
}

func appendHour(dst []byte, start time.Time) []byte { return binary.AppendVarint(dst, start.Unix()) }

func decodeHour(b []byte) (time.Time, error) {
	s, n := binary.Varint(b)
	if n <= 0 {
		return time.Time{}, fmt.Errorf("%w: bad hour", storage.ErrCorrupt)
	}
	return time.Unix(s, 0).UTC(), nil
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

package latchkey

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"time"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"

	"github.com/wontopos/latchkey/internal/faults"
	"github.com/wontopos/latchkey/storage"
)

// A cursor is base64url over
//
//	version 2 | list, 8 bytes | place | CRC-32 of all before
//
// where list is a hash (XXH64) of the order and the filters, and place is, big-endian,
// CreatedAt in microseconds and the id, or for ByName the length of the name in
// one byte, the name and the id. It is a place, not a secret: for each page the
// service checks the caller's right again, and the store applies every filter.
// The checksum rejects a cursor that was truncated or edited; the hash rejects
// one that belongs to another list.
const (
	cursorVersion = 2
	cursorHead    = 1 + listSize
	listSize      = 8
)

// listOf hashes what distinguishes one list from another.
func listOf(q *storage.Query) [listSize]byte {
	var conditions byte
	for i, set := range []bool{!q.UnusedSince.IsZero(), q.Rotating, !q.ExpiresBefore.IsZero(), q.OmitRevoked, !q.SecretBefore.IsZero()} {
		if set {
			conditions |= 1 << i
		}
	}
	b := []byte{byte(q.Order), conditions}
	for _, s := range []string{q.Owner, q.Environment, q.Plan, string(q.State), q.Search} {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	return [listSize]byte(binary.BigEndian.AppendUint64(nil, xxhash.Sum64(b)))
}

func formatCursor(p storage.Position, q storage.Query) string {
	list := listOf(&q)
	b := append(append(make([]byte, 0, 64), cursorVersion), list[:]...)
	if q.Order == storage.ByName {
		name := p.Name[:min(len(p.Name), storage.MaxName)]
		b = append(append(b, byte(len(name))), name...)
	} else {
		b = binary.BigEndian.AppendUint64(b, uint64(p.CreatedAt.UnixMicro()))
	}
	b = append(b, p.ID...)
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	return base64.RawURLEncoding.EncodeToString(b)
}

func parseCursor(cursor string, q storage.Query) (storage.Position, error) {
	if cursor == "" {
		return storage.Position{}, nil
	}
	const longest = 512
	b, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(b) < cursorHead+4 || len(b) > longest || b[0] != cursorVersion {
		return storage.Position{}, faults.Invalid("cursor", "is not one that this service gave out: start without a cursor")
	}
	body, sum := b[:len(b)-4], binary.BigEndian.Uint32(b[len(b)-4:])
	if crc32.ChecksumIEEE(body) != sum {
		return storage.Position{}, faults.Invalid("cursor", "was cut or changed: start without a cursor")
	}
	if [listSize]byte(body[1:cursorHead]) != listOf(&q) {
		return storage.Position{}, faults.Invalid("cursor", "belongs to a list with another order or other filters: start this one without a cursor")
	}
	p, ok := parsePlace(body[cursorHead:], q.Order)
	if !ok || formatCursor(p, q) != cursor { // base64 tolerates line breaks
		return storage.Position{}, faults.Invalid("cursor", "was changed: start without a cursor")
	}
	return p, nil
}

func parsePlace(b []byte, o storage.Order) (p storage.Position, ok bool) {
	if o == storage.ByName {
		if len(b) == 0 || len(b) <= int(b[0]) {
			return p, false
		}
		p.Name, b = string(b[1:1+b[0]]), b[1+b[0]:]
	} else {
		if len(b) < 8 {
			return p, false
		}
		p.CreatedAt, b = time.UnixMicro(int64(binary.BigEndian.Uint64(b))).UTC(), b[8:]
	}
	p.ID = string(b)
	return p, utf8.ValidString(p.Name) && utf8.ValidString(p.ID)
}

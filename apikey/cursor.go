package apikey

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"time"
	"unicode/utf8"
)

// A cursor is base64url over
//
//	version 1 | CreatedAt, microseconds, big-endian | id | CRC-32 of all before
//
// It is a place, not a secret: the service checks the caller's right to each
// page again. The checksum is there to refuse one that was cut or edited.
const cursorVersion = 1

func formatCursor(p Position) string {
	b := append(make([]byte, 0, 32), cursorVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(p.CreatedAt.UnixMicro()))
	b = append(b, p.ID...)
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	return base64.RawURLEncoding.EncodeToString(b)
}

func parseCursor(cursor string) (Position, error) {
	if cursor == "" {
		return Position{}, nil
	}
	const shortest, longest = 1 + 8 + 1 + 4, 512
	b, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(b) < shortest || len(b) > longest || b[0] != cursorVersion {
		return Position{}, invalidf("cursor", "is not one that this service gave out: start without a cursor")
	}
	body, sum := b[:len(b)-4], binary.BigEndian.Uint32(b[len(b)-4:])
	id := string(body[9:])
	if crc32.ChecksumIEEE(body) != sum || !utf8.ValidString(id) {
		return Position{}, invalidf("cursor", "was cut or changed: start without a cursor")
	}
	p := Position{CreatedAt: time.UnixMicro(int64(binary.BigEndian.Uint64(body[1:9]))).UTC(), ID: id}
	if formatCursor(p) != cursor { // base64 takes line breaks in its stride
		return Position{}, invalidf("cursor", "was changed: start without a cursor")
	}
	return p, nil
}

package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"math"
	"slices"
	"time"
)

// The encoding of a value is
//
//	kind (1 byte)  version (1 byte)  fields …  CRC-32C of all that precedes (4 bytes)
//
// The fields have a fixed order: numbers as varints in their shortest form,
// strings and lists preceded by their length, maps sorted by key. So a value
// has exactly one encoding.
//
// In every version, past and future, the first two bytes stay the same, and so
// do the place and kind of the checksum. A reader can therefore tell damage
// (the checksum is wrong, [ErrCorrupt]) from a version that it does not know
// yet ([ErrVersion]). A change to the fields needs the next version number; old
// versions stay readable.
const (
	kindRecord byte = 'R'
	kindEntry  byte = 'A'
	version1   byte = 1
	version2   byte = 2 // only for a record
	version3   byte = 3 // only for a record

	headSize = 2
	sumSize  = 4
)

var (
	// ErrCorrupt says that stored bytes are not what was once written. It affects
	// only one record or entry.
	ErrCorrupt = errors.New("storage: corrupt data")

	// ErrVersion says that stored bytes are intact, but of a version that this
	// program does not know: a newer program wrote them.
	ErrVersion = errors.New("storage: data written by a newer version")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seal appends the checksum of dst[start:].
func seal(dst []byte, start int) []byte {
	return binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

// open checks kind, checksum and version, in this order, and returns the
// version and a decoder of the fields. newest is the latest version that is
// known.
func open(b []byte, kind, newest byte) (version byte, d *decoder, err error) {
	if len(b) < headSize+sumSize || b[0] != kind {
		return 0, nil, fmt.Errorf("%w: not of kind %q", ErrCorrupt, kind)
	}
	body, sum := b[:len(b)-sumSize], b[len(b)-sumSize:]
	if crc32.Checksum(body, castagnoli) != binary.BigEndian.Uint32(sum) {
		return 0, nil, fmt.Errorf("%w: checksum mismatch", ErrCorrupt)
	}
	if version = body[1]; version < version1 || version > newest {
		return 0, nil, fmt.Errorf("%w: version %d, this program knows %d", ErrVersion, version, newest)
	}
	return version, &decoder{b: body[headSize:]}, nil
}

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// zeroMicro is the zero time in Unix microseconds.
var zeroMicro = time.Time{}.UnixMicro()

// appendTime appends the microseconds since the zero time, so that the zero
// time takes one byte and stays the zero time. Earlier times wrap around and
// are restored correctly.
func appendTime(dst []byte, t time.Time) []byte {
	return binary.AppendUvarint(dst, uint64(t.UnixMicro()-zeroMicro))
}

func appendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, 1)
	}
	return append(dst, 0)
}

func appendMap(dst []byte, m map[string]string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(m)))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		dst = appendString(appendString(dst, k), m[k])
	}
	return dst
}

// decoder reads fields. After the first error it reads zeros, so that callers
// check once, at the end. It never allocates more than a small multiple of its
// input: every count is checked against the remaining bytes.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail(what string) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: bad %s", ErrCorrupt, what)
	}
	d.b = nil
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || n > 1 && d.b[n-1] == 0 { // a number not in its shortest form
		d.fail("number")
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	u := d.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

func (d *decoder) bool() bool {
	v := d.uvarint()
	if v > 1 {
		d.fail("bool")
	}
	return v == 1
}

func (d *decoder) uint32() uint32 {
	v := d.uvarint()
	if v > math.MaxUint32 {
		d.fail("number")
	}
	return uint32(v)
}

// bytes returns the next n bytes of the input, without a copy.
func (d *decoder) bytes(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.fail("length")
		return nil
	}
	b := d.b[:n]
	d.b = d.b[n:]
	return b
}

func (d *decoder) string() string { return string(d.bytes(d.uvarint())) }

func (d *decoder) time() time.Time {
	return time.UnixMicro(int64(d.uvarint()) + zeroMicro).UTC()
}

// count reads the length of a list whose elements take at least size bytes.
func (d *decoder) count(size int) int {
	n := d.uvarint()
	if n > uint64(len(d.b)/size) {
		d.fail("count")
		return 0
	}
	return int(n)
}

func (d *decoder) stringMap() map[string]string {
	n := d.count(2)
	if n == 0 {
		return nil
	}
	m := make(map[string]string, n)
	last := ""
	for i := range n {
		k, v := d.string(), d.string()
		if i > 0 && k <= last {
			d.fail("order")
			return nil
		}
		m[k], last = v, k
	}
	return m
}

// list reads a list whose elements take at least size bytes. An empty list is
// nil.
func list[T any](d *decoder, size int, read func() T) []T {
	n := d.count(size)
	if n == 0 {
		return nil
	}
	l := make([]T, n)
	for i := range l {
		l[i] = read()
	}
	return l
}

// end returns the first error; bytes left over are an error, too.
func (d *decoder) end() error {
	if d.err == nil && len(d.b) > 0 {
		d.fail("end")
	}
	return d.err
}

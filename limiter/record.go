package limiter

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"time"

	"github.com/wontopos/latchkey/apikey"
)

// A record is the state of one subject in a Journal:
//
//	byte     version, 1
//	uvarint  reserved cost
//	uvarint  number of windows, then for each of them
//	  uvarint  length in seconds
//	  uvarint  number of the newest segment, counted from the Unix epoch
//	  uvarint  number of counters that are not zero, then oldest first
//	    uvarint  age in segments
//	    uvarint  count
//	4 bytes  CRC-32 (IEEE) of all that precedes it, little endian
type record struct {
	reserved uint32
	windows  []savedWindow
}

type savedWindow struct {
	length time.Duration
	newest int64
	counts []savedCount
}

type savedCount struct {
	age int
	n   uint32
}

const (
	recordVersion = 1
	// maxRings is how many windows a bucket and its record may have. A record may
	// be read by a process of another version, so this does not follow MaxWindows.
	maxRings = 8
	// maxCount bounds the total of a window in a record. Successive crashes charge
	// their reservations on top of N; the sum still fits in 32 bits.
	maxCount = 1 << 31
)

// encode returns the record of the bucket.
func (b *bucket) encode(reserved int64) []byte {
	out := make([]byte, 0, 64)
	out = append(out, recordVersion)
	out = binary.AppendUvarint(out, uint64(reserved))
	out = binary.AppendUvarint(out, uint64(b.count()))
	for i := range b.count() {
		r := b.ring(i)
		out = binary.AppendUvarint(out, uint64(r.seconds))
		out = binary.AppendUvarint(out, uint64(r.edge/r.segment()-1))
		var counts []byte
		n := uint64(0)
		for age := r.segments(); age >= 0; age-- {
			if c := r.at(b.cells, age); c > 0 {
				counts = binary.AppendUvarint(counts, uint64(age))
				counts = binary.AppendUvarint(counts, uint64(c))
				n++
			}
		}
		out = binary.AppendUvarint(out, n)
		out = append(out, counts...)
	}
	return binary.LittleEndian.AppendUint32(out, crc32.ChecksumIEEE(out))
}

// reader decodes a record. After the first value out of bounds it is broken and
// returns zeros, so that the caller checks once.
type reader struct {
	in  []byte
	err error
}

// fail breaks the reader, keeping the first of several reasons.
func (r *reader) fail(reason string) {
	if r.err == nil {
		r.err = errors.New("limiter: record: " + reason)
	}
}

func (r *reader) uvarint(name string, most uint64) uint64 {
	v, n := binary.Uvarint(r.in)
	if n <= 0 || v > most {
		r.fail(name + " out of bounds")
	}
	if r.err != nil {
		return 0
	}
	r.in = r.in[n:]
	return v
}

// decodeWindows reads a record. It accepts any input, and allocates no more
// than the largest valid record needs.
func decodeWindows(in []byte) (record, error) {
	var rec record
	if len(in) < 1+4 {
		return rec, errors.New("limiter: record: too short")
	}
	if in[0] != recordVersion {
		return rec, fmt.Errorf("limiter: record: version %d is not known", in[0])
	}
	body, sum := in[:len(in)-4], in[len(in)-4:]
	if crc32.ChecksumIEEE(body) != binary.LittleEndian.Uint32(sum) {
		return rec, errors.New("limiter: record: checksum does not match")
	}
	r := reader{in: body[1:]}
	rec.reserved = uint32(r.uvarint("reservation", apikey.MaxLimitN))
	for range r.uvarint("number of windows", maxRings) {
		w := r.window()
		for _, o := range rec.windows {
			if o.length == w.length {
				r.fail("window that is duplicated")
			}
		}
		rec.windows = append(rec.windows, w)
	}
	if len(r.in) > 0 {
		r.fail("bytes left over")
	}
	if r.err != nil {
		return record{}, r.err
	}
	return rec, nil
}

func (r *reader) window() savedWindow {
	seconds := r.uvarint("window", uint64(apikey.MaxLimitWindow/time.Second))
	if seconds == 0 {
		r.fail("window of no length")
	}
	if r.err != nil {
		return savedWindow{}
	}
	shape := ring{seconds: uint32(seconds)}
	w := savedWindow{length: shape.length()}
	// Far enough from the end of time that no sum below overflows.
	w.newest = int64(r.uvarint("newest segment", uint64(math.MaxInt64/2/shape.segment())))
	oldest, total := shape.segments(), uint64(0)
	for range r.uvarint("number of counters", uint64(oldest+1)) {
		if oldest < 0 {
			r.fail("counter younger than the newest segment")
		}
		age := int(r.uvarint("age", uint64(oldest)))
		n := r.uvarint("count", maxCount-total)
		if n == 0 {
			r.fail("counter of nothing")
		}
		if r.err != nil {
			return savedWindow{}
		}
		w.counts = append(w.counts, savedCount{age, uint32(n)})
		oldest, total = age-1, total+n
	}
	return w
}

// fullRecord is a record of windows that were used up at the given time.
func fullRecord(limits []apikey.Limit, at int64) record {
	var rec record
	for _, l := range limits {
		r := newRing(l.Window, at)
		rec.windows = append(rec.windows, savedWindow{l.Window, r.edge/r.segment() - 1, []savedCount{{0, uint32(l.N)}}})
	}
	return rec
}

// restore fills an empty bucket from a record, in a process that started at
// started. Hits that the record dates later (the wall clock was set back) are
// shifted so that the newest are dated at started. The reservation counts as
// used then, the latest time at which it can have been used. Afterwards adopt
// arranges the bucket for its limits.
func (b *bucket) restore(rec record, started int64) {
	var rings []ring
	size := 0
	for _, s := range rec.windows {
		r := ring{seconds: uint32(s.length / time.Second), width: 4, off: uint16(size)}
		r.edge = (min(s.newest, started/r.segment()) + 1) * r.segment()
		size += r.size()
		rings = append(rings, r)
	}
	b.hold(rings, make([]byte, size))
	for i, s := range rec.windows {
		r := b.ring(i)
		for _, c := range s.counts {
			r.put(b.cells, c.age, c.n)
		}
		r.advance(b.cells, started)
		r.add(min(rec.reserved, maxCount-r.total))
	}
}

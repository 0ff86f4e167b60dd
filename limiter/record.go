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

// A record is the state of one subject in a Journal. Requests in progress are
// not in it: they end with the process.
//
//	byte     version, 2
//	uvarint  number of limits, then for each of them
//	  byte     way of counting: 0 segments, 1 pairs, 2 quota
//	  text     name; a zero byte if it is not known
//	  uvarint  reserved cost
//	  of a window
//	    uvarint  length in seconds
//	    uvarint  segments: number of the newest, counted from the Unix epoch
//	             pairs: instant of the newest, in nanoseconds
//	    uvarint  number of entries, then oldest first
//	      uvarint  age, in segments or nanoseconds
//	      uvarint  cost
//	  of a quota
//	    text     period
//	    text     zone
//	    uvarint  end of the period, in nanoseconds; 0 for ever
//	    uvarint  count
//	4 bytes  CRC-32 (IEEE) of all that precedes it, little endian
//
// A text is a uvarint with its length, then its bytes. Version 1 had the
// reserved cost, once for all, before the number of limits; all of these were
// windows of segments, without the way of counting and the name.
type record []savedLimit

type savedLimit struct {
	limit    apikey.Limit // what identifies it, and an N of its way of counting
	reserved int64
	newest   int64
	entries  []savedEntry
	end      int64
	count    int64
}

type savedEntry struct{ age, cost int64 }

const (
	recordVersion    = 2
	namelessVersion  = 1
	longestText      = 255
	nanosecondsAtEnd = math.MaxInt64 / 2 // far enough from the end of time that no sum overflows
)

// encode returns the record of the bucket, with what is reserved for each count.
func (b *bucket) encode(reserved []int64) []byte {
	out := make([]byte, 0, 128)
	out = append(out, recordVersion)
	n := 0
	for i := range b.counts() {
		if b.layout.shapes[i].kind != slots {
			n++
		}
	}
	out = binary.AppendUvarint(out, uint64(n))
	for i := range b.counts() {
		l := b.ledger(i)
		if l.kind == slots {
			continue
		}
		out = append(out, l.kind)
		out = appendText(out, l.name)
		if reserved == nil {
			out = append(out, 0)
		} else {
			out = binary.AppendUvarint(out, uint64(reserved[i]))
		}
		if l.kind == quota {
			out = appendText(out, string(l.period))
			out = appendText(out, l.zone)
			end := uint64(0)
			if l.begins != nil {
				end = uint64(l.edge)
			}
			out = binary.AppendUvarint(out, end)
			out = binary.AppendUvarint(out, uint64(l.total))
			continue
		}
		out = binary.AppendUvarint(out, uint64(l.window/time.Second))
		all, newest, unit := l.list()
		out = binary.AppendUvarint(out, uint64(newest))
		out = binary.AppendUvarint(out, uint64(len(all)))
		for _, p := range all {
			out = binary.AppendUvarint(out, uint64(newest-p.at/unit))
			out = binary.AppendUvarint(out, uint64(p.cost))
		}
	}
	return binary.LittleEndian.AppendUint32(out, crc32.ChecksumIEEE(out))
}

func appendText(out []byte, s string) []byte {
	return append(binary.AppendUvarint(out, uint64(len(s))), s...)
}

// list returns what a window counts, oldest first, and its newest segment or
// instant in units of nanoseconds.
func (l ledger) list() (all []pair, newest, unit int64) {
	if l.kind == segments {
		return l.segmentList(), l.edge/l.s - 1, l.s
	}
	if all = l.pairList(); len(all) > 0 {
		newest = all[len(all)-1].at
	}
	return all, newest, 1
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

func (r *reader) uvarint(name string, most uint64) int64 {
	v, n := binary.Uvarint(r.in)
	if n <= 0 || v > most {
		r.fail(name + " out of bounds")
	}
	if r.err != nil {
		return 0
	}
	r.in = r.in[n:]
	return int64(v)
}

func (r *reader) text(name string) string {
	n := r.uvarint("length of "+name, longestText)
	if n > int64(len(r.in)) {
		r.fail(name + " is cut off")
	}
	if r.err != nil {
		return ""
	}
	s := string(r.in[:n])
	r.in = r.in[n:]
	return s
}

// decodeWindows reads a record. It accepts any input, and allocates no more
// than the largest valid record needs.
func decodeWindows(in []byte) (record, error) {
	if len(in) < 1+4 {
		return nil, errors.New("limiter: record: too short")
	}
	version := in[0]
	if version != recordVersion && version != namelessVersion {
		return nil, fmt.Errorf("limiter: record: version %d is not known", version)
	}
	body, sum := in[:len(in)-4], in[len(in)-4:]
	if crc32.ChecksumIEEE(body) != binary.LittleEndian.Uint32(sum) {
		return nil, errors.New("limiter: record: checksum does not match")
	}
	r := reader{in: body[1:]}
	reserved := int64(0)
	if version == namelessVersion {
		reserved = r.uvarint("reservation", mostTotal)
	}
	var rec record
	for range r.uvarint("number of limits", mostCounts) {
		s := savedLimit{limit: apikey.Limit{Name: anyName}, reserved: reserved}
		kind := int64(segments)
		if version == recordVersion {
			kind = r.uvarint("way of counting", uint64(quota))
			s.limit.Name = r.text("name")
			s.reserved = r.uvarint("reservation", mostTotal)
		}
		if uint8(kind) == quota {
			r.quota(&s)
		} else {
			r.window(&s, uint8(kind))
		}
		for _, o := range rec {
			if o.limit.Same(s.limit) {
				r.fail("limit that is duplicated")
			}
		}
		if r.err != nil {
			return nil, r.err
		}
		rec = append(rec, s)
	}
	if len(r.in) > 0 {
		r.fail("bytes left over")
	}
	return rec, r.err
}

func (r *reader) window(s *savedLimit, kind uint8) {
	seconds := r.uvarint("window", uint64(apikey.MaxLimitWindow/time.Second))
	if seconds == 0 {
		r.fail("window of no length")
		return
	}
	s.limit.Window, s.limit.N = time.Duration(seconds)*time.Second, 1
	unit, oldest, most := int64(1), int64(s.limit.Window)-1, uint64(pairsAtMost)
	if kind == segments {
		s.limit.N = mostPairs + 1
		shape := newShape(&s.limit)
		unit, oldest, most = shape.s, shape.k, uint64(shape.k+1)
	}
	s.newest = r.uvarint("newest", uint64(nanosecondsAtEnd/unit))
	total := int64(0)
	for range r.uvarint("number of entries", most) {
		if oldest < 0 {
			r.fail("entry younger than the newest")
		}
		age := r.uvarint("age", uint64(max(oldest, 0)))
		cost := r.uvarint("cost", uint64(mostTotal-total))
		if cost == 0 {
			r.fail("entry of nothing")
		}
		if r.err != nil {
			return
		}
		s.entries = append(s.entries, savedEntry{age, cost})
		if oldest, total = age, total+cost; kind == segments { // instants may be the same
			oldest--
		}
	}
}

func (r *reader) quota(s *savedLimit) {
	s.limit.Period, s.limit.Zone, s.limit.N = apikey.Period(r.text("period")), r.text("zone"), 1
	s.end = r.uvarint("end", nanosecondsAtEnd)
	s.count = r.uvarint("count", mostTotal)
	switch s.limit.Period {
	case apikey.Hourly, apikey.Daily, apikey.Monthly:
	case apikey.Ever:
		if s.limit.Zone != "" || s.end != 0 {
			r.fail("credits that end")
		}
	default:
		r.fail("unknown period")
	}
}

// fullRecord is a record of limits that were used up at the given time.
func fullRecord(limits []apikey.Limit, at int64) (rec record) {
	for _, l := range limits {
		s := newShape(&l)
		c := newCount(&s, at)
		saved := savedLimit{limit: l, newest: at, entries: []savedEntry{{0, l.N}}}
		switch s.kind {
		case slots:
			continue
		case segments:
			saved.newest = at / s.s
		case quota:
			saved.end, saved.count = c.edge, l.N
		}
		rec = append(rec, saved)
	}
	return rec
}

// restore fills an empty bucket from a record, in a process that started at
// started. Hits that the record dates later (the wall clock was set back) are
// shifted so that the newest are dated at started; a period stays. The
// reservation counts as used then, the latest time at which it can have been
// used. Afterwards adopt arranges the bucket for its limits.
func (b *bucket) restore(known *layouts, rec record, started int64) {
	shapes := make([]shape, len(rec))
	for i := range rec {
		shapes[i] = newShape(&rec[i].limit)
	}
	b.hold(known.of(shapes), make([]count, len(rec)))
	for i := range rec {
		s, l := &rec[i], b.ledger(i)
		l.edge = never
		switch l.kind {
		case segments:
			newest := min(s.newest, started/l.s)
			l.edge = (newest + 1) * l.s
			l.fillSegments(s.pairs(newest, l.s))
		case pairs:
			all := s.pairs(min(s.newest, started), 1)
			for _, p := range all {
				l.total += p.cost
			}
			l.write(all, 0)
		case quota:
			if l.total = s.count; l.begins != nil {
				l.edge = s.end
			}
			if started >= l.edge { // so is the reservation's
				l.renew(l.shape, started)
				continue
			}
		}
		l.roll(started)
		l.add(started, s.reserved, 0)
	}
}

// pairs returns the entries with their times.
func (s *savedLimit) pairs(newest, unit int64) []pair {
	all := make([]pair, len(s.entries))
	for i, e := range s.entries {
		all[i] = pair{(newest - e.age) * unit, e.cost}
	}
	return all
}

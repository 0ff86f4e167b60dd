package storage

import (
	"encoding/binary"
	"fmt"

	"github.com/wontopos/latchkey/apikey"
)

// tagLimitKinds is the extension with what makes a key's own limits more than
// windows of requests. To a program that does not know it, the key is
// unavailable: it would take a quota for a window.
const tagLimitKinds = 8

const (
	limitConcurrent = 1 << iota
	limitShadow
)

// limitKinds encodes what the fields of version 1 have no room for: for each
// limit its period, zone, unit and flags. It is empty if there is nothing.
func limitKinds(limits []apikey.Limit) (b []byte) {
	plain := true
	for _, l := range limits {
		plain = plain && l == apikey.Limit{Name: l.Name, N: l.N, Window: l.Window}
	}
	if plain {
		return nil
	}
	for _, l := range limits {
		flags := byte(0)
		if l.Concurrent {
			flags |= limitConcurrent
		}
		if l.Shadow {
			flags |= limitShadow
		}
		b = append(appendString(appendString(appendString(b, string(l.Period)), l.Zone), l.Unit), flags)
	}
	return b
}

// setLimitKinds is the reverse of limitKinds.
func (d *decoder) setLimitKinds(b []byte, limits []apikey.Limit) {
	in := &decoder{b: b}
	for i := range limits {
		l := &limits[i]
		l.Period, l.Zone, l.Unit = apikey.Period(in.string()), in.string(), in.string()
		flags := in.uvarint()
		l.Concurrent, l.Shadow = flags&limitConcurrent != 0, flags&limitShadow != 0
		if flags > limitConcurrent|limitShadow {
			in.fail("limit")
		}
	}
	if in.err != nil || len(in.b) > 0 || limitKinds(limits) == nil { // its only valid encoding has no extension
		d.fail("limits")
	}
}

// appendExtension appends extensions, and with them one of another tag, unless
// it is empty.
func appendExtension(dst, extensions []byte, tag uint64, b []byte) []byte {
	if len(b) == 0 {
		return append(dst, extensions...)
	}
	d := &decoder{b: extensions}
	for len(d.b) > 0 {
		rest := d.b
		if d.uvarint() > tag || d.err != nil {
			d.b = rest
			break
		}
		d.bytes(d.uvarint())
	}
	dst = append(dst, extensions[:len(extensions)-len(d.b)]...)
	dst = binary.AppendUvarint(dst, tag)
	dst = append(binary.AppendUvarint(dst, uint64(len(b))), b...)
	return append(dst, d.b...)
}

// extensions reports whether b consists of extensions that may be skipped.
func extensions(b []byte) bool {
	d := &decoder{b: b}
	return len(d.extensions(nil)) == len(b) && d.err == nil
}

// extensions reads to the end. It understands those of the limits, and returns
// the ones that may be skipped.
func (d *decoder) extensions(limits []apikey.Limit) (skipped []byte) {
	if len(d.b) == 0 {
		d.fail("version") // its only valid encoding is an earlier version
	}
	for last := uint64(0); len(d.b) > 0; {
		all := d.b
		tag := d.uvarint()
		b := d.bytes(d.uvarint())
		switch {
		case d.err != nil:
		case tag <= last:
			d.fail("order")
		case tag == tagLimitKinds && len(limits) > 0:
			d.setLimitKinds(b, limits)
		case tag%2 == 0:
			d.err, d.b = fmt.Errorf("%w: extension %d", ErrVersion, tag), nil
		default:
			skipped = append(skipped, all[:len(all)-len(d.b)]...)
		}
		last = tag
	}
	return skipped
}

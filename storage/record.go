package storage

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/wontopos/latchkey/apikey"
)

// AppendRecord appends the encoding of r to dst and returns it. Equal records
// have equal encodings. Times keep their microseconds; empty lists and maps
// come back as nil.
//
// A record is written in the lowest version that has its fields, so that
// programs that know only that version can still read it. To such a program a
// record with newer fields is [ErrVersion], and its key unavailable; so it
// cannot write the record back without those fields.
//
// Version 3 ends with extensions, in increasing order of tags: tag, length,
// bytes. An extension with an even tag must be understood: to a program that
// does not know it the record is [ErrVersion]. One with an odd tag may be
// skipped, and is kept in r.Extensions. docs/contract.md has the tags.
func AppendRecord(dst []byte, r Record) []byte {
	start := len(dst)
	k := &r.Key
	version := version1
	if k.Locked || r.Request != [32]byte{} {
		version = version2
	}
	kinds := limitKinds(k.Limits)
	if len(r.Extensions)+len(kinds) > 0 {
		version = version3
	}
	dst = append(dst, kindRecord, version)
	for _, s := range recordStrings(k) {
		dst = appendString(dst, *s)
	}
	for _, t := range recordTimes(k) {
		dst = appendTime(dst, *t)
	}
	dst = binary.AppendUvarint(dst, k.Revision)

	dst = binary.AppendUvarint(dst, uint64(len(k.Scopes)))
	for _, s := range k.Scopes {
		dst = appendString(dst, s)
	}
	dst = binary.AppendUvarint(dst, uint64(len(k.Limits)))
	for _, l := range k.Limits {
		dst = appendString(dst, l.Name)
		dst = binary.AppendVarint(dst, l.N)
		dst = binary.AppendVarint(dst, int64(l.Window))
	}
	dst = binary.AppendUvarint(dst, uint64(len(k.Networks)))
	for _, p := range k.Networks {
		dst = appendPrefix(dst, p)
	}
	dst = appendMap(dst, k.Metadata)
	dst = binary.AppendUvarint(dst, uint64(len(k.Secrets)))
	for _, s := range k.Secrets {
		dst = binary.AppendUvarint(dst, uint64(s.Number))
		dst = appendTime(dst, s.CreatedAt)
		dst = appendTime(dst, s.EndsAt)
		dst = binary.AppendVarint(dst, int64(s.Grace))
		dst = appendTime(dst, s.FirstUsedAt)
	}
	dst = binary.AppendUvarint(dst, uint64(len(r.Digests)))
	for _, d := range r.Digests {
		dst = append(dst, d.Sum[:]...)
		dst = binary.AppendUvarint(dst, uint64(d.Pepper))
	}
	if version >= version2 {
		dst = append(appendBool(dst, k.Locked), r.Request[:]...)
	}
	if version >= version3 {
		dst = appendExtension(dst, r.Extensions, tagLimitKinds, kinds)
	}
	return seal(dst, start)
}

// DecodeRecord decodes what AppendRecord wrote. Whatever the bytes are, it does
// not panic, and allocates no more than a small multiple of their number. The
// error is [ErrCorrupt] or [ErrVersion], and the record is then zero, never
// half decoded. The record shares no memory with b.
func DecodeRecord(b []byte) (Record, error) {
	version, d, err := open(b, kindRecord, version3)
	if err != nil {
		return Record{}, err
	}
	var r Record
	k := &r.Key
	for _, s := range recordStrings(k) {
		*s = d.string()
	}
	for _, t := range recordTimes(k) {
		*t = d.time()
	}
	k.Revision = d.uvarint()

	k.Scopes = list(d, 1, d.string)
	k.Limits = list(d, 3, func() apikey.Limit {
		return apikey.Limit{Name: d.string(), N: d.varint(), Window: time.Duration(d.varint())}
	})
	k.Networks = list(d, 2, d.prefix)
	k.Metadata = d.stringMap()
	k.Secrets = list(d, 5, func() apikey.Secret {
		return apikey.Secret{
			Number:    d.uint32(),
			CreatedAt: d.time(), EndsAt: d.time(),
			Grace:       time.Duration(d.varint()),
			FirstUsedAt: d.time(),
		}
	})
	r.Digests = list(d, 33, func() (g Digest) {
		copy(g.Sum[:], d.bytes(32))
		g.Pepper = d.uint32()
		return g
	})
	if version >= version2 {
		k.Locked = d.bool()
		copy(r.Request[:], d.bytes(32))
		if version == version2 && !k.Locked && r.Request == [32]byte{} {
			d.fail("version") // its only valid encoding is version 1
		}
	}
	if version >= version3 {
		r.Extensions = d.extensions(k.Limits)
	}
	if err := d.end(); err != nil {
		return Record{}, err
	}
	return r, nil
}

// recordStrings and recordTimes list the plain fields in their order on disk: a
// change of the order needs a new version.
func recordStrings(k *apikey.Key) [9]*string {
	return [...]*string{
		&k.ID, &k.Name, &k.Owner, &k.Environment, &k.Plan,
		&k.CreatedBy, &k.DisabledBy, &k.RevokedBy, &k.RevokeReason,
	}
}

func recordTimes(k *apikey.Key) [5]*time.Time {
	return [...]*time.Time{&k.CreatedAt, &k.UpdatedAt, &k.ExpiresAt, &k.DisabledAt, &k.RevokedAt}
}

func appendPrefix(dst []byte, p netip.Prefix) []byte {
	b, _ := p.MarshalBinary() // its error is always nil
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

func (d *decoder) prefix() (p netip.Prefix) {
	b := d.bytes(d.uvarint())
	if d.err != nil {
		return netip.Prefix{}
	}
	again, err := []byte(nil), p.UnmarshalBinary(b)
	if err == nil {
		again, err = p.MarshalBinary()
	}
	if err != nil || !bytes.Equal(again, b) { // for example a zone, or 200 bits
		d.fail("network")
		return netip.Prefix{}
	}
	return p
}

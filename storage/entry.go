package storage

import (
	"encoding/binary"

	"github.com/wontopos/latchkey/apikey"
)

// AppendEntry appends the encoding of an audit entry to dst and returns it, as
// [AppendRecord] does for a record.
func AppendEntry(dst []byte, e apikey.AuditEntry) []byte {
	start := len(dst)
	dst = append(dst, kindEntry, version1)
	dst = binary.AppendUvarint(dst, e.Seq)
	dst = appendTime(dst, e.At)
	for _, s := range [...]string{e.Actor, e.From, e.Action, e.KeyID, e.Owner, e.Reason} {
		dst = appendString(dst, s)
	}
	dst = appendMap(dst, e.Details)
	return seal(dst, start)
}

// DecodeEntry decodes what [AppendEntry] wrote, with the guarantees of
// [DecodeRecord].
func DecodeEntry(b []byte) (apikey.AuditEntry, error) {
	_, d, err := open(b, kindEntry, version1)
	if err != nil {
		return apikey.AuditEntry{}, err
	}
	e := apikey.AuditEntry{Seq: d.uvarint(), At: d.time()}
	e.Actor, e.From, e.Action = d.string(), d.string(), d.string()
	e.KeyID, e.Owner, e.Reason = d.string(), d.string(), d.string()
	e.Details = d.stringMap()
	if err := d.end(); err != nil {
		return apikey.AuditEntry{}, err
	}
	return e, nil
}

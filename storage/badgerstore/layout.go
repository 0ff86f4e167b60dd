package badgerstore

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/wontopos/latchkey/apikey"
)

// The tables. The letter is the first byte of each key; what follows is here
// in the form of the functions below.
const (
	tableFormat  = 'F' // the format's number, one row
	tableRecord  = 'r' // id                          -> record, empty once deleted
	tableByTime  = 'l' // [owner] [environment] place -> nothing; four tables in one
	tableAudit   = 'a' // seq                         -> entry
	tableByKey   = 'k' // id, seq                     -> nothing
	tableByOwner = 'o' // owner, seq                  -> nothing
	tableHour    = 'u' // id, hour, secret            -> counts
	tableTotal   = 't' // id, secret                  -> counts, last use
	tableWindow  = 'w' // subject                     -> the limiter's bytes
)

// maxString bounds ids, owners and environments, so that every row's key stays
// within Badger's 65,000 bytes. maxValue bounds a record and an audit entry:
// well below the threshold from which Badger would move values out of the
// tree, and two of them fit one transaction.
const (
	maxString  = 16 << 10
	maxSubject = 60_000
	maxValue   = 256 << 10
)

// str appends a string behind its length. Two different strings differ within
// the shorter of their encodings, so neither is a prefix of the other.
func str(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func recordKey(id string) []byte { return append([]byte{tableRecord}, id...) }

// placePrefix selects a listing: every record has a row in each of the four
// (all, of its owner, of its environment, of both), so every query is the scan
// of one range.
func placePrefix(owner, environment string) []byte {
	var which byte
	if owner != "" {
		which |= 1
	}
	if environment != "" {
		which |= 2
	}
	key := []byte{tableByTime, which}
	if owner != "" {
		key = str(key, owner)
	}
	if environment != "" {
		key = str(key, environment)
	}
	return key
}

// placeSuffix orders rows by time, then ID: read backwards, the order of List.
func placeSuffix(p apikey.Position) []byte {
	return append(micros(nil, p.CreatedAt), p.ID...)
}

const placeTimeSize = 8

// micros appends t so that byte order is the order of time.
func micros(dst []byte, t time.Time) []byte {
	return binary.BigEndian.AppendUint64(dst, uint64(t.UnixMicro())^(1<<63))
}

// placeKeys returns the rows of a record in the listings. A key without owner
// or environment has fewer: the filters that are empty mean all.
func placeKeys(k *apikey.Key) [][]byte {
	suffix := placeSuffix(apikey.Position{CreatedAt: k.CreatedAt, ID: k.ID})
	var keys [][]byte
	for _, owner := range distinct("", k.Owner) {
		for _, environment := range distinct("", k.Environment) {
			keys = append(keys, append(placePrefix(owner, environment), suffix...))
		}
	}
	return keys
}

func distinct(a, b string) []string {
	if a == b {
		return []string{a}
	}
	return []string{a, b}
}

// auditPrefix selects the narrowest range of a query; seq follows.
func auditPrefix(q apikey.AuditQuery) []byte {
	switch {
	case q.KeyID != "":
		return str([]byte{tableByKey}, q.KeyID)
	case q.Owner != "":
		return str([]byte{tableByOwner}, q.Owner)
	}
	return []byte{tableAudit}
}

func withSeq(prefix []byte, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(prefix, seq)
}

func auditKey(seq uint64) []byte { return withSeq([]byte{tableAudit}, seq) }

// hourPrefix and totalPrefix hold all usage rows of a key.
func hourPrefix(id string) []byte  { return str([]byte{tableHour}, id) }
func totalPrefix(id string) []byte { return str([]byte{tableTotal}, id) }

func hourKey(id string, start time.Time, secret uint32) []byte {
	return binary.BigEndian.AppendUint32(micros(hourPrefix(id), start), secret)
}

func totalKey(id string, secret uint32) []byte {
	return binary.BigEndian.AppendUint32(totalPrefix(id), secret)
}

// splitHour reads what follows hourPrefix.
func splitHour(suffix []byte) (start time.Time, secret uint32) {
	us := int64(binary.BigEndian.Uint64(suffix) ^ (1 << 63))
	return time.UnixMicro(us).UTC(), binary.BigEndian.Uint32(suffix[8:])
}

func windowKey(subject string) []byte { return append([]byte{tableWindow}, subject...) }

// last is greater than every suffix that a backward scan starts from: no time
// and no seq is that large.
var last = binary.BigEndian.AppendUint64(nil, math.MaxUint64)

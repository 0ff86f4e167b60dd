package badgerstore

import (
	"bytes"
	"encoding/binary"
	"math"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// The tables. The letter is the first byte of each key; the rest of the key is
// made by the functions below.
const (
	tableFormat  = 'F' // the format's number, one row
	tableBegan   = 'B' // the time since which scopes are counted, one row
	tableRecord  = 'r' // id                          -> record, empty once deleted
	tableByTime  = 'l' // [owner] [environment] time, id -> nothing; four tables in one
	tableByName  = 'n' // [owner] [environment] name, id -> nothing; four tables in one
	tableByTerm  = 's' // [owner] term, NUL, environment, id -> nothing; two tables in one
	tableAudit   = 'a' // seq                         -> entry
	tableByKey   = 'k' // id, seq                     -> nothing
	tableByOwner = 'o' // owner, seq                  -> nothing
	tableHour    = 'u' // id, hour, secret            -> counts, except those of the newest hour
	tableDay     = 'd' // id, day                     -> counts of all secrets, except those of their newest day
	tableTotal   = 't' // id, secret                  -> counts, last use, the newest hour and day
	tableScope   = 'p' // id, scope                   -> the newest hour
	tableWindow  = 'w' // subject                     -> the limiter's bytes
)

// maxString bounds ids, owners and environments, so that every row's key stays
// within Badger's 65,000 bytes. maxValue bounds a record and an audit entry: it
// is well below the threshold above which Badger would move values out of the
// tree, and two of them fit into one transaction.
const (
	maxString  = 16 << 10
	maxSubject = 60_000
	maxValue   = 256 << 10
)

// str appends a string preceded by its length. The encodings of two different
// strings differ within the shorter one, so neither is a prefix of the other.
func str(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func recordKey(id string) []byte { return append([]byte{tableRecord}, id...) }

// placePrefix selects a listing: every record has a row in each of a table's
// four listings (all, of its owner, of its environment, of both), so every
// query scans one range.
func placePrefix(table byte, owner, environment string) []byte {
	var which byte
	if owner != "" {
		which |= 1
	}
	if environment != "" {
		which |= 2
	}
	key := []byte{table, which}
	if owner != "" {
		key = str(key, owner)
	}
	if environment != "" {
		key = str(key, environment)
	}
	return key
}

// placeTable is the table for an order; it is read backwards for newest first.
func placeTable(o storage.Order) byte {
	if o == storage.ByName {
		return tableByName
	}
	return tableByTime
}

// placeSuffix orders the rows of a table by time, or by name, then by ID.
func placeSuffix(table byte, p storage.Position) []byte {
	if table == tableByName {
		return append(storage.NameKey(p.Name), p.ID...)
	}
	return append(micros(nil, p.CreatedAt), p.ID...)
}

// splitPlace decodes what placeSuffix encoded.
func splitPlace(table byte, suffix []byte) (p storage.Position) {
	if table == tableByName {
		name, id := storage.SplitNameKey(suffix)
		return storage.Position{Name: name, ID: string(id)}
	}
	p.CreatedAt = time.UnixMicro(int64(binary.BigEndian.Uint64(suffix) ^ (1 << 63))).UTC()
	p.ID = string(suffix[placeTimeSize:])
	return p
}

const placeTimeSize = 8

// micros appends t so that the order of the bytes is the order of time.
func micros(dst []byte, t time.Time) []byte {
	return binary.BigEndian.AppendUint64(dst, uint64(storage.NormalizeTime(t).UnixMicro())^(1<<63))
}

// indexKeys returns the rows of a record in the listings. A key without owner
// or environment has fewer, because an empty filter means all.
func indexKeys(k *apikey.Key) [][]byte {
	at := storage.PositionOf(k)
	byTime, byName := placeSuffix(tableByTime, at), placeSuffix(tableByName, at)
	var keys [][]byte
	for _, owner := range distinct("", k.Owner) {
		for _, environment := range distinct("", k.Environment) {
			keys = append(keys,
				append(placePrefix(tableByTime, owner, environment), byTime...),
				append(placePrefix(tableByName, owner, environment), byName...))
		}
		for _, term := range storage.Terms(k) {
			key := append(termPrefix(owner, term), 0) // no term contains it
			key = append(str(key, k.Environment), k.ID...)
			if !containsKey(keys, key) { // two terms may be equal once truncated
				keys = append(keys, key)
			}
		}
	}
	return keys
}

// maxTerm is how much of a term is stored in a row, in bytes. The record
// distinguishes longer ones.
const maxTerm = 64

// termPrefix selects the rows of terms that begin with a folded term, of one
// owner or of all.
func termPrefix(owner, term string) []byte {
	key := []byte{tableByTerm, 0}
	if owner != "" {
		key = str([]byte{tableByTerm, 1}, owner)
	}
	return append(key, term[:min(len(term), maxTerm)]...)
}

// splitTerm decodes what follows termPrefix.
func splitTerm(suffix []byte) (environment, id string) {
	_, rest, _ := bytes.Cut(suffix, []byte{0})
	n, size := binary.Uvarint(rest)
	if size <= 0 || n > uint64(len(rest)-size) {
		return "", ""
	}
	rest = rest[size:]
	return string(rest[:n]), string(rest[n:])
}

func distinct(a, b string) []string {
	if a == b {
		return []string{a}
	}
	return []string{a, b}
}

// auditPrefix selects the narrowest range for a query; seq follows.
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

// hourPrefix, dayPrefix, totalPrefix and scopePrefix select all usage rows of a
// key.
func hourPrefix(id string) []byte  { return str([]byte{tableHour}, id) }
func dayPrefix(id string) []byte   { return str([]byte{tableDay}, id) }
func totalPrefix(id string) []byte { return str([]byte{tableTotal}, id) }
func scopePrefix(id string) []byte { return str([]byte{tableScope}, id) }

func hourKey(id string, start time.Time, secret uint32) []byte {
	return binary.BigEndian.AppendUint32(micros(hourPrefix(id), start), secret)
}

func dayKey(id string, start time.Time) []byte { return micros(dayPrefix(id), start) }

func totalKey(id string, secret uint32) []byte {
	return binary.BigEndian.AppendUint32(totalPrefix(id), secret)
}

func scopeKey(id, scope string) []byte { return append(scopePrefix(id), scope...) }

// hourSuffix is the length of what follows hourPrefix.
const hourSuffix = 8 + 4

// splitHour decodes what follows hourPrefix.
func splitHour(suffix []byte) (start time.Time, secret uint32) {
	us := int64(binary.BigEndian.Uint64(suffix) ^ (1 << 63))
	return time.UnixMicro(us).UTC(), binary.BigEndian.Uint32(suffix[8:])
}

// splitDay decodes what follows dayPrefix.
func splitDay(suffix []byte) time.Time {
	return time.UnixMicro(int64(binary.BigEndian.Uint64(suffix) ^ (1 << 63))).UTC()
}

func windowKey(subject string) []byte { return append([]byte{tableWindow}, subject...) }

// last is greater than every suffix from which a backward scan starts: no time
// and no seq is that large.
var last = binary.BigEndian.AppendUint64(nil, math.MaxUint64)

package pgstore

import (
	"context"
	"encoding/json"
	"math"

	"github.com/jackc/pgx/v5"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// Audit implements [storage.Store]. An entry's Seq is the position of its change
// in the feed.
func (s *Store) Audit(ctx context.Context, q apikey.AuditQuery) ([]apikey.AuditEntry, error) {
	ctx, leave, err := s.life.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	if !storable(q.KeyID) || !storable(q.Owner) {
		return nil, nil
	}
	sql, args := s.auditQuery(q)
	rows, err := s.pool.Query(ctx, sql, args...)
	if err != nil {
		return nil, failed(ctx, "audit", err)
	}
	page, err := pgx.CollectRows(rows, scanEntry)
	if err != nil {
		return nil, failed(ctx, "audit", err)
	}
	return page, nil
}

func (s *Store) auditQuery(q apikey.AuditQuery) (sql string, args []any) {
	var conditions auditBit
	before := int64(math.MaxInt64)
	if q.Before > 0 {
		before = signed(q.Before)
	}
	args = []any{int64(q.PageLimit()), before}
	if q.KeyID != "" {
		conditions, args = conditions|auditByKey, append(args, q.KeyID)
	}
	if q.Owner != "" {
		conditions, args = conditions|auditByOwner, append(args, q.Owner)
	}
	return s.sql.audit[conditions], args
}

func scanEntry(r pgx.CollectableRow) (apikey.AuditEntry, error) {
	var (
		e       apikey.AuditEntry
		seq     int64
		details *string
	)
	err := r.Scan(&seq, &e.At, &e.Actor, &e.From, &e.Action, &e.KeyID, &e.Owner, &e.Reason, &details)
	if err == nil && details != nil {
		err = json.Unmarshal([]byte(*details), &e.Details)
	}
	e.Seq, e.At = uint64(seq), storage.NormalizeTime(e.At)
	return e, err
}

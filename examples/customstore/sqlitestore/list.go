package sqlitestore

import (
	"context"
	"database/sql"
	"log/slog"
	"time"

	"github.com/wontopos/latchkey/storage"
)

// lookAt bounds how many records one call of List reads where the query may
// leave most of them out.
const lookAt = 2000

// orders are the columns of each order, and how a position is compared with
// them. Every index ends with them, so SQLite reads a page without sorting.
var orders = map[storage.Order]struct{ by, after string }{
	storage.NewestFirst: {"created_at DESC, id DESC", "(created_at, id) < (?, ?)"},
	storage.OldestFirst: {"created_at, id", "(created_at, id) > (?, ?)"},
	storage.ByName:      {"name_key, id", "(name_key, id) > (?, ?)"},
}

// List implements [storage.Store]. SQL selects by owner, environment and
// position; [storage.Filter] decides on the rest.
func (s *Store) List(ctx context.Context, q storage.Query) (page storage.Listing, err error) {
	var where conditions
	if q.Owner != "" {
		where.add("owner = ?", q.Owner)
	}
	if q.Environment != "" {
		where.add("environment = ?", q.Environment)
	}
	if p := storage.Start(q); !p.IsZero() {
		var place any = micro(p.CreatedAt)
		if q.Order == storage.ByName {
			place = storage.NameKey(p.Name)
		}
		where.add(orders[q.Order].after, place, p.ID)
	}
	query := `SELECT id, created_at, name_key, record, (SELECT max(last_at) FROM secrets WHERE key_id = id) FROM keys` +
		where.String() + ` ORDER BY ` + orders[q.Order].by

	filter := storage.NewFilter(q, time.Now())
	err = s.view(ctx, "list", func(tx *sql.Tx) error {
		var at storage.Position // of the record before
		seen := 0
		return each(ctx, tx, query, where.args, func(scan func(...any) error) (bool, error) {
			if len(page.Records) == q.PageLimit() || filter.Selective() && seen == lookAt {
				page.Next = at // there is more: this row
				return false, nil
			}
			seen++
			var row listed
			if err := row.scan(scan); err != nil {
				return false, err
			}
			at = row.position()
			r, err := storage.DecodeRecord(row.record)
			if err != nil {
				slog.ErrorContext(ctx, "sqlitestore: a record cannot be read and is left out of a list", "id", row.id, "err", err)
				return true, nil
			}
			if filter.Match(&r.Key) && filter.Unused(row.lastUse()) {
				page.Records = append(page.Records, r)
			}
			return true, nil
		})
	})
	if err != nil {
		return storage.Listing{}, err
	}
	return page, nil
}

// listed is a row. Its place comes from the columns, because the record may be
// damaged.
type listed struct {
	id        string
	createdAt int64
	nameKey   []byte
	record    []byte
	last      sql.NullInt64
}

func (l *listed) scan(scan func(...any) error) error {
	return scan(&l.id, &l.createdAt, &l.nameKey, &l.record, &l.last)
}

func (l *listed) position() storage.Position {
	name, _ := storage.SplitNameKey(l.nameKey)
	return storage.Position{CreatedAt: fromMicro(l.createdAt), Name: name, ID: l.id}
}

func (l *listed) lastUse() time.Time {
	if !l.last.Valid {
		return time.Time{}
	}
	return fromMicro(l.last.Int64)
}

package pgstore

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// maxBatch is how many rows of usage one transaction updates.
const maxBatch = 1000

// AddUsage implements [storage.Store]. A large batch takes several transactions;
// after an error the later ones may be missing. It does not retry: after an
// error only the caller knows whether counting twice or not at all is worse.
func (s *Store) AddUsage(ctx context.Context, batch []storage.UsageDelta) error {
	ctx, leave, err := s.life.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	rows := mergeUsage(batch)
	for part := range slices.Chunk(rows, maxBatch) {
		if err := s.addUsage(ctx, part); err != nil {
			return err
		}
	}
	s.tidy(ctx)
	return nil
}

// usageRow is what a batch contains for one secret in one hour.
type usageRow struct {
	id     string
	hour   time.Time
	secret uint32
	counts apikey.Counts
	last   apikey.LastUse
	scopes []string
}

// mergeUsage combines entries for the same row, which a statement must not
// touch twice, and sorts the rows: batches that lock their rows in the same
// order cannot deadlock.
func mergeUsage(batch []storage.UsageDelta) []usageRow {
	type place struct {
		id     string
		hour   int64
		secret uint32
	}
	at := make(map[place]int, len(batch))
	rows := make([]usageRow, 0, len(batch))
	for _, d := range batch {
		if d.KeyID == "" || !storable(d.KeyID) || len(d.KeyID) > maxString {
			continue // no such key
		}
		hour := storage.NormalizeTime(d.Hour).Truncate(time.Hour)
		p := place{d.KeyID, hour.UnixMicro(), d.Secret}
		i, ok := at[p]
		if !ok {
			i = len(rows)
			at[p] = i
			rows = append(rows, usageRow{id: d.KeyID, hour: hour, secret: d.Secret})
		}
		r := &rows[i]
		r.counts.Add(d.Counts)
		last := d.Last
		if last.At = storage.NormalizeTime(last.At); last.Replaces(r.last) {
			last.Network, last.UserAgent, last.Route = text(last.Network), text(last.UserAgent), text(last.Route)
			r.last = last
		}
		r.scopes = append(r.scopes, d.Scopes...)
	}
	slices.SortFunc(rows, func(a, b usageRow) int {
		return cmp.Or(strings.Compare(a.id, b.id), cmp.Compare(a.secret, b.secret), a.hour.Compare(b.hour))
	})
	return rows
}

// text makes a client's text storable: a request must not be able to spoil the
// batch that counts it.
func text(s string) string {
	if storable(s) {
		return s
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, ""), "\x00", "")
}

// addUsage adds rows, sorted and distinct, in one statement.
func (s *Store) addUsage(ctx context.Context, rows []usageRow) error {
	var h, t usageColumns
	for i, r := range rows {
		h.add(r)
		if i > 0 && rows[i-1].id == r.id && rows[i-1].secret == r.secret {
			t.merge(r)
		} else {
			t.add(r)
		}
	}
	args := slices.Concat(h.args(), t.args(), scopeColumns(rows))
	err := ours{s.pool}.run(ctx, s.sql.addUsage, args, func(row pgx.Row) error {
		var n int64
		return row.Scan(&n)
	})
	s.noteWrite(err)
	if err != nil {
		return failed(ctx, "add usage", err)
	}
	return nil
}

// usageColumns is rows of usage as arrays, one for each column.
type usageColumns struct {
	ids            []string
	hours          []time.Time
	secrets        []int64
	counts         [][]int64 // by column
	lastAt         []time.Time
	network, agent []string
	route          []string
	status         []int32
}

func (c *usageColumns) add(r usageRow) {
	c.ids, c.hours, c.secrets = append(c.ids, r.id), append(c.hours, r.hour), append(c.secrets, int64(r.secret))
	fields := r.counts.Fields()
	if c.counts == nil {
		c.counts = make([][]int64, len(fields))
	}
	for o, n := range fields {
		c.counts[o] = append(c.counts[o], signed(*n))
	}
	c.lastAt = append(c.lastAt, r.last.At)
	c.network, c.agent = append(c.network, r.last.Network), append(c.agent, r.last.UserAgent)
	c.route, c.status = append(c.route, r.last.Route), append(c.status, int32(r.last.Status))
}

// merge adds to the row that was added last.
func (c *usageColumns) merge(r usageRow) {
	i := len(c.ids) - 1
	for o, n := range r.counts.Fields() {
		c.counts[o][i] += signed(*n)
	}
	if r.last.Replaces(apikey.LastUse{At: c.lastAt[i], Route: c.route[i], Status: int(c.status[i])}) {
		c.lastAt[i], c.network[i], c.agent[i] = r.last.At, r.last.Network, r.last.UserAgent
		c.route[i], c.status[i] = r.last.Route, int32(r.last.Status)
	}
}

func (c *usageColumns) args() []any {
	args := []any{c.ids, c.hours, c.secrets}
	for _, n := range c.counts {
		args = append(args, n)
	}
	return append(args, c.lastAt, c.network, c.agent, c.route, c.status)
}

// scopeColumns returns the scopes used in rows, which are sorted by ID, with
// the newest hour of each, as the arrays of a key, a scope and an hour.
func scopeColumns(rows []usageRow) []any {
	type use struct{ id, scope string }
	newest := map[use]time.Time{}
	for _, r := range rows {
		for _, scope := range r.scopes {
			if u := (use{r.id, scope}); storable(scope) && len(scope) <= maxString && r.hour.After(newest[u]) {
				newest[u] = r.hour
			}
		}
	}
	ids, scopes, hours := []string{}, []string{}, []time.Time{}
	for u, hour := range newest {
		ids, scopes, hours = append(ids, u.id), append(scopes, u.scope), append(hours, hour)
	}
	return []any{ids, scopes, hours}
}

// Usage implements [storage.Store]. Hourly rows are kept for at least
// [storage.UsageRetention].
func (s *Store) Usage(ctx context.Context, id string, since time.Time) (apikey.Usage, error) {
	ctx, leave, err := s.life.enter(ctx)
	if err != nil {
		return apikey.Usage{}, err
	}
	defer leave()
	var u apikey.Usage
	if !storable(id) {
		return u, nil
	}
	b := &pgx.Batch{} // one round trip
	b.Queue(s.sql.hours, id, within(since.Add(time.Microsecond-time.Nanosecond))).Query(func(rows pgx.Rows) (err error) {
		u.Hours, err = pgx.CollectRows(rows, scanHour)
		return err
	})
	b.Queue(s.sql.totals, id).Query(func(rows pgx.Rows) (err error) {
		u.Secrets, err = pgx.CollectRows(rows, scanTotal)
		return err
	})
	b.Queue(s.sql.scopes, id).Query(func(rows pgx.Rows) (err error) {
		u.Scopes, err = pgx.CollectRows(rows, scanScope)
		return err
	})
	b.Queue(s.sql.began).QueryRow(func(row pgx.Row) error {
		err := row.Scan(&u.ScopesSince)
		u.ScopesSince = storage.NormalizeTime(u.ScopesSince)
		return err
	})
	if err := s.pool.SendBatch(ctx, b).Close(); err != nil {
		return apikey.Usage{}, failed(ctx, "usage", err)
	}
	if len(u.Hours) == 0 {
		u.Hours = nil
	}
	if len(u.Secrets) == 0 {
		u.Secrets = nil
	}
	if len(u.Scopes) == 0 {
		u.Scopes = nil
	}
	return u, nil
}

func scanScope(r pgx.CollectableRow) (u apikey.ScopeUse, err error) {
	err = r.Scan(&u.Scope, &u.Hour)
	u.Hour = storage.NormalizeTime(u.Hour)
	return u, err
}

func scanHour(r pgx.CollectableRow) (h apikey.UsageHour, err error) {
	err = r.Scan(append([]any{&h.Hour, &h.Secret}, pointers(&h.Counts)...)...)
	h.Hour = storage.NormalizeTime(h.Hour)
	return h, err
}

func scanTotal(r pgx.CollectableRow) (t apikey.UsageSecret, err error) {
	var last *time.Time
	targets := append([]any{&t.Secret}, pointers(&t.Counts)...)
	err = r.Scan(append(targets, &last, &t.Last.Network, &t.Last.UserAgent, &t.Last.Route, &t.Last.Status)...)
	if last != nil {
		t.Last.At = storage.NormalizeTime(*last)
	}
	return t, err
}

// pointers returns where the columns of counts are scanned to.
func pointers(c *apikey.Counts) []any {
	var p []any
	for _, n := range c.Fields() {
		p = append(p, n)
	}
	return p
}

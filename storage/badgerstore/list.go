package badgerstore

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// bounds limits how much one call of List looks at.
type bounds struct {
	terms   int // rows of terms
	matches int // keys that have the term
	records int // records read in the order, if filters may leave most out
}

// usualBounds let a call take about ten milliseconds at most.
var usualBounds = bounds{terms: 10_000, matches: 1000, records: 2000}

// List implements [storage.Store]. Damaged records are left out and logged, and
// the following ones fill the page.
//
// If few keys have a term, it is looked up and the keys are sorted. Otherwise
// the order is walked, and records that the query does not select are skipped,
// up to 2,000 in one call. Then the page is short.
func (s *Store) List(ctx context.Context, q storage.Query) (_ storage.Listing, err error) {
	if err := s.life.enter(ctx); err != nil {
		return storage.Listing{}, err
	}
	defer s.life.leave(&err)
	txn := s.db.NewTransaction(false)
	defer txn.Discard()
	l := lister{Store: s, ctx: ctx, txn: txn, q: q, filter: storage.NewFilter(q, time.Now())}
	defer l.close()
	l.q.After = storage.Start(q)

	found, few := l.search()
	if !few {
		found = l.walk()
	}
	if err := errors.Join(l.err, ctx.Err()); err != nil {
		return storage.Listing{}, err
	}
	return found, nil
}

// lister is one call of List.
type lister struct {
	*Store
	ctx    context.Context
	txn    *badger.Txn
	q      storage.Query
	filter storage.Filter
	totals *badger.Iterator // over the usage of any key; made when needed
	err    error
}

func (l *lister) close() {
	if l.totals != nil {
		l.totals.Close()
	}
}

// search looks the term up and returns the page if few keys have it.
func (l *lister) search() (page storage.Listing, few bool) {
	if l.q.Search == "" {
		return page, false
	}
	ids := make(map[string]bool)
	rows := 0
	scan(l.txn, termPrefix(l.q.Owner, storage.Fold(l.q.Search)), nil, false, func(suffix []byte) bool {
		rows++
		environment, id := splitTerm(suffix)
		if l.q.Environment == "" || environment == l.q.Environment {
			ids[id] = true
		}
		return rows <= l.bounds.terms && len(ids) <= l.bounds.matches && l.ctx.Err() == nil
	})
	if rows > l.bounds.terms || len(ids) > l.bounds.matches {
		return page, false
	}
	var found []storage.Record
	var r storage.Record
	for id := range ids {
		if l.load(id, &r) && storage.After(l.q.Order, storage.PositionOf(&r.Key), l.q.After) {
			found = append(found, r)
		}
		if l.err != nil || l.ctx.Err() != nil {
			return page, true
		}
	}
	slices.SortFunc(found, func(a, b storage.Record) int {
		return storage.Compare(l.q.Order, storage.PositionOf(&a.Key), storage.PositionOf(&b.Key))
	})
	if n := l.q.PageLimit(); len(found) > n {
		found = found[:n]
		page.Next = storage.PositionOf(&found[n-1].Key)
	}
	page.Records = found
	return page, true
}

// walk reads the listing in its order.
func (l *lister) walk() (page storage.Listing) {
	table, backward := placeTable(l.q.Order), l.q.Order == storage.NewestFirst
	var after []byte
	if !l.q.After.IsZero() {
		after = placeSuffix(table, l.q.After)
	}
	left := -1
	if l.filter.Selective() {
		left = l.bounds.records
	}
	page.Records = make([]storage.Record, 0, min(l.q.PageLimit(), 100)) // growing it takes more memory than the page
	var place storage.Position
	scan(l.txn, placePrefix(table, l.q.Owner, l.q.Environment), after, backward, func(suffix []byte) bool {
		if len(page.Records) == l.q.PageLimit() || left == 0 {
			page.Next = place
			return false
		}
		left--
		place = splitPlace(table, suffix)
		page.Records = append(page.Records, storage.Record{})
		n := len(page.Records) - 1
		r := &page.Records[n]
		if !l.load(place.ID, r) || !bytes.Equal(suffix, placeSuffix(table, storage.PositionOf(&r.Key))) { // a stale row
			page.Records = page.Records[:n]
		}
		return l.err == nil && l.ctx.Err() == nil
	})
	return page
}

// load reads a record and reports whether the query selects it. An index row
// that is older than its record's owner or name must not return the key: the
// record decides.
func (l *lister) load(id string, r *storage.Record) bool {
	err := load(l.txn, id, r)
	switch {
	case errors.Is(err, apikey.NotFound):
		return false
	case err != nil:
		l.log.ErrorContext(l.ctx, "badgerstore: list leaves out a record that cannot be read", "error", err)
		return false
	}
	if !l.filter.Match(&r.Key) {
		return false
	}
	if l.filter.ByUse() {
		if l.totals == nil {
			l.totals = l.txn.NewIterator(badger.IteratorOptions{Prefix: []byte{tableTotal}})
		}
		a := apikey.Activity{ID: id}
		if err := l.newest(l.totals, &a, noDays); err != nil {
			l.err = err
			return false
		}
		return l.filter.Unused(a.Last.At)
	}
	return true
}

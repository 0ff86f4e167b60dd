package latchkey

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/faults"
	"github.com/wontopos/latchkey/internal/redact"
	"github.com/wontopos/latchkey/storage"
)

// ListRequest selects keys that meet all of its conditions. The zero value
// lists all keys, newest first.
type ListRequest struct {
	Owner       string       // empty: all owners
	Environment string       // empty: all environments
	Plan        string       // empty: all plans
	State       apikey.State // as it is now; empty: all states
	// Search is the beginning of a word of the name, or the ID, ignoring letter
	// case: see [storage.Query.Search]. A token, or a part of one that contains the ID,
	// finds its key; only the ID is passed to the store. Leading and trailing
	// space is ignored.
	Search string
	// UnusedSince leaves out keys that were used or created at that time or later.
	// It takes into account this process's requests up to a second ago. Zero: all.
	UnusedSince time.Time
	Rotating    bool // only keys of which two secrets work now
	// ExpiresBefore leaves out keys that expire at that time or later, or never.
	// It keeps keys that have expired, unless State says otherwise. Zero: all.
	ExpiresBefore time.Time
	OmitRevoked   bool // leaves out keys that were revoked
	// SecretBefore leaves out keys whose newest secret was made at that time or
	// later. Zero: all.
	SecretBefore time.Time
	Order        storage.Order
	Cursor       string // Page.Next of the previous page; empty starts from the beginning
	Limit        int    // 1 to 1000; 0 means 100
}

// Page is one page of keys.
type Page struct {
	Keys []apikey.Key
	// Next is the cursor of the next page; empty on the last one. A call looks at
	// a bounded number of keys, so if filters leave most of them out, a page may
	// be short, or even empty, and still have a next one.
	Next string
}

// List returns keys. Keys that are created meanwhile never shift or repeat the
// rest of the list. A cursor belongs to its list: with another order or other
// filters it is [apikey.InvalidArgument]. Only Limit may change, and the times
// UnusedSince, ExpiresBefore and SecretBefore, which may be computed from the
// clock for each page.
func (s *Service) List(ctx context.Context, r ListRequest) (Page, error) {
	if err := s.engine.Enter(); err != nil {
		return Page{}, err
	}
	defer s.engine.Leave()
	if r.Order > storage.ByName {
		return Page{}, faults.Invalid("order", "there is no order %d", r.Order)
	}
	for field, t := range map[string]time.Time{"unused_since": r.UnusedSince, "expires_before": r.ExpiresBefore, "secret_before": r.SecretBefore} {
		if err := validTime(field, t); err != nil {
			return Page{}, err
		}
	}
	switch r.State {
	case "", apikey.Active, apikey.Disabled, apikey.Expired, apikey.Revoked:
	default:
		return Page{}, faults.Invalid("state", "%s is not a state: write active, disabled, expired or revoked", redact.Quoted(string(r.State)))
	}
	q := storage.Query{
		Owner: r.Owner, Environment: r.Environment, Plan: r.Plan, State: r.State,
		Search: s.format.Term(r.Search), UnusedSince: r.UnusedSince, Rotating: r.Rotating, ExpiresBefore: r.ExpiresBefore,
		OmitRevoked: r.OmitRevoked, SecretBefore: r.SecretBefore,
		Order: r.Order, Limit: r.Limit,
	}
	var err error
	if q.After, err = parseCursor(r.Cursor, q); err != nil {
		return Page{}, err
	}
	l, err := s.list(ctx, q)
	if err != nil {
		return Page{}, storeError("list", err)
	}
	page := Page{Keys: make([]apikey.Key, len(l.Records))}
	for i, r := range l.Records {
		page.Keys[i] = r.Key
	}
	if !l.Next.IsZero() {
		page.Next = formatCursor(l.Next, q)
	}
	return page, nil
}

// list lists records. With UnusedSince, it also leaves out keys whose use has
// not been written yet.
func (s *Service) list(ctx context.Context, q storage.Query) (l storage.Listing, err error) {
	if q.UnusedSince.IsZero() {
		return s.store.List(ctx, q)
	}
	err = s.outbox.read(ctx, nil, collectEvery, func(owed func(string) []storage.UsageDelta) error {
		l, err = s.store.List(ctx, q)
		l.Records = slices.DeleteFunc(l.Records, func(r storage.Record) bool {
			return slices.ContainsFunc(owed(r.Key.ID), func(d storage.UsageDelta) bool { return !d.Last.At.Before(q.UnusedSince) })
		})
		return err
	})
	return l, err
}

// all walks the records of an owner, or of everybody, newest first.
func (s *Service) all(ctx context.Context, owner string) iter.Seq2[storage.Record, error] {
	return func(yield func(storage.Record, error) bool) {
		q := storage.Query{Owner: owner, Limit: 1000}
		for {
			l, err := s.store.List(ctx, q)
			if err != nil {
				yield(storage.Record{}, storeError("list", err))
				return
			}
			for _, r := range l.Records {
				if !yield(r, nil) {
					return
				}
			}
			if q.After = l.Next; q.After.IsZero() {
				return
			}
		}
	}
}

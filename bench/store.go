package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/badgerstore"
	"github.com/wontopos/latchkey/storage/memstore"
)

// The store suite measures each store of the tree beside a bare use of what it
// is made of, with the operations of storetest.Bench: by turns, each under the
// same number of keys.

// keeper is what a store and its bare rival both can do. A revision says
// which writes may succeed; a bare keeper checks none.
type keeper interface {
	get(id string) error
	create(r storage.Record) error
	revoke(r storage.Record) error // replaces r, one revision on
	page(owner string) error       // of 100
	close() error
}

// home is a kind of store.
type home struct {
	name, how string // how the bare rival is set up
	store     func(dir string) (storage.Store, error)
	bare      func(dir string) (keeper, error)
	durable   bool // a write waits for the disk
}

// homes are the stores of the tree. A new one is added here.
func homes() []home {
	return []home{
		{
			name: "memstore", how: "a map of records behind an RWMutex, each copied by Record.Clone; per owner a slice of ids in their order",
			store: func(string) (storage.Store, error) { return memstore.New(), nil },
			bare:  func(string) (keeper, error) { return newMapKeeper(), nil },
		},
		{
			name: "badgerstore", how: "View and Update of Badger alone with the store's own options but SyncWrites, so that Badger groups the writers by itself; one row of the record's size, where the store writes the record, its audit entry with two indexes, and four listings",
			store: func(dir string) (storage.Store, error) {
				return badgerstore.Open(dir, badgerstore.Options{Logger: slog.New(slog.DiscardHandler)})
			},
			bare: newBadgerKeeper, durable: true,
		},
	}
}

// storeKeeper is a keeper over a store.
type storeKeeper struct{ storage.Store }

func (s storeKeeper) get(id string) error {
	_, err := s.Get(context.Background(), id)
	return err
}

func (s storeKeeper) create(r storage.Record) error { return s.apply(r, "create") }
func (s storeKeeper) revoke(r storage.Record) error { return s.apply(r, "revoke") }

func (s storeKeeper) apply(r storage.Record, a string) error {
	_, err := s.Apply(context.Background(), storage.Change{
		Record: r, Expect: r.Key.Revision,
		Entry: apikey.AuditEntry{At: r.Key.UpdatedAt, Actor: "bench", Action: a, KeyID: r.Key.ID, Owner: r.Key.Owner, Details: map[string]string{"name": r.Key.Name}},
	})
	return err
}

func (s storeKeeper) page(owner string) error {
	page, err := s.List(context.Background(), storage.Query{Owner: owner})
	if err == nil && len(page.Records) != pageSize {
		err = fmt.Errorf("a page of %d keys, want %d", len(page.Records), pageSize)
	}
	return err
}

func (s storeKeeper) close() error {
	if c, ok := s.Store.(interface{ Close() error }); ok {
		return c.Close()
	}
	return nil
}

const pageSize = 100

// recordOf returns the record of key i as a service would make it, of one of
// ten accounts.
func recordOf(i int) storage.Record {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(i) * time.Millisecond)
	return storage.Record{
		Key: apikey.Key{
			ID: fmt.Sprintf("%016d", i), Name: "production-backend", Owner: fmt.Sprintf("account-%d", i%10), Environment: "live", Plan: "free",
			Scopes: []string{need}, CreatedAt: at, CreatedBy: "bench", UpdatedAt: at, Secrets: []apikey.Secret{{Number: 1, CreatedAt: at}},
		},
		Digests: make([]storage.Digest, 1),
	}
}

// side is a keeper under measurement with the records that it holds.
type side struct {
	keeper
	records []storage.Record
	order   []int        // of reads at random
	made    atomic.Int64 // the newest key
}

func newSide(k keeper, n int) (*side, error) {
	s := &side{keeper: k, records: make([]storage.Record, n), order: rand.New(rand.NewPCG(1, uint64(n))).Perm(n)}
	const writers = 64 // share the waits for the disk
	errs := make([]error, writers)
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for i := w; i < n && errs[w] == nil; i += writers {
				s.records[i] = recordOf(i)
				errs[w] = k.create(s.records[i])
				s.records[i].Key.Revision = 1
			}
		})
	}
	group.Wait()
	s.made.Store(int64(n))
	return s, errors.Join(errs...)
}

// storeOp is one row. do makes request i of one of the writers, who share
// no key.
type storeOp struct {
	name    string
	writers int
	writes  bool
	do      func(s *side, writer, i int) error
}

func storeOps() []storeOp {
	create := func(s *side, _, _ int) error { return s.create(recordOf(int(s.made.Add(1)))) }
	revoke := func(s *side, writer, i int) error {
		mine := len(s.records) / manyWriters
		r := &s.records[writer*mine+i%mine]
		r.Key.RevokedAt = r.Key.CreatedAt.Add(time.Hour)
		r.Key.UpdatedAt = r.Key.UpdatedAt.Add(time.Second)
		err := s.revoke(*r)
		r.Key.Revision++
		return err
	}
	return []storeOp{
		{"Get, one key", 1, false, func(s *side, _, _ int) error { return s.get(s.records[0].Key.ID) }},
		{"Get, all keys at random", 1, false, func(s *side, _, i int) error { return s.get(s.records[s.order[i%len(s.order)]].Key.ID) }},
		{"List, a page of 100", 1, false, func(s *side, _, i int) error { return s.page(s.records[i%10].Key.Owner) }},
		{"Apply, create", 1, true, create},
		{"Apply, create", manyWriters, true, create},
		{"Apply, revoke", 1, true, revoke},
		{"Apply, revoke", manyWriters, true, revoke},
	}
}

const (
	manyWriters = 16
	mostWrites  = 2000 // of one turn, so that a store is not filled meanwhile
)

func storeSuite(o *options, out *report) error {
	n := min(slices.Max(o.keys), fastSet)
	return storeOf(o, out, max(n, 10*pageSize+manyWriters)) // pages of ten owners
}

func storeOf(o *options, out *report, n int) error {
	for _, h := range homes() {
		if !o.only.MatchString(h.name) {
			continue
		}
		title := fmt.Sprintf("store: %s with %d keys", h.name, n)
		out.tables = append(out.tables, table{
			title: title, note: "Bare: " + h.how + ".",
			columns: []string{"operation", "writers", "µs", "bare µs", "store / bare", "lowest", "highest"},
		})
		if err := measureHome(o, out, h, title, n); err != nil {
			return fmt.Errorf("%s: %w", h.name, err)
		}
	}
	return nil
}

func measureHome(o *options, out *report, h home, title string, n int) (err error) {
	out.progress("%s: set-up", title)
	dir, err := os.MkdirTemp("", "latchkey-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	store, err := h.store(dir + "/store")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, storeKeeper{store}.close()) }()
	rival, err := h.bare(dir + "/bare")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rival.close()) }()
	var sides [2]*side
	for i, k := range []keeper{storeKeeper{store}, rival} {
		if sides[i], err = newSide(k, n); err != nil {
			return err
		}
	}
	for _, x := range storeOps() {
		out.progress("%s: %s, %d writers", title, x.name, x.writers)
		var times [2][]float64
		var ratio []float64
		for round := range o.plan.rounds {
			for turn := range sides {
				i := (turn + round) % len(sides)
				us, err := x.turn(sides[i], o.plan.time)
				if err != nil {
					return fmt.Errorf("%s: %w", x.name, err)
				}
				times[i] = append(times[i], us)
			}
			ratio = append(ratio, times[0][round]/times[1][round])
		}
		out.row(title, x.name, fmt.Sprint(x.writers), fmt.Sprintf("%.2f", median(times[0])), fmt.Sprintf("%.2f", median(times[1])),
			fmt.Sprintf("%.2f", median(ratio)), fmt.Sprintf("%.2f", slices.Min(ratio)), fmt.Sprintf("%.2f", slices.Max(ratio)))
	}
	return nil
}

// turn makes requests for a time and returns the microseconds of one: time on
// the wall over all that were made.
func (x storeOp) turn(s *side, d time.Duration) (us float64, err error) {
	counts, errs := make([]int, x.writers*16), make([]error, x.writers) // counts apart, for the sake of the caches
	var group sync.WaitGroup
	start := time.Now()
	for w := range x.writers {
		group.Go(func() {
			i := 0
			for ; errs[w] == nil && (i%64 != 0 && !x.writes || i == 0 || time.Since(start) < d); i++ {
				if x.writes && i >= mostWrites/x.writers {
					break
				}
				errs[w] = x.do(s, w, i)
			}
			counts[w*16] = i
		})
	}
	group.Wait()
	took, n := time.Since(start), 0
	for _, c := range counts {
		n += c
	}
	return float64(took) / float64(time.Microsecond) / float64(n), errors.Join(errs...)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/admin"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/badgerstore"
	"github.com/wontopos/latchkey/storage/pgstore"
	"github.com/wontopos/latchkey/storage/pgstore/pgtest"
)

// The page suite asks what the settings page's list costs with very many keys:
// the handler alone, and then what it does to the requests of the API beside it.

const (
	pageKeys = 100_000 // of one customer, unless -keys has more
	mostPage = 50.0    // ms, at the handler
	// pageUsed is how many keys the requests beside the page are made with.
	pageUsed = 10_000
	pageRows = 25
)

// pageHome is where the keys of the suite lie.
type pageHome struct {
	name string
	// with opens a store for use, which calls order once the store is filled.
	with func(o *options, use func(store storage.Store, order func() error) error) error
}

// errLeftOut is for what this machine does not have.
var errLeftOut = errors.New("is left out: there is no PostgreSQL here; install it, or set LATCHKEY_TEST_PG_DSN")

func pageHomes() []pageHome {
	return []pageHome{{"badgerstore", withBadger}, {"pgstore", withPostgres}}
}

func withBadger(_ *options, use func(storage.Store, func() error) error) (err error) {
	dir, err := os.MkdirTemp("", "latchkey-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	store, err := badgerstore.Open(dir, badgerstore.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	return use(store, func() error { return settle(time.Minute) })
}

func withPostgres(o *options, use func(storage.Store, func() error) error) error {
	err := errLeftOut
	o.t.Run("postgres", func(t *testing.T) {
		dsn := ""
		if os.Getenv("LATCHKEY_TEST_PG_DSN") != "" {
			dsn = pgtest.DSN(t)
		} else {
			dsn = pgtest.Start(t).DSN()
		}
		err = func() (err error) {
			store, err := pgstore.Open(t.Context(), dsn, pgstore.Options{AutoMigrate: true, Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, store.Close()) }()
			return use(store, func() error { return vacuum(t.Context(), dsn) })
		}()
	})
	return err
}

// site is the settings page over a store.
type site struct {
	store   storage.Store
	service *latchkey.Service
	handler http.Handler
}

// customer owns every key of the site.
const customer = "acme"

func openSite(store storage.Store) (*site, error) {
	quiet := slog.New(slog.DiscardHandler)
	service, err := latchkey.New(store, latchkey.Options{Logger: quiet, Plans: []apikey.Plan{roomy.plan()}})
	if err != nil {
		return nil, err
	}
	handler, err := admin.New(service, func(*http.Request) (admin.Actor, error) {
		return admin.Actor{ID: "bench", Owner: customer, Role: admin.Customer}, nil
	}, admin.Options{Logger: quiet})
	if err != nil {
		return nil, errors.Join(err, service.Close(context.Background()))
	}
	return &site{store, service, handler}, nil
}

// fill creates n keys, gives those of the first pages thirty days of hourly
// usage and the others as many of daily usage, and returns the tokens of some.
func (s *site) fill(out *report, n, listed int) (tokens []string, err error) {
	tokens, err = fill(out, s.service, n, func(i int) latchkey.NewKey {
		return latchkey.NewKey{Name: pageName(i), Owner: customer, Scopes: []string{need}}
	}, func(i int) bool { return i < pageUsed })
	if err != nil {
		return nil, err
	}
	out.progress("page: thirty days of usage")
	return tokens, errors.Join(
		s.use(latchkey.ListRequest{Limit: pageRows * listed}, pageRows*listed, time.Hour),
		s.use(latchkey.ListRequest{Limit: pageRows, Search: "needle"}, pageRows, time.Hour),
		s.use(latchkey.ListRequest{Limit: 1000}, n, 24*time.Hour),
	)
}

// use gives thirty days of usage, one count in every so long, to the first n
// keys of a list.
func (s *site) use(r latchkey.ListRequest, n int, every time.Duration) error {
	const keysAtOnce = 25
	r.Owner = customer
	for done := 0; done < n; {
		page, err := s.service.List(context.Background(), r)
		if err != nil {
			return err
		}
		group, errs := sync.WaitGroup{}, make([]error, len(page.Keys))
		for i := 0; i < len(page.Keys); i += keysAtOnce {
			group.Go(func() {
				var used []storage.UsageDelta
				for _, k := range page.Keys[i:min(i+keysAtOnce, len(page.Keys))] {
					used = append(used, month(k.ID, every)...)
				}
				errs[i] = s.store.AddUsage(context.Background(), used)
			})
		}
		group.Wait()
		if err := errors.Join(errs...); err != nil || page.Next == "" {
			return err
		}
		done, r.Cursor = done+len(page.Keys), page.Next
	}
	return nil
}

func month(id string, every time.Duration) (used []storage.UsageDelta) {
	hour := time.Now().UTC().Truncate(time.Hour)
	for h := range int(30 * 24 * time.Hour / every) {
		d := storage.UsageDelta{KeyID: id, Secret: 1, Hour: hour.Add(-time.Duration(h) * every)}
		d.Counts.Allowed = uint64(7 * (h%24 + 1))
		d.Last = apikey.LastUse{At: d.Hour, Network: "192.0.2.0/24", UserAgent: "bench/1"}
		used = append(used, d)
	}
	return used
}

func pageName(i int) string {
	switch {
	case i%33_000 == 777:
		return fmt.Sprintf("the needle %d", i)
	case i%2 == 0:
		return fmt.Sprintf("staging worker %05d", i)
	}
	return fmt.Sprintf("Production-Backend-%05d", i)
}

// pageShape is how large a run of the suite is.
type pageShape struct {
	keys, asks int // asks of each address
	listed     int // pages that are asked for again and again beside the API's requests
	beside     besideShape
}

func pageSuite(o *options, out *report) error {
	return pageOf(o, out, pageShape{
		keys: max(pageKeys, slices.Max(o.keys)), asks: 300, listed: 20,
		beside: besideShape{rounds: o.plan.rounds, turn: max(50*o.plan.time, time.Second), apiRate: 2000, listRate: 500, connections: 32},
	})
}

func pageOf(o *options, out *report, shape pageShape) error {
	for _, h := range pageHomes() {
		if !o.only.MatchString(h.name) {
			continue
		}
		err := h.with(o, func(store storage.Store, order func() error) error {
			return measurePage(out, store, order, h.name, shape)
		})
		if errors.Is(err, errLeftOut) {
			out.progress("page: %s %v", h.name, err)
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", h.name, err)
		}
	}
	return nil
}

func measurePage(out *report, store storage.Store, order func() error, name string, shape pageShape) (err error) {
	s, err := openSite(store)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.service.Close(context.Background())) }()
	tokens, err := s.fill(out, shape.keys, shape.listed)
	if err != nil {
		return err
	}
	out.progress("page: the store puts its rows in order")
	if err := order(); err != nil {
		return err
	}
	if err := s.ask(out, name, shape); err != nil {
		return err
	}
	b, err := openBeside(s, tokens, shape)
	if err != nil {
		return err
	}
	defer b.close()
	if err := b.run(out); err != nil {
		return err
	}
	b.report(out, name)
	return nil
}

// vacuum does at once what PostgreSQL would do in the background, minutes after
// millions of rows were written, and in the midst of what is measured.
func vacuum(ctx context.Context, dsn string) (err error) {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	for _, sql := range []string{"VACUUM ANALYZE", "CHECKPOINT"} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return nil
}

// settle waits until this process has next to nothing to do: a store that was
// filled goes on for a while.
func settle(most time.Duration) error {
	const look = time.Second
	for end := time.Now().Add(most); time.Now().Before(end); {
		before, err := processCPU()
		if err != nil {
			return err
		}
		time.Sleep(look)
		after, err := processCPU()
		if err != nil || after-before < look/20 {
			return err
		}
	}
	return nil
}

// pageAddresses are what is asked of the handler alone. Without an address it is
// the next page each time.
var pageAddresses = []struct{ name, address string }{
	{"first page", "/?"},
	{"page after page", ""},
	{"search: half of the keys have it", "/?search=back"},
	{"search: three have it", "/?search=needle"},
	{"search: none has it", "/?search=nobody"},
	{"search: two words", "/?search=worker+00"},
	{"by name", "/?order=name"},
	{"one environment, revoked", "/?environment=live&status=revoked"},
	{"REST: first page", "/v1/keys?limit=25"},
}

const pageNote = `The settings page's list, asked for %d times each, one after the other, in process: handler, service and store, without a
network. All keys belong to the customer who asks, and have thirty days of usage, those on the first %d pages of the list
and those that the search for three finds by the hour. Each list is made anew. The banners above some of them look at all
keys: they are counted before.`

// ask measures the handler alone.
func (s *site) ask(out *report, name string, shape pageShape) error {
	title := fmt.Sprintf("page: the list of a customer with %d keys, %s", shape.keys, name)
	out.tables = append(out.tables, table{
		title: title, note: fmt.Sprintf(pageNote, shape.asks, shape.listed),
		columns: []string{"address", "p50 ms", "p99 ms", "longest ms", "KiB"},
	})
	pages, _, err := s.lists(shape.asks)
	if err != nil {
		return err
	}
	if err := s.countBanners(); err != nil {
		return err
	}
	for _, a := range pageAddresses {
		var ms []float64
		size := 0
		for i := range shape.asks {
			address := a.address
			if address == "" {
				address = pages[i%len(pages)]
			}
			start := time.Now()
			body, err := s.get(address)
			if err != nil {
				return err
			}
			ms = append(ms, float64(time.Since(start))/float64(time.Millisecond))
			size = max(size, len(body))
		}
		slices.Sort(ms)
		at := func(q float64) float64 { return ms[min(len(ms)-1, int(q*float64(len(ms))))] }
		out.row(title, a.name, fmt.Sprintf("%.2f", at(0.5)), fmt.Sprintf("%.2f", at(0.99)), fmt.Sprintf("%.2f", ms[len(ms)-1]), fmt.Sprintf("%.1f", float64(size)/1024))
		out.goal(at(0.99) < mostPage, a.name, title, fmt.Sprintf("p99 %.2f ms", at(0.99)), fmt.Sprintf("< %.0f ms", mostPage))
	}
	return nil
}

// countBanners asks for the list until its banners are counted: one request counts
// for a second at most.
func (s *site) countBanners() error {
	for {
		start := time.Now()
		if _, err := s.get("/"); err != nil || time.Since(start) < time.Second/2 {
			return err
		}
	}
}

// get asks the handler, without a network.
func (s *site) get(address string) ([]byte, error) {
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, httptest.NewRequest("GET", "http://keys.example.com"+address, nil))
	if w.Code != http.StatusOK {
		return nil, fmt.Errorf("%s: %d %s", address, w.Code, w.Body)
	}
	return w.Body.Bytes(), nil
}

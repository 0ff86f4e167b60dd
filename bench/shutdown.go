package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/engine"
	"github.com/wontopos/latchkey/storage"
)

// The shutdown suite asks how long counts stay in memory: what a flush of very
// many keys takes, what a kill -9 would lose meanwhile, what a flush does to the
// API's requests beside it, and whether Close writes everything in time.

// The goals of the suite.
const (
	mostFlushOfFew  = 2500 * time.Millisecond
	mostFlushOfMany = 7500 * time.Millisecond
	mostClose       = 10 * time.Second
	mostKilled      = 7500 * time.Millisecond // README
	mostBesideFlush = 1.50                    // p99 of the API's requests, in that of without; or
	mostWaitBeside  = 15 * time.Millisecond   // itself: see docs/performance.md for the floor
)

// shutdownShape is how large a run of the suite is.
type shutdownShape struct {
	few, many int
	rounds    int           // of each flush, and of each arm beside the API
	every     time.Duration // Options.FlushEvery
	turn      time.Duration // of the API's requests
	apiRate   int           // a second
	laps      int           // in which each key is used once a second, for the kill -9
}

func shutdownSuite(o *options, out *report) error {
	many := max(100_000, slices.Max(o.keys))
	return shutdownOf(o, out, shutdownShape{
		few: 20_000, many: many, rounds: min(o.plan.rounds, 5), every: 5 * time.Second, turn: 2 * time.Second, apiRate: 2000, laps: 25,
	})
}

func shutdownOf(o *options, out *report, shape shutdownShape) error {
	out.tables = append(out.tables, table{title: shutdownTitle, note: fmt.Sprintf(shutdownNote, shape.every, shape.apiRate, shape.rounds, shape.turn), columns: []string{
		"store", "keys", "flush", "lowest", "kill -9 loses", "the API's p99", "beside a flush", "× of all", "× median", "Close", "counted", "stored",
	}})
	for _, h := range pageHomes() {
		if !o.only.MatchString(h.name) {
			continue
		}
		err := h.with(o, func(store storage.Store, order func() error) error {
			s := &shutdownRun{name: h.name, shape: shape, out: out, store: store}
			return s.run(order)
		})
		if errors.Is(err, errLeftOut) {
			out.progress("shutdown: %s %v", h.name, err)
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", h.name, err)
		}
	}
	return nil
}

const (
	shutdownTitle = "shutdown: usage of very many keys"
	shutdownNote  = `Each key is used three times, then the next flush (one every %v) is measured from the first write to the end of
the last: the longest of all rounds, the first of which writes the rows of the hour. "kill -9 loses" is the age of the
oldest count that was not in the store at any instant, while every key is used once a second. The API is a real server of
net/http on 127.0.0.1 in this process, asked %d times a second by a client in a process of its own for 100 other keys;
%d turns of %v without a flush, and as many from its beginning on. Close gets ten seconds, with all keys used three times
since the last flush; then what was counted in the whole run is held against what is stored. Server, client and database
share this machine's cores.`
)

// shutdownRun measures one store.
type shutdownRun struct {
	name    string
	shape   shutdownShape
	out     *report
	store   storage.Store
	tap     *usageTap
	service *latchkey.Service
	began   time.Time // of the service
	keys    []*usedKey
	need    apikey.Requirement
	counted atomic.Uint64
}

// usedKey is a key of the suite.
type usedKey struct {
	id, token string
	v         engine.Verified
	times     []time.Duration // of its uses, since the service began
	written   int             // of these; the tap's
}

func (s *shutdownRun) run(order func() error) (err error) {
	s.tap = &usageTap{Store: s.store, keys: map[string]*usedKey{}}
	if err := s.open(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.service.Close(context.Background())) }()
	if err := s.fill(); err != nil {
		return err
	}
	if err := order(); err != nil {
		return err
	}
	if err := s.warm(); err != nil {
		return err
	}
	beside, err := s.openAPI()
	if err != nil {
		return err
	}
	defer beside.close()
	for _, n := range []int{s.shape.few, s.shape.many} {
		row := shutdownRow{keys: n}
		for round := range s.shape.rounds {
			s.out.progress("shutdown: %s, flush of %d keys, round %d of %d", s.name, n, round+1, s.shape.rounds)
			took, err := s.flush(n)
			if err != nil {
				return err
			}
			row.flushes = append(row.flushes, took)
		}
		s.out.progress("shutdown: %s, %d keys, flushes took %v; kill -9", s.name, n, row.flushes)
		if row.killed, err = s.kill(n); err != nil {
			return err
		}
		s.out.progress("shutdown: %s, %d keys, a kill -9 loses %v; the API beside", s.name, n, row.killed)
		if row.alone, row.beside, err = beside.measure(s, n); err != nil {
			return err
		}
		if n == s.shape.many {
			s.out.progress("shutdown: %s, Close", s.name)
			if row.close, row.stored, err = s.closeAll(); err != nil {
				return err
			}
			row.counted = s.counted.Load()
		}
		s.report(row)
	}
	return nil
}

func (s *shutdownRun) open() (err error) {
	if s.need, err = apikey.AllOf(need); err != nil {
		return err
	}
	s.began = time.Now()
	s.service, err = latchkey.New(s.tap, latchkey.Options{
		Logger: slog.New(slog.DiscardHandler), Plans: []apikey.Plan{roomy.plan()}, FlushEvery: s.shape.every, CacheSize: 2 * (s.shape.many + apiKeys),
	})
	return err
}

// apiKeys is how many keys the API beside is asked with; they are the last.
const apiKeys = 100

func (s *shutdownRun) fill() error {
	tokens, err := fill(s.out, s.service, s.shape.many+apiKeys, func(i int) latchkey.NewKey {
		return latchkey.NewKey{Name: fmt.Sprintf("key %d", i), Owner: customer, Scopes: []string{need}}
	}, func(int) bool { return true })
	for _, t := range tokens {
		s.keys = append(s.keys, &usedKey{token: t})
	}
	return err
}

// warm brings all keys into the cache.
func (s *shutdownRun) warm() error {
	s.out.progress("shutdown: %s, the first request of each key", s.name)
	const readers = 16
	var group sync.WaitGroup
	errs := make([]error, readers)
	for r := range readers {
		group.Go(func() {
			for i := r; i < len(s.keys) && errs[r] == nil; i += readers {
				k := s.keys[i]
				k.v, errs[r] = engine.Of(s.service).Verify(context.Background(), k.token)
				if errs[r] == nil {
					k.id = k.v.KeyID()
				}
			}
		})
	}
	group.Wait()
	for _, k := range s.keys {
		s.tap.keys[k.id] = k
	}
	return errors.Join(errs...)
}

// use counts a request with each of some keys.
func (s *shutdownRun) use(keys []*usedKey, times int) {
	at := time.Since(s.began)
	for i, k := range keys {
		if i%64 == 0 {
			at = time.Since(s.began)
		}
		for range times {
			if s.tap.ages.Load() {
				s.tap.mu.Lock()
				k.times = append(k.times, at)
				s.tap.mu.Unlock()
			}
			used, _ := k.v.Permits("", netip.Addr{}, &s.need)
			k.v.Count(apikey.OK, used, &engine.Use{UserAgent: "bench/1", Route: "GET /things"})
		}
	}
	s.counted.Add(uint64(times * len(keys)))
}

// quiet waits until everything is written and a flush has just been, so that what
// is used now is written by the next.
func (s *shutdownRun) quiet() error {
	probe := s.keys[len(s.keys)-1:]
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); {
		n := s.tap.writes.Load()
		time.Sleep(s.shape.every * 6 / 5)
		if s.tap.writes.Load() != n || s.tap.running.Load() != 0 {
			continue
		}
		s.use(probe, 1)
		for s.tap.writes.Load() == n && time.Now().Before(end) {
			time.Sleep(time.Millisecond)
		}
		return nil
	}
	return errors.New("flushes do not end")
}

// flush measures one flush of n keys.
func (s *shutdownRun) flush(n int) (time.Duration, error) {
	if err := s.quiet(); err != nil {
		return 0, err
	}
	s.tap.expect(n)
	s.use(s.keys[:n], 3)
	select {
	case <-s.tap.all:
		return s.tap.took(), nil
	case <-time.After(2 * time.Minute):
		return 0, errors.New("a flush has not ended after two minutes")
	}
}

// kill returns the age of the oldest count that was not stored yet, at any
// instant while n keys are used once a second.
func (s *shutdownRun) kill(n int) (time.Duration, error) {
	if err := s.quiet(); err != nil {
		return 0, err
	}
	s.tap.begin(s.began, s.keys)
	for range s.shape.laps {
		const steps = 20 // of a second
		lap := time.Now()
		for i := range steps {
			s.use(s.keys[i*n/steps:(i+1)*n/steps], 1)
			time.Sleep(time.Until(lap.Add(time.Duration(i+1) * s.shape.every / 5 / steps)))
		}
	}
	return s.tap.oldest(), s.quiet()
}

// closeAll uses all keys, closes the service and returns how long it took and
// what is stored.
func (s *shutdownRun) closeAll() (took time.Duration, stored uint64, err error) {
	if err := s.quiet(); err != nil {
		return 0, 0, err
	}
	s.use(s.keys[:s.shape.many], 3)
	ctx, cancel := context.WithTimeout(context.Background(), mostClose)
	defer cancel()
	begun := time.Now()
	err = s.service.Close(ctx)
	took = time.Since(begun)
	if err != nil {
		s.out.progress("shutdown: %s, Close: %v", s.name, err)
	}
	for part := range slices.Chunk(s.keys, 1000) {
		ids := make([]string, len(part))
		for i, k := range part {
			ids[i] = k.id
		}
		all, err := s.store.Activity(context.Background(), ids, s.beganDay())
		if err != nil {
			return 0, 0, err
		}
		for _, a := range all {
			for _, d := range a.Days {
				stored += d.Counts.Total()
			}
		}
	}
	return took, stored, nil
}

func (s *shutdownRun) beganDay() time.Time { return time.Now().Add(-24 * time.Hour) }

// shutdownRow is what was measured with a number of keys.
type shutdownRow struct {
	keys            int
	flushes         []time.Duration
	killed          time.Duration
	alone, beside   *besideArm
	close           time.Duration // 0: not measured
	counted, stored uint64
}

func (s *shutdownRun) report(r shutdownRow) {
	seconds := func(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }
	all, each := r.beside.p99()/r.alone.p99(), median(r.beside.over(r.alone))
	cells := []string{
		s.name, fmt.Sprint(r.keys), seconds(slices.Max(r.flushes)), seconds(slices.Min(r.flushes)), seconds(r.killed),
		micros(r.alone.p99()), micros(r.beside.p99()), fmt.Sprintf("%.2f", all), fmt.Sprintf("%.2f", each),
	}
	where := fmt.Sprintf("%s, %s", s.name, counted(r.keys, "key"))
	judge := func(figure, measured, goal string, pass bool) {
		s.out.must(pass, figure, where, measured, goal)
	}
	within := func(figure string, d, most time.Duration) {
		judge(figure, seconds(d), "<= "+seconds(most), d <= most)
	}
	most := mostFlushOfMany
	if r.keys == s.shape.few {
		most = mostFlushOfFew
	}
	within("the longest flush", slices.Max(r.flushes), most)
	within("what a kill -9 loses", r.killed, mostKilled)
	judge("the API's p99 beside a flush", fmt.Sprintf("%.2fx of all, %.2fx median, %s", all, each, micros(r.beside.p99())),
		fmt.Sprintf("<= %.2fx or <= %v", mostBesideFlush, mostWaitBeside), max(all, each) <= mostBesideFlush || r.beside.p99() <= float64(mostWaitBeside))
	if r.close > 0 {
		cells = append(cells, seconds(r.close), fmt.Sprint(r.counted), fmt.Sprint(r.stored))
		within("Close", r.close, mostClose)
		judge("counts that Close lost", fmt.Sprint(int64(r.counted)-int64(r.stored)), "0", r.counted == r.stored)
	} else {
		cells = append(cells, "-", "-", "-")
	}
	s.out.row(shutdownTitle, cells...)
}

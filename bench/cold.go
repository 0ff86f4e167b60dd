package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/storage/badgerstore"
)

// The cold suite asks what the first request of a key costs when a Badger store
// holds many more keys than the cache.

const (
	coldCache = 100_000 // the cache's default size, full before anything is timed
	coldReads = 20_000  // timed, of keys that are not in the cache
	coldKeys  = 100_000 // unless -keys has more
	mostCold  = 2.0     // p50 of a first request, in reads of bare Badger
	mostRSS   = 512     // MiB of the process
)

func coldSuite(o *options, out *report) error {
	return coldOf(o, out, max(coldKeys, slices.Max(o.keys)))
}

func coldOf(o *options, out *report, n int) (err error) {
	dir, err := os.MkdirTemp("", "latchkey-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	start := time.Now()
	held, err := fillBadger(out, dir, n)
	if err != nil {
		return err
	}
	filled := time.Since(start)

	// Rounds are over different keys: a key is cold once. Who goes first
	// changes, because the other finds the file in the system's cache.
	rand.New(rand.NewPCG(1, uint64(n))).Shuffle(len(held), func(i, j int) { held[i], held[j] = held[j], held[i] })
	reads := min(coldReads, len(held)/2)
	cold, warm := held[:reads], held[reads:]
	const rounds = 4
	var service, bare coldTimes
	for round := range rounds {
		chunk := cold[round*reads/rounds : (round+1)*reads/rounds]
		out.progress("cold: %d keys, round %d of %d", n, round+1, rounds)
		phases := []func() error{
			func() error { return service.verify(dir, warm, chunk) },
			func() error { return bare.read(dir, warm, chunk) },
		}
		if round%2 == 1 {
			slices.Reverse(phases)
		}
		for _, phase := range phases {
			if err := phase(); err != nil {
				return err
			}
		}
	}

	title := fmt.Sprintf("cold: first request of a key, %d keys in Badger", n)
	out.tables = append(out.tables, table{
		title: title, columns: []string{"", "p50 µs", "p90 µs", "p99 µs", "process MiB", "heap and stacks MiB", "mapped files MiB"},
		note: fmt.Sprintf("%d keys at random, none of them in the service's cache, which %d others fill; bare Badger reads the same rows of the same\n"+
			"directory before or after. The directory takes %d MiB, and may be in the system's cache. Filling it took %v\n(%.0f keys a second). The process's peak is VmHWM; mapped files are pages that the system takes back when it needs them.",
			reads, min(len(warm), coldCache), folderSize(dir)>>20, filled.Round(time.Second), float64(n)/filled.Seconds()),
	})
	for _, x := range []struct {
		name string
		*coldTimes
	}{{"Service.Verify", &service}, {"bare Badger, View and Get", &bare}} {
		mib := func(of int64) string {
			if of == 0 {
				return "-" // not on this system
			}
			return fmt.Sprint(of >> 20)
		}
		out.row(title, x.name, fmt.Sprintf("%.1f", x.at(0.5)), fmt.Sprintf("%.1f", x.at(0.9)), fmt.Sprintf("%.1f", x.at(0.99)), mib(x.peak), mib(x.anon), mib(x.file))
	}
	where := fmt.Sprintf("%d keys", n)
	q := service.at(0.5) / bare.at(0.5)
	out.goal(q <= mostCold, "p50 of a cold key's first request / of a bare Badger read", where,
		fmt.Sprintf("%.2fx (%.1f / %.1f µs)", q, service.at(0.5), bare.at(0.5)), fmt.Sprintf("<= %.2fx", mostCold))
	if service.peak > 0 {
		out.goal(service.peak>>20 <= mostRSS, "peak of the process with a full cache of 100,000 keys", where,
			fmt.Sprintf("%d MiB, %d of them not mapped files", service.peak>>20, service.anon>>20), fmt.Sprintf("<= %d MiB", mostRSS))
	}
	return nil
}

// fillBadger creates keys in a store in dir and returns the tokens of some, one
// in every n/(coldCache+coldReads).
func fillBadger(out *report, dir string, n int) (held []string, err error) {
	store, service, err := openBadger(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, service.Close(context.Background()), store.Close()) }()
	every := max(1, n/(coldCache+coldReads))
	return fill(out, service, n, func(i int) latchkey.NewKey {
		return latchkey.NewKey{Name: "production-backend", Owner: fmt.Sprintf("account-%d", i%10_000), Scopes: []string{need}}
	}, func(i int) bool { return i%every == 0 })
}

func openBadger(dir string) (*badgerstore.Store, *latchkey.Service, error) {
	quiet := slog.New(slog.DiscardHandler)
	store, err := badgerstore.Open(dir, badgerstore.Options{Logger: quiet})
	if err != nil {
		return nil, nil, err
	}
	service, err := latchkey.New(store, latchkey.Options{CacheSize: coldCache, Logger: quiet})
	if err != nil {
		return nil, nil, errors.Join(err, store.Close())
	}
	return store, service, nil
}

// coldTimes are the times of reads, and the most memory that the process took
// in any round.
type coldTimes struct {
	us               []float64
	peak, anon, file int64
}

func (c *coldTimes) at(q float64) float64 {
	s := slices.Sorted(slices.Values(c.us))
	return s[min(len(s)-1, int(q*float64(len(s))))]
}

// time calls f for all tokens and keeps what it takes for those that count.
func (c *coldTimes) time(warm, cold []string, f func(token string) error) error {
	debug.FreeOSMemory()
	forgetPeak()
	for _, token := range warm[:min(len(warm), coldCache)] {
		if err := f(token); err != nil {
			return err
		}
	}
	for _, token := range cold {
		start := time.Now()
		if err := f(token); err != nil {
			return err
		}
		c.us = append(c.us, float64(time.Since(start))/float64(time.Microsecond))
	}
	peak, anon, file := processMemory()
	c.peak, c.anon, c.file = max(c.peak, peak), max(c.anon, anon), max(c.file, file)
	return nil
}

func (c *coldTimes) verify(dir string, warm, cold []string) (err error) {
	store, service, err := openBadger(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, service.Close(context.Background()), store.Close()) }()
	ctx := context.Background()
	return c.time(warm, cold, func(token string) error {
		_, err := service.Verify(ctx, token)
		return err
	})
}

// read gets the rows that a verification reads.
func (c *coldTimes) read(dir string, warm, cold []string) (err error) {
	db, err := bareBadger(dir, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return c.time(warm, cold, func(token string) error {
		const start, size = len("sk_live_"), 16 // of the id
		row := append([]byte{'r'}, token[start:start+size]...)
		return db.View(func(txn *badger.Txn) error {
			item, err := txn.Get(row)
			if err != nil {
				return err
			}
			_, err = item.ValueCopy(nil)
			return err
		})
	})
}

func folderSize(dir string) (size int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			if info, err := d.Info(); err == nil {
				size += info.Size()
			}
		}
		return nil
	})
	return size
}

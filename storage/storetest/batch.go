package storetest

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

var batchChecks = []check{
	{name: "a batch answers for each of its ids what Get does", needs: needsBatches, run: func(e *env) error {
		ids := []string{"nobody", "", "k'e\"y", "a,b", "{a}", "null", "ключ"}
		for i := range 200 {
			ids = append(ids, fmt.Sprint("key-", i))
		}
		for i, id := range ids[2:] {
			r, err := e.create(id, nil)
			if i%3 == 1 && err == nil {
				_, err = e.apply(r, "update")
			}
			if i%3 == 2 && err == nil {
				r, err = e.revoke(r)
				if i%2 == 0 && err == nil {
					c := change(r, "purge")
					c.Delete = true
					_, err = e.s.Apply(e.ctx, c)
				}
			}
			if err != nil {
				return err
			}
			if i >= 20 {
				break // the remaining ones are unknown
			}
		}
		for len(ids) < 256 {
			ids = append(ids, fmt.Sprint("more-", len(ids)))
		}
		for _, some := range [][]string{nil, ids[:1], ids[2:3], ids[:9], ids} {
			records, errs, err := e.batch(e.ctx, some)
			if err != nil {
				return err
			}
			for i, id := range some {
				r, err := e.s.Get(e.ctx, id)
				if apikey.CodeOf(err) != apikey.CodeOf(errs[i]) || (err == nil) != (errs[i] == nil) {
					return broken("of %d ids: key %q: got error %v, where Get has %v", len(some), id, errs[i], err)
				}
				if err == nil {
					if err := same(fmt.Sprintf("of %d ids: key %q", len(some), id), records[i], r); err != nil {
						return err
					}
				}
			}
		}
		return nil
	}},
	{name: "a damaged record in a batch is an error for its key alone", needs: needs(needsBatches, needsCorrupt), run: func(e *env) error {
		ids := []string{"one", "two", "three"}
		for _, id := range ids {
			if _, err := e.create(id, nil); err != nil {
				return err
			}
		}
		e.h.Corrupt(e.t, e.s, "two")
		_, errs, err := e.batch(e.ctx, ids)
		if err != nil {
			return err
		}
		if errs[0] != nil || errs[2] != nil {
			return broken("the other keys of the batch: got errors %v and %v", errs[0], errs[2])
		}
		if errs[1] == nil || apikey.CodeOf(errs[1]) == apikey.NotFound {
			return broken("the damaged record: got error %v, want one that says so and not NotFound", errs[1])
		}
		return nil
	}},
	{name: "a batch that cannot be read is an error for each of its ids, and nobody is unknown", needs: needsBatches, run: func(e *env) error {
		if _, err := e.create("key", nil); err != nil {
			return err
		}
		cancelled, cancel := context.WithCancel(e.ctx)
		cancel()
		all := func(ctx context.Context, what string, kind error) error {
			_, errs, err := e.batch(ctx, []string{"key", "nobody"})
			if err != nil {
				return err
			}
			for _, err := range errs {
				if !errors.Is(err, kind) {
					return broken("%s: got error %v, want %v", what, err, kind)
				}
			}
			return nil
		}
		if err := all(cancelled, "cancelled", context.Canceled); err != nil || !e.h.Closes {
			return err
		}
		c, err := ability[io.Closer](e)
		if err != nil {
			return err
		}
		if err := c.Close(); err != nil {
			return broken("close: %w", err)
		}
		return all(e.ctx, "closed", apikey.Closed)
	}},
}

func (e *env) batch(ctx context.Context, ids []string) (records []storage.Record, errs []error, err error) {
	b, ok := e.s.(storage.BatchGetter)
	if !ok {
		return nil, nil, broken("the store is no storage.BatchGetter, which its harness declares")
	}
	records, errs = b.GetBatch(ctx, ids)
	if len(records) != len(ids) || len(errs) != len(ids) {
		return nil, nil, broken("%d ids have %d records and %d errors", len(ids), len(records), len(errs))
	}
	return records, errs, nil
}

func needsBatches(h Harness) string {
	if !h.Batches {
		return "declared: is no storage.BatchGetter (Harness.Batches is false)"
	}
	return ""
}

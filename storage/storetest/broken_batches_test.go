package storetest

import (
	"context"
	"errors"
	"testing"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/memstore"
)

// batcher reads many records, and spoils what it answers.
type batcher struct {
	*wrap
	spoil func(ids []string, records []storage.Record, errs []error) ([]storage.Record, []error)
	close func() error
}

func (b *batcher) Close() error { return b.close() }

func (b *batcher) GetBatch(ctx context.Context, ids []string) (records []storage.Record, errs []error) {
	for _, id := range ids {
		r, err := b.Get(ctx, id)
		records, errs = append(records, r), append(errs, err)
	}
	if b.spoil != nil {
		return b.spoil(ids, records, errs)
	}
	return records, errs
}

func newBatcher(m *memstore.Store) *batcher { return &batcher{wrap: &wrap{Store: m}, close: m.Close} }

// damaging makes a record of a batcher be one that cannot be read.
func damaging(h *Harness) {
	h.Batches = true
	h.Corrupt = func(_ testing.TB, s storage.Store, bad string) {
		b := s.(*batcher)
		below := b.wrap.Store
		b.get = func(ctx context.Context, id string) (storage.Record, error) {
			if id == bad {
				return storage.Record{}, errBroken
			}
			return below.Get(ctx, id)
		}
	}
}

func TestAnUnbrokenBatcherPasses(t *testing.T) {
	h := memory()
	damaging(&h)
	h.Open = func(testing.TB) storage.Store { return newBatcher(memstore.New()) }
	for _, c := range batchChecks {
		if err := c.against(t, h); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// spoiled breaks a batcher.
func spoiled(rule string, spoil func(ids []string, records []storage.Record, errs []error) ([]storage.Record, []error)) brokenStore {
	return brokenStore{fails: rule, harness: damaging, wrap: func(m *memstore.Store) storage.Store {
		b := newBatcher(m)
		b.spoil = spoil
		return b
	}}
}

const (
	ruleBatch        = "a batch answers for each of its ids what Get does"
	ruleBatchDamaged = "a damaged record in a batch is an error for its key alone"
	ruleBatchFails   = "a batch that cannot be read is an error for each of its ids, and nobody is unknown"
)

var brokenBatches = map[string]brokenStore{
	"answers a batch in another order": spoiled(ruleBatch, func(_ []string, records []storage.Record, errs []error) ([]storage.Record, []error) {
		for i, j := 0, len(errs)-1; i < j; i, j = i+1, j-1 {
			records[i], records[j], errs[i], errs[j] = records[j], records[i], errs[j], errs[i]
		}
		return records, errs
	}),
	"leaves out what it does not find": spoiled(ruleBatch, func(_ []string, records []storage.Record, errs []error) ([]storage.Record, []error) {
		if n := len(errs); n > 0 && errs[n-1] != nil {
			return records[:n-1], errs[:n-1]
		}
		return records, errs
	}),
	"fails a batch for one record": spoiled(ruleBatchDamaged, func(_ []string, records []storage.Record, errs []error) ([]storage.Record, []error) {
		for _, err := range errs {
			if errors.Is(err, errBroken) {
				for i := range errs {
					errs[i] = err
				}
			}
		}
		return records, errs
	}),
	"takes a damaged record of a batch for none": spoiled(ruleBatchDamaged, func(_ []string, records []storage.Record, errs []error) ([]storage.Record, []error) {
		for i := range errs {
			if errs[i] != nil {
				errs[i] = apikey.NotFound
			}
		}
		return records, errs
	}),
	"knows nobody when it cannot read a batch": spoiled(ruleBatchFails, func(_ []string, records []storage.Record, errs []error) ([]storage.Record, []error) {
		for i := range errs {
			if errs[i] != nil {
				errs[i] = apikey.NotFound
			}
		}
		return records, errs
	}),
}

package memstore

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// places are the positions of all records in one order. They are pointers,
// because each new key moves those behind it.
type places struct {
	order storage.Order
	all   []*storage.Position
}

func (p *places) find(at storage.Position) (int, bool) {
	return slices.BinarySearchFunc(p.all, &at, func(a, b *storage.Position) int { return storage.Compare(p.order, *a, *b) })
}

func (p *places) add(k *apikey.Key) {
	at := storage.PositionOf(k)
	i, _ := p.find(at)
	p.all = slices.Insert(p.all, i, &at)
}

func (p *places) remove(k *apikey.Key) {
	if i, ok := p.find(storage.PositionOf(k)); ok {
		p.all = slices.Delete(p.all, i, i+1)
	}
}

// from walks the places strictly after the given one, in the order or against
// it. The given place need not exist any more: a cursor survives a deletion.
func (p *places) from(after storage.Position, backward bool) iter.Seq[storage.Position] {
	return func(yield func(storage.Position) bool) {
		first, last := 0, len(p.all)
		if !after.IsZero() {
			i, found := p.find(after)
			if first = i; backward {
				first, last = 0, i
			} else if found {
				first++
			}
		}
		for i := range last - first {
			if backward {
				i = last - 1 - i
			} else {
				i += first
			}
			if !yield(*p.all[i]) {
				return
			}
		}
	}
}

// List implements [storage.Store]. It walks the order and looks at every record
// on the way, because memory is quick.
func (s *Store) List(ctx context.Context, q storage.Query) (storage.Listing, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.usable(ctx); err != nil {
		return storage.Listing{}, err
	}
	order, backward := &s.byTime, q.Order == storage.NewestFirst
	if q.Order == storage.ByName {
		order = &s.byName
	}
	filter := storage.NewFilter(q, time.Now())
	var l storage.Listing
	for at := range order.from(storage.Start(q), backward) {
		r := s.records[at.ID]
		if !filter.Match(&r.Key) || filter.ByUse() && !filter.Unused(s.usage[at.ID].last().At) {
			continue
		}
		if len(l.Records) == q.PageLimit() {
			l.Next = storage.PositionOf(&l.Records[len(l.Records)-1].Key)
			break
		}
		l.Records = append(l.Records, r.Clone())
	}
	return l, nil
}

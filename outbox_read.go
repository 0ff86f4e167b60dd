package latchkey

import (
	"context"
	"slices"
	"time"

	"github.com/wontopos/latchkey/storage"
)

// readPatience is how long a write may have taken before nobody waits for it any
// more who wants to read its keys.
const readPatience = 1500 * time.Millisecond

// read calls f to read keys, or any key if ids is nil, from the store. What owed
// adds to it makes together all that was counted until age ago, and maybe some of
// what came later. Nothing is written for it: reading does not become writing.
//
// It waits while one of the keys is being written, for as long as ctx allows.
// When the store has not answered that write for readPatience, nobody can say
// what was counted: the error is [apikey.Unavailable].
func (o *outbox) read(ctx context.Context, ids []string, age time.Duration, f func(owed func(id string) []storage.UsageDelta) error) error {
	if err := o.beginRead(ctx, ids, age); err != nil {
		return err
	}
	defer func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.hold(ids, -1)
		o.change()
	}()
	return f(func(id string) []storage.UsageDelta {
		o.mu.Lock()
		defer o.mu.Unlock()
		all := slices.Clone(o.owed[id])
		for i := range o.lanes {
			if l := &o.lanes[i]; l.owes() {
				all = append(all, l.keys[id]...)
			}
		}
		return all
	})
}

func (o *outbox) beginRead(ctx context.Context, ids []string, age time.Duration) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if time.Since(o.collected) >= age {
		o.collect()
	}
	for {
		since, busy := o.clash(ids)
		if !busy {
			o.hold(ids, 1)
			return nil
		}
		if err := o.wait(ctx, since.Add(readPatience)); err != nil {
			return err
		}
	}
}

// clash reports whether one of the keys is being written, and since when.
func (o *outbox) clash(ids []string) (since time.Time, busy bool) {
	for i := range o.lanes {
		l := &o.lanes[i]
		if l.blocks() && (ids == nil || slices.ContainsFunc(ids, func(id string) bool { return l.keys[id] != nil })) {
			if !busy || l.since.Before(since) {
				since, busy = l.since, true
			}
		}
	}
	return since, busy
}

// hold counts a reader in or out.
func (o *outbox) hold(ids []string, n int) {
	if ids == nil {
		o.allReaders += n
	}
	for _, id := range ids {
		if o.readers[id] += n; o.readers[id] == 0 {
			delete(o.readers, id)
		}
	}
}

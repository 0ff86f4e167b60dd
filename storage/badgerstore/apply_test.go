package badgerstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/dgraph-io/badger/v4"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

func TestAChangeIsSyncedBeforeItIsToldAndAcknowledged(t *testing.T) {
	s := openIn(t, t.TempDir())
	var steps []string
	sync := s.sync
	s.sync = func() error {
		if _, err := s.Get(t.Context(), "key"); err != nil {
			t.Errorf("the change is committed before the sync: %v", err)
		}
		err := sync()
		steps = append(steps, "synced")
		return err
	}
	s.Subscribe(func(storage.Notice) { steps = append(steps, "told") })
	apply(t, s, changeOf("key", 0, nil))
	steps = append(steps, "acknowledged")
	if got := strings.Join(steps, " "); got != "synced told acknowledged" {
		t.Errorf("a change is durable, then told, then acknowledged; got %s", got)
	}
}

// See the comment at the head of apply.go: another write in between could fill
// the memtable, and the sync would miss the change.
func TestNobodyWritesBetweenCommitAndSync(t *testing.T) {
	s := openIn(t, t.TempDir())
	sync := s.sync
	s.sync = func() error {
		if s.flow.TryRLock() {
			s.flow.RUnlock()
			t.Error("usage and windows could be written between a change's commit and its sync")
		}
		return sync()
	}
	apply(t, s, changeOf("key", 0, nil))
	s.sync = sync

	// And they do take part: with the gate closed, none of them gets through.
	for name, write := range map[string]func() error{
		"AddUsage":      func() error { return s.AddUsage(t.Context(), []storage.UsageDelta{{KeyID: "key", Secret: 1}}) },
		"SaveWindows":   func() error { return s.SaveWindows(t.Context(), "key", nil, 1) },
		"DeleteWindows": func() error { return s.DeleteWindows(t.Context(), []string{"key"}) },
	} {
		s.flow.Lock()
		done := make(chan error, 1)
		go func() { done <- write() }()
		if !standsAt(done, "(*Store)."+name+"(", "sync.(*RWMutex).RLock(") {
			t.Errorf("%s does not wait while a change is between commit and sync", name)
		}
		s.flow.Unlock()
		if err := <-done; err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// standsAt waits until some goroutine has all the functions on its stack, or
// done has a value.
func standsAt(done chan error, functions ...string) bool {
	buf := make([]byte, 1<<20)
	for ; len(done) == 0; runtime.Gosched() {
		n := runtime.Stack(buf, true)
		for stack := range strings.SplitSeq(string(buf[:n]), "\n\n") {
			if !slices.ContainsFunc(functions, func(f string) bool { return !strings.Contains(stack, f) }) {
				return true
			}
		}
	}
	return false
}

func TestWritersShareASync(t *testing.T) {
	s := openIn(t, t.TempDir())
	syncs, release, inside := 0, make(chan struct{}), make(chan struct{})
	sync1 := s.sync
	s.sync = func() error {
		if syncs++; syncs == 1 {
			close(inside)
			<-release
		}
		return sync1()
	}
	var wg sync.WaitGroup
	create := func(id string) {
		wg.Go(func() {
			if _, err := s.Apply(t.Context(), changeOf(id, 0, nil)); err != nil {
				t.Error(err)
			}
		})
	}
	create("first")
	<-inside
	for i := range 15 {
		create(fmt.Sprint("key", i))
	}
	for waiting := 0; waiting < 15; {
		s.pending.mu.Lock()
		waiting = len(s.pending.jobs)
		s.pending.mu.Unlock()
		runtime.Gosched()
	}
	close(release)
	wg.Wait()
	if syncs != 2 {
		t.Errorf("15 changes that came during a sync took %d more, want 1", syncs-1)
	}
}

func TestAGroupTooLargeForOneTransactionIsSplit(t *testing.T) {
	s := openIn(t, t.TempDir())
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			c := changeOf(fmt.Sprint("key", i), 0, func(k *apikey.Key) { k.Metadata = map[string]string{"large": noise(200 << 10)} })
			for range 3 {
				rev, err := s.Apply(t.Context(), c)
				if err != nil {
					t.Error(err)
				}
				c.Expect = rev
			}
		})
	}
	wg.Wait()
	trail, err := s.Audit(t.Context(), apikey.AuditQuery{})
	if err != nil || len(trail) != 48 {
		t.Errorf("48 changes of 200 KiB made %d audit entries, error %v", len(trail), err)
	}
}

func TestAChangeTooLargeIsRefusedAlone(t *testing.T) {
	s := openIn(t, t.TempDir())
	long := strings.Repeat("x", maxString+1)
	for what, c := range map[string]storage.Change{
		"metadata": changeOf("key", 0, func(k *apikey.Key) { k.Metadata = map[string]string{"large": noise(maxValue)} }),
		"owner":    changeOf("key", 0, func(k *apikey.Key) { k.Owner = long }),
		"ID":       changeOf(long, 0, nil),
	} {
		if _, err := s.Apply(t.Context(), c); !errors.Is(err, apikey.InvalidArgument) {
			t.Errorf("%s: got error %v, want InvalidArgument", what, err)
		}
	}
	apply(t, s, changeOf("key", 0, nil)) // the store goes on
	longest := strings.Repeat("x", maxString)
	apply(t, s, changeOf(longest, 0, func(k *apikey.Key) { k.Owner, k.Environment = longest, longest }))
	list, err := s.List(t.Context(), storage.Query{Owner: longest, Environment: longest})
	if err != nil || len(list.Records) != 1 {
		t.Errorf("the longest names are listed: %d records, error %v", len(list.Records), err)
	}
}

func TestAfterAFailedSyncNoChangeIsAccepted(t *testing.T) {
	dir := t.TempDir()
	s := openIn(t, dir)
	apply(t, s, changeOf("key", 0, nil))
	good, broken := s.sync, errors.New("the disk says no")
	s.sync = func() error { return broken }
	told := 0
	s.Subscribe(func(storage.Notice) { told++ })
	if _, err := s.Apply(t.Context(), changeOf("key", 1, revoked)); !errors.Is(err, broken) {
		t.Errorf("a change that was not synced: got error %v", err)
	}
	s.sync = good // as a disk does that has thrown the pages away
	if _, err := s.Apply(t.Context(), changeOf("other", 0, nil)); !errors.Is(err, broken) {
		t.Errorf("a change after a failed sync: got error %v, want the same again", err)
	}
	if told != 0 {
		t.Error("what may not be durable is not told")
	}
	if _, err := s.Get(t.Context(), "key"); err != nil {
		t.Errorf("reading goes on: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	apply(t, openIn(t, dir), changeOf("other", 0, nil))
}

func TestAPurgedKeyLeavesAnEmptyRowNotATombstone(t *testing.T) {
	s := openIn(t, t.TempDir())
	apply(t, s, changeOf("key", 0, revoked))
	c := changeOf("key", 1, revoked)
	c.Delete = true
	apply(t, s, c)
	if v, err := s.Raw("key"); err != nil || v == nil || len(v) > 0 {
		t.Errorf("a tombstone may be lost in compaction and older versions come back; the row is %q, error %v, want an empty one", v, err)
	}
	if _, err := s.Get(t.Context(), "key"); !errors.Is(err, apikey.NotFound) {
		t.Errorf("an empty row is no key: got error %v, want NotFound", err)
	}
}

func TestADamagedRecordIsErrCorruptAndCannotBeChanged(t *testing.T) {
	s := openIn(t, t.TempDir())
	apply(t, s, changeOf("key", 0, nil))
	if err := s.Damage("key"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), "key"); !errors.Is(err, storage.ErrCorrupt) || errors.Is(err, apikey.NotFound) {
		t.Errorf("get: got error %v, want ErrCorrupt", err)
	}
	if _, err := s.Apply(t.Context(), changeOf("key", 1, nil)); !errors.Is(err, storage.ErrCorrupt) {
		t.Errorf("apply: got error %v, want ErrCorrupt", err)
	}
	apply(t, s, changeOf("other", 0, nil))
}

func TestARecordInTheRowOfAnotherKeyIsDamage(t *testing.T) {
	s := openIn(t, t.TempDir())
	apply(t, s, changeOf("key", 0, nil))
	v, err := s.Raw("key")
	if err == nil {
		err = s.db.Update(func(txn *badger.Txn) error { return txn.Set(recordKey("other"), v) })
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), "other"); !errors.Is(err, storage.ErrCorrupt) {
		t.Errorf("got error %v, want ErrCorrupt", err)
	}
}

func TestAChangeCancelledWhileItWaitsIsNotMade(t *testing.T) {
	s := openIn(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	waiting, syncs, good := make(chan error, 1), 0, s.sync
	s.sync = func() error {
		if syncs++; syncs == 1 {
			go func() { _, err := s.Apply(ctx, changeOf("late", 0, nil)); waiting <- err }()
			for n := 0; n == 0; runtime.Gosched() {
				s.pending.mu.Lock()
				n = len(s.pending.jobs)
				s.pending.mu.Unlock()
			}
			cancel()
		}
		return good()
	}
	apply(t, s, changeOf("key", 0, nil))
	if err := <-waiting; !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want Canceled", err)
	}
	if _, err := s.Get(t.Context(), "late"); !errors.Is(err, apikey.NotFound) {
		t.Errorf("the change was made all the same: %v", err)
	}
}

// noise does not compress.
func noise(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = 'a' + byte(rand.IntN(26))
	}
	return string(b)
}

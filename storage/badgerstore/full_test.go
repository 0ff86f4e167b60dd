//go:build linux

package badgerstore_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// A file system of 12 megabytes, full of keys: the process lives, keys are verified, nothing that was acknowledged is lost.
func TestAFullDiskRefusesChangesAndGoesOnVerifying(t *testing.T) {
	t.Parallel()
	onSmallDisk(t, 12, func(t *testing.T, dir string) {
		s := &server{t: t, dir: dir}
		s.open()
		if n := s.createUntilRefused(); n < 500 {
			t.Errorf("only %d keys fit 12 MiB", n)
		}
		if n := s.changeUntilRefused(); n < 500 {
			t.Errorf("only %d changes of keys that exist fit what is kept for them", n)
		}
		s.served(500)
		if why := s.keys.Health().Refusing; !strings.Contains(why, "make room") {
			t.Errorf("Health does not say why changes are refused: %q", why)
		}
		if h := s.keys.Health(); !h.Ready {
			t.Error("keys are verified, so the instance is ready")
		}
		_ = s.keys.Close(t.Context()) // counts cannot be written
		if err := s.store.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		s.open()
		s.allThere()
		_ = s.keys.Close(t.Context())
		if err := s.store.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
}

// Another program fills the disk to the last byte and makes room again.
func TestADiskFilledByOthers(t *testing.T) {
	t.Parallel()
	onSmallDisk(t, 64, func(t *testing.T, dir string) {
		s := &server{t: t, dir: dir}
		s.open()
		for range 300 {
			if err := s.create(); err != nil {
				t.Fatal(err)
			}
		}
		free := fill(t, dir, 0)
		if n := s.createUntilRefused(); n > 0 {
			t.Errorf("%d keys were made on a full disk", n)
		}
		s.served(200)
		if s.keys.Health().Refusing == "" {
			t.Error("Health does not say that changes are refused")
		}
		if err := s.store.SaveWindows(t.Context(), "subject", []byte("state"), time.Hour); err != nil {
			t.Errorf("windows on a full disk: %v", err)
		}
		if state, err := s.store.LoadWindows(t.Context(), "subject"); string(state) != "state" || err != nil {
			t.Errorf("windows on a full disk: %q, error %v", state, err)
		}
		if err := s.store.AddUsage(t.Context(), []storage.UsageDelta{{KeyID: "key", Secret: 1}}); !errors.Is(err, apikey.Unavailable) {
			t.Errorf("counts on a full disk: %v", err)
		}
		// A leaked key can be revoked all the same.
		page, err := s.keys.List(t.Context(), latchkey.ListRequest{Limit: 1})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.keys.Revoke(t.Context(), apikey.Actor{ID: "ann"}, page.Keys[0].ID, "leaked"); err != nil {
			t.Errorf("revoke on a full disk: %v", err)
		}
		leaked := page.Keys[0].ID
		for i, token := range s.tokens {
			if strings.Contains(token, leaked) {
				s.serve(token, http.StatusUnauthorized)
				s.tokens = append(s.tokens[:i:i], s.tokens[i+1:]...)
				break
			}
		}
		// Closed and opened again, still full.
		_ = s.keys.Close(t.Context()) // counts cannot be written
		if err := s.store.Close(); err != nil {
			t.Fatalf("close on a full disk: %v", err)
		}
		s.open()
		s.served(200)
		if state, err := s.store.LoadWindows(t.Context(), "subject"); string(state) != "state" || err != nil {
			t.Errorf("windows of a full disk, after Close: %q, error %v", state, err)
		}
		s.createUntilRefused()
		free()
		s.accepting()
		if err := s.create(); err != nil {
			t.Errorf("with room again: %v", err)
		}
		s.allThere()
		if err := s.close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
}

// Another program leaves room for a table and no more, again and again. Tables that nobody can compact must not take the
// disk, or there would be no room for them once that program has gone.
func TestTablesLeaveRoomToCompactThem(t *testing.T) {
	t.Parallel()
	onSmallDisk(t, 64, func(t *testing.T, dir string) {
		s := &server{t: t, dir: dir}
		s.open()
		for range 12 {
			free := fill(t, dir, 12)
			s.createUntilRefused()
			free()
		}
		s.accepting()
		if err := s.create(); err != nil {
			t.Errorf("with room again: %v", err)
		}
		s.served(500)
		if err := s.close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
}

// A disk on which two tables have room, and what is written replaces what was there: it never ends up full.
func TestFewTablesAreCompactedWhereRoomIsScarce(t *testing.T) {
	t.Parallel()
	onSmallDisk(t, 64, func(t *testing.T, dir string) {
		s := &server{t: t, dir: dir}
		s.open()
		defer fill(t, dir, 36)()
		var batch []storage.UsageDelta
		for range 500 {
			k, _, err := s.keys.Create(t.Context(), apikey.Actor{ID: "ann"}, latchkey.NewKey{Owner: "acme", Name: "busy"})
			if err != nil {
				t.Fatal(err)
			}
			batch = append(batch, storage.UsageDelta{KeyID: k.ID, Secret: 1, Hour: time.Now().Truncate(time.Hour), Counts: apikey.Counts{Allowed: 1}})
		}
		for range 200 {
			s.accepting()
			if err := s.store.AddUsage(t.Context(), batch); err != nil && !errors.Is(err, apikey.Unavailable) {
				t.Fatal(err)
			}
		}
		if err := s.close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
}

// The disk is filled, all but what a table takes that is being written, and freed at any moment, while keys are made and
// used: when a memtable is full, when it is written as a table, when tables are compacted. What is stored stays small, and
// so there is room for it in the end.
func TestADiskFilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	rounds := 12
	if os.Getenv("LATCHKEY_LONG") != "" {
		rounds = 300
	}
	onSmallDisk(t, 64, func(t *testing.T, dir string) {
		s := &server{t: t, dir: dir}
		s.open()
		stop := make(chan struct{})
		var wg sync.WaitGroup
		var mu sync.Mutex
		for worker := range 2 {
			wg.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
					}
					_ = s.store.SaveWindows(t.Context(), fmt.Sprint("subject", i%1000), make([]byte, 500), time.Hour)
					if i >= 2000 {
						mu.Lock()
						token := s.tokens[i%len(s.tokens)]
						mu.Unlock()
						s.serve(token, http.StatusOK)
						continue
					}
					_, token, err := s.keys.Create(t.Context(), apikey.Actor{ID: "ann"}, latchkey.NewKey{
						Owner: "acme", Name: fmt.Sprint(worker, " ", i), Metadata: map[string]string{"filler": strings.Repeat("x", 200)},
					})
					if err != nil && !errors.Is(err, apikey.Unavailable) {
						t.Errorf("create: %v", err)
						return
					}
					if err == nil {
						mu.Lock()
						s.tokens = append(s.tokens, token.Reveal())
						mu.Unlock()
						s.serve(token.Reveal(), http.StatusOK)
					}
				}
			})
		}
		for range rounds {
			time.Sleep(time.Duration(rand.IntN(150)) * time.Millisecond)
			free := fill(t, dir, 6)
			time.Sleep(time.Duration(rand.IntN(30)) * time.Millisecond)
			free()
		}
		close(stop)
		wg.Wait()
		t.Logf("%d keys, %v", len(s.tokens), s.store.Tables())
		s.accepting()
		if err := s.close(); err != nil {
			t.Errorf("close: %v", err)
		}
		s.open()
		s.allThere()
		if err := s.close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
}

// A directory that can no longer be written to, as after its file system was mounted read-only.
func TestAReadOnlyDirectoryRefusesChangesUntilItIsNot(t *testing.T) {
	t.Parallel()
	onSmallDisk(t, 32, func(t *testing.T, dir string) {
		s := &server{t: t, dir: dir}
		s.open()
		for range 10 {
			if err := s.create(); err != nil {
				t.Fatal(err)
			}
		}
		keys := filepath.Join(dir, "keys")
		for _, flags := range []uintptr{unix.MS_BIND, unix.MS_BIND | unix.MS_REMOUNT | unix.MS_RDONLY} {
			if err := unix.Mount(keys, keys, "", flags, ""); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.create(); !errors.Is(err, apikey.Unavailable) || !strings.Contains(err.Error(), "can no longer be written to") {
			t.Errorf("create: %v", err)
		}
		if why := s.keys.Health().Refusing; !strings.Contains(why, "mount it again") {
			t.Errorf("Health does not say what to do: %q", why)
		}
		s.served(100)
		if err := unix.Unmount(keys, 0); err != nil {
			t.Fatal(err)
		}
		if err := s.create(); err != nil {
			t.Errorf("create when it can be written to again: %v", err)
		}
		if err := s.close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
}

// A process with as many files open as it may have. Badger would end it when it cannot open its next log.
func TestTooManyOpenFilesRefuseChanges(t *testing.T) {
	t.Parallel()
	onSmallDisk(t, 64, func(t *testing.T, dir string) {
		s := &server{t: t, dir: dir}
		s.open()
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 100, Max: 100}); err != nil {
			t.Fatal(err)
		}
		var open []*os.File
		for {
			f, err := os.Open(os.DevNull)
			if err != nil {
				break
			}
			open = append(open, f)
		}
		large := latchkey.NewKey{Owner: "acme", Name: "large", Metadata: map[string]string{}}
		for i := range 10 {
			large.Metadata[fmt.Sprint("filler", i)] = strings.Repeat("x", 250)
		}
		made := 0
		for ; made < 4000; made++ {
			_, token, err := s.keys.Create(t.Context(), apikey.Actor{ID: "ann"}, large)
			if err == nil {
				s.tokens = append(s.tokens, token.Reveal())
				continue
			}
			if !errors.Is(err, apikey.Unavailable) || !strings.Contains(err.Error(), "ulimit") {
				t.Fatalf("create: %v", err)
			}
			break
		}
		if made == 4000 {
			t.Error("with no file left to open, the log was turned")
		}
		s.served(100)
		for _, f := range open {
			f.Close()
		}
		s.accepting()
		if _, _, err := s.keys.Create(t.Context(), apikey.Actor{ID: "ann"}, large); err != nil {
			t.Errorf("with files to open again: %v", err)
		}
		if err := s.close(); err != nil {
			t.Errorf("close: %v", err)
		}
		s.open()
		s.allThere()
		if err := s.close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
}

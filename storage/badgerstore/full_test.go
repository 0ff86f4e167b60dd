//go:build linux

package badgerstore_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/storage/badgerstore"
)

// onSmallDisk runs a test in a process of its own, in which dir is a file system of so many megabytes: a fault ends that
// process, and with it the file system.
func onSmallDisk(t *testing.T, megabytes int, test func(t *testing.T, dir string)) {
	t.Helper()
	const variable = "LATCHKEY_SMALL_DISK"
	if dir := os.Getenv(variable); dir != "" {
		if err := unix.Mount("none", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", megabytes)); err != nil {
			t.Fatal(err)
		}
		test(t, dir)
		return
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.timeout=2m")
	child.Env = append(os.Environ(), variable+"="+t.TempDir())
	child.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := child.CombinedOutput()
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) || strings.Contains(string(out), "operation not permitted") {
		child = exec.CommandContext(t.Context(), os.Args[0], child.Args[1:]...)
		child.Env = append(os.Environ(), variable+"="+t.TempDir())
		child.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS} // as root
		out, err = child.CombinedOutput()
	}
	if errors.Is(err, syscall.EPERM) || strings.Contains(string(out), "operation not permitted") {
		t.Skip("missing component: user namespaces: allow them, or run this test as root")
	}
	if err != nil || !strings.Contains(string(out), "PASS") {
		t.Errorf("%v\n%.6000s", err, out)
	}
}

// fill takes all room that is left, but for so many megabytes, and returns how to give it back.
func fill(t *testing.T, dir string, but uint64) (free func()) {
	name := filepath.Join(dir, "of another program")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 64<<10)
	var disk unix.Statfs_t
	for size := len(block); size > 0; {
		if err := unix.Statfs(dir, &disk); err != nil || disk.Bavail*uint64(disk.Bsize) < but<<20 {
			break
		}
		if _, err := f.Write(block[:size]); err != nil {
			size /= 16
		}
	}
	f.Close()
	return func() {
		if err := os.Remove(name); err != nil {
			t.Error(err)
		}
	}
}

// server is an API on a store on the small disk.
type server struct {
	t       *testing.T
	dir     string
	store   *badgerstore.Store
	keys    *apikey.Service
	handler http.Handler
	tokens  []string // that were acknowledged
}

func (s *server) open() {
	s.t.Helper()
	var err error
	if s.store, err = badgerstore.Open(filepath.Join(s.dir, "keys"), badgerstore.Options{Logger: slog.New(slog.DiscardHandler)}); err != nil {
		s.t.Fatal(err)
	}
	if s.keys, err = apikey.New(s.store, apikey.Options{Logger: slog.New(slog.DiscardHandler), FlushEvery: 100 * time.Millisecond}); err != nil {
		s.t.Fatal(err)
	}
	guard, err := middleware.New(s.keys, middleware.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		s.t.Fatal(err)
	}
	s.handler = guard.AnyKey()(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "served") }))
}

func (s *server) close() error {
	return errors.Join(s.keys.Close(s.t.Context()), s.store.Close())
}

func (s *server) create() error {
	_, token, err := s.keys.Create(s.t.Context(), apikey.Actor{ID: "ann"}, apikey.NewKey{Owner: "acme", Name: fmt.Sprint("key ", len(s.tokens))})
	if err == nil {
		s.tokens = append(s.tokens, token.Reveal())
	}
	return err
}

// createUntilRefused says how many keys it made.
func (s *server) createUntilRefused() int {
	s.t.Helper()
	before := len(s.tokens)
	for {
		switch err := s.create(); {
		case errors.Is(err, apikey.ErrUnavailable):
			if !strings.Contains(err.Error(), "KiB free") || !strings.Contains(err.Error(), "make room") {
				s.t.Errorf("the refusal does not say what to do: %v", err)
			}
			return len(s.tokens) - before
		case err != nil:
			s.t.Fatal(err)
		}
	}
}

// served sends requests with some of the keys.
func (s *server) served(n int) {
	s.t.Helper()
	for range n {
		s.serve(s.tokens[rand.IntN(len(s.tokens))], http.StatusOK)
	}
}

func (s *server) serve(token string, want int) {
	s.t.Helper()
	r := httptest.NewRequestWithContext(s.t.Context(), "GET", "http://localhost/", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	if s.handler.ServeHTTP(w, r); w.Code != want && w.Code != http.StatusTooManyRequests {
		s.t.Errorf("a good key: got %d %s, want %d", w.Code, w.Body, want)
	}
}

// accepting waits until the store has seen that there is room, which takes it a second.
func (s *server) accepting() {
	s.t.Helper()
	for begin := time.Now(); s.keys.Health().Refusing != ""; time.Sleep(10 * time.Millisecond) {
		if time.Since(begin) > 20*time.Second {
			s.t.Fatalf("there is room, and changes are still refused: %s", s.keys.Health().Refusing)
		}
	}
}

func (s *server) allThere() {
	s.t.Helper()
	for _, token := range s.tokens {
		s.serve(token, http.StatusOK)
	}
}

// A file system of 12 megabytes, full of keys: the process lives, keys are verified, nothing that was acknowledged is lost.
func TestAFullDiskRefusesChangesAndGoesOnVerifying(t *testing.T) {
	t.Parallel()
	onSmallDisk(t, 12, func(t *testing.T, dir string) {
		s := &server{t: t, dir: dir}
		s.open()
		if n := s.createUntilRefused(); n < 500 {
			t.Errorf("only %d keys fit 12 MiB", n)
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
		if err := s.store.AddUsage(t.Context(), []apikey.UsageDelta{{KeyID: "key", Secret: 1}}); !errors.Is(err, apikey.ErrUnavailable) {
			t.Errorf("counts on a full disk: %v", err)
		}
		// A leaked key can be revoked all the same.
		page, err := s.keys.List(t.Context(), apikey.ListRequest{Limit: 1})
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

// The disk is filled, all but what a table takes that is being written, and freed at any moment, while keys are made, used and revoked: when a memtable is full, when it is
// written as a table, when tables are compacted.
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
					_, token, err := s.keys.Create(t.Context(), apikey.Actor{ID: "ann"}, apikey.NewKey{
						Owner: "acme", Name: fmt.Sprint(worker, " ", i), Metadata: map[string]string{"filler": strings.Repeat("x", 200)},
					})
					if err != nil && !errors.Is(err, apikey.ErrUnavailable) {
						t.Errorf("create: %v", err)
						return
					}
					_ = s.store.SaveWindows(t.Context(), fmt.Sprint("subject", i%1000), make([]byte, 500), time.Hour)
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
		t.Logf("%d keys", len(s.tokens))
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
		if err := s.create(); !errors.Is(err, apikey.ErrUnavailable) || !strings.Contains(err.Error(), "can no longer be written to") {
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
		large := apikey.NewKey{Owner: "acme", Name: "large", Metadata: map[string]string{}}
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
			if !errors.Is(err, apikey.ErrUnavailable) || !strings.Contains(err.Error(), "ulimit") {
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

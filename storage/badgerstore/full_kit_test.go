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
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wontopos/latchkey"
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
	timeout := "-test.timeout=2m"
	if os.Getenv("LATCHKEY_LONG") != "" {
		timeout = "-test.timeout=30m"
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", timeout)
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
	keys    *latchkey.Service
	handler http.Handler
	tokens  []string // that were acknowledged
}

func (s *server) open() {
	s.t.Helper()
	var err error
	if s.store, err = badgerstore.Open(filepath.Join(s.dir, "keys"), badgerstore.Options{Logger: slog.New(slog.DiscardHandler)}); err != nil {
		s.t.Fatal(err)
	}
	if s.keys, err = latchkey.New(s.store, latchkey.Options{Logger: slog.New(slog.DiscardHandler), FlushEvery: 100 * time.Millisecond}); err != nil {
		s.t.Fatal(err)
	}
	guard, err := middleware.New(s.keys, middleware.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		s.t.Fatal(err)
	}
	s.handler = guard.Require(middleware.AnyKey())(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "served") }))
}

func (s *server) close() error {
	return errors.Join(s.keys.Close(s.t.Context()), s.store.Close())
}

func (s *server) create() error {
	_, token, err := s.keys.Create(s.t.Context(), apikey.Actor{ID: "ann"}, latchkey.NewKey{Owner: "acme", Name: fmt.Sprint("key ", len(s.tokens))})
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
		case errors.Is(err, apikey.Unavailable):
			if !strings.Contains(err.Error(), "KiB free") || !strings.Contains(err.Error(), "make room") {
				s.t.Errorf("the refusal does not say what to do: %v", err)
			}
			return len(s.tokens) - before
		case err != nil:
			s.t.Fatal(err)
		}
	}
}

// changeUntilRefused says how many changes of a key it made.
func (s *server) changeUntilRefused() (n int) {
	s.t.Helper()
	page, err := s.keys.List(s.t.Context(), latchkey.ListRequest{Limit: 1})
	if err != nil {
		s.t.Fatal(err)
	}
	for ; ; n++ {
		name := fmt.Sprint("changed ", n)
		switch _, err := s.keys.Update(s.t.Context(), apikey.Actor{ID: "ann"}, page.Keys[0].ID, latchkey.Update{Name: &name}); {
		case errors.Is(err, apikey.Unavailable):
			return n
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

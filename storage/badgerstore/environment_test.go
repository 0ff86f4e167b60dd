package badgerstore_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/badgerstore"
)

var silent = badgerstore.Options{Logger: slog.New(slog.DiscardHandler)}

// filled makes a directory with tables of so many keys, and closes it.
func filled(t *testing.T, keys int) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "keys")
	s, err := badgerstore.Open(dir, silent)
	if err != nil {
		t.Fatal(err)
	}
	create(t, s, keys)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func create(t *testing.T, s *badgerstore.Store, keys int) {
	t.Helper()
	for i := range keys {
		if _, err := s.Apply(t.Context(), creation(fmt.Sprintf("key%d", i))); err != nil {
			t.Fatal(err)
		}
	}
}

func creation(id string) storage.Change {
	return storage.Change{
		Record: storage.Record{
			Key:     apikey.Key{ID: id, Owner: "acme", Environment: "live", CreatedAt: time.Unix(1, 0), Secrets: make([]apikey.Secret, 1)},
			Digests: make([]storage.Digest, 1),
		},
		Entry: apikey.AuditEntry{KeyID: id, Owner: "acme", Action: "create"},
	}
}

func named(t *testing.T, dir, pattern string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(names) == 0 {
		t.Fatalf("no %s in %s: %v", pattern, dir, err)
	}
	return names[len(names)-1]
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func cut(t *testing.T, name string, to func(size int64) int64) {
	t.Helper()
	info, err := os.Stat(name)
	if err == nil {
		err = os.Truncate(name, to(info.Size()))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// flip damages the byte at a part of a file, so many thousandths from its begin.
func flip(t *testing.T, name string, thousandth int) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)*thousandth/1000] ^= 0x10
	write(t, name, string(data))
}

// What is wrong with a directory is an error that says what to do: no panic, not the end of the process, no keys missing.
func TestADirectoryThatCannotBeUsedIsRefused(t *testing.T) {
	half := func(size int64) int64 { return size / 2 }
	none := func(int64) int64 { return 0 }
	for name, c := range map[string]struct {
		spoil func(t *testing.T, dir string)
		words []string
	}{
		"a file": {func(t *testing.T, dir string) {
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
			write(t, dir, "not a directory")
		}, []string{"not a directory", "another one"}},
		"files of something else": {func(t *testing.T, dir string) {
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, "invoices.db"), "theirs")
		}, []string{"something else", "invoices.db", "directory of its own"}},
		"MANIFEST gone": {func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, "MANIFEST")); err != nil {
				t.Fatal(err)
			}
		}, []string{"MANIFEST is missing", "backup"}},
		"MANIFEST empty":   {func(t *testing.T, dir string) { cut(t, filepath.Join(dir, "MANIFEST"), none) }, []string{"MANIFEST", "backup"}},
		"MANIFEST damaged": {func(t *testing.T, dir string) { flip(t, filepath.Join(dir, "MANIFEST"), 900) }, []string{"MANIFEST", "backup"}},
		"MANIFEST cut short": {func(t *testing.T, dir string) {
			cut(t, filepath.Join(dir, "MANIFEST"), func(int64) int64 { return 16 })
		}, []string{"MANIFEST", "backup"}},
		"MANIFEST of later":    {func(t *testing.T, dir string) { flip(t, filepath.Join(dir, "MANIFEST"), 200) }, []string{"MANIFEST", "another version"}},
		"KEYREGISTRY empty":    {func(t *testing.T, dir string) { cut(t, filepath.Join(dir, "KEYREGISTRY"), none) }, []string{"cannot be opened"}},
		"a table gone":         {func(t *testing.T, dir string) { _ = os.Remove(named(t, dir, "*.sst")) }, []string{"table", "missing", "backup"}},
		"a table empty":        {func(t *testing.T, dir string) { cut(t, named(t, dir, "*.sst"), none) }, []string{"table", "damaged", "backup"}},
		"a table cut short":    {func(t *testing.T, dir string) { cut(t, named(t, dir, "*.sst"), half) }, []string{"table", "damaged", "backup"}},
		"a table of a byte":    {func(t *testing.T, dir string) { cut(t, named(t, dir, "*.sst"), func(int64) int64 { return 1 }) }, []string{"table", "damaged", "backup"}},
		"a table's index":      {func(t *testing.T, dir string) { flip(t, named(t, dir, "*.sst"), 995) }, []string{"table", "damaged", "backup"}},
		"a table's block":      {func(t *testing.T, dir string) { flip(t, named(t, dir, "*.sst"), 300) }, []string{"table", "damaged", "backup"}},
		"a table's end zeroed": {func(t *testing.T, dir string) { zeroEnd(t, named(t, dir, "*.sst")) }, []string{"table", "damaged", "backup"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filled(t, 50)
			c.spoil(t, dir)
			before := listing(t, dir)
			for range 2 { // a refusal changes nothing, and lets go of the directory
				s, err := badgerstore.Open(dir, silent)
				if err == nil {
					_ = s.Close()
					t.Fatal("the directory was opened")
				}
				for _, w := range append(c.words, dir) {
					if !strings.Contains(err.Error(), w) {
						t.Errorf("the error does not say %q: %v", w, err)
					}
				}
			}
			if after := listing(t, dir); !slices.Equal(after, before) {
				t.Errorf("tables before the refusal %q, after it %q", before, after)
			}
		})
	}
}

func zeroEnd(t *testing.T, name string) {
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	clear(data[len(data)-100:])
	write(t, name, string(data))
}

// listing returns the names of the tables.
func listing(t *testing.T, dir string) (names []string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// What a process leaves that died, or nobody needs, is no reason to refuse a directory.
func TestLeftoversAreNoReasonToRefuse(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, dir string){
		"LOCK of a dead process": func(t *testing.T, dir string) { write(t, filepath.Join(dir, "LOCK"), "1\n") },
		"a log without bytes":    func(t *testing.T, dir string) { write(t, filepath.Join(dir, "00009.mem"), "") },
		"a value log without":    func(t *testing.T, dir string) { write(t, filepath.Join(dir, "000009.vlog"), "") },
		"statistics cut short":   func(t *testing.T, dir string) { write(t, filepath.Join(dir, "DISCARD"), "12345") },
		"half a table":           func(t *testing.T, dir string) { write(t, filepath.Join(dir, "000099.sst"), "12345") },
		"a rewritten MANIFEST":   func(t *testing.T, dir string) { write(t, filepath.Join(dir, "MANIFEST-REWRITE"), "12345") },
		"room put aside":         func(t *testing.T, dir string) { write(t, filepath.Join(dir, "BALLAST"), "") },
		"an older table": func(t *testing.T, dir string) {
			data, err := os.ReadFile(named(t, dir, "*.sst"))
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, "000099.sst"), string(data))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filled(t, 50)
			spoil(t, dir)
			s, err := badgerstore.Open(dir, silent)
			if err != nil {
				t.Fatal(err)
			}
			for i := range 50 {
				if _, err := s.Get(t.Context(), fmt.Sprint("key", i)); err != nil {
					t.Errorf("key %d: %v", i, err)
				}
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestADirectoryTakenAwayRefusesChanges(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "keys")
	s, err := badgerstore.Open(dir, silent)
	if err != nil {
		t.Fatal(err)
	}
	create(t, s, 10)
	if err := os.RemoveAll(dir); err != nil {
		t.Skip("this system does not remove files that are open:", err)
	}
	if _, err := s.Apply(t.Context(), creation("late")); !errors.Is(err, apikey.Unavailable) {
		t.Errorf("a change of which nothing would be left: got error %v, want Unavailable", err)
	}
	if err := s.Refusing(); err == nil || !strings.Contains(err.Error(), "backup") && !strings.Contains(err.Error(), "mount") {
		t.Errorf("Refusing does not say what to do: %v", err)
	}
	if _, err := s.Get(t.Context(), "key1"); err != nil {
		t.Errorf("keys are verified all the same: %v", err)
	}
	if err := s.Close(); err == nil {
		t.Error("Close says that what is in memory cannot be written")
	}
}

// A cleaner of old files, or a deployment, takes one file away, or puts another in its place: Badger would go on writing to
// the file that it has open, and the directory would never open again.
func TestAFileTakenAwayOrReplacedRefusesChanges(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("this system keeps files that are open")
	}
	for _, pattern := range []string{"MANIFEST", "*1.mem", "*.sst"} {
		for _, replaced := range []bool{false, true} {
			if replaced && pattern == "*.sst" {
				continue // a table never changes
			}
			t.Run(fmt.Sprintf("%s replaced %t", strings.Trim(pattern, "*."), replaced), func(t *testing.T) {
				t.Parallel()
				dir := filled(t, 10)
				s, err := badgerstore.Open(dir, silent)
				if err != nil {
					t.Fatal(err)
				}
				name := named(t, dir, pattern)
				data, err := os.ReadFile(name)
				if err == nil {
					err = os.Rename(name, name+".away")
				}
				if err == nil && replaced {
					err = os.WriteFile(name, data, 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
				until := func(refusing bool) { // tables are looked at every second
					for begin := time.Now(); pattern == "*.sst" && (s.Refusing() != nil) != refusing && time.Since(begin) < 20*time.Second; {
						time.Sleep(time.Millisecond)
					}
				}
				until(true)
				if _, err := s.Apply(t.Context(), creation("late")); !errors.Is(err, apikey.Unavailable) || !strings.Contains(err.Error(), "put the directory back") {
					t.Errorf("a change that would be lost: got error %v, want Unavailable, and what to do", err)
				}
				if _, err := s.Get(t.Context(), "key1"); err != nil {
					t.Errorf("keys are verified all the same: %v", err)
				}
				if err := os.Rename(name+".away", name); err != nil {
					t.Fatal(err)
				}
				until(false)
				if _, err := s.Apply(t.Context(), creation("later")); err != nil {
					t.Errorf("a change with the file back: %v", err)
				}
				if err := s.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			})
		}
	}
}

// Badger writes its MANIFEST anew now and then, and has the new one open.
func TestAManifestThatBadgerReplacedIsNoReasonToRefuse(t *testing.T) {
	t.Parallel()
	dir := filled(t, 10)
	s, err := badgerstore.Open(dir, silent)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	name := filepath.Join(dir, "MANIFEST")
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	write(t, name+"-REWRITE", string(data))
	if err := os.Rename(name+"-REWRITE", name); err != nil {
		t.Skip("this system keeps files that are open:", err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := s.Apply(t.Context(), creation("late")); err != nil {
		t.Errorf("apply: %v", err)
	}
}

// A table that is cut short while it is mapped is a fault of whoever reads it.
func TestAFileCutShortWhileItIsReadIsAnError(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("this system does not cut files that are mapped")
	}
	dir := filled(t, 50)
	s, err := badgerstore.Open(dir, silent)
	if err != nil {
		t.Fatal(err)
	}
	cut(t, named(t, dir, "*.sst"), func(int64) int64 { return 0 })
	if _, err := s.Get(t.Context(), "key7"); err == nil || errors.Is(err, apikey.NotFound) {
		t.Errorf("Get: got error %v, want one that says that the file cannot be read", err)
	}
	if _, err := s.List(t.Context(), storage.Query{}); err == nil {
		t.Error("List: got no error")
	}
	for range 2 { // whoever comes next is not kept waiting
		if _, err := s.Apply(t.Context(), creation("key7")); err == nil || errors.Is(err, apikey.Conflict) {
			t.Errorf("Apply: got error %v", err)
		}
	}
	_ = s.Close()
}

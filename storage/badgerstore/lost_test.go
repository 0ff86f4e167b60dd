//go:build linux

package badgerstore_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage/badgerstore"
)

// At the limit of open files somebody else is faster, and takes the files that were held for Badger's next log. Badger then
// has no log: it panics when it is read, and ends the process at the next write.
func TestANextLogThatCannotBeOpenedEndsTheStoreNotTheProcess(t *testing.T) {
	t.Parallel()
	onSmallDisk(t, 64, func(t *testing.T, dir string) {
		s, err := badgerstore.OpenTuned(dir+"/keys", silent)
		if err != nil {
			t.Fatal(err)
		}
		made := 0
		for turning := false; !turning; made++ {
			if _, err := s.Apply(t.Context(), creation(fmt.Sprint("key", made))); err != nil {
				t.Fatal(err)
			}
			_, err := os.Stat(dir + "/keys/BALLAST")
			turning = err == nil
		}
		s.HoldNoFiles()
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 100, Max: 100}); err != nil {
			t.Fatal(err)
		}
		var taken []*os.File
		for {
			f, err := os.Open(os.DevNull)
			if err != nil {
				break
			}
			taken = append(taken, f)
		}
		var calls sync.WaitGroup
		for worker := range 4 { // what is running when it happens
			for name, call := range map[string]func(i int) error{
				"get": func(int) error { _, err := s.Get(t.Context(), "key1"); return err },
				"apply": func(i int) error {
					c := creation(fmt.Sprint("of ", worker))
					c.Expect = uint64(i)
					_, err := s.Apply(t.Context(), c)
					return err
				},
				"save windows": func(int) error { return s.SaveWindows(t.Context(), "subject", make([]byte, 1000), time.Hour) },
			} {
				calls.Go(func() {
					var err error
					for i := 0; err == nil && i < 1_000_000; i++ {
						err = call(i)
					}
					if !errors.Is(err, apikey.Unavailable) || !strings.Contains(err.Error(), "restart") {
						t.Errorf("%s: got error %v, want Unavailable, and what to do", name, err)
					}
				})
			}
		}
		for ; err == nil; made++ {
			_, err = s.Apply(t.Context(), creation(fmt.Sprint("key", made)))
		}
		calls.Wait()
		for _, f := range taken { // too late, but what is in the full log becomes a table
			f.Close()
		}
		for err := error(nil); err == nil; time.Sleep(time.Millisecond) {
			_, err = os.Stat(dir + "/keys/00001.mem")
		}
		if err := s.Refusing(); err == nil || !strings.Contains(err.Error(), "restart") {
			t.Errorf("Refusing does not say what to do: %v", err)
		}
		if err := s.Maintain(t.Context()); !errors.Is(err, apikey.Unavailable) {
			t.Errorf("maintain: got error %v, want Unavailable", err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if s, err = badgerstore.Open(dir+"/keys", silent); err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		for i := range made - 1 {
			if _, err := s.Get(t.Context(), fmt.Sprint("key", i)); err != nil {
				t.Fatalf("key %d of %d that were acknowledged: %v", i, made-1, err)
			}
		}
	})
}

// A limit on the size of files that is lowered while the store is open.
func TestALimitOnTheSizeOfFilesRefusesChanges(t *testing.T) {
	t.Parallel()
	onSmallDisk(t, 64, func(t *testing.T, _ string) {
		s, err := badgerstore.OpenTuned(t.TempDir(), silent) // on a disk that reserves blocks beyond the limit
		if err != nil {
			t.Fatal(err)
		}
		limit := unix.Rlimit{Cur: 1 << 20, Max: unix.RLIM_INFINITY}
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
			t.Fatal(err)
		}
		made := 0
		for ; err == nil; made++ {
			_, err = s.Apply(t.Context(), creation(fmt.Sprint("key", made)))
		}
		if !errors.Is(err, apikey.Unavailable) || !strings.Contains(err.Error(), "ulimit -f") {
			t.Errorf("apply: got error %v, want one that says what to do", err)
		}
		if _, err := s.Get(t.Context(), "key0"); err != nil {
			t.Errorf("get: %v", err)
		}
		limit.Cur = unix.RLIM_INFINITY
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Apply(t.Context(), creation("late")); err != nil {
			t.Errorf("apply, with the limit raised: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
}

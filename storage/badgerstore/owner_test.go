//go:build linux

package badgerstore_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/wontopos/latchkey/storage/badgerstore"
)

// asNobody calls f without the rights of root.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	if os.Getuid() != 0 {
		f()
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // for good: the thread ends with this goroutine
		if _, err := unix.SetfsuidRetUid(65534); err != nil {
			t.Error(err)
			return
		}
		f()
	}()
	<-done
}

// A program ran once as root, and now runs as its own user. Nothing is damaged.
func TestFilesOfAnotherUserAreNotCalledDamaged(t *testing.T) {
	t.Parallel()
	for _, pattern := range []string{"MANIFEST", "*.sst", "KEYREGISTRY", "*.vlog", "."} {
		t.Run(pattern, func(t *testing.T) {
			t.Parallel()
			dir := filled(t, 10)
			name := named(t, dir, pattern)
			if err := os.Chmod(name, 0); err != nil {
				t.Fatal(err)
			}
			if os.Getuid() == 0 {
				if err := os.Chmod(filepath.Dir(filepath.Dir(dir)), 0o755); err != nil { // see testing.T.TempDir
					t.Fatal(err)
				}
				_ = filepath.WalkDir(dir, func(path string, _ os.DirEntry, _ error) error { return os.Chown(path, 65534, 65534) })
			}
			asNobody(t, func() {
				s, err := badgerstore.Open(dir, silent)
				if err == nil {
					_ = s.Close()
					t.Error("the directory was opened")
					return
				}
				if text := err.Error(); !strings.Contains(text, "this program") || !strings.Contains(text, "permission denied") ||
					strings.Contains(text, "backup") || strings.Contains(text, "damaged") {
					t.Errorf("the error does not say what to do: %v", err)
				}
			})
			if err := os.Chmod(name, 0o700); err != nil {
				t.Error(err)
			}
		})
	}
}

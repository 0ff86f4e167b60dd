package badgerstore

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

func wantWords(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("got no error")
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("the error does not say %q: %v", w, err)
		}
	}
}

func TestASecondOpenSaysWhatToDo(t *testing.T) {
	dir := t.TempDir()
	s := openIn(t, dir)
	_, err := Open(dir, quiet)
	wantWords(t, err, dir, "in use", "is another process of this program running?", "one process at a time", "a store that they can share")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	openIn(t, dir)
}

func TestANewerFormatIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := openIn(t, dir)
	err := s.db.Update(func(txn *badger.Txn) error { return txn.Set([]byte{tableFormat}, []byte("5")) })
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the first refusal lets go of the directory
		_, err = Open(dir, quiet)
		wantWords(t, err, dir, `format "5"`, "knows 4", "newer version")
	}
}

func TestAnotherProgramsDatabaseIsRefused(t *testing.T) {
	dir := t.TempDir()
	db, err := badger.Open(badger.DefaultOptions(dir).WithLogger(nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(func(txn *badger.Txn) error { return txn.Set([]byte("theirs"), nil) }); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = Open(dir, quiet)
	wantWords(t, err, dir, "not a key store")
}

func TestCloseWaitsForRunningCallsAndStopsItsGoroutine(t *testing.T) {
	s := openIn(t, t.TempDir())
	closed := make(chan error, 1)
	good := s.sync
	s.sync = func() error { // in the middle of a change
		go func() { closed <- s.Close() }()
		if !standsAt(closed, "(*life).end(", "sync.(*WaitGroup).Wait(") {
			t.Error("Close did not wait for the change")
		}
		return good()
	}
	if _, err := s.Apply(t.Context(), changeOf("key", 0, nil)); err != nil {
		t.Errorf("a change that runs when Close is called: %v", err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	select {
	case <-s.stopped:
	default:
		t.Error("Close returned before the store's goroutine did")
	}
}

func TestEveryMethodIsClosedAfterClose(t *testing.T) {
	s := openIn(t, t.TempDir())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	_, load := s.LoadWindows(ctx, "x")
	for name, err := range map[string]error{ // storetest has the others
		"LoadWindows": load, "SaveWindows": s.SaveWindows(ctx, "x", nil, 1), "DeleteWindows": s.DeleteWindows(ctx, nil), "Maintain": s.Maintain(ctx),
	} {
		if !errors.Is(err, apikey.Closed) {
			t.Errorf("%s after Close: got error %v, want Closed", name, err)
		}
	}
	s.Subscribe(func(storage.Notice) {})()
}

type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func TestBadgersNewsAreDebug(t *testing.T) {
	var out lockedBuffer
	s, err := Open(t.TempDir(), Options{Logger: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "level=DEBUG msg=\"badger: ") {
		t.Errorf("badger's news are logged at Debug:\n%s", out.String())
	}
	if strings.Contains(out.String(), "level=INFO") {
		t.Errorf("an ordinary life says nothing above Debug:\n%s", out.String())
	}
	out.Reset()
	bridge{log: slog.New(slog.NewTextHandler(&out, nil))}.Errorf("lost %d\n", 3)
	if !strings.Contains(out.String(), `level=ERROR msg="badger: lost 3"`) {
		t.Errorf("badger's errors stay errors: %s", out.String())
	}
}

func TestTheWorkingDirectoryMayChange(t *testing.T) {
	t.Chdir(t.TempDir())
	s := openIn(t, "keys.db")
	apply(t, s, changeOf("key", 0, nil))
	t.Chdir(t.TempDir())
	apply(t, s, changeOf("key", 1, revoked))
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// Tables as large as they come, of memtables and of compactions, whose blocks have to grow. "make platforms" runs it for 32
// bits, where Badger damages a table that takes too much memory while it is built.
func TestLargeTablesAreReadBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openIn(t, dir)
	const subjects = 2000
	state := bytes.Repeat([]byte("windows "), 1090)
	for range 3 { // the deepest level's tables are larger once it is
		for i := range subjects {
			if err := s.SaveWindows(t.Context(), fmt.Sprint(i), state, time.Hour); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Maintain(t.Context()); err != nil { // checks the tables that it reads
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openIn(t, dir)
	for i := range subjects {
		if found, err := s.LoadWindows(t.Context(), fmt.Sprint(i)); err != nil || !bytes.Equal(found, state) {
			t.Fatalf("subject %d has %d bytes of %d, error %v", i, len(found), len(state), err)
		}
	}
}

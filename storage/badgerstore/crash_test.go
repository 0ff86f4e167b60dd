package badgerstore

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// The child of TestAKilledProcessLosesNothing is this test binary again, told by
// the environment to use a store until it is killed.
const childDir = "LATCHKEY_CRASH_TEST_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		fmt.Fprintln(os.Stderr, useUntilKilled(dir, os.Stdout))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// acknowledged is what the child prints once a call has returned.
type acknowledged struct {
	ID       string
	Revision uint64
	Revoked  bool
	Deleted  bool
	Window   uint64 // the state that was saved; 0 for a change
	Used     uint64 // requests counted so far
}

// useUntilKilled makes changes from four goroutines and says what was
// acknowledged.
func useUntilKilled(dir string, out io.Writer) error {
	s, err := OpenTuned(dir, quiet) // small tables: kills also hit flushes and compactions
	if err != nil {
		return err
	}
	var mu sync.Mutex
	say := func(a acknowledged) {
		line, _ := json.Marshal(a)
		mu.Lock()
		defer mu.Unlock()
		_, _ = out.Write(append(line, '\n'))
	}
	say(acknowledged{})
	errs := make(chan error)
	for range 4 {
		go func() {
			for {
				if err := useOneKey(s, say); err != nil {
					errs <- err
				}
			}
		}()
	}
	return <-errs
}

func useOneKey(s *Store, say func(acknowledged)) error {
	ctx := context.Background()
	id := fmt.Sprintf("%016x", rand.Uint64())
	c := changeOf(id, 0, func(k *apikey.Key) {
		k.CreatedAt, k.Metadata = time.Now(), map[string]string{"filler": noise(rand.IntN(4000))}
	})
	apply := func() error {
		rev, err := s.Apply(ctx, c)
		if err == nil {
			c.Expect = rev
			say(acknowledged{ID: id, Revision: rev, Revoked: !c.Record.Key.RevokedAt.IsZero(), Deleted: c.Delete})
		}
		return err
	}
	for range 1 + rand.IntN(4) { // create, then update or rotate
		if err := apply(); err != nil {
			return err
		}
		c.Record.Key.Name = noise(10)
		if len(c.Record.Key.Secrets) == 1 {
			c.Record.Key.Secrets, c.Record.Digests = make([]apikey.Secret, 2), make([]storage.Digest, 2)
		}
	}
	for n := range uint64(3) {
		if err := s.SaveWindows(ctx, id, binary.BigEndian.AppendUint64(nil, n+1), time.Hour); err != nil {
			return err
		}
		say(acknowledged{ID: id, Window: n + 1})
		if err := s.AddUsage(ctx, []storage.UsageDelta{{KeyID: id, Secret: 1, Hour: time.Now(), Counts: apikey.Counts{Allowed: 1}}}); err != nil {
			return err
		}
		say(acknowledged{ID: id, Used: n + 1})
	}
	if rand.IntN(2) == 0 {
		return nil
	}
	revoked(&c.Record.Key)
	if err := apply(); err != nil {
		return err
	}
	if rand.IntN(3) > 0 {
		return nil
	}
	c.Delete = true
	return apply()
}

func TestAKilledProcessLosesNothing(t *testing.T) {
	rounds := 3
	if os.Getenv("LATCHKEY_LONG") != "" {
		rounds = 30
	}
	dir := t.TempDir()
	want := map[string]acknowledged{} // by ID, over all rounds
	for round := range rounds {
		runAndKill(t, dir, 50+rand.IntN(1500), want)
		s := openIn(t, dir)
		if round%3 == 2 {
			if err := s.Maintain(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for id, a := range want {
			if err := stillThere(s, id, a); err != nil {
				t.Errorf("round %d of %d: %v", round+1, rounds, err)
			}
		}
		if t.Failed() {
			return
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d keys over %d kills", len(want), rounds)
}

// runAndKill runs the child, kills it after so many acknowledgements, and adds
// to want what it had acknowledged by then.
func runAndKill(t *testing.T, dir string, after int, want map[string]acknowledged) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), childDir+"="+dir)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	n := 0
	for ; lines.Scan(); n++ {
		if n == after {
			if err := child.Process.Kill(); err != nil { // SIGKILL
				t.Fatal(err)
			}
		}
		var a acknowledged
		if json.Unmarshal(lines.Bytes(), &a) != nil {
			break // a line cut off by the kill
		}
		w := want[a.ID]
		w.Revision, w.Window, w.Used = max(w.Revision, a.Revision), max(w.Window, a.Window), max(w.Used, a.Used)
		w.Revoked, w.Deleted = w.Revoked || a.Revoked, w.Deleted || a.Deleted
		want[a.ID] = w
	}
	delete(want, "")
	_ = child.Wait()
	if n <= after {
		t.Fatalf("the child ended by itself after %d lines: opening or using the store failed", n)
	}
}

func stillThere(s *Store, id string, a acknowledged) error {
	ctx := context.Background()
	if a.Revision == 0 {
		return nil
	}
	r, err := s.Get(ctx, id)
	switch {
	case a.Deleted:
		if !errors.Is(err, apikey.NotFound) {
			return fmt.Errorf("key %s was purged; get: %v", id, err)
		}
	case errors.Is(err, apikey.NotFound) && a.Revoked: // purged, killed before it could be said
	case err != nil:
		return fmt.Errorf("key %s: %w", id, err)
	case r.Key.Revision < a.Revision:
		return fmt.Errorf("key %s is at revision %d, %d was acknowledged", id, r.Key.Revision, a.Revision)
	case a.Revoked && r.Key.RevokedAt.IsZero():
		return fmt.Errorf("key %s was revoked and is not any more", id)
	}
	trail, terr := s.Audit(ctx, apikey.AuditQuery{KeyID: id})
	if terr != nil || uint64(len(trail)) < a.Revision || err == nil && uint64(len(trail)) != r.Key.Revision {
		return fmt.Errorf("key %s at revision %d has %d audit entries, error %v", id, r.Key.Revision, len(trail), terr)
	}
	if a.Window > 0 {
		if b, err := s.LoadWindows(ctx, id); err != nil || len(b) != 8 || binary.BigEndian.Uint64(b) < a.Window {
			return fmt.Errorf("windows of %s: %x, error %v; state %d was acknowledged", id, b, err, a.Window)
		}
	}
	if u, uerr := s.Usage(ctx, id, time.Time{}); err == nil && (uerr != nil || u.Of(1).Counts.Total() < a.Used) {
		return fmt.Errorf("usage of %s: %d, error %v; %d were acknowledged", id, u.Of(1).Counts.Total(), uerr, a.Used)
	}
	return nil
}

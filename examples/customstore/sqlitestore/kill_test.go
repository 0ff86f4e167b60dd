package sqlitestore

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// The child of TestWhatWasAcknowledgedSurvivesAKill is this test binary again.
const childFile = "SQLITESTORE_KILL_TEST_FILE"

func TestMain(m *testing.M) {
	if path := os.Getenv(childFile); path != "" {
		fmt.Fprintln(os.Stderr, changeUntilKilled(path))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// changeUntilKilled creates keys, uses them and revokes every second one, from
// four goroutines. It prints an ID when all calls for it have returned.
func changeUntilKilled(path string) error {
	s, err := Open(path)
	if err != nil {
		return err
	}
	failed := make(chan error)
	for worker := range 4 {
		go func() {
			for n := 0; ; n++ {
				id, fate := fmt.Sprintf("%d-%d-%d", os.Getpid(), worker, n), "active"
				c := creation(id)
				_, err := s.Apply(nobody, c)
				if err == nil {
					err = s.AddUsage(nobody, []storage.UsageDelta{{KeyID: id, Secret: 1, Hour: time.Now(), Counts: apikey.Counts{Allowed: 3}}})
				}
				if err == nil {
					err = s.SaveWindows(nobody, id, []byte(id), time.Hour)
				}
				if err == nil && n%2 == 1 {
					fate = "revoked"
					c.Expect, c.Record.Key.RevokedAt = 1, time.Now()
					_, err = s.Apply(nobody, c)
				}
				if err != nil {
					failed <- err
				}
				fmt.Println(id, fate) // one write: lines of several goroutines do not mix
			}
		}()
	}
	return <-failed
}

func TestWhatWasAcknowledgedSurvivesAKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.sqlite")
	fates := map[string]string{}
	for range 2 {
		child := exec.CommandContext(t.Context(), os.Args[0])
		child.Env, child.Stderr = append(os.Environ(), childFile+"="+path), os.Stderr
		out, err := child.StdoutPipe()
		if err == nil {
			err = child.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(out)
		for n := 0; ; n++ {
			line, err := lines.ReadString('\n')
			if err != nil { // also a line that the kill cut off
				break
			}
			id, fate, _ := strings.Cut(strings.TrimSpace(line), " ")
			if fates[id] = fate; n == 40 {
				_ = child.Process.Kill() // kill -9
			}
		}
		if err := child.Wait(); err == nil || child.ProcessState.ExitCode() == 1 {
			t.Fatalf("the child ended by itself: %v", err)
		}
		s := openAt(t, path) // the lock of the dead is free
		for id, fate := range fates {
			r, err := s.Get(t.Context(), id)
			if err != nil || r.Key.RevokedAt.IsZero() == (fate == "revoked") {
				t.Errorf("key %s was acknowledged as %s: now revoked at %v, error %v", id, fate, r.Key.RevokedAt, err)
			}
			trail, err := s.Audit(t.Context(), apikey.AuditQuery{KeyID: id})
			if err != nil || uint64(len(trail)) != r.Key.Revision {
				t.Errorf("key %s at revision %d has %d audit entries, error %v", id, r.Key.Revision, len(trail), err)
			}
			u, err := s.Usage(t.Context(), id, time.Time{})
			if err != nil || u.Of(1).Counts.Allowed != 3 {
				t.Errorf("key %s counted 3 requests: now %+v, error %v", id, u.Secrets, err)
			}
			if state, err := s.LoadWindows(t.Context(), id); err != nil || string(state) != id {
				t.Errorf("key %s saved the state of its limits: now %q, error %v", id, state, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(fates) < 80 {
		t.Errorf("%d keys prove little", len(fates))
	}
}

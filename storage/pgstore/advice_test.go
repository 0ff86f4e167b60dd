package pgstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/pgstore"
	"github.com/wontopos/latchkey/storage/pgstore/pgtest"
)

// heardLog is a log that can be read while it is written.
type heardLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (r *heardLog) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *heardLog) says(words string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Contains(r.text.String(), words)
}

// The words of each advice that an operator acts on.
const (
	connectToPrimary = "target_session_attrs=read-write"
	makeRoom         = "disk is full"
	moreConnections  = "max_connections"
)

func TestAnErrorOfTheServerSaysWhatToDo(t *testing.T) {
	for _, c := range []struct {
		code, routine, want string
		refusing            bool
	}{
		{"25006", "", connectToPrimary, true},
		{"0A000", "call_bool_check_hook", connectToPrimary, true},
		{"0A000", "RevalidateCachedQuery", "", false},
		{"53100", "mdextend", makeRoom, true},
		{"53300", "", moreConnections, false},
		{"57P01", "", "goes on by itself", false},
		{"57P03", "", "goes on by itself", false},
		{"42501", "", "", false},
	} {
		cause := &pgconn.PgError{Severity: "ERROR", Code: c.code, Routine: c.routine, Message: "what the server said"}
		got := pgstore.Advised(fmt.Errorf("failed to connect: %w", cause))
		if advised := got.Error() != fmt.Sprintf("failed to connect: %v", cause); advised != (c.want != "") || !strings.Contains(got.Error(), c.want) ||
			!strings.HasSuffix(got.Error(), cause.Error()) || !errors.Is(got, cause) {
			t.Errorf("%s: got %q, want %q in front of it", c.code, got, c.want)
		}
		s := new(pgstore.Store)
		s.NoteWrite(cause)
		if err := s.Refusing(); (err != nil) != c.refusing || err != nil && (!strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), cause.Message)) {
			t.Errorf("%s: Refusing returns %v", c.code, err)
		}
		if s.NoteWrite(errors.New("something else")); (s.Refusing() != nil) != c.refusing {
			t.Errorf("%s: an error that is not about the server changes Refusing", c.code)
		}
		if s.NoteWrite(nil); s.Refusing() != nil {
			t.Errorf("%s: after a write that succeeded, Refusing returns %v", c.code, s.Refusing())
		}
	}
}

// TestAReplicaSaysToConnectToThePrimary: after a failover, the connections may lead to what is now a replica.
func TestAReplicaSaysToConnectToThePrimary(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	s := open(t, server.DSN(), pgstore.Options{AutoMigrate: true, Logger: quiet})
	var log heardLog
	keys, err := latchkey.New(s, latchkey.Options{Logger: slog.New(slog.NewTextHandler(&log, nil)), Lease: latchkey.LeaseOptions{Length: time.Second}})
	must(t, err)
	defer keys.Close(t.Context())
	by, name := apikey.Actor{ID: "ann"}, latchkey.NewKey{Name: "n", Owner: "acme"}
	k, token, err := keys.Create(t.Context(), by, name)
	must(t, err)

	signal := filepath.Join(dataOf(server), "standby.signal")
	server.Stop(t)
	must(t, os.WriteFile(signal, nil, 0o644))
	server.Start(t)
	eventually(t, "the store has new connections", func() bool { _, err := s.Get(t.Context(), k.ID); return err == nil })
	advised := func(what string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), connectToPrimary) {
			t.Fatalf("%s: got error %v, want one that says to connect to the primary", what, err)
		}
	}
	_, _, err = keys.Create(t.Context(), by, name)
	if advised("a change", err); !errors.Is(err, apikey.Unavailable) {
		t.Errorf("a change: got error %v, want Unavailable", err)
	}
	advised("Refusing", s.Refusing())
	counts := []storage.UsageDelta{{KeyID: k.ID, Secret: 1, Hour: time.Now()}}
	advised("usage", s.AddUsage(t.Context(), counts))
	_, err = newLimiter(t, s, patient).Take(t.Context(), twoDemands("a", "b", 1, 1))
	if advised("a limit", err); !errors.Is(err, limiter.ErrUnavailable) {
		t.Errorf("a limit: got error %v, want ErrUnavailable", err)
	}
	for _, migrate := range []bool{true, false} {
		_, err = pgstore.Open(t.Context(), server.DSN(), pgstore.Options{AutoMigrate: migrate, Logger: quiet})
		advised("open", err)
	}
	eventually(t, "the log says it", func() bool { return log.says(connectToPrimary) })
	eventually(t, "the lease ends, and keys get a 503", func() bool { return errors.Is(verify(t, keys, token), apikey.Unavailable) })
	if h := keys.Health(); h.Ready || !strings.Contains(h.Error, connectToPrimary) || !strings.Contains(h.Refusing, connectToPrimary) {
		t.Errorf("health does not say it: %+v", h)
	}

	server.Stop(t)
	must(t, os.Remove(signal))
	server.Start(t)
	eventually(t, "keys work again", func() bool { return verify(t, keys, token) == nil })
	eventually(t, "counts are accepted", func() bool { return s.AddUsage(t.Context(), counts) == nil })
	must(t, s.Refusing())
}

func TestTooManyConnectionsSayWhatToRaise(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	admin := open(t, server.DSN(), pgstore.Options{Schema: "other", AutoMigrate: true, NoListen: true, Logger: quiet})
	setUp := connect(t, admin)
	exec(t, setUp, `CREATE ROLE app LOGIN CONNECTION LIMIT 1`)
	exec(t, setUp, `GRANT CREATE ON DATABASE postgres TO app`)
	dsn, o := server.DSN()+" user=app", pgstore.Options{AutoMigrate: true, NoListen: true, Logger: quiet}
	if _, err := pgstore.Open(t.Context(), dsn, o); err == nil || !strings.Contains(err.Error(), moreConnections) {
		t.Errorf("open: got error %v, want one that names %s", err, moreConnections)
	}

	exec(t, setUp, `ALTER ROLE app CONNECTION LIMIT 2`)
	eventually(t, "earlier connections are gone", func() bool {
		return count(t, admin.Pool(), `SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'`) == 0
	})
	s := open(t, dsn, o)
	var log heardLog
	keys, err := latchkey.New(s, latchkey.Options{Logger: slog.New(slog.NewTextHandler(&log, nil)), CacheSize: 1})
	must(t, err)
	defer keys.Close(t.Context())
	_, token, err := keys.Create(t.Context(), apikey.Actor{ID: "ann"}, latchkey.NewKey{Name: "n", Owner: "acme"})
	must(t, err)
	conn, err := s.Pool().Acquire(t.Context()) // the other one polls
	must(t, err)
	if err := verify(t, keys, token); !errors.Is(err, apikey.Unavailable) {
		t.Errorf("a key that has to be read: got error %v, want Unavailable", err)
	}
	if conn.Release(); !log.says(moreConnections) {
		t.Errorf("the log does not name %s", moreConnections)
	}
	must(t, verify(t, keys, token))
}

// dataOf returns the directory of a server's data.
func dataOf(server *pgtest.Server) string {
	host, _, _ := strings.Cut(server.DSN(), " ")
	return filepath.Join(strings.TrimPrefix(host, "host="), "data")
}

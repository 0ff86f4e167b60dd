package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Server is a PostgreSQL server of the test's own, in a temporary directory and
// on a socket in it: nobody else can reach it. Its methods are for one goroutine.
type Server struct {
	dir  string
	bin  string
	args []string
	user *account // nil is ourselves

	process *os.Process
	ended   chan struct{} // closed when the process has ended
}

// Start starts a server that keeps what it promises: fsync is on. It ends, and
// its directory goes, with the test, or with the process, if that is killed.
func Start(t testing.TB) *Server {
	t.Helper()
	s := prepare(t)
	t.Cleanup(func() { _ = os.RemoveAll(s.dir) })
	s.Start(t)
	t.Cleanup(func() { s.Kill(t) })
	return s
}

// prepare makes a directory with an empty cluster in it. Its databases sort text
// as people do, if the server can, so that a test sees what relies on byte order.
func prepare(t testing.TB) *Server {
	t.Helper()
	s, err := initdb()
	if errors.Is(err, errMissing) {
		t.Skip("missing component: postgres: install postgresql (apt-get install postgresql), or set LATCHKEY_TEST_PG_DSN")
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func initdb() (*Server, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	user, err := unprivileged()
	if err != nil {
		return nil, err
	}
	sweep()
	dir, err := os.MkdirTemp("", prefix)
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, bin: bin, user: user}
	if user != nil {
		err = os.Chown(dir, int(user.Uid), int(user.Gid))
	}
	common := []string{"-D", s.data(), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync", "--no-instructions"}
	if err == nil {
		if err = s.command("initdb", append(common, "--locale=C", "--locale-provider=icu", "--icu-locale=en-US")...); err != nil {
			_ = os.RemoveAll(s.data())
			err = s.command("initdb", append(common, "--locale=C")...)
		}
	}
	if err != nil {
		_ = os.RemoveAll(dir)
		return nil, err
	}
	return s, nil
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// command runs a program of the server's to its end.
func (s *Server) command(name string, args ...string) error {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir = s.dir
	runAs(cmd, s.user)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("pgtest: %s: %w\n%s", name, err, out)
	}
	return nil
}

// DSN names the database "postgres" of the server.
func (s *Server) DSN() string { return s.database("postgres") }

func (s *Server) database(name string) string {
	return fmt.Sprintf("host=%s port=5432 user=postgres sslmode=disable dbname=%s", s.dir, name)
}

// Start starts the server again after [Server.Stop] or [Server.Kill], and
// returns when it accepts connections.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
}

func (s *Server) start() error {
	args := append([]string{
		"-D", s.data(), "-k", s.dir, "-c", "listen_addresses=", "-c", "max_connections=300",
		"-c", "shared_buffers=32MB", "-c", "log_min_messages=fatal", "-c", "log_checkpoints=off",
	}, s.args...)
	var err error
	s.process, s.ended, err = s.run(s.DSN(), filepath.Join(s.bin, "postgres"), args...)
	return err
}

// run starts a program that ends with this process, and returns when it accepts
// connections under a name.
func (s *Server) run(dsn, program string, args ...string) (*os.Process, chan struct{}, error) {
	var log bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Dir = s.dir
	cmd.Stdout, cmd.Stderr = &log, &log
	runAs(cmd, s.user)
	endWithUs(cmd)

	started, ended := make(chan error), make(chan struct{})
	go func() {
		// The system ends the child with the thread that started it, so this
		// thread stays, and waits.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
			close(ended)
		}
	}()
	if err := <-started; err != nil {
		return nil, nil, fmt.Errorf("pgtest: %w", err)
	}
	for range 1200 {
		select {
		case <-ended:
			return nil, nil, fmt.Errorf("pgtest: %s ended at once:\n%s", filepath.Base(program), &log)
		case <-time.After(25 * time.Millisecond):
		}
		if answers(dsn) {
			return cmd.Process, ended, nil
		}
	}
	_ = cmd.Process.Kill()
	<-ended
	return nil, nil, fmt.Errorf("pgtest: %s does not answer after half a minute:\n%s", filepath.Base(program), &log)
}

func answers(dsn string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return false
	}
	defer conn.Close(ctx)
	return conn.Ping(ctx) == nil
}

// Stop ends the server as an administrator does: connections are closed,
// everything is written.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	s.end(os.Interrupt)
}

// Kill ends the server with SIGKILL, all of its processes, as a machine that
// loses power does, only that the kernel still writes out what it has.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	s.end(os.Kill)
}

func (s *Server) end(how os.Signal) {
	if s.process == nil {
		return
	}
	var left []*os.Process
	if how == os.Kill {
		left = children(s.process.Pid)
	}
	_ = s.process.Signal(how)
	for _, p := range left {
		_ = p.Kill()
	}
	<-s.ended
	s.process = nil
}

const prefix = "latchkey-pgtest-"

// sweep removes what killed tests left behind: directories whose server is gone
// for an hour.
func sweep() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), prefix+"*"))
	for _, dir := range dirs {
		info, err := os.Stat(dir)
		if err != nil || time.Since(info.ModTime()) < time.Hour {
			continue
		}
		pid, err := os.ReadFile(filepath.Join(dir, "data", "postmaster.pid"))
		number, _, _ := strings.Cut(string(pid), "\n")
		if err != nil || !alive(number) {
			_ = os.RemoveAll(dir)
		}
	}
}

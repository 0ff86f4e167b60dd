// Package redistest runs Redis or Valkey for tests: real servers on free ports
// of the loopback interface, that nobody has to install a service for and that
// end with the test.
//
//	func TestMain(m *testing.M) { redistest.Main(m) }
//
//	server := redistest.Shared(t) // or Start, or Cluster, or Sentinel
//	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{server.Addr()}})
//
// It looks for redis-server and valkey-server on PATH, or for what
// LATCHKEY_TEST_REDIS names. Without any, a test is skipped, and says so.
package redistest

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Server is a server of the test's own. Its methods are for one goroutine.
type Server struct {
	port    int
	dir     string
	args    []string
	process *os.Process
	ended   chan struct{}
}

// Start starts a server that keeps nothing on disk, with more arguments as on
// its command line. It ends, and its directory goes, with the test.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	s := newServer(t, t.TempDir(), args...)
	t.Cleanup(func() { s.Kill() })
	return s
}

func newServer(t testing.TB, dir string, args ...string) *Server {
	t.Helper()
	s := &Server{port: freePort(t), dir: dir}
	s.args = append([]string{
		"--port", strconv.Itoa(s.port), "--bind", "127.0.0.1", "--dir", s.dir, "--save", "", "--appendonly", "no",
		"--maxmemory-policy", "noeviction",
	}, args...)
	s.Start(t)
	return s
}

// shared is the server of this test binary. It is the only state of the package.
var shared struct {
	mu     sync.Mutex
	server *Server
}

// Shared returns a server that all tests of the binary share, each with keys of
// its own.
func Shared(t testing.TB) *Server {
	t.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.server == nil {
		dir, err := os.MkdirTemp("", "latchkey-redistest-")
		must(t, err)
		shared.server = newServer(t, dir)
	}
	return shared.server
}

// Main runs the tests of a package and then ends the server of [Shared].
func Main(m *testing.M) {
	code := m.Run()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if s := shared.server; s != nil {
		s.Kill()
		_ = os.RemoveAll(s.dir)
	}
	os.Exit(code)
}

// Addr is where the server listens.
func (s *Server) Addr() string { return address(s.port) }

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// Client returns a client of the server that is closed with the test.
func (s *Server) Client(t testing.TB) *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: s.Addr()})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// Start starts the server again after [Server.Kill], and returns when it
// answers.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	if err := s.start(program(t)); err != nil {
		t.Fatal(err)
	}
}

func (s *Server) start(program string) error {
	var log bytes.Buffer
	cmd := exec.Command(program, s.args...)
	cmd.Stdout, cmd.Stderr = &log, &log
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
		return fmt.Errorf("redistest: %w", err)
	}
	s.process, s.ended = cmd.Process, ended
	return eventually("the server answers", func() error {
		select {
		case <-ended:
			return fmt.Errorf("it ended at once:\n%s", &log)
		default:
		}
		c := redis.NewClient(&redis.Options{Addr: s.Addr(), MaxRetries: -1})
		defer c.Close()
		return c.Ping(context.Background()).Err()
	})
}

// Stop ends the server as an administrator does: with appendonly, everything is
// written.
func (s *Server) Stop() { s.end(os.Interrupt) }

// Kill ends the server with SIGKILL: what it had in memory is lost.
func (s *Server) Kill() { s.end(os.Kill) }

func (s *Server) end(how os.Signal) {
	if s.process == nil {
		return
	}
	_ = s.process.Signal(how)
	<-s.ended
	s.process = nil
}

func program(t testing.TB) string {
	t.Helper()
	for _, name := range []string{os.Getenv("LATCHKEY_TEST_REDIS"), "redis-server", "valkey-server"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("missing component: redis: install redis-server (apt-get install redis-server)")
	return ""
}

// freePort returns a port on which nothing listens, nor on the one 10,000
// higher, which a node of a cluster uses for the others.
func freePort(t testing.TB) int {
	t.Helper()
	free := func(port int) bool {
		l, err := net.Listen("tcp", address(port))
		if err == nil {
			_ = l.Close()
		}
		return err == nil
	}
	for range 100 {
		if port := 12000 + rand.IntN(20000); free(port) && free(port+10000) {
			return port
		}
	}
	t.Fatal("redistest: no free port")
	return 0
}

// eventually tries for half a minute.
func eventually(what string, try func() error) (err error) {
	for range 1200 {
		if err = try(); err == nil {
			return nil
		}
		time.Sleep(25 * time.Millisecond)
	}
	return fmt.Errorf("redistest: %s: not within half a minute: %w", what, err)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	must(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

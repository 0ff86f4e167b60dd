//go:build unix

package pgtest_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/wontopos/latchkey/storage/pgstore/pgtest"
)

// The child of TestAServerEndsWithItsTest is this test binary again.
const child = "LATCHKEY_PGTEST_CHILD"

func TestMain(m *testing.M) { pgtest.Main(m) }

func TestDatabasesAreEmptyAndApart(t *testing.T) {
	for range 2 {
		_, err := pgtest.Pool(t).Exec(t.Context(), `CREATE TABLE keys ()`)
		if err != nil {
			t.Error(err)
		}
	}
}

func TestAServerKeepsItsDataOverItsEnds(t *testing.T) {
	s := pgtest.Start(t)
	run := func(sql string) {
		t.Helper()
		conn, err := pgx.Connect(t.Context(), s.DSN())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context())
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	run(`CREATE TABLE numbers (n int)`)
	for i, end := range []func(testing.TB){s.Kill, s.Stop, s.Kill, s.Kill} {
		run(fmt.Sprint(`INSERT INTO numbers SELECT 1/(count(*) = `, i, `)::int FROM numbers`)) // divides by zero when a row is missing
		end(t)
		if _, err := pgx.Connect(t.Context(), s.DSN()); err == nil {
			t.Fatal("a server that was ended accepts connections")
		}
		s.Start(t)
	}
}

// TestAServerEndsWithItsTest kills a test that runs a server.
func TestAServerEndsWithItsTest(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere a killed test leaves its server behind")
	}
	if os.Getenv(child) != "" {
		s := pgtest.Start(t)
		dir := strings.Fields(s.DSN())[0]
		fmt.Println("\nserver", strings.TrimPrefix(dir, "host="))
		time.Sleep(time.Hour)
	}
	pgtest.DSN(t) // skips where there is no server to start
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAServerEndsWithItsTest$")
	cmd.Env = append(os.Environ(), child+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var dir string
	for word := ""; dir == ""; {
		if _, err := fmt.Fscan(out, &word); err != nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			t.Fatalf("the child ended: %v", err)
		}
		if word == "server" {
			_, _ = fmt.Fscan(out, &dir)
		}
	}
	defer os.RemoveAll(dir)
	text, err := os.ReadFile(filepath.Join(dir, "data", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil {
		t.Fatal(err)
	}
	_ = cmd.Process.Kill() // SIGKILL
	_ = cmd.Wait()
	for begun := time.Now(); syscall.Kill(pid, 0) == nil; time.Sleep(5 * time.Millisecond) {
		if time.Since(begun) > 30*time.Second {
			_ = syscall.Kill(pid, syscall.SIGQUIT)
			t.Fatalf("the test is dead, its server, process %d, lives on", pid)
		}
	}
}

package pgtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Bouncer starts PgBouncer in transaction mode before the server, with few
// connections of its own, so that those of a program change under it. It returns
// the name of the database "postgres" through it. It ends with the test.
func (s *Server) Bouncer(t testing.TB) (dsn string) {
	t.Helper()
	program, err := bouncer()
	if err != nil {
		t.Skip("missing component: pgbouncer: install pgbouncer (apt-get install pgbouncer)")
	}
	config := filepath.Join(s.dir, "pgbouncer.ini")
	text := fmt.Sprintf(`[databases]
* = host=%[1]s port=5432 user=postgres
[pgbouncer]
listen_addr =
unix_socket_dir = %[1]s
listen_port = 6432
auth_type = any
auth_file =
pool_mode = transaction
default_pool_size = 3
max_client_conn = 200
server_reset_query = DISCARD ALL
server_reset_query_always = 1
`, s.dir)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	dsn = fmt.Sprintf("host=%s port=6432 user=postgres sslmode=disable dbname=postgres default_query_exec_mode=exec", s.dir)
	process, ended, err := s.run(dsn, program, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = process.Kill()
		<-ended
	})
	return dsn
}

func bouncer() (string, error) {
	if path, err := exec.LookPath("pgbouncer"); err == nil {
		return path, nil
	}
	const debian = "/usr/sbin/pgbouncer"
	_, err := os.Stat(debian)
	return debian, err
}

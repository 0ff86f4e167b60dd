package pgstore_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/storage/pgstore"
	"github.com/wontopos/latchkey/storage/pgstore/pgtest"
	"github.com/wontopos/latchkey/tools/slots"
)

func TestMain(m *testing.M) {
	slots.Main(openProcess)
	pgtest.Main(m)
}

// openProcess is the limiter of a process that slots.Run starts.
func openProcess(config slots.Config) (limiter.Settler, error) {
	ctx := context.Background()
	pg, err := pgxpool.ParseConfig(config.Name)
	if err != nil {
		return nil, err
	}
	pg.ConnConfig.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", config.Address)
	}
	pool, err := pgxpool.NewWithConfig(ctx, pg)
	if err != nil {
		return nil, err
	}
	s, err := pgstore.New(ctx, pool, pgstore.Options{NoListen: true, Logger: quiet})
	if err != nil {
		return nil, err
	}
	l, err := pgstore.NewLimiter(s, pgstore.LimiterOptions{Timeout: 5 * time.Second, Logger: quiet})
	if err != nil {
		return nil, err
	}
	l.SetSlotLife(config.Life)
	return l, nil
}

// The slots of a process that dies are free after SlotLife. One that stands
// still or loses the database leads above N by what it had, and counts again
// when it is back.
func TestRequestsInProgressOfProcessesThatAreGone(t *testing.T) {
	t.Parallel() // it mostly sleeps
	dsn := pgtest.DSN(t)
	open(t, dsn, pgstore.Options{AutoMigrate: true, NoListen: true, Logger: quiet})
	config, err := pgx.ParseConfig(dsn)
	must(t, err)
	port := strconv.Itoa(int(config.Port))
	network, address := "tcp", net.JoinHostPort(config.Host, port)
	if strings.HasPrefix(config.Host, "/") {
		network, address = "unix", filepath.Join(config.Host, ".s.PGSQL."+port)
	}
	life := 2 * time.Second
	if os.Getenv("LATCHKEY_LONG") != "" {
		life = limiter.SlotLife
	}
	slots.Run(t, network, address, slots.Config{Name: dsn, Life: life})
}

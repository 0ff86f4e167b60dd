package pgstore_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/storage/pgstore"
)

// A service on the pool that the rest of the program uses, too.
func Example() {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	store, err := pgstore.New(ctx, pool, pgstore.Options{AutoMigrate: true})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
}

// Limits that all processes on the database share, and that hold when the
// database is away.
func ExampleNewLimiter() {
	serve := func(ctx context.Context, store *pgstore.Store, keys *latchkey.Service) (*middleware.Guard, error) {
		shared, err := pgstore.NewLimiter(store, pgstore.LimiterOptions{})
		if err != nil {
			return nil, err
		}
		limits, err := limiter.NewShared(shared, limiter.SharedOptions{Instances: 4}) // four processes at most
		if err != nil {
			return nil, err
		}
		return middleware.New(keys, middleware.Options{Limiter: limits})
	}
	_ = serve
}

// A customer and their first key, or neither of them.
func ExampleWithTx() {
	signUp := func(ctx context.Context, pool *pgxpool.Pool, keys *latchkey.Service, customer string) (latchkey.Token, error) {
		var token latchkey.Token
		err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, `INSERT INTO customers (name) VALUES ($1)`, customer); err != nil {
				return err
			}
			var err error // the last step: from here on all changes of keys wait for the commit
			_, token, err = keys.Create(pgstore.WithTx(ctx, tx), apikey.Actor{ID: customer}, latchkey.NewKey{Name: "first", Owner: customer})
			return err
		})
		return token, err // hand the token out now, not before
	}
	_ = signUp
}

// What a deployment would run, for somebody to read before.
func ExampleMigrateDryRun() {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	script, err := pgstore.MigrateDryRun(ctx, pool, pgstore.Options{Schema: "api_keys"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(script)
}

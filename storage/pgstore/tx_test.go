package pgstore_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/pgstore"
	"github.com/wontopos/latchkey/storage/pgstore/pgtest"
)

func TestACreationJoinsTheCallersTransaction(t *testing.T) {
	s := newStore(t)
	keys := service(t, s, latchkey.Options{})
	exec(t, connect(t, s), `CREATE TABLE customers (name text PRIMARY KEY)`)
	by := apikey.Actor{ID: "ann"}

	// signUp makes a customer and a key, or neither.
	signUp := func(name string, fail error) (token latchkey.Token, err error) {
		err = pgx.BeginFunc(t.Context(), s.Pool(), func(tx pgx.Tx) error {
			if _, err := tx.Exec(t.Context(), `INSERT INTO customers VALUES ($1)`, name); err != nil {
				return err
			}
			var err error
			if _, token, err = keys.Create(pgstore.WithTx(t.Context(), tx), by, latchkey.NewKey{Name: "first", Owner: name}); err != nil {
				return err
			}
			if list, err := s.List(t.Context(), storage.Query{Owner: name}); err != nil || len(list.Records) > 0 {
				t.Errorf("before the commit the key is listed: %d records, error %v", len(list.Records), err)
			}
			return fail
		})
		return token, err
	}
	token, err := signUp("acme", nil)
	must(t, err)
	if err := verify(t, keys, token); err != nil {
		t.Errorf("the key works once the transaction has committed: %v", err)
	}

	broken := errors.New("no such plan")
	token, err = signUp("umbrella", broken)
	if !errors.Is(err, broken) {
		t.Fatal(err)
	}
	if err := verify(t, keys, token); !errors.Is(err, apikey.InvalidKey) {
		t.Errorf("the key of a transaction that was rolled back: got error %v, want ErrInvalidKey", err)
	}
	trail, err := s.Audit(t.Context(), apikey.AuditQuery{})
	must(t, err)
	p := poll(t, s, storage.FeedQuery{})
	if len(trail) != 1 || trail[0].Owner != "acme" || p.Head != 1 || len(p.Changes) != 1 {
		t.Errorf("a transaction that was rolled back leaves no entry and no gap: %d entries, head %d", len(trail), p.Head)
	}
}

func TestAConflictLeavesTheCallersTransactionUsable(t *testing.T) {
	s := newStore(t)
	apply(t, s, changeOf("key", 0, nil))
	must(t, pgx.BeginFunc(t.Context(), s.Pool(), func(tx pgx.Tx) error {
		ctx := pgstore.WithTx(t.Context(), tx)
		for _, id := range []string{"key", "new", "new"} {
			_, err := s.Apply(ctx, changeOf(id, 0, nil))
			if known := id == "key"; known && !errors.Is(err, apikey.Conflict) {
				t.Errorf("creating a key that exists: got error %v, want ErrConflict", err)
			}
		}
		_, err := s.Apply(ctx, changeOf("another", 0, nil))
		return err
	}))
	if p := poll(t, s, storage.FeedQuery{}); p.Head != 3 {
		t.Errorf("three keys were created; head %d", p.Head)
	}
}

func TestACreationThatJoinsNeedsNoOtherConnection(t *testing.T) {
	s := open(t, pgtest.DSN(t)+" pool_max_conns=1", pgstore.Options{AutoMigrate: true, Logger: quiet})
	apply(t, s, changeOf("key", 0, nil))
	must(t, pgx.BeginFunc(t.Context(), s.Pool(), func(tx pgx.Tx) error {
		ctx, cancel := context.WithTimeout(pgstore.WithTx(t.Context(), tx), 30*time.Second)
		defer cancel()
		if _, err := s.Apply(ctx, changeOf("key", 0, nil)); !errors.Is(err, apikey.Conflict) {
			t.Errorf("got error %v, want ErrConflict", err)
		}
		_, err := s.Apply(ctx, changeOf("new", 0, nil))
		return err
	}))
}

func TestOnlyACreationJoins(t *testing.T) {
	s := newStore(t)
	apply(t, s, changeOf("key", 0, revoked))
	tx, err := s.Pool().Begin(t.Context())
	must(t, err)
	defer tx.Rollback(context.Background())
	purge := changeOf("key", 1, revoked)
	purge.Delete = true
	for what, c := range map[string]storage.Change{"an update": changeOf("key", 1, revoked), "a purge": purge} {
		if _, err := s.Apply(pgstore.WithTx(t.Context(), tx), c); !errors.Is(err, apikey.InvalidArgument) {
			t.Errorf("%s in the caller's transaction: got error %v, want ErrInvalidArgument", what, err)
		}
	}
}

package pgstore_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage/pgstore"
	"github.com/wontopos/latchkey/storage/pgstore/pgtest"
)

// TestACreationIsMadeOnceByAllProcesses: whichever of several processes on one
// database is asked, at once or later, one key comes of a named creation.
func TestACreationIsMadeOnceByAllProcesses(t *testing.T) {
	dsn := pgtest.DSN(t)
	var services []*latchkey.Service
	for range 3 {
		services = append(services, service(t, open(t, dsn, pgstore.Options{AutoMigrate: true, Logger: quiet}), latchkey.Options{}))
	}
	by := apikey.Actor{ID: "ann"}
	name := func(round int) string { return fmt.Sprint("ann: a name that nobody guesses, number ", round) }
	for round := range 10 {
		n := latchkey.NewKey{Name: "n", Owner: "acme", Once: name(round)}
		var (
			wg    sync.WaitGroup
			mu    sync.Mutex
			token latchkey.Token
			ids   = map[string]int{}
		)
		for i := range 12 {
			wg.Go(func() {
				k, secret, err := services[i%3].Create(context.Background(), by, n)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					token = secret
				} else if !errors.Is(err, apikey.AlreadyCreated) {
					t.Errorf("neither made nor told: %v", err)
				}
				ids[k.ID]++
			})
		}
		wg.Wait()
		if len(ids) != 1 {
			t.Fatalf("12 at once have made or seen %v", ids)
		}
		for _, s := range services {
			must(t, verify(t, s, token))
		}
	}
	late := service(t, open(t, dsn, pgstore.Options{Logger: quiet}), latchkey.Options{})
	if k, _, err := late.Create(t.Context(), by, latchkey.NewKey{Name: "n", Owner: "acme", Once: name(0)}); !errors.Is(err, apikey.AlreadyCreated) || k.ID == "" {
		t.Errorf("a process that was started later: %v", err)
	}
	page, err := services[0].List(t.Context(), latchkey.ListRequest{})
	must(t, err)
	if len(page.Keys) != 10 {
		t.Errorf("10 names have made %d keys", len(page.Keys))
	}
}

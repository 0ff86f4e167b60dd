package middleware_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/storage/memstore"
)

// wallets has how many tokens each owner has bought so far.
type wallets struct {
	mu     sync.Mutex
	bought map[string]int64
}

// Plan implements apikey.PlanSource.
func (w *wallets) Plan(_ context.Context, owner string) (apikey.Plan, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.bought[owner]
	if n == 0 {
		return apikey.Plan{}, apikey.NotFound // Options.OwnerLimits apply
	}
	return apikey.Plan{Name: "prepaid", Limits: []apikey.Limit{{Name: "credit", N: n, Period: apikey.Ever, Unit: "tokens"}}}, nil
}

func (w *wallets) buy(owner string, tokens int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bought[owner] += tokens
}

// Credits belong to an owner: each key has counts of its own, so a credit in the
// plan of a key would begin anew with every key that the owner creates. N is all
// that was ever bought, so a top-up raises it. RefreshPlans puts it into force.
func Example_credits() {
	ctx, store, sold := context.Background(), memstore.New(), &wallets{bought: map[string]int64{"acme": 1000}}
	keys, err := latchkey.New(store, latchkey.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	guard, err := middleware.New(keys, middleware.Options{
		OwnerPlans:  sold,
		OwnerLimits: []apikey.Limit{{Name: "trial", N: 100, Period: apikey.Ever, Unit: "tokens"}}, // who has bought nothing
	})
	if err != nil {
		log.Fatal(err)
	}
	_, token, err := keys.Create(ctx, apikey.Actor{ID: "ops@example.com"}, latchkey.NewKey{Name: "production", Owner: "acme"})
	if err != nil {
		log.Fatal(err)
	}

	answers := guard.Door(middleware.Route{
		Need:    middleware.AnyKey(),
		Amounts: []limiter.Amount{{Unit: "tokens", N: 600}}, // as many as an answer may take
	}).Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := middleware.SetCost(r.Context(), "tokens", 500); err != nil { // as many as it took
			log.Print(err)
		}
	}))
	ask := func() {
		r := httptest.NewRequest("POST", "https://api.example.com/v1/answers", nil)
		r.Header.Set("Authorization", "Bearer "+token.Reveal())
		w := httptest.NewRecorder()
		answers.ServeHTTP(w, r)
		fmt.Println(w.Code)
	}
	ask()
	ask() // 500 are left, and 600 might be needed

	sold.buy("acme", 1000)
	if err := keys.RefreshPlans(ctx); err != nil {
		log.Fatal(err)
	}
	ask()
	// Output:
	// 200
	// 429
	// 200
}

// Command plans gives each customer the limits that a billing table says, and puts
// a change of the table into force while keys are in use.
//
// The limits are those of each key: a customer with two keys has them twice. What
// bounds all keys of a customer together is in middleware.Options.OwnerPlans,
// which may be a table like this one.
//
// Behind the settings page, set admin.Actor.Plans to the customer's own row:
// otherwise every key that is made there gets the default plan.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/storage/memstore"
)

func main() {
	ctx, store, billing := context.Background(), memstore.New(), newTable()
	for customer, product := range map[string]string{"house": "free", "acme": "free", "globex": "enterprise"} {
		check(billing.Subscribe(ctx, customer, product))
	}
	keys := must(latchkey.New(store, options(billing)))
	guard := must(middleware.New(keys, middleware.Options{}))

	acme := must(issue(ctx, keys, "acme", "reports:read"))
	globex := must(issue(ctx, keys, "globex", "reports:read"))
	seller := must(issue(ctx, keys, "house", "billing:write"))
	fmt.Printf("see the limits in RateLimit-Policy:\n  curl -i localhost:8080/v1/reports -H 'Authorization: Bearer %s'  # acme\n", acme.Reveal())
	fmt.Printf("  curl -i localhost:8080/v1/reports -H 'Authorization: Bearer %s'  # globex\n", globex.Reveal())
	fmt.Printf("change a plan:\n  curl -X PUT localhost:8080/v1/subscriptions/acme -d plan=pro -H 'Authorization: Bearer %s'\n", seller.Reveal())
	check(guard.ListenAndServe(&http.Server{Addr: "localhost:8080", Handler: newAPI(guard, billing)}, store))
}

// options give keys that name no customer the small plan of the house.
func options(billing table) latchkey.Options {
	return latchkey.Options{PlanSource: billing, DefaultPlan: "house"}
}

// issue makes a key that belongs to a customer, and has the plan of that customer's
// row. A customer without a row gets none.
func issue(ctx context.Context, keys *latchkey.Service, customer string, scopes ...string) (latchkey.Token, error) {
	_, token, err := keys.Create(ctx, apikey.Actor{ID: "plans"}, latchkey.NewKey{Name: "example", Owner: customer, Plan: customer, Scopes: scopes})
	return token, err
}

func newAPI(guard *middleware.Guard, billing table) http.Handler {
	mux := guard.Mux()
	mux.HandleFunc("GET /v1/reports", middleware.AllOf("reports:read"), func(w http.ResponseWriter, _ *http.Request, p *apikey.Principal) {
		fmt.Fprintln(w, "reports of", p.Owner())
	})
	mux.HandleFunc("PUT /v1/subscriptions/{customer}", middleware.AllOf("billing:write"), func(w http.ResponseWriter, r *http.Request, _ *apikey.Principal) {
		r.Body = http.MaxBytesReader(w, r.Body, 1<<10)
		if err := subscribe(r.Context(), guard.Keys(), billing, r.PathValue("customer"), r.PostFormValue("plan")); err != nil {
			status := http.StatusServiceUnavailable
			if apikey.CodeOf(err) == apikey.InvalidArgument {
				status = http.StatusBadRequest
			}
			http.Error(w, http.StatusText(status), status)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}

// subscribe changes a customer's plan. When it returns nil, every request that
// starts afterwards is decided by the new limits, with any key of the customer and
// in every process that shares the store. It waits for those processes: usually
// milliseconds, and for one that is cut off at most its lease
// ([latchkey.LeaseOptions], three seconds by default). What was used of a window
// that both plans have stays used.
//
// After an error the row may have changed, with some processes still on the old
// limits. Repeat the call until it succeeds.
func subscribe(ctx context.Context, keys *latchkey.Service, billing table, customer, product string) error {
	if err := billing.Subscribe(ctx, customer, product); err != nil {
		return err
	}
	return keys.RefreshPlans(ctx) // after the commit, or the old row would be read again
}

func must[T any](v T, err error) T {
	check(err)
	return v
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

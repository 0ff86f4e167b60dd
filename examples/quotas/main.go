// Command quotas sells tokens of a language model. A key has a million tokens in
// each calendar month, two requests at the same time, and 60 requests a minute.
//
// A request reserves as many tokens as its answer may have at most, so a key never
// gets more than it has paid for, whatever it sends at the same time. Once the
// answer is there, the request costs what it used, and the rest is given back. An
// answer that fails costs nothing.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"strings"
	"time"
	_ "time/tzdata" // Europe/Berlin, also where the system has no time zones

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/storage/memstore"
)

// team is what is sold.
var team = apikey.Plan{Name: "team", Limits: []apikey.Limit{
	{Name: "tokens", N: 1_000_000, Period: apikey.Monthly, Zone: "Europe/Berlin", Unit: "tokens"},
	{Name: "parallel", N: 2, Concurrent: true},
	apikey.PerMinute(60),
}}

// mostTokens is how long a prompt and its answer may be together.
const mostTokens = 4_000

func main() {
	ctx, store := context.Background(), memstore.New()
	keys := must(latchkey.New(store, latchkey.Options{Plans: []apikey.Plan{team}}))
	guard := must(middleware.New(keys, middleware.Options{}))
	_, token, err := keys.Create(ctx, apikey.Actor{ID: "quotas"}, latchkey.NewKey{Name: "example", Owner: "acme", Scopes: []string{"answers:write"}})
	check(err)
	fmt.Printf("see what is left in RateLimit:\n  curl -i localhost:8080/v1/answers -d 'how long is a month?' -H 'Authorization: Bearer %s'\n", token.Reveal())
	fmt.Printf("  curl -s localhost:8080/v1/whoami -H 'Authorization: Bearer %s'\n", token.Reveal())
	check(guard.ListenAndServe(&http.Server{Addr: "localhost:8080", Handler: newAPI(guard, parrot)}, store))
}

// model answers a prompt, and says how many tokens both took.
type model func(ctx context.Context, prompt string) (answer string, tokens int64, err error)

func newAPI(guard *middleware.Guard, ask model) http.Handler {
	mux := guard.Mux()
	mux.Route("POST /v1/answers", middleware.Route{
		Need:    middleware.AllOf("answers:write"),
		Amounts: []limiter.Amount{{Unit: "tokens", N: mostTokens}},
		Free:    func(status int) bool { return status >= 500 },
	}, answers(ask))
	mux.Public("GET /v1/whoami", guard.WhoAmI())
	return mux
}

func answers(ask model) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		prompt, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mostTokens))
		if err != nil {
			setCost(r, 0)
			http.Error(w, "the prompt is too long", http.StatusRequestEntityTooLarge)
			return
		}
		answer, tokens, err := ask(r.Context(), string(prompt))
		if err != nil {
			http.Error(w, "the model is not there", http.StatusBadGateway) // costs nothing
			return
		}
		setCost(r, tokens)
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"answer": answer, "tokens": tokens})
	})
}

func setCost(r *http.Request, tokens int64) {
	if err := middleware.SetCost(r.Context(), "tokens", tokens); err != nil {
		log.Print(err) // then the request costs what it reserved
	}
}

// parrot is a model that thinks for a second. A token is a word.
func parrot(ctx context.Context, prompt string) (answer string, tokens int64, err error) {
	thinks := time.NewTimer(time.Second)
	defer thinks.Stop()
	select {
	case <-thinks.C:
	case <-ctx.Done():
		return "", 0, context.Cause(ctx)
	}
	words := strings.Fields(prompt)
	return strings.Join(words, " "), 2 * int64(len(words)), nil
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

package middleware_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/storage/memstore"
)

func Example() {
	keys, err := latchkey.New(memstore.New(), latchkey.Options{})
	if err != nil {
		panic(err)
	}
	defer keys.Close(context.Background())
	guard, err := middleware.New(keys, middleware.Options{})
	if err != nil {
		panic(err)
	}
	defer guard.Close(context.Background())

	mux := guard.Mux()
	mux.HandleFunc("GET /v1/things", middleware.AllOf("things:read"),
		func(w http.ResponseWriter, _ *http.Request, p *apikey.Principal) {
			fmt.Fprintf(w, "things of %s", p.Owner())
		})

	_, token, err := keys.Create(context.Background(), apikey.Actor{ID: "setup"},
		latchkey.NewKey{Name: "production-backend", Owner: "acme", Scopes: []string{"things:read"}})
	if err != nil {
		panic(err)
	}
	for _, authorization := range []string{"Bearer " + token.Reveal(), ""} {
		r := httptest.NewRequest("GET", "/v1/things", nil)
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		fmt.Println(w.Code, w.Header().Get("RateLimit-Policy")+w.Header().Get("WWW-Authenticate"))
	}
	// Output:
	// 200 "minute";q=60;w=60, "day";q=1000;w=86400
	// 401 Bearer realm="api"
}

// The principal is in the context, for handlers that are plain http.Handlers.
func ExampleGuard_Require() {
	guard, token := exampleGuard()
	h := guard.Require(middleware.AllOf("things:read"))(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, _ := middleware.PrincipalFrom(r.Context())
		fmt.Fprintf(w, "hello %s on plan %s", p.Owner(), p.Plan())
	}))
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	fmt.Println(w.Body)
	// Output: hello acme on plan free
}

// Any transport can ask for a decision: here one whose fields are a map.
func ExampleDoor_Decide() {
	guard, token := exampleGuard()
	door := guard.Door(middleware.Route{Need: middleware.AllOf("things:write")})
	var call middleware.Call
	door.Decide(context.Background(), &call, middleware.Request{
		Fields: http.Header{"Authorization": {"Bearer " + token}},
		Host:   "api.example.com",
	})
	fmt.Println(call.Allowed(), call.Code().String(), call.Status())
	fmt.Println(call.Detail())
	// Output:
	// false insufficient_scope 403
	// The key lacks the scope "things:write". Use a key that has it, or add it to this key.
}

func exampleGuard() (*middleware.Guard, string) {
	keys, err := latchkey.New(memstore.New(), latchkey.Options{})
	if err != nil {
		panic(err)
	}
	guard, err := middleware.New(keys, middleware.Options{})
	if err != nil {
		panic(err)
	}
	_, token, err := keys.Create(context.Background(), apikey.Actor{ID: "setup"},
		latchkey.NewKey{Name: "example", Owner: "acme", Scopes: []string{"things:read"}})
	if err != nil {
		panic(err)
	}
	return guard, token.Reveal()
}

// A key asks about itself. Mount it at GET /v1/whoami.
func ExampleGuard_WhoAmI() {
	guard, token := exampleGuard()
	r := httptest.NewRequest("GET", "/v1/whoami", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	guard.WhoAmI().ServeHTTP(w, r)
	var me struct {
		Name   string
		Scopes []string
		Limits []struct {
			Name      string
			Remaining int
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &me); err != nil {
		panic(err)
	}
	fmt.Println(me.Name, me.Scopes, me.Limits)
	// Output: example [things:read] [{minute 59} {day 999}]
}

// A report may have a hundred pages, and costs as many as it turns out to have. The
// second request finds the rest given back.
func ExampleSetCost() {
	guard, token := exampleGuard()
	door := guard.Door(middleware.Route{
		Need:    middleware.AllOf("things:read"),
		Amounts: []limiter.Amount{{Unit: "pages", N: 100}},
		Limits:  []apikey.Limit{{Name: "pages", N: 500, Period: apikey.Ever, Unit: "pages"}},
	})
	report := door.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if err := middleware.SetCost(r.Context(), "pages", 12); err != nil {
			panic(err)
		}
	}))
	for range 2 {
		r := httptest.NewRequest("GET", "/v1/report", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		report.ServeHTTP(w, r)
		_, pages, _ := strings.Cut(w.Header().Get("RateLimit"), `"pages";`)
		fmt.Println(w.Code, pages)
	}
	// Output:
	// 200 r=400
	// 200 r=388
}

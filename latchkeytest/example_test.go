package latchkeytest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/latchkeytest"
	"github.com/wontopos/latchkey/middleware"
)

// The program under test: an API behind a guard, and one of its handlers.

func newAPI(guard *middleware.Guard) http.Handler {
	mux := guard.Mux()
	mux.HandleFunc("GET /v1/things", middleware.AllOf("things:read"), listThings)
	return mux
}

func listThings(w http.ResponseWriter, _ *http.Request, p *apikey.Principal) {
	fmt.Fprintf(w, "things of %s", p.Owner())
}

// A whole API behind a real guard.
func ExampleCreateKey() {
	testListThings := func(t testing.TB) {
		guard := latchkeytest.NewGuard(t, latchkeytest.Options{})
		key := latchkeytest.CreateKey(t, guard, latchkey.NewKey{Owner: "acme", Scopes: []string{"things:read"}})
		w := httptest.NewRecorder()
		newAPI(guard).ServeHTTP(w, key.Request("GET", "/v1/things", nil))
		fmt.Println(w.Code, w.Body)
	}
	run(testListThings)
	// Output: 200 things of acme
}

// One handler, without a guard.
func ExamplePrincipal() {
	testListThings := func(t testing.TB) {
		w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/v1/things", nil)
		listThings(w, r, latchkeytest.Principal(t, latchkey.NewKey{Owner: "acme"}))
		fmt.Println(w.Code, w.Body)
	}
	run(testListThings)
	// Output: 200 things of acme
}

// How the API answers a client that has used up its limits.
func ExampleKey_Exhaust() {
	testLimit := func(t testing.TB) {
		guard := latchkeytest.NewGuard(t, latchkeytest.Options{})
		key := latchkeytest.CreateKey(t, guard, latchkey.NewKey{Scopes: []string{"things:read"}})
		key.Exhaust()
		w := httptest.NewRecorder()
		newAPI(guard).ServeHTTP(w, key.Request("GET", "/v1/things", nil))
		fmt.Println(w.Code, w.Header().Get("Retry-After") != "")
	}
	run(testLimit)
	// Output: 429 true
}

// The options of the program are those of its tests: scopes, plans, environments,
// where keys come.
func ExampleOptions() {
	options := latchkeytest.Options{
		Service: latchkey.Options{
			Scopes:       []apikey.Scope{{Name: "things:read"}},
			Environments: apikey.LiveAndTest("https://api.example.com", "https://sandbox.example.com"),
		},
		Guard: middleware.Options{Extractors: []middleware.Extractor{middleware.Header("X-API-Key")}},
	}
	testSandbox := func(t testing.TB) {
		guard := latchkeytest.NewGuard(t, options)
		key := latchkeytest.CreateKey(t, guard, latchkey.NewKey{Environment: "test", Scopes: []string{"things:read"}})
		r := key.Request("GET", "/v1/things", nil)
		w := httptest.NewRecorder()
		newAPI(guard).ServeHTTP(w, r)
		fmt.Println(r.Host, w.Code)
	}
	run(testSandbox)
	// Output: sandbox.example.com 200
}

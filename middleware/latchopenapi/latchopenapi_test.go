package latchopenapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/latchkeytest"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/middleware/latchopenapi"
)

type (
	guards   = map[string]*middleware.Guard
	security = []map[string][]string
	object   = map[string]any
)

// documentOf has the security schemes "key" and "partner".
func documentOf(t interface{ Fatal(...any) }, paths, more object) []byte {
	schemes := object{"key": object{"type": "http", "scheme": "bearer"}, "partner": object{"type": "apiKey", "in": "header", "name": "X-Partner"}}
	doc := object{"openapi": "3.1.0", "paths": paths, "components": object{"securitySchemes": schemes}}
	for name, value := range more {
		doc[name] = value
	}
	raw, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func newGuard(t *testing.T, o middleware.Options, scopes ...string) *middleware.Guard {
	catalogue := make([]apikey.Scope, len(scopes))
	for i, s := range scopes {
		catalogue[i].Name = s
	}
	return latchkeytest.NewGuard(t, latchkeytest.Options{Service: latchkey.Options{Scopes: catalogue}, Guard: o})
}

// served answers like a server that has the routes, each behind the middleware.
func served(wrap func(http.Handler) http.Handler, patterns ...string) http.Handler {
	mux := http.NewServeMux()
	for _, p := range patterns {
		mux.Handle(p, wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			p, _ := middleware.PrincipalFrom(r.Context())
			if p == nil {
				fmt.Fprint(w, "nobody")
			} else {
				fmt.Fprint(w, p.KeyID())
			}
		})))
	}
	return mux
}

func answer(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// TestAllOfWithinAnObjectAndAnyOfAcross reads random requirements by brute force.
func TestAllOfWithinAnObjectAndAnyOfAcross(t *testing.T) {
	guard := newGuard(t, middleware.Options{})
	scopes := []string{"a:1", "a:2", "b:1"}
	many := []apikey.Limit{apikey.PerMinute(1_000_000)}
	keys := make([]*latchkeytest.Key, 1<<len(scopes))
	granted := make([][]string, len(keys))
	for i := range keys {
		for j, s := range scopes {
			if i>>j&1 == 1 {
				granted[i] = append(granted[i], s)
			}
		}
		keys[i] = latchkeytest.CreateKey(t, guard, latchkey.NewKey{Scopes: granted[i], Limits: many})
	}
	rapid.Check(t, func(t *rapid.T) {
		lists := rapid.SliceOfN(rapid.SliceOfN(rapid.SampledFrom(scopes), 0, 3), 0, 3).Draw(t, "alternatives")
		anonymous := rapid.Bool().Draw(t, "anonymous")
		required := security{}
		for _, list := range lists {
			required = append(required, map[string][]string{"key": list})
		}
		if anonymous {
			required = slices.Insert(required, rapid.IntRange(0, len(required)).Draw(t, "at"), map[string][]string{})
		}
		where := object{"security": required}
		paths, more := object{"/": object{"get": where}}, object{}
		if rapid.Bool().Draw(t, "of the document") {
			paths, more = object{"/": object{"get": object{}}}, where
		}
		wrap, err := latchopenapi.New(documentOf(t, paths, more), guards{"key": guard, "partner": guard}, nil)
		if err != nil {
			t.Fatal(err)
		}
		api := served(wrap, "GET /{$}")
		public := len(lists) == 0
		for i, k := range keys {
			met := slices.ContainsFunc(lists, func(list []string) bool {
				return !slices.ContainsFunc(list, func(s string) bool { return !slices.Contains(granted[i], s) })
			})
			want := 403
			if met || public {
				want = 200
			}
			if w := answer(api, k.Request("GET", "/", nil)); w.Code != want {
				t.Fatalf("%v for a key with %v: %d, want %d", required, granted[i], w.Code, want)
			} else if w.Code == 200 && (w.Body.String() == "nobody") != public {
				t.Fatalf("%v: the principal is %s", required, w.Body)
			}
		}
		none, bad := 401, 401
		if public || anonymous {
			none = 200
		}
		if public {
			bad = 200
		}
		r := httptest.NewRequest("GET", "/", nil)
		if w := answer(api, r); w.Code != none {
			t.Fatalf("%v without a key: %d, want %d", required, w.Code, none)
		}
		guard.SetCredential(r, strings.Repeat("x", 60))
		if w := answer(api, r); w.Code != bad {
			t.Fatalf("%v with a bad key: %d, want %d", required, w.Code, bad)
		}
	})
}

// TestAnAnonymousAlternativeDoesNotAdmitABadKey is the trap that servers fall into
// which try one alternative after the other.
func TestAnAnonymousAlternativeDoesNotAdmitABadKey(t *testing.T) {
	guard := newGuard(t, middleware.Options{})
	for _, required := range []security{{{}, {"key": nil}}, {{"key": nil}, {}}} {
		wrap, err := latchopenapi.New(documentOf(t, object{"/": object{"get": object{"security": required}}}, nil), guards{"key": guard}, nil)
		if err != nil {
			t.Fatal(err)
		}
		api, key := served(wrap, "GET /{$}"), latchkeytest.CreateKey(t, guard, latchkey.NewKey{})
		if w := answer(api, httptest.NewRequest("GET", "/", nil)); w.Code != 200 || w.Body.String() != "nobody" {
			t.Errorf("%v without a key: %d %s", required, w.Code, w.Body)
		}
		if w := answer(api, key.Request("GET", "/", nil)); w.Code != 200 || w.Body.String() == "nobody" {
			t.Errorf("%v with a key: %d %s", required, w.Code, w.Body)
		}
		key.Revoke()
		if w := answer(api, key.Request("GET", "/", nil)); w.Code != 401 {
			t.Errorf("%v with a revoked key: %d %s", required, w.Code, w.Body)
		}
	}
}

func TestWhatTheDocumentDoesNotNameIsRefused(t *testing.T) {
	guard := newGuard(t, middleware.Options{})
	get := object{"get": object{"security": security{{"key": nil}}}}
	doc := documentOf(t, object{"/things/{id}": get, "/rest/{id}": get}, nil)
	wrap, err := latchopenapi.New(doc, guards{"key": guard}, nil)
	if err != nil {
		t.Fatal(err)
	}
	key := latchkeytest.CreateKey(t, guard, latchkey.NewKey{})
	inside := served(wrap, "GET /things/{name}", "POST /things/{id}", "GET /things/{id}/parts", "GET /rest/{id...}", "/any")
	for request, want := range map[string]int{
		"GET /things/7": 200, "HEAD /things/7": 200, "GET /things/7%2Fparts": 200, // one segment, as the router has it
		"POST /things/7": 404, "GET /things/7/parts": 404, "GET /any": 404, "GET /rest/7": 404,
	} {
		method, path, _ := strings.Cut(request, " ")
		if w := answer(inside, key.Request(method, path, nil)); w.Code != want {
			t.Errorf("%s: %d, want %d", request, w.Code, want)
		}
	}
	outside := wrap(served(func(h http.Handler) http.Handler { return h }, "GET /things/{id}"))
	if w := answer(outside, key.Request("GET", "/things/7", nil)); w.Code != 404 {
		t.Errorf("where no router has run yet a request is answered %d", w.Code)
	}
}

// TestTheServersRouterNamesTheOperation, with or without the method.
func TestTheServersRouterNamesTheOperation(t *testing.T) {
	guard := newGuard(t, middleware.Options{})
	doc := documentOf(t, object{"/things/{id}": object{
		"get":  object{"security": security{{"key": nil}}},
		"post": object{"security": security{{"key": {"things:write"}}}},
	}}, nil)
	key := latchkeytest.CreateKey(t, guard, latchkey.NewKey{})
	for name, want := range map[string]int{"/things/{id}": 200, "/things/{x:[0-9]+}": 200, "POST /things/{id}": 403, "": 404, "/other": 404} {
		wrap, err := latchopenapi.New(doc, guards{"key": guard}, func(*http.Request) string { return name })
		if err != nil {
			t.Fatal(err)
		}
		var pattern string
		r := key.Request("GET", "/things/7", nil)
		h := wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { pattern = r.Pattern }))
		if w := answer(h, r); w.Code != want || w.Code == 200 && (pattern != name || r.Pattern != name) {
			t.Errorf("the operation %q is answered %d, want %d; the pattern is %q inside and %q outside", name, w.Code, want, pattern, r.Pattern)
		}
	}
}

// TestTwoGuards: each operation has the guard of its scheme, and no key of another.
func TestTwoGuards(t *testing.T) {
	customers, partners := newGuard(t, middleware.Options{}), newGuard(t, middleware.Options{Extractors: []middleware.Extractor{middleware.Header("X-Partner")}})
	doc := documentOf(t, object{
		"/things": object{"get": object{"security": security{{"key": nil}}}},
		"/orders": object{"get": object{"security": security{{"partner": nil}}}},
	}, nil)
	wrap, err := latchopenapi.New(doc, guards{"key": customers, "partner": partners}, nil)
	if err != nil {
		t.Fatal(err)
	}
	api := served(wrap, "GET /things", "GET /orders")
	a, b := latchkeytest.CreateKey(t, customers, latchkey.NewKey{}), latchkeytest.CreateKey(t, partners, latchkey.NewKey{})
	for path, want := range map[string][2]int{"/things": {200, 401}, "/orders": {401, 200}} {
		if got := [2]int{answer(api, a.Request("GET", path, nil)).Code, answer(api, b.Request("GET", path, nil)).Code}; got != want {
			t.Errorf("%s answers a customer and a partner with %v, want %v", path, got, want)
		}
	}
}

// TestAMistakeInTheDocumentIsSaidAtStart, with the operation it is in.
func TestAMistakeInTheDocumentIsSaidAtStart(t *testing.T) {
	guard := newGuard(t, middleware.Options{}, "things:read")
	get := func(op object) object { return object{"/things": object{"get": op}} }
	needs := func(s ...map[string][]string) object { return get(object{"security": s}) }
	key := map[string][]string{"key": {"things:read"}}
	for name, c := range map[string]struct {
		paths  object
		more   object
		guards guards
		want   string
	}{
		"no security":             {get(object{}), nil, nil, "GET /things names no security"},
		"null is none":            {get(object{"security": nil}), nil, nil, "GET /things names no security"},
		"a scope of no catalogue": {needs(map[string][]string{"key": {"things:reed"}}), nil, nil, `GET /things names the security scheme "key", with the scope "things:reed", which is not in the catalogue`},
		"a scheme without guard":  {needs(key, map[string][]string{"partner": nil}), nil, nil, `"partner"`},
		"only another scheme":     {needs(map[string][]string{"partner": nil}), nil, nil, `GET /things names the security scheme "partner", for which there is no guard`},
		"a choice of two":         {needs(key, map[string][]string{"partner": nil}), nil, guards{"key": guard, "partner": guard}, "a guard decides a request alone"},
		"two at once":             {needs(map[string][]string{"key": nil, "partner": nil}), nil, guards{"key": guard, "partner": guard}, "two security schemes at once"},
		"no such scheme":          {needs(key), nil, guards{"key": guard, "kee": guard}, `no security scheme "kee"`},
		"a nil guard":             {needs(key), nil, guards{"key": nil}, "there is no guard"},
		"one path, two names":     {object{"/things/{a}": object{"get": object{"security": security{key}}}, "/things/{b}": object{"get": object{"security": security{}}}}, nil, nil, "GET /things/{b} is in the document under another name"},
		"a reference":             {object{"/things": object{"$ref": "#/x"}}, nil, nil, "/things is a $ref"},
		"no operation":            {object{"/things": object{"summary": "x"}}, nil, nil, "no operations"},
		"a negative cost":         {get(object{"security": security{key}, "x-latchkey-cost": -1}), nil, nil, "negative cost"},
		"a cost in words":         {get(object{"security": security{key}, "x-latchkey-cost": "1"}), nil, nil, "GET /things json"},
		"the document's mistake":  {get(object{}), object{"security": security{{"key": {"things:reed"}}}}, nil, "things:reed"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.guards == nil {
				c.guards = guards{"key": guard}
			}
			wrap, err := latchopenapi.New(documentOf(t, c.paths, c.more), c.guards, nil)
			if err == nil || wrap != nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("New says %v, want %q", err, c.want)
			}
		})
	}
	if _, err := latchopenapi.New([]byte("openapi: 3.1.0"), guards{"key": guard}, nil); err == nil || !strings.Contains(err.Error(), "JSON") {
		t.Errorf("YAML: %v", err)
	}
	_, err := latchopenapi.New(documentOf(t, object{"/a": object{"get": object{}}, "/b": object{"put": object{}}}, nil), guards{"key": guard}, nil)
	if err == nil || !strings.Contains(err.Error(), "GET /a") || !strings.Contains(err.Error(), "PUT /b") {
		t.Errorf("all mistakes are said at once: %v", err)
	}
}

// TestOnlyWhatTheGuardAdmittedPassesASecurityHandler: another guard around the
// server knows nothing of the operation.
func TestOnlyWhatTheGuardAdmittedPassesASecurityHandler(t *testing.T) {
	guard := newGuard(t, middleware.Options{})
	wrap, err := latchopenapi.New(documentOf(t, object{"/": object{"get": object{"security": security{{"key": nil}, {}}}}}, nil), guards{"key": guard}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var admitted error
	ask := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { admitted = latchopenapi.Admitted(r.Context()) })
	key := latchkeytest.CreateKey(t, guard, latchkey.NewKey{})
	mux := http.NewServeMux()
	mux.Handle("/", wrap(ask))
	mux.Handle("GET /{$}", wrap(ask))
	answer(mux, key.Request("GET", "/", nil))
	if admitted != nil {
		t.Errorf("what the guard has admitted is refused: %v", admitted)
	}
	answer(mux, httptest.NewRequest("GET", "/", nil))
	if apikey.CodeOf(admitted) != apikey.MissingKey {
		t.Errorf("without a key, where it is optional: %v", admitted)
	}
	answer(guard.Require(middleware.AnyKey())(ask), key.Request("GET", "/", nil))
	if admitted == nil {
		t.Error("what only another guard has admitted passes")
	}
	if latchopenapi.Admitted(context.Background()) == nil {
		t.Error("a request that nobody has decided passes")
	}
}

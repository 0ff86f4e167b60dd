package latchhuma_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/danielgtaylor/huma/v2/autopatch"
	"github.com/danielgtaylor/huma/v2/sse"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/latchkeytest"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/middleware/latchhuma"
)

type who struct {
	Body struct {
		Owner string `json:"owner"`
	}
}

func tell(ctx context.Context, _ *struct{}) (*who, error) {
	out := new(who)
	if p, ok := middleware.PrincipalFrom(ctx); ok {
		out.Body.Owner = p.Owner()
	}
	return out, nil
}

// newAPI is a guarded API on net/http.
func newAPI(t *testing.T, o middleware.Options, change func(*huma.Config)) (*http.ServeMux, huma.API, *middleware.Guard) {
	g := latchkeytest.NewGuard(t, latchkeytest.Options{Guard: o})
	mux, c := http.NewServeMux(), config()
	if change != nil {
		change(&c)
	}
	return mux, latchhuma.New(humago.New(mux, c), guards{"key": g}), g
}

func get(path string, s security) huma.Operation {
	return huma.Operation{Method: "GET", Path: path, Security: s}
}

func answer(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestAnOperationNeedsWhatItsSecuritySays(t *testing.T) {
	mux, api, g := newAPI(t, middleware.Options{}, func(c *huma.Config) { c.OpenAPI.Security = security{{"key": {"a:1"}}} })
	huma.Register(api, get("/own", security{{"key": {"a:2", "b:1"}}, {"key": {"c:1"}}}), tell)
	huma.Register(api, get("/documents", nil), tell)
	huma.Register(api, get("/optional", security{{}, {"key": nil}}), tell)
	huma.Register(api, get("/public", latchhuma.Public), tell)
	hidden := get("/hidden", security{{"key": {"b:1"}}})
	hidden.Hidden = true
	huma.Register(api, hidden, tell)
	group := huma.NewGroup(api, "/group")
	group.UseSimpleModifier(func(op *huma.Operation) { op.Security = security{{"key": {"c:1"}}} })
	huma.Register(group, get("/in", latchhuma.Public), tell)

	for scopes, want := range map[string]map[string]int{
		"a:1":     {"/own": 403, "/documents": 200, "/optional": 200, "/public": 200, "/hidden": 403, "/group/in": 403},
		"a:2":     {"/own": 403, "/documents": 403, "/optional": 200, "/public": 200, "/hidden": 403, "/group/in": 403},
		"a:2 b:1": {"/own": 200, "/documents": 403, "/optional": 200, "/public": 200, "/hidden": 200, "/group/in": 403},
		"c:1":     {"/own": 200, "/documents": 403, "/optional": 200, "/public": 200, "/hidden": 403, "/group/in": 200},
		"none":    {"/own": 401, "/documents": 401, "/optional": 200, "/public": 200, "/hidden": 401, "/group/in": 401},
		"revoked": {"/own": 401, "/documents": 401, "/optional": 401, "/public": 200, "/hidden": 401, "/group/in": 401},
	} {
		key := latchkeytest.CreateKey(t, g, latchkey.NewKey{Owner: "acme", Scopes: strings.Fields(strings.NewReplacer("none", "", "revoked", "a:*").Replace(scopes))})
		if scopes == "revoked" {
			key.Revoke()
		}
		for path, status := range want {
			r := key.Request("GET", path, nil)
			if scopes == "none" {
				r.Header.Del("Authorization")
			}
			w := answer(mux, r)
			if w.Code != status {
				t.Errorf("%s with %s: %d %s, want %d", path, scopes, w.Code, w.Body, status)
			}
			if known := path != "/public" && scopes != "none"; status == 200 && strings.Contains(w.Body.String(), "acme") != known {
				t.Errorf("%s with %s: the principal is missing, or should be: %s", path, scopes, w.Body)
			}
		}
	}
}

func TestAMistakePanicsWhenTheOperationIsRegistered(t *testing.T) {
	g := latchkeytest.NewGuard(t, latchkeytest.Options{Service: latchkey.Options{Scopes: []apikey.Scope{{Name: "a:1"}}}})
	costly := get("/x", security{{"key": nil}})
	costly.Extensions = map[string]any{"x-latchkey-cost": "5"}
	for want, op := range map[string]huma.Operation{
		"GET /x names no security":                    get("/x", nil),
		`GET /x names the security scheme "oauth"`:    get("/x", security{{"oauth": nil}}),
		`"a:2", which is not in the catalogue`:        get("/x", security{{"key": {"a:2"}}}),
		"GET /x needs two security schemes at once":   get("/x", security{{"key": nil, "other": nil}}),
		"GET /x: x-latchkey-cost is no int":           costly,
		"GET /group/x names the security scheme \"\"": get("/group/x", security{{"": nil}}),
	} {
		api := latchhuma.New(humago.New(http.NewServeMux(), config()), guards{"key": g})
		if said := panicked(func() { huma.Register(api, op, tell) }); !strings.Contains(said, want) {
			t.Errorf("Register says %q, want %q", said, want)
		}
	}
	used := humago.New(http.NewServeMux(), config())
	huma.Register(used, get("/x", nil), tell)
	if said := panicked(func() { latchhuma.New(used, guards{"key": g}) }); !strings.Contains(said, "would not be guarded") {
		t.Errorf("an API that has operations: %q", said)
	}
	if said := panicked(func() { latchhuma.New(humago.New(http.NewServeMux(), config()), guards{"key": nil}) }); !strings.Contains(said, `"key" is nil`) {
		t.Errorf("a nil guard: %q", said)
	}
}

func panicked(f func()) (said string) {
	defer func() { said, _ = recover().(string) }()
	f()
	return ""
}

func TestTheDocumentHasTheSchemeOfEachGuard(t *testing.T) {
	for want, e := range map[string]middleware.Extractor{
		`{"scheme":"bearer","type":"http"}`:                  middleware.Bearer(),
		`{"scheme":"basic","type":"http"}`:                   middleware.BasicUser(),
		`{"in":"header","name":"X-Api-Key","type":"apiKey"}`: middleware.Header("X-API-Key"),
		`{"in":"cookie","name":"key","type":"apiKey"}`:       middleware.Cookie("key"),
		`{"in":"query","name":"key","type":"apiKey"}`:        middleware.InsecureQuery("key"),
	} {
		mux, api, _ := newAPI(t, middleware.Options{Extractors: []middleware.Extractor{e}}, nil)
		huma.Register(api, get("/public", latchhuma.Public), tell)
		huma.Register(api, get("/x", security{{"key": {"a:1"}}}), tell)
		w := answer(mux, httptest.NewRequest("GET", "/openapi.json", nil))
		var doc struct {
			Components struct{ SecuritySchemes map[string]json.RawMessage }
			Paths      map[string]struct {
				Get struct{ Security json.RawMessage }
			}
		}
		if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
			t.Fatal(err)
		}
		if got := string(doc.Components.SecuritySchemes["key"]); got != want {
			t.Errorf("the scheme of %v is %s, want %s", e, got, want)
		}
		if public, guarded := string(doc.Paths["/public"].Get.Security), string(doc.Paths["/x"].Get.Security); public != "[]" || guarded != `[{"key":["a:1"]}]` {
			t.Errorf("the document says of operations %s and %s", public, guarded)
		}
	}
	_, api, _ := newAPI(t, middleware.Options{}, func(c *huma.Config) {
		c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"key": {Type: "http", Scheme: "bearer", Description: "mine"}}
	})
	if got := api.OpenAPI().Components.SecuritySchemes["key"].Description; got != "mine" {
		t.Errorf("a scheme that was there is %q", got)
	}
}

func TestTwoGuards(t *testing.T) {
	a := latchkeytest.NewGuard(t, latchkeytest.Options{})
	b := latchkeytest.NewGuard(t, latchkeytest.Options{Guard: middleware.Options{Extractors: []middleware.Extractor{middleware.Header("X-Partner")}}})
	mux := http.NewServeMux()
	api := latchhuma.New(humago.New(mux, config()), guards{"customer": a, "partner": b})
	huma.Register(api, get("/things", security{{"customer": nil}}), tell)
	huma.Register(api, get("/orders", security{{"partner": nil}}), tell)
	customer, partner := latchkeytest.CreateKey(t, a, latchkey.NewKey{}), latchkeytest.CreateKey(t, b, latchkey.NewKey{})
	for path, want := range map[string][2]int{"/things": {200, 401}, "/orders": {401, 200}} {
		if got := [2]int{answer(mux, customer.Request("GET", path, nil)).Code, answer(mux, partner.Request("GET", path, nil)).Code}; got != want {
			t.Errorf("%s answers a customer and a partner with %v, want %v", path, got, want)
		}
	}
}

// TestHumasMiddlewareIsInsideTheGuard, and finds no key where it is stripped.
func TestHumasMiddlewareIsInsideTheGuard(t *testing.T) {
	mux, api, g := newAPI(t, middleware.Options{
		StripCredential: true, Extractors: []middleware.Extractor{middleware.InsecureQuery("key"), middleware.Header("X-Key")},
	}, func(c *huma.Config) { c.RejectUnknownQueryParameters = true })
	ran, leaks := 0, ""
	api.UseMiddleware(func(ctx huma.Context, next func(huma.Context)) {
		ran++
		u := ctx.URL()
		leaks = ctx.Query("key") + ctx.Header("X-Key") + u.RawQuery
		ctx.EachHeader(func(name, value string) {
			if name == "X-Key" {
				leaks += value
			}
		})
		if r, w := latchhuma.Unwrap(huma.WithValue(ctx, 1, 2)); r.Context() != ctx.Context() || ctx.BodyWriter() != io.Writer(w) {
			t.Error("Unwrap returns another request or writer than the guard's")
		}
		if panicked(func() { humago.Unwrap(ctx) }) == "" {
			t.Error("Huma's own Unwrap leads past the guard")
		}
		next(ctx)
	})
	huma.Register(api, get("/things/{id}", security{{"key": nil}}), func(ctx context.Context, in *struct {
		ID string `path:"id"`
	},
	) (*who, error) {
		out := new(who)
		out.Body.Owner = in.ID
		return out, nil
	})
	key := latchkeytest.CreateKey(t, g, latchkey.NewKey{})
	inHeader := httptest.NewRequest("GET", "/things/7", nil)
	inHeader.Header.Set("X-Key", key.Token.Reveal())
	for i, r := range []*http.Request{key.Request("GET", "/things/7", nil), inHeader} {
		if w := answer(mux, r); w.Code != 200 || ran != i+1 || leaks != "" || !strings.Contains(w.Body.String(), `"owner":"7"`) {
			t.Errorf("%d %s; middleware ran %d times and found %q", w.Code, w.Body, ran, leaks)
		}
	}
	if w := answer(mux, key.Request("GET", "/things/7?other=1", nil)); w.Code != 422 {
		t.Errorf("the settings of the API are lost: %d %s", w.Code, w.Body)
	}
	key.Revoke()
	if w := answer(mux, key.Request("GET", "/things/7", nil)); w.Code != 401 || ran != 3 {
		t.Errorf("middleware ran for a request that was refused with %d", w.Code)
	}
}

func TestEventsEndWithTheKey(t *testing.T) {
	mux, api, g := newAPI(t, middleware.Options{}, nil)
	type tick struct{ N int }
	ended := make(chan error, 1)
	sse.Register(api, get("/events", security{{"key": nil}}), map[string]any{"tick": tick{}}, func(ctx context.Context, _ *struct{}, send sse.Sender) {
		_ = send.Data(tick{1})
		<-ctx.Done()
		ended <- context.Cause(ctx)
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	s.Client().Timeout = 10 * time.Second
	key := latchkeytest.CreateKey(t, g, latchkey.NewKey{})
	r := key.Request("GET", s.URL+"/events", nil)
	r.RequestURI = ""
	res, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	in := bufio.NewReader(res.Body)
	if line, err := in.ReadString('\n'); err != nil || line != "event: tick\n" {
		t.Fatalf("events arrive: %q, %v", line, err)
	}
	key.Revoke()
	if _, err := io.Copy(io.Discard, in); err == nil {
		t.Error("events that were cut look whole")
	}
	if cause := <-ended; cause != apikey.RevokedKey {
		t.Errorf("the handler's context ends with %v", cause)
	}
}

// TestAutoPatchIsGuarded: it puts its operation into the router by itself.
func TestAutoPatchIsGuarded(t *testing.T) {
	mux, api, g := newAPI(t, middleware.Options{}, nil)
	huma.Register(api, get("/thing", latchhuma.Public), tell)
	huma.Register(api, huma.Operation{Method: "PUT", Path: "/thing", Security: security{{"key": {"things:write"}}}}, func(_ context.Context, in *struct{ who }) (*who, error) { return &in.who, nil })
	autopatch.AutoPatch(api)
	for scope, want := range map[string]int{"things:read": 403, "things:write": 200} {
		r := latchkeytest.CreateKey(t, g, latchkey.NewKey{Scopes: []string{scope}}).Request("PATCH", "/thing", strings.NewReader(`{"owner":"x"}`))
		r.Header.Set("Content-Type", "application/merge-patch+json")
		if w := answer(mux, r); w.Code != want {
			t.Errorf("a PATCH with %s: %d %s, want %d", scope, w.Code, w.Body, want)
		}
	}
}

// TestAGroupIsGuardedAsAWhole, where an API has both kinds of operations.
func TestAGroupIsGuardedAsAWhole(t *testing.T) {
	g := latchkeytest.NewGuard(t, latchkeytest.Options{})
	mux := http.NewServeMux()
	under := humago.New(mux, config())
	api := latchhuma.New(huma.NewGroup(under, "/v1"), guards{"key": g})
	huma.Register(api, get("/things", security{{"key": nil}}), tell)
	huma.Register(under, get("/other", nil), tell)
	for path, want := range map[string]int{"/v1/things": 401, "/other": 200} {
		if w := answer(mux, httptest.NewRequest("GET", path, nil)); w.Code != want || api.OpenAPI().Paths[path] == nil {
			t.Errorf("%s: %d, want %d; the document has %v", path, w.Code, want, api.OpenAPI().Paths)
		}
	}
}

func TestAFormIsReadThroughTheGuard(t *testing.T) {
	mux, api, g := newAPI(t, middleware.Options{}, nil)
	huma.Register(api, huma.Operation{Method: "POST", Path: "/form", Security: security{{"key": nil}}}, func(_ context.Context, in *struct {
		RawBody huma.MultipartFormFiles[struct {
			Name string `form:"name"`
		}]
	},
	) (*who, error) {
		out := new(who)
		out.Body.Owner = in.RawBody.Data().Name
		return out, nil
	})
	body := strings.ReplaceAll("--b\nContent-Disposition: form-data; name=\"name\"\n\nann\n--b--\n", "\n", "\r\n")
	r := latchkeytest.CreateKey(t, g, latchkey.NewKey{}).Request("POST", "/form", strings.NewReader(body))
	r.Header.Set("Content-Type", "multipart/form-data; boundary=b")
	if w := answer(mux, r); w.Code != 200 || !strings.Contains(w.Body.String(), `"owner":"ann"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestTheLastUseNamesTheRoute(t *testing.T) {
	for name, newAPI := range native {
		g := latchkeytest.NewGuard(t, latchkeytest.Options{})
		h, under := newAPI()
		api := latchhuma.New(under, guards{"key": g})
		huma.Register(api, get("/things/{id}", security{{"key": nil}}), tell)
		key := latchkeytest.CreateKey(t, g, latchkey.NewKey{})
		if w := answer(h, key.Request("GET", "/things/7", nil)); w.Code != 200 {
			t.Fatalf("%s: %d %s", name, w.Code, w.Body)
		}
		use, err := g.Keys().Usage(t.Context(), key.ID, time.Time{})
		if last := use.Last(); err != nil || last.Route != "GET /things/{id}" || last.Status != 200 {
			t.Errorf("%s: the last use is %s %d, %v", name, fmt.Sprint(last.Route), last.Status, err)
		}
	}
}

package openapi

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/go-chi/chi/v5"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/examples/openapi/testdata/chiapi"
	"github.com/wontopos/latchkey/examples/openapi/testdata/ogenapi"
	"github.com/wontopos/latchkey/examples/openapi/testdata/stdapi"
	"github.com/wontopos/latchkey/latchkeytest"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/middleware/latchopenapi"
)

var servers = map[string]func(*middleware.Guard) (http.Handler, error){
	"oapi-codegen, asked": newOapiServer,
	"oapi-codegen":        newOapiInside,
	"oapi-codegen, chi":   newChiInside,
	"ogen":                newOgenServer,
	"kin-openapi":         newKinServer,
}

// newOapiInside has the middleware behind the router, under a base URL.
func newOapiInside(guard *middleware.Guard) (http.Handler, error) {
	wrap, err := latchopenapi.New(document, map[string]*middleware.Guard{"key": guard}, func(r *http.Request) string {
		return strings.Replace(r.Pattern, " /v1/", " /", 1)
	})
	if err != nil {
		return nil, err
	}
	server := stdapi.HandlerWithOptions(stdapi.NewStrictHandler(oapiThings{}, nil), stdapi.StdHTTPServerOptions{BaseURL: "/v1", Middlewares: []stdapi.MiddlewareFunc{wrap}})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.Path = "/v1" + r.URL.Path
		if r.URL.RawPath != "" {
			r.URL.RawPath = "/v1" + r.URL.RawPath
		}
		server.ServeHTTP(w, r)
	}), nil
}

func newChiInside(guard *middleware.Guard) (http.Handler, error) {
	wrap, err := latchopenapi.New(document, map[string]*middleware.Guard{"key": guard}, func(r *http.Request) string {
		return chi.RouteContext(r.Context()).RoutePattern()
	})
	if err != nil {
		return nil, err
	}
	return chiapi.HandlerWithOptions(chiThings{}, chiapi.ChiServerOptions{Middlewares: []chiapi.MiddlewareFunc{wrap}}), nil
}

type chiThings struct{}

func (chiThings) ListThings(w http.ResponseWriter, r *http.Request) {
	fmt.Fprint(w, "things of "+caller(r.Context()))
}

func (chiThings) AddThing(w http.ResponseWriter, r *http.Request) {
	fmt.Fprint(w, "a new thing of "+caller(r.Context()))
}

func (chiThings) GetThing(w http.ResponseWriter, r *http.Request, id string) {
	fmt.Fprint(w, "thing "+id+" of "+caller(r.Context()))
}

func (chiThings) GetPicture(w http.ResponseWriter, r *http.Request, id string) {
	fmt.Fprint(w, "picture "+id+" for "+caller(r.Context()))
}

func (chiThings) GetHealth(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "fine") }

// TestEveryServerAsksForWhatTheDocumentSays, whoever routes its requests.
func TestEveryServerAsksForWhatTheDocumentSays(t *testing.T) {
	for name, server := range servers {
		t.Run(name, func(t *testing.T) {
			guard := latchkeytest.NewGuard(t, latchkeytest.Options{})
			h, err := server(guard)
			if err != nil {
				t.Fatal(err)
			}
			key := func(scopes ...string) *latchkeytest.Key {
				return latchkeytest.CreateKey(t, guard, latchkey.NewKey{Owner: "acme", Scopes: scopes})
			}
			reader, writer, admin, none, ended := key("things:read"), key("things:read", "things:write"), key("things:admin"), key(), key("things:*")
			ended.Revoke()
			for _, c := range []struct {
				key    *latchkeytest.Key
				what   string
				status int
				body   string
			}{
				{nil, "GET /things", 401, "missing_key"},
				{none, "GET /things", 403, "insufficient_scope"},
				{reader, "GET /things", 200, "things of acme"},
				{reader, "POST /things", 403, `"missing_scopes":["things:write"]`},
				{writer, "POST /things", 200, "a new thing of acme"},
				{admin, "POST /things", 200, "a new thing of acme"},
				{admin, "GET /things", 403, "things:read"},
				{reader, "GET /things/7", 200, "thing 7 of acme"},
				{ended, "GET /things/7", 401, "revoked_key"},
				{nil, "GET /things/7/picture", 200, "picture 7 for nobody"},
				{none, "GET /things/7/picture", 200, "picture 7 for acme"},
				{ended, "GET /things/7/picture", 401, "revoked_key"}, // an anonymous alternative admits no bad key
				{nil, "GET /health", 200, "fine"},
				{ended, "GET /health", 200, "fine"},
				{reader, "GET /other", 404, ""},
				{reader, "GET /things/7/other", 404, ""},
			} {
				method, path, _ := strings.Cut(c.what, " ")
				r := httptest.NewRequest(method, path, nil)
				if c.key != nil {
					r = c.key.Request(method, path, nil)
				}
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				if w.Code != c.status || !strings.Contains(w.Body.String(), c.body) {
					t.Errorf("%s: %d %s, want %d and %s", c.what, w.Code, w.Body, c.status, c.body)
				}
				if c.what == "POST /things" && c.key == admin && !strings.Contains(w.Header().Get("RateLimit"), "r=55") {
					t.Errorf("a request that costs 5: %s", w.Header().Get("RateLimit"))
				}
			}
		})
	}
}

// TestAnEscapedSlashAsksForNoOtherOperation: what is asked for is what the server
// serves. Its router may read the path as "7/picture" or as the picture of 7.
func TestAnEscapedSlashAsksForNoOtherOperation(t *testing.T) {
	for name, server := range servers {
		guard := latchkeytest.NewGuard(t, latchkeytest.Options{})
		h, err := server(guard)
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/things/7%2Fpicture", nil))
		if w.Code == 200 && !strings.Contains(w.Body.String(), "picture 7 for nobody") {
			t.Errorf("%s: a thing is served without a key: %s", name, w.Body)
		}
	}
}

// TestAServerWithoutItsGuardIsClosed: nothing that needs a key works where only
// another guard stands in front.
func TestAServerWithoutItsGuardIsClosed(t *testing.T) {
	guard := latchkeytest.NewGuard(t, latchkeytest.Options{})
	reader := latchkeytest.CreateKey(t, guard, latchkey.NewKey{Scopes: []string{"things:read"}})
	ogen, err := ogenapi.NewServer(ogenThings{}, ogenSecurity{})
	if err != nil {
		t.Fatal(err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(document)
	if err != nil {
		t.Fatal(err)
	}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	for name, server := range map[string]http.Handler{"ogen": ogen, "kin-openapi": kinServer{router}} {
		for _, h := range []http.Handler{server, guard.Require(middleware.AnyKey())(server)} {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, reader.Request("GET", "/things", nil))
			if w.Code == 200 {
				t.Errorf("%s is open: %s", name, w.Body)
			}
		}
	}
}

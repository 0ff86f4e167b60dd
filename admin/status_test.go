package admin_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/wontopos/latchkey/admin"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/memstore"
)

// failing is a store of which nothing works, once it is said.
type failing struct {
	storage.Store
	err error
}

func (f *failing) Unwrap() storage.Store { return f.Store }

func (f *failing) Get(ctx context.Context, id string) (storage.Record, error) {
	if f.err != nil {
		return storage.Record{}, f.err
	}
	return f.Store.Get(ctx, id)
}

func (f *failing) Apply(ctx context.Context, c storage.Change) (uint64, error) {
	if f.err != nil {
		return 0, f.err
	}
	return f.Store.Apply(ctx, c)
}

func (f *failing) List(ctx context.Context, q storage.Query) (storage.Listing, error) {
	if f.err != nil {
		return storage.Listing{}, f.err
	}
	return f.Store.List(ctx, q)
}

func (f *failing) Audit(ctx context.Context, q apikey.AuditQuery) ([]apikey.AuditEntry, error) {
	if f.err != nil {
		return nil, f.err
	}
	return f.Store.Audit(ctx, q)
}

// TestRefusalsOfEveryRoute: whatever goes wrong with a request to whichever
// route, the answer is the problem that the rule says. (openapi.yaml is held
// against these exchanges, too: see tools/openapi.)
func TestRefusalsOfEveryRoute(t *testing.T) {
	t.Parallel()
	store := &failing{Store: memstore.New()}
	authorize := signIn
	g := newRigWith(t, store, func(r *http.Request) (admin.Actor, error) {
		switch r.Header.Get("X-Test-User") {
		case "mistake":
			return admin.Actor{}, nil
		case "unknown":
			return admin.Actor{}, &apikey.Error{Code: apikey.Unavailable, Msg: "get"}
		}
		return authorize(r)
	}, admin.Options{})
	k, token := g.key("acme", "production")
	for _, rt := range admin.Routes() {
		if !rt.API {
			continue
		}
		path := strings.ReplaceAll(rt.Path, "{id}", k.ID)
		expect := func(rule string, status int, code string, user, path, body string, edit ...func(*http.Request)) {
			t.Helper()
			a := g.do(user, rt.Method, path, body, edit...)
			if a.status != status {
				t.Errorf("%s %s: %s: status %d, want %d:\n%s", rt.Method, path, rule, a.status, status, a.body)
				return
			}
			if p := a.problem(t); p.Code != code {
				t.Errorf("%s %s: %s: code %q, want %q", rt.Method, path, rule, p.Code, code)
			}
		}
		expect("nobody is signed in", 401, "unauthenticated", "", path, "")
		expect("an API key opens nothing", 403, "forbidden", "operator", path, "", header("Authorization", "Bearer "+token.Reveal()))
		expect("an actor who is none is our mistake", 500, "internal", "mistake", path, "")
		expect("who it is cannot be told", 503, "unavailable", "unknown", path, "")
		expect("a parameter is not known", 422, "invalid_argument", "operator", path+"?nope=1", "")
		if rt.NamesKey {
			missing := strings.ReplaceAll(rt.Path, "{id}", "AAAAAAAAAAAAAAAA")
			expect("there is no such key", 404, "not_found", "operator", missing, "")
			if rt.Writes {
				expect("the key has moved on", 412, "precondition_failed", "operator", path, "{}", header("If-Match", `"99"`))
			}
		}
		if rt.Method != "GET" {
			expect("the body is no JSON", 400, "malformed_body", "operator", path, "{")
			expect("the body is announced as something else", 415, "unsupported_media_type", "operator", path, "{}", header("Content-Type", "text/plain"))
			expect("the body is too long", 413, "body_too_large", "operator", path, `{"x":"`+strings.Repeat("x", 256<<10)+`"}`)
		}
	}
	revoked, _ := g.key("acme", "old")
	g.want(200, "operator", "DELETE", "/v1/keys/"+revoked.ID, "")
	for _, rt := range []string{"PATCH ", "POST /disable", "POST /enable", "POST /rotate", "POST /finish-rotation", "POST /cancel-rotation", "GET /rotation"} {
		method, action, _ := strings.Cut(rt, " ")
		body := `{}`
		switch {
		case method == "GET":
			body = ""
		case method == "PATCH":
			body = `{"name":"x"}`
		}
		if p := g.want(409, "operator", method, "/v1/keys/"+revoked.ID+action, body).problem(t); p.Code != "invalid_state" {
			t.Errorf("%s of a revoked key: %s", rt, p.Code)
		}
	}
	g.want(404, "stranger", "POST", "/v1/identify", `{"token":"`+token.Reveal()+`"}`)

	store.err = errors.New("dial tcp: hidden-text")
	for _, rt := range admin.Routes() {
		e := exchange[rt.Method+" "+rt.Path]
		path := strings.ReplaceAll(rt.Path, "{id}", k.ID)
		if !rt.API || !rt.NamesKey && strings.Contains("/v1/whoami /v1/environments /v1/plans /v1/scopes /v1/health /v1/refresh-plans /v1/openapi.yaml /v1/explain", path) {
			continue // they ask nothing of the store, or have an answer all the same
		}
		body := strings.NewReplacer("TOKEN", token.Reveal(), "OWNER", `,"owner":"acme"`).Replace(e.body)
		if a := g.do("operator", rt.Method, path, body); a.status != 503 || strings.Contains(a.body, "hidden-text") || a.header.Get("Retry-After") == "" {
			t.Errorf("%s %s without a store: %d %v\n%s", rt.Method, path, a.status, a.header, a.body)
		}
	}
}

// TestEveryOperationHasAnAddress: what the service can do, the API can, and a
// new method has to say where.
func TestEveryOperationHasAnAddress(t *testing.T) {
	t.Parallel()
	routes := map[string]bool{}
	for _, rt := range admin.Routes() {
		routes[rt.Method+" "+rt.Path] = true
	}
	for _, method := range admin.ServiceMethods() {
		at, ok := operations[method]
		if !ok {
			t.Errorf("Service.%s has no address: give it one, or say here why not", method)
		} else if strings.Contains(at, " /v1") && !routes[at] {
			t.Errorf("Service.%s is said to be at %s, which is no route", method, at)
		}
	}
}

var operations = map[string]string{
	"Create": "POST /v1/keys", "Get": "GET /v1/keys/{id}", "List": "GET /v1/keys", "Update": "PATCH /v1/keys/{id}",
	"Disable": "POST /v1/keys/{id}/disable", "Enable": "POST /v1/keys/{id}/enable", "Revoke": "POST /v1/keys/{id}/revoke",
	"Rotate": "POST /v1/keys/{id}/rotate", "Rotation": "GET /v1/keys/{id}/rotation",
	"FinishRotation": "POST /v1/keys/{id}/finish-rotation", "CancelRotation": "POST /v1/keys/{id}/cancel-rotation",
	"Usage": "GET /v1/keys/{id}/usage", "Audit": "GET /v1/audit", "Due": "GET /v1/due", "Identify": "POST /v1/identify", "RecordFound": "POST /v1/identify",
	"Activity": "GET /v1/keys", "Explain": "POST /v1/explain", "PepperUse": "GET /v1/pepper-use", "Purge": "POST /v1/purge", "Health": "GET /v1/health",
	"RefreshPlans": "POST /v1/refresh-plans", "Environments": "GET /v1/environments", "Plans": "GET /v1/plans",
	"Scopes": "GET /v1/scopes", "DefaultPlan": "GET /v1/whoami",
	"Verify": "is the API's own door", "Close": "is the program's", "Attach": "is the limiter's", "Store": "is the program's",
	"Redact": "cleans what is shown", "Prefix": "shows in the hint of a key", "MaxAge": "shows in rotate_by of a key",
	"InFlight": "is a figure for metrics", "ObserveDelay": "is a figure for metrics",
}

package admin_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/admin"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/memstore"
)

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	keys := newRig(t).keys
	for rule, tc := range map[string]struct {
		keys      *latchkey.Service
		authorize admin.Authorizer
		o         admin.Options
		names     string
	}{
		"a service is needed":           {nil, signIn, admin.Options{}, "keys"},
		"an authorizer is needed":       {keys, nil, admin.Options{}, "authorize"},
		"an example path is a path":     {keys, signIn, admin.Options{ExamplePath: "v1"}, "Options.ExamplePath"},
		"an example path is plain":      {keys, signIn, admin.Options{ExamplePath: "/'; rm"}, "Options.ExamplePath"},
		"a trusted origin is an origin": {keys, signIn, admin.Options{TrustedOrigins: []string{"https://a.example", "b.example"}}, "Options.TrustedOrigins[1]"},
	} {
		h, err := admin.New(tc.keys, tc.authorize, tc.o)
		if h != nil || apikey.CodeOf(err) != apikey.InvalidArgument || !strings.Contains(err.Error(), "admin.New: "+tc.names) {
			t.Errorf("%s: %v", rule, err)
		}
	}
}

// TestHeaders: every response, whatever it is, has the headers that keep it
// safe; only the style sheet and the module may be stored.
func TestHeaders(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	k, token := g.key("acme", "production")
	body := form("form", g.form("owner", "/new"), "name", "x")
	style := regexp.MustCompile(`href="\./(assets/[^"]+)"`).FindStringSubmatch(g.want(200, "owner", "GET", "/", "").body)
	if style == nil {
		t.Fatal("no style sheet")
	}
	for _, rt := range admin.Routes() { // refusals
		path := strings.NewReplacer("{$}", "", "{id}", k.ID, "{action}", "disable").Replace(rt.Path)
		g.do("", rt.Method, path, "")
		g.do("stranger", rt.Method, path, "")
		g.do("owner", "TRACE", path, "")
	}
	for _, a := range []answer{
		g.do("owner", "GET", "/keys/"+k.ID, ""), g.do("owner", "POST", "/new", body), g.do("owner", "POST", "/new", body),
		g.do("owner", "GET", "/v1/keys", ""), g.do("owner", "POST", "/v1/keys", "{"), g.do("owner", "GET", "/nowhere", ""), g.do("owner", "GET", "/v1/keys/", ""),
		g.do("owner", "GET", "", ""), g.do("owner", "PUT", "/", ""), g.do("owner", "POST", "/keys/"+k.ID+"/disable", ""), g.do("owner", "HEAD", "/", ""),
		g.do("owner", "OPTIONS", "/v1/keys", ""), g.do("owner", "GET", "/v1/keys", "", header("Authorization", "Bearer "+token.Reveal())),
		g.do("", "POST", "/new", "", header("Sec-Fetch-Site", "cross-site")), g.do("", "GET", "/"+style[1], ""), g.do("", "GET", "/assets/admin.css?v=old", ""),
	} {
		_ = a // recorded
	}
	for _, response := range g.bodies {
		for _, want := range []string{
			"Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; " +
				"frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'; trusted-types 'none'\r\n",
			"X-Content-Type-Options: nosniff\r\n", "Referrer-Policy: same-origin\r\n", "X-Frame-Options: DENY\r\n", "X-Request-Id: ",
			"Cross-Origin-Opener-Policy: same-origin\r\n", "Cross-Origin-Resource-Policy: same-origin\r\n",
		} {
			if !strings.Contains(response, want) {
				t.Fatalf("a response lacks %q:\n%s", want, response)
			}
		}
		asset := strings.Contains(response, "Content-Type: text/css") || strings.Contains(response, "Content-Type: text/javascript")
		if !asset && !strings.Contains(response, "Cache-Control: no-store\r\n") {
			t.Errorf("a response may be stored:\n%s", response)
		}
		if strings.Contains(response, "Access-Control-") || strings.Contains(strings.ReplaceAll(response, `<script type="module" src=`, ""), "<script") || strings.Contains(response, " style=") || strings.Contains(response, " onclick") {
			t.Errorf("a response opens what the policy closes:\n%s", response)
		}
	}
	if a := g.do("", "GET", "/"+style[1], ""); !strings.Contains(a.header.Get("Cache-Control"), "immutable") {
		t.Errorf("the style sheet under its own version is kept: %q", a.header.Get("Cache-Control"))
	}
	if a := g.do("", "GET", "/assets/admin.css?v=old", ""); a.header.Get("Cache-Control") != "no-cache" {
		t.Errorf("the style sheet under another version is not: %q", a.header.Get("Cache-Control"))
	}
	tag := g.want(200, "", "GET", "/"+style[1], "").header.Get("ETag")
	if a := g.do("", "GET", "/assets/admin.css?v=old", "", header("If-None-Match", tag)); a.status != 304 || a.body != "" {
		t.Errorf("an asset that the client has: status %d and %d bytes, want 304 and none", a.status, len(a.body))
	}
}

// TestNothingChangesOnGET walks the table: a GET leaves the keys and the trail
// as they were.
func TestNothingChangesOnGET(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	k, _ := g.key("acme", "production")
	before := g.want(200, "operator", "GET", "/v1/keys", "").body + g.want(200, "operator", "GET", "/v1/audit", "").body
	for _, rt := range admin.Routes() {
		path := strings.NewReplacer("{$}", "", "{id}", k.ID, "{action}", "revoke").Replace(rt.Path)
		for _, query := range []string{"", "?confirm=production&name=x&immediately=true&form=x&overlap=none&reason=x"} {
			g.do("operator", "GET", path+query, "")
		}
	}
	if after := g.want(200, "operator", "GET", "/v1/keys", "").body + g.want(200, "operator", "GET", "/v1/audit", "").body; after != before {
		t.Errorf("a GET changes nothing\nbefore %s\nafter  %s", before, after)
	}
}

// TestMount follows the page's addresses in a server, below two mount points.
func TestMount(t *testing.T) {
	t.Parallel()
	for _, mount := range []string{"/settings/keys", ""} {
		g := newRig(t)
		k, _ := g.key("acme", "production")
		mux := http.NewServeMux()
		mux.Handle(mount+"/", http.StripPrefix(mount, g.h))
		if mount != "" {
			mux.Handle(mount, http.StripPrefix(mount, g.h))
		}
		server := httptest.NewServer(mux)
		t.Cleanup(server.Close)
		get := func(path string) (*http.Response, string) {
			t.Helper()
			r, err := http.NewRequestWithContext(t.Context(), "GET", path, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("X-Test-User", "operator")
			r.Header.Set("Accept", "text/html")
			res, err := server.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			return res, string(body)
		}
		for _, path := range []string{"", "/", "/new", "/new/", "/keys/" + k.ID, "/keys/" + k.ID + "/", "/keys/" + k.ID + "/revoke"} {
			res, body := get(server.URL + mount + path)
			if res.StatusCode != 200 {
				t.Errorf("%s%s: status %d", mount, path, res.StatusCode)
			}
			links := regexp.MustCompile(`(?:href|action)="([^"#]*)"`).FindAllStringSubmatch(body, -1)
			if len(links) < 3 {
				t.Errorf("%s%s has no links:\n%s", mount, path, body)
			}
			for _, link := range links {
				to, err := url.Parse(link[1])
				if err != nil || to.IsAbs() || strings.HasPrefix(link[1], "/") {
					t.Errorf("%s%s: %q is not relative", mount, path, link[1])
					continue
				}
				if res, _ := get(res.Request.URL.ResolveReference(to).String()); res.StatusCode != 200 {
					t.Errorf("%s%s: the address %q leads to status %d", mount, path, link[1], res.StatusCode)
				}
			}
		}
		if res, _ := get(server.URL + mount + "/v1/keys/?limit=1"); res.StatusCode != 200 || res.Request.URL.RawQuery != "limit=1" {
			t.Errorf("a slash too many is forgiven: %d %s", res.StatusCode, res.Request.URL)
		}
	}
}

// TestAuthorizer: what an authorizer returns by mistake opens nothing, and the
// text of its errors stays here.
func TestAuthorizer(t *testing.T) {
	t.Parallel()
	for rule, tc := range map[string]struct {
		actor  admin.Actor
		err    error
		status int
		says   string
	}{
		"the zero actor is nobody":             {admin.Actor{}, nil, 500, ""},
		"an actor has an id":                   {admin.Actor{Role: admin.Operator}, nil, 500, ""},
		"an actor has a role":                  {admin.Actor{ID: "x", Owner: "acme"}, nil, 500, ""},
		"a role is one there is":               {admin.Actor{ID: "x", Role: 9, Owner: "acme"}, nil, 500, ""},
		"a customer has an owner":              {admin.Actor{ID: "x", Role: admin.Customer}, nil, 500, ""},
		"an operator has none":                 {admin.Actor{ID: "x", Role: admin.Operator, Owner: "acme"}, nil, 500, ""},
		"an id has no control characters":      {admin.Actor{ID: "x\ny", Role: admin.Operator}, nil, 500, ""},
		"an unknown error is a 401":            {admin.Actor{ID: "x", Role: admin.Operator}, errors.New("pq: hidden-text"), 401, "ign in"},
		"unauthenticated is a 401":             {admin.Actor{}, admin.ErrUnauthenticated, 401, "ign in"},
		"forbidden is a 403":                   {admin.Actor{}, errors.Join(errors.New("hidden-text"), admin.ErrForbidden), 403, "ask for access"},
		"its message is shown":                 {admin.Actor{}, &apikey.Error{Code: apikey.Forbidden, Msg: "your trial has ended"}, 403, "our trial has ended"},
		"an authorizer that cannot say is 503": {admin.Actor{}, &apikey.Error{Code: apikey.Unavailable, Msg: "get", Err: errors.New("hidden-text")}, 503, "try again"},
	} {
		g := newRigWith(t, memstore.New(), func(*http.Request) (admin.Actor, error) { return tc.actor, tc.err }, admin.Options{})
		for _, path := range []string{"/v1/keys", "/"} {
			a := g.want(tc.status, "x", "GET", path, "")
			if strings.Contains(a.body, "hidden-text") || !strings.Contains(a.body, tc.says) {
				t.Errorf("%s: %s", rule, a.body)
			}
			if path == "/v1/keys" {
				a.problem(t)
			}
		}
	}
	g := newRigWith(t, memstore.New(), func(*http.Request) (admin.Actor, error) { return admin.Actor{}, toSignIn{} }, admin.Options{})
	if a := g.want(303, "", "GET", "/", ""); a.header.Get("Location") != "/sign-in" || a.header.Get("X-Frame-Options") != "DENY" {
		t.Errorf("an error that is a handler answers: %v", a.header)
	}
}

type toSignIn struct{}

func (toSignIn) Error() string { return "not signed in" }
func (toSignIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, "/sign-in", http.StatusSeeOther)
}

// brokenStore fails with a text that nobody outside may read.
type brokenStore struct {
	storage.Store
	err error
}

func (b *brokenStore) Unwrap() storage.Store { return b.Store }
func (b *brokenStore) Get(ctx context.Context, id string) (storage.Record, error) {
	if b.err != nil {
		return storage.Record{}, b.err
	}
	return b.Store.Get(ctx, id)
}

func (b *brokenStore) List(ctx context.Context, q storage.Query) (storage.Listing, error) {
	if b.err != nil {
		return storage.Listing{}, b.err
	}
	return b.Store.List(ctx, q)
}

// TestStoreFailure: a failure of the store is a 503 without its text; the log
// has it, under the request's id.
func TestStoreFailure(t *testing.T) {
	t.Parallel()
	store := &brokenStore{Store: memstore.New(), err: errors.New("dial tcp: hidden-text")}
	g := newRigWith(t, store, signIn, admin.Options{})
	for _, path := range []string{"/v1/keys", "/v1/keys/AAAAAAAAAAAAAAAA", "/", "/keys/AAAAAAAAAAAAAAAA"} {
		a := g.want(503, "operator", "GET", path, "", header("X-Request-Id", "trace-of-mine"))
		if strings.Contains(a.body, "hidden-text") || a.header.Get("Retry-After") == "" || a.header.Get("X-Request-Id") != "trace-of-mine" {
			t.Errorf("%s: %v %s", path, a.header, a.body)
		}
	}
	if text := g.log.String(); !strings.Contains(text, "hidden-text") || !strings.Contains(text, "request_id=trace-of-mine") || !strings.Contains(text, "level=ERROR") {
		t.Errorf("the log has the cause:\n%s", text)
	}
	store.err = &apikey.Error{Code: apikey.Internal, Msg: "hidden-text"}
	if a := g.want(500, "operator", "GET", "/v1/keys", ""); strings.Contains(a.body, "hidden-text") {
		t.Errorf("an internal error keeps its text:\n%s", a.body)
	}
}

// TestRequestID: a caller's id joins traces up when it is a plain one.
func TestRequestID(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	for id, kept := range map[string]bool{
		"0af7651916cd43dd8448eb211c80319c": true, "a.b-c.d-e": true,
		"short": false, "has space in it": false, "under_score_is_in_keys": false, "quote\"quote": false, strings.Repeat("x", 65): false,
	} {
		a := g.want(200, "owner", "GET", "/v1/whoami", "", header("X-Request-Id", id))
		if got := a.header.Get("X-Request-Id"); got == "" || (got == id) != kept {
			t.Errorf("X-Request-Id %q came back as %q", id, got)
		}
	}
}

// TestPlanSource: where plans are known by name only, the page asks for one,
// and a customer still has their own.
func TestPlanSource(t *testing.T) {
	t.Parallel()
	keys, err := latchkey.New(memstore.New(), latchkey.Options{PlanSource: billing{}, DefaultPlan: "basic"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = keys.Close(context.Background()) })
	h, err := admin.New(keys, signIn, admin.Options{})
	if err != nil {
		t.Fatal(err)
	}
	g := &rig{t: t, keys: keys, mount: http.StripPrefix("/settings/keys", h), log: new(syncBuffer)}
	for user, want := range map[string]string{"operator": `<input id="plan" name="plan" value="basic"`, "owner": `<input type="radio" name="plan" value="free" checked>`, "stranger": `<input type="radio" name="plan" value="basic" checked>`} {
		if a := g.want(200, user, "GET", "/new", ""); !strings.Contains(a.body, want) {
			t.Errorf("%s: no %q on the form:\n%s", user, want, a.body)
		}
	}
	a := g.want(200, "stranger", "POST", "/new", form("form", g.form("stranger", "/new"), "name", "x", "scopes", "a:read, b:*"))
	if !strings.Contains(a.body, "https://api.example.com/") || !strings.Contains(a.body, "Put your API") {
		t.Errorf("without a base URL the snippets have a placeholder:\n%s", a.body)
	}
	g.want(422, "operator", "POST", "/v1/keys", `{"name":"x","owner":"acme","plan":"nope"}`)
}

type billing struct{}

func (billing) Plan(_ context.Context, name string) (apikey.Plan, error) {
	if name == "basic" || name == "free" {
		return apikey.Plan{Name: name, Limits: []apikey.Limit{apikey.PerMinute(1)}}, nil
	}
	return apikey.Plan{}, apikey.NotFound
}

// TestTrustedOrigins: changes come from our own page, from one that was
// listed, or from a program that is no browser.
func TestTrustedOrigins(t *testing.T) {
	t.Parallel()
	g := newRigWith(t, memstore.New(), signIn, admin.Options{TrustedOrigins: []string{"https://console.example"}})
	for origin, want := range map[string]int{"https://console.example": 201, "https://evil.example": 403, "null": 403, "": 201} {
		g.want(want, "owner", "POST", "/v1/keys", `{"name":"x"}`, func(r *http.Request) {
			if origin != "" {
				r.Header.Set("Origin", origin)
			}
		})
	}
}

// TestFormsBehindTheProxyOfTheDocs: the page takes its own forms on a port of
// its own behind nginx, configured as docs/operations.md says.
func TestFormsBehindTheProxyOfTheDocs(t *testing.T) {
	t.Parallel()
	docs, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	set := regexp.MustCompile(`proxy_set_header Host (\$\w+);`).FindSubmatch(docs)
	if set == nil {
		t.Fatal("the docs do not say how nginx passes Host on")
	}
	variables := map[string]string{"$http_host": "keys.intranet:8080", "$host": "keys.intranet"}
	g := newRig(t)
	g.want(200, "owner", "POST", "/new", form("form", g.form("owner", "/new"), "name", "x"), func(r *http.Request) {
		r.Host = variables[string(set[1])]
		r.Header.Set("Origin", "http://keys.intranet:8080") // over plain HTTP, browsers send no Sec-Fetch-Site
	})
}

// TestOneWayToKeys holds that routes reach keys by the table alone: nothing
// but the gate takes an id from a request.
func TestOneWayToKeys(t *testing.T) {
	t.Parallel()
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		text, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "PathValue(") && f.Name() != "gate.go" {
			t.Errorf("%s reads an id from the path: the gate does, and checks the actor's right to it", f.Name())
		}
	}
}

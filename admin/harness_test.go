package admin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/admin"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/memstore"
)

// The people of these tests. Sign-in is the header X-Test-User.
var people = map[string]admin.Actor{
	"operator":     {ID: "olga", Role: admin.Operator},
	"op-reader":    {ID: "otto", Role: admin.Operator, ReadOnly: true},
	"owner":        {ID: "ann", Role: admin.Customer, Owner: "acme", Plans: []string{"free", "pro"}},
	"owner-reader": {ID: "art", Role: admin.Customer, Owner: "acme", ReadOnly: true},
	"stranger":     {ID: "eve", Role: admin.Customer, Owner: "evil"},
}

func signIn(r *http.Request) (admin.Actor, error) {
	if a, ok := people[r.Header.Get("X-Test-User")]; ok {
		return a, nil
	}
	return admin.Actor{}, admin.ErrUnauthenticated
}

// rig is a handler mounted below /settings/keys/, and all that it said.
type rig struct {
	t     *testing.T
	keys  *latchkey.Service
	h     *admin.Handler
	mount http.Handler
	log   *syncBuffer

	mu     sync.Mutex
	bodies []string // of every response, with its header
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

var catalogue = []apikey.Scope{{Name: "marketplace:read", Description: "look"}, {Name: "marketplace:write"}, {Name: "orders:read"}}

func newRig(t *testing.T) *rig { return newRigWith(t, memstore.New(), signIn, admin.Options{}) }

func newRigWith(t *testing.T, store storage.Store, authorize admin.Authorizer, o admin.Options) *rig {
	t.Helper()
	return newRigFlushing(t, store, authorize, o, 0)
}

// newRigFlushing is for tests that live through months: usage is written every so
// often, 0 for the default.
func newRigFlushing(t *testing.T, store storage.Store, authorize admin.Authorizer, o admin.Options, every time.Duration) *rig {
	t.Helper()
	g := &rig{t: t, log: new(syncBuffer)}
	logger := slog.New(slog.NewTextHandler(g.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	patience := time.Duration(0) // the default
	if _, holds := store.(*gatedStore); holds {
		patience = time.Minute // longer than it holds anything
	}
	g.keys, err = latchkey.New(store, latchkey.Options{
		StoreTimeout: patience,
		Environments: apikey.LiveAndTest("https://api.example.com", "https://sandbox.example.com"),
		Scopes:       catalogue, Logger: logger, FlushEvery: every,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.keys.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	o.Logger = logger
	if g.h, err = admin.New(g.keys, authorize, o); err != nil {
		t.Fatal(err)
	}
	g.mount = http.StripPrefix("/settings/keys", g.h)
	return g
}

// key makes a key without the handler.
func (g *rig) key(owner, name string) (apikey.Key, latchkey.Token) {
	g.t.Helper()
	k, token, err := g.keys.Create(g.t.Context(), apikey.Actor{ID: "test"}, latchkey.NewKey{Name: name, Owner: owner, Metadata: map[string]string{"crm": "private-note"}})
	if err != nil {
		g.t.Fatal(err)
	}
	return k, token
}

// answer is a response, read to its end.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) problem(t *testing.T) (p struct {
	Type, Title, Code, Detail string
	Status                    int
	RequestID                 string `json:"request_id"`
	KeyID                     string `json:"key_id"`
	Errors                    []struct{ Pointer, Parameter, Detail string }
},
) {
	t.Helper()
	if got := a.header.Get("Content-Type"); got != "application/problem+json" {
		t.Fatalf("status %d: refusals are problems, got Content-Type %q:\n%s", a.status, got, a.body)
	}
	if err := json.Unmarshal([]byte(a.body), &p); err != nil {
		t.Fatal(err)
	}
	if p.Status != a.status || p.Type != "https://github.com/wontopos/latchkey/blob/main/docs/errors.md#"+p.Code || p.Title == "" || p.Detail == "" ||
		p.RequestID == "" || p.RequestID != a.header.Get("X-Request-Id") {
		t.Errorf("a problem is complete: %s", a.body)
	}
	return p
}

// do sends a request to a path below the mount point. A body that starts with
// '{' or '[' goes as JSON, any other as a form.
func (g *rig) do(user, method, path, body string, edit ...func(*http.Request)) answer {
	g.t.Helper()
	r := httptest.NewRequestWithContext(g.t.Context(), method, "/settings/keys"+path, strings.NewReader(body))
	switch {
	case strings.HasPrefix(body, "{"), strings.HasPrefix(body, "["):
		r.Header.Set("Content-Type", "application/json")
	case body != "" || !strings.HasPrefix(path, "/v1/"):
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if !strings.HasPrefix(path, "/v1") {
		r.Header.Set("Accept", "text/html,*/*")
	}
	if user != "" {
		r.Header.Set("X-Test-User", user)
	}
	for _, f := range edit {
		f(r)
	}
	w := httptest.NewRecorder()
	g.mount.ServeHTTP(w, r)
	res := w.Result()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	a := answer{res.StatusCode, res.Header, string(raw)}
	record(r, body, a)
	var all strings.Builder
	_ = a.header.Write(&all)
	g.mu.Lock()
	g.bodies = append(g.bodies, all.String()+a.body)
	g.mu.Unlock()
	return a
}

// want sends a request and fails unless it gets the status.
func (g *rig) want(status int, user, method, path, body string, edit ...func(*http.Request)) answer {
	g.t.Helper()
	a := g.do(user, method, path, body, edit...)
	if a.status != status {
		g.t.Fatalf("%s %s as %q: status %d, want %d:\n%s", method, path, user, a.status, status, a.body)
	}
	return a
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

// members decodes a JSON object.
func (a answer) members(t *testing.T) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(a.body), &m); err != nil {
		t.Fatalf("%v:\n%s", err, a.body)
	}
	return m
}

var (
	formField   = regexp.MustCompile(`name="form" value="([^"]+)"`)
	secretField = regexp.MustCompile(`name="secret" value="([^"]+)"`)
)

// hidden finds the value of a field that nobody sees, on a page.
func (g *rig) hidden(field *regexp.Regexp, user, path string) string {
	g.t.Helper()
	a := g.want(200, user, "GET", path, "")
	m := field.FindStringSubmatch(a.body)
	if m == nil {
		g.t.Fatalf("%s has no %s:\n%s", path, field, a.body)
	}
	return m[1]
}

// form is the name of the form on a page; next is the number of the secret that
// a form on it makes.
func (g *rig) form(user, path string) string { g.t.Helper(); return g.hidden(formField, user, path) }

func (g *rig) next(user, path string) string { g.t.Helper(); return g.hidden(secretField, user, path) }

func form(pairs ...string) string {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Add(pairs[i], pairs[i+1])
	}
	return v.Encode()
}

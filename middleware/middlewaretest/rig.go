package middlewaretest

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
)

// patience bounds every wait of the suite. It is far longer than anything
// takes, so that a slow machine does not cause a failure.
const patience = 10 * time.Second

const (
	liveHost    = "api.example.com"
	sandboxHost = "sandbox.example.com"
)

var suite = apikey.Actor{ID: "middlewaretest"}

// rig is one server with keys of its own.
type rig struct {
	*testing.T
	store   *store
	keys    *latchkey.Service
	server  Server
	started chan string // the names of handlers that have started
	ended   chan error  // the error that ended each handler that waits
	release chan struct{}
	over    chan struct{} // closed when the test is
	blocks  atomic.Int64  // that the flood handler has written
	probing bool          // probing for a lack, so failures are not errors
	native  atomic.Pointer[http.Server]
}

func newRig(t *testing.T, h Harness, o middleware.Options) *rig {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	r := &rig{T: t, store: newStore(), started: make(chan string, 100), ended: make(chan error, 100), release: make(chan struct{}), over: make(chan struct{})}
	keys, err := latchkey.New(r.store, latchkey.Options{
		Environments: apikey.LiveAndTest("https://"+liveHost, "https://"+sandboxHost),
		Logger:       quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	o.Logger = quiet
	guard, err := middleware.New(keys, o)
	if err != nil {
		t.Fatal(err)
	}
	r.keys = keys
	t.Cleanup(func() {
		_ = guard.Close(context.Background())
		_ = keys.Close(context.Background())
	})
	r.server = h.Start(t, guard, r.routes())
	t.Cleanup(func() { close(r.over) }) // before the server stops
	if r.server.Client == nil {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		t.Cleanup(transport.CloseIdleConnections)
		r.server.Client = &http.Client{Transport: transport}
	}
	client := *r.server.Client
	client.Timeout = patience
	r.server.Client = &client
	return r
}

// key creates a key that may read things.
func (r *rig) key(change ...func(*latchkey.NewKey)) (id, token string) {
	r.Helper()
	n := latchkey.NewKey{Name: "suite", Owner: "acme", Scopes: []string{"things:read"}}
	for _, f := range change {
		f(&n)
	}
	k, secret, err := r.keys.Create(context.Background(), suite, n)
	if err != nil {
		r.Fatal(err)
	}
	return k.ID, secret.Reveal()
}

func in(environment string) func(*latchkey.NewKey) {
	return func(n *latchkey.NewKey) { n.Environment = environment }
}

func limited(l ...apikey.Limit) func(*latchkey.NewKey) {
	return func(n *latchkey.NewKey) { n.Limits = l }
}

func bound(network string) func(*latchkey.NewKey) {
	return func(n *latchkey.NewKey) { n.Networks = []netip.Prefix{netip.MustParsePrefix(network)} }
}

func (r *rig) revoke(id string) {
	r.Helper()
	if _, err := r.keys.Revoke(context.Background(), suite, id, "suite"); err != nil {
		r.Error(err)
	}
}

// request makes a request to the live host, with a bearer token unless it is
// empty.
func (r *rig) request(method, path, token string, body io.Reader) *http.Request {
	r.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, r.server.URL+path, body)
	if err != nil {
		r.Fatal(err)
	}
	req.Host = liveHost
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return req
}

func (r *rig) get(path, token string) answer {
	r.Helper()
	return r.do(r.request("GET", path, token, nil))
}

// answer is a response that was read to its end.
type answer struct {
	*http.Response
	body    string
	bodyErr error
}

func (r *rig) do(req *http.Request) answer {
	r.Helper()
	res, err := r.server.Client.Do(req)
	if err != nil {
		r.Fatalf("%s %s: %v", req.Method, req.URL.Path, err)
	}
	return read(res)
}

func read(res *http.Response) answer {
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return answer{res, string(body), err}
}

// later sends a request whose response is received elsewhere.
func (r *rig) later(req *http.Request) <-chan result {
	done := make(chan result, 1)
	go func() {
		res, err := r.server.Client.Do(req)
		if err != nil {
			done <- result{err: err}
			return
		}
		done <- result{answer: read(res)}
	}()
	return done
}

type result struct {
	answer
	err error
}

// wait receives a value from a channel, within patience.
func wait[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("waited %v in vain: %s", patience, what)
		panic("unreachable")
	}
}

// refused checks an answer against the row of its code and returns the
// problem's members.
func (r *rig) refused(a answer, code apikey.Code, token string) map[string]any {
	r.Helper()
	info := code.Info()
	if a.StatusCode != info.Status {
		r.Errorf("%s is answered %d, got %d: %s", info.Name, info.Status, a.StatusCode, a.body)
	}
	if got := a.Header.Get("Content-Type"); got != "application/problem+json" {
		r.Errorf("a refusal is a problem document, got Content-Type %q", got)
	}
	if got := a.Header.Get("Cache-Control"); got != "no-store" {
		r.Errorf("a refusal must not be stored, got Cache-Control %q", got)
	}
	var problem map[string]any
	if err := json.Unmarshal([]byte(a.body), &problem); err != nil {
		r.Fatalf("the body of a refusal is JSON: %v in %q", err, a.body)
	}
	for member, want := range map[string]any{
		"type": middleware.ProblemTypeBase + info.Name, "title": info.Title, "code": info.Name, "status": float64(info.Status),
	} {
		if problem[member] != want {
			r.Errorf("problem member %q is %v, got %v", member, want, problem[member])
		}
	}
	for _, member := range []string{"detail", "request_id"} {
		if s, _ := problem[member].(string); s == "" {
			r.Errorf("a problem has the member %q: %s", member, a.body)
		}
	}
	if token != "" && strings.Contains(a.body, token[len(token)-30:]) {
		r.Errorf("an answer never holds the key: %s", a.body)
	}
	if strings.Contains(a.body, "pq:") || strings.Contains(a.body, "apikey:") {
		r.Errorf("an answer never holds an error's text: %s", a.body)
	}
	return problem
}

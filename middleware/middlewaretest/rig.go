package middlewaretest

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
)

// rig is one server with keys of its own.
type rig struct {
	*kit
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
	k, guard := newKit(t, o)
	r := &rig{kit: k, started: make(chan string, 100), ended: make(chan error, 100), release: make(chan struct{}), over: make(chan struct{})}
	r.server = h.Start(t, guard, r.routes())
	t.Cleanup(func() { close(r.over) }) // before the server stops
	r.server.Client = r.server.client(t)
	return r
}

// client returns the server's client, with patience.
func (s Server) client(t *testing.T) *http.Client {
	client := http.Client{}
	if s.Client != nil {
		client = *s.Client
	} else {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		t.Cleanup(transport.CloseIdleConnections)
		client.Transport = transport
	}
	client.Timeout = patience
	return &client
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

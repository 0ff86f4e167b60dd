package latchmcp_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/latchkeytest"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/middleware/latchmcp"
)

var ops = apikey.Actor{ID: "ops@example.com"}

// options are those of most tests: the tool "hidden" and resources have no row.
var options = latchmcp.Options{
	Tools: map[string]middleware.Route{
		"read":  {Need: middleware.AllOf("things:read")},
		"write": {Need: middleware.AllOf("things:write")},
		"dear":  {Need: middleware.AnyKey(), Cost: 10},
	},
	Methods: map[string]middleware.Route{"prompts/list": {Need: middleware.AllOf("prompts:read")}},
}

var (
	stateful  = mcp.StreamableHTTPOptions{}
	stateless = mcp.StreamableHTTPOptions{Stateless: true}
	// plainJSON answers with one JSON document, where the default is a stream of events.
	plainJSON = mcp.StreamableHTTPOptions{Stateless: true, JSONResponse: true}
)

// kit is an MCP server on a socket, all of whose tools call serve.
type kit struct {
	t       testing.TB
	guard   *middleware.Guard
	server  *mcp.Server
	handler *latchmcp.Handler
	url     string
	calls   atomic.Int64

	serve func(ctx context.Context, r *mcp.CallToolRequest) (string, error)
}

type noArguments struct{}

func newKit(t testing.TB, transport mcp.StreamableHTTPOptions, o latchmcp.Options, g latchkeytest.Options) *kit {
	t.Helper()
	g.Service.Plans = []apikey.Plan{{Name: "small", Limits: []apikey.Limit{apikey.PerDay(30)}}}
	k := &kit{t: t, guard: latchkeytest.NewGuard(t, g), server: mcp.NewServer(&mcp.Implementation{Name: "things"}, nil)}
	k.serve = func(ctx context.Context, _ *mcp.CallToolRequest) (string, error) {
		p, _ := middleware.PrincipalFrom(ctx)
		return "things of " + p.Owner(), nil
	}
	for _, name := range []string{"read", "write", "dear", "hidden"} {
		mcp.AddTool(k.server, &mcp.Tool{Name: name}, func(ctx context.Context, r *mcp.CallToolRequest, _ noArguments) (*mcp.CallToolResult, any, error) {
			k.calls.Add(1)
			text, err := k.serve(ctx, r)
			return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: text}}}, nil, err
		})
	}
	k.server.AddResource(&mcp.Resource{URI: "file:///secret", Name: "secret"}, func(context.Context, *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
		t.Error("a resource without a row was read")
		return nil, errors.New("read")
	})
	o.Transport = &transport
	k.handler = latchmcp.New(k.guard, k.server, o)
	s := httptest.NewUnstartedServer(k.handler)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Start()
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	k.url = s.URL
	return k
}

func (k *kit) key(scopes ...string) *latchkeytest.Key {
	k.t.Helper()
	return latchkeytest.CreateKey(k.t, k.guard, latchkey.NewKey{Owner: "acme", Plan: "small", Scopes: scopes})
}

// keyed sends a key with every request, as a headless client does.
type keyed struct {
	guard *middleware.Guard
	token string
}

func (c keyed) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	c.guard.SetCredential(r, c.token)
	return http.DefaultTransport.RoundTrip(r)
}

func (k *kit) dial(key *latchkeytest.Key) (*mcp.ClientSession, error) {
	client := mcp.NewClient(&mcp.Implementation{Name: "headless"}, nil)
	return client.Connect(k.t.Context(), &mcp.StreamableClientTransport{
		Endpoint: k.url, MaxRetries: -1,
		HTTPClient: &http.Client{Transport: keyed{k.guard, key.Token.Reveal()}},
	}, nil)
}

func (k *kit) connect(key *latchkeytest.Key) *mcp.ClientSession {
	k.t.Helper()
	s, err := k.dial(key)
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() { _ = s.Close() })
	return s
}

// call calls a tool and returns its text.
func call(ctx context.Context, s *mcp.ClientSession, tool string) (string, error) {
	result, err := s.CallTool(ctx, &mcp.CallToolParams{Name: tool})
	if err != nil {
		return "", err
	}
	text, _ := result.Content[0].(*mcp.TextContent)
	if result.IsError {
		return "", errors.New(text.Text)
	}
	return text.Text, nil
}

// refusal is what a client is told in the form of JSON-RPC.
type refusal struct {
	Code       string
	Detail     string
	Status     int
	Missing    []string `json:"missing_scopes"`
	RetryAfter int      `json:"retry_after"`
}

func refused(t testing.TB, err error) (code int64, message string, r refusal) {
	t.Helper()
	var e *jsonrpc.Error
	if !errors.As(err, &e) {
		t.Fatalf("the client got %v, want an error of JSON-RPC", err)
	}
	if err := json.Unmarshal(e.Data, &r); err != nil {
		t.Fatalf("%s: %v", e.Data, err)
	}
	return e.Code, e.Message, r
}

// raw is an HTTP request of MCP made by hand.
func (k *kit) raw(ctx context.Context, key *latchkeytest.Key, method, body string, fields ...string) *http.Response {
	k.t.Helper()
	r, err := http.NewRequestWithContext(ctx, method, k.url, strings.NewReader(body))
	if err != nil {
		k.t.Fatal(err)
	}
	if key != nil {
		k.guard.SetCredential(r, key.Token.Reveal())
	}
	r.Header.Set("Accept", "application/json, text/event-stream")
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	w, err := http.DefaultClient.Do(r)
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() { _ = w.Body.Close() })
	return w
}

const initialize = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"x","version":"1"}}}`

func calling(tool string) string {
	return `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"` + tool + `","arguments":{}}}`
}

// post sends messages and returns the status, what is left of the day, and the
// messages that came back.
func (k *kit) post(key *latchkeytest.Key, body string) (status int, left, answer string) {
	k.t.Helper()
	w := k.raw(k.t.Context(), key, http.MethodPost, body)
	raw, err := io.ReadAll(w.Body)
	if err != nil {
		k.t.Fatal(err)
	}
	_, left, _ = strings.Cut(w.Header.Get("RateLimit"), "r=")
	left, _, _ = strings.Cut(left, ";")
	var data bytes.Buffer
	lines := bufio.NewScanner(bytes.NewReader(raw))
	for lines.Scan() {
		data.WriteString(strings.TrimPrefix(lines.Text(), "data: ") + "\n")
	}
	return w.StatusCode, left, data.String()
}

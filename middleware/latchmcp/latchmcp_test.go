package latchmcp_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/latchkeytest"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/middleware/latchmcp"
)

var transports = map[string]mcp.StreamableHTTPOptions{"stateful": stateful, "stateless": stateless, "plain JSON": plainJSON}

// TestAClientWithAKeyListsAndCallsTools: over each form of the transport, with
// nothing of OAuth.
func TestAClientWithAKeyListsAndCallsTools(t *testing.T) {
	for name, transport := range transports {
		t.Run(name, func(t *testing.T) {
			k := newKit(t, transport, options, latchkeytest.Options{})
			s := k.connect(k.key("things:*"))
			tools, err := s.ListTools(t.Context(), nil)
			if err != nil || len(tools.Tools) != 4 {
				t.Fatalf("the tools are %v, %v", tools, err)
			}
			for _, tool := range []string{"read", "write", "dear"} {
				if text, err := call(t.Context(), s, tool); err != nil || text != "things of acme" {
					t.Errorf("%s answered %q, %v", tool, text, err)
				}
			}
		})
	}
}

// TestAToolNeedsItsScopes: the refusal is an error of JSON-RPC that says what is
// missing, the tool does not run, and the session works on.
func TestAToolNeedsItsScopes(t *testing.T) {
	for name, transport := range transports {
		t.Run(name, func(t *testing.T) {
			k := newKit(t, transport, options, latchkeytest.Options{})
			s := k.connect(k.key("things:read"))
			_, err := call(t.Context(), s, "write")
			code, message, r := refused(t, err)
			if code != 403 || r.Status != 403 || r.Code != "insufficient_scope" || !slices.Equal(r.Missing, []string{"things:write"}) ||
				message != r.Detail || !strings.Contains(message, `"things:write"`) {
				t.Errorf("the refusal is %d %q %+v", code, message, r)
			}
			if n := k.calls.Load(); n != 0 {
				t.Errorf("%d tools ran", n)
			}
			if _, err := s.ListPrompts(t.Context(), nil); err == nil {
				t.Error("a method ran without its scope")
			}
			if text, err := call(t.Context(), s, "read"); err != nil {
				t.Errorf("afterwards the session answers %q, %v", text, err)
			}
		})
	}
}

// TestWhatHasNoRowIsRefused: tools, and methods that read something.
func TestWhatHasNoRowIsRefused(t *testing.T) {
	k := newKit(t, stateful, options, latchkeytest.Options{})
	s := k.connect(k.key("things:*"))
	_, err := call(t.Context(), s, "hidden")
	if _, _, r := refused(t, err); r.Code != "unknown_tool" {
		t.Errorf("the refusal is %+v", r)
	}
	_, err = s.ReadResource(t.Context(), &mcp.ReadResourceParams{URI: "file:///secret"})
	if _, _, r := refused(t, err); r.Code != "unknown_method" {
		t.Errorf("the refusal is %+v", r)
	}
	if n := k.calls.Load(); n != 0 {
		t.Errorf("%d tools ran", n)
	}
}

// TestARequestIsChargedOnce: what its tool costs, and nothing if the tool's door
// refuses it.
func TestARequestIsChargedOnce(t *testing.T) {
	for name, transport := range map[string]mcp.StreamableHTTPOptions{"events": stateless, "plain JSON": plainJSON} {
		t.Run(name, func(t *testing.T) {
			decided := make(chan apikey.Code, 100)
			k := newKit(t, transport, options, latchkeytest.Options{Guard: middleware.Options{
				OnDecision: func(_ context.Context, o middleware.Outcome) { decided <- o.Code() },
			}})
			key := k.key("things:read")
			for i, step := range []struct{ body, left, code string }{
				{`{"jsonrpc":"2.0","id":1,"method":"ping"}`, "29", ""},
				{calling("read"), "28", ""},
				{calling("write"), "27", "insufficient_scope"}, // the field was set at the HTTP request's door
				{calling("write"), "27", "insufficient_scope"},
				{calling("dear"), "27", ""}, // 28 - 10
				{calling("dear"), "17", ""},
				{calling("dear"), "7", "rate_limited"},
				{calling("dear"), "7", "rate_limited"},
				{calling("read"), "7", ""},
			} {
				status, left, body := k.post(key, step.body)
				if status != http.StatusOK || left != step.left || step.code != "" && !strings.Contains(body, `"code":"`+step.code+`"`) ||
					strings.Contains(body, `"error"`) != (step.code != "") {
					t.Errorf("%d: %s: %d with %s left: %s", i, step.body, status, left, body)
				}
			}
			ok, scope, limited := apikey.OK, apikey.InsufficientScope, apikey.RateLimited
			for i, want := range []apikey.Code{ok, ok, scope, scope, ok, ok, limited, limited, ok} {
				if got := <-decided; got != want {
					t.Errorf("decision %d is %v, want %v", i, got, want)
				}
			}
			if n := k.calls.Load(); n != 4 {
				t.Errorf("%d tools ran", n)
			}
		})
	}
}

// TestALimitedClientLearnsWhenToComeBack: at the door of a tool in the error, and
// its session lives on.
func TestALimitedClientLearnsWhenToComeBack(t *testing.T) {
	k := newKit(t, stateless, options, latchkeytest.Options{})
	s := k.connect(k.key("things:read"))
	var err error
	for err == nil {
		_, err = call(t.Context(), s, "dear")
	}
	if code, _, r := refused(t, err); code != 429 || r.RetryAfter < 1 {
		t.Errorf("the refusal is %d %+v", code, r)
	}
	if text, err := call(t.Context(), s, "read"); err != nil {
		t.Errorf("afterwards the session answers %q, %v", text, err)
	}
}

// TestAnHTTPRequestBringsOneRequest: a batch does not get many calls for the
// price of one.
func TestAnHTTPRequestBringsOneRequest(t *testing.T) {
	k := newKit(t, stateless, options, latchkeytest.Options{})
	batch := "[" + calling("read") + "," + strings.Replace(calling("read"), "7", "8", 1) + "]"
	if status, _, body := k.post(k.key("things:read"), batch); status != http.StatusOK || !strings.Contains(body, `"code":"batch"`) || k.calls.Load() != 1 {
		t.Errorf("%d: %s; %d tools ran", status, body, k.calls.Load())
	}
}

// TestASessionBelongsToItsKey: another key cannot use it, whatever it may do; a
// new secret of the same key can.
func TestASessionBelongsToItsKey(t *testing.T) {
	k := newKit(t, stateful, options, latchkeytest.Options{})
	mine, other := k.key("things:read"), k.key("things:*")
	id := k.raw(t.Context(), mine, http.MethodPost, initialize).Header.Get("Mcp-Session-Id")
	for _, method := range []string{http.MethodPost, http.MethodGet, http.MethodDelete} {
		if w := k.raw(t.Context(), other, method, calling("read"), "Mcp-Session-Id", id); w.StatusCode != http.StatusForbidden {
			t.Errorf("%s with another key is answered with %d", method, w.StatusCode)
		}
	}
	_, token, err := k.guard.Keys().Rotate(t.Context(), ops, mine.ID, latchkey.RotateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	mine.Token = token
	w := k.raw(t.Context(), mine, http.MethodPost, calling("read"), "Mcp-Session-Id", id)
	if body, _ := io.ReadAll(w.Body); w.StatusCode != http.StatusOK || !strings.Contains(string(body), "things of acme") {
		t.Errorf("the new secret is answered with %d: %s", w.StatusCode, body)
	}
}

// TestAToolSeesTheKeyOfItsOwnRequest: not that of the session's first one.
func TestAToolSeesTheKeyOfItsOwnRequest(t *testing.T) {
	k := newKit(t, stateful, options, latchkeytest.Options{})
	k.serve = func(ctx context.Context, r *mcp.CallToolRequest) (string, error) {
		p, _ := middleware.PrincipalFrom(ctx)
		return p.Name() + " " + strings.Join(r.Extra.TokenInfo.Scopes, " "), nil
	}
	key := k.key("things:read")
	s := k.connect(key)
	name, scopes := "renamed", []string{"things:read", "things:write"}
	if _, err := k.guard.Keys().Update(t.Context(), ops, key.ID, latchkey.Update{Name: &name, Scopes: &scopes}); err != nil {
		t.Fatal(err)
	}
	if text, err := call(t.Context(), s, "write"); err != nil || text != "renamed things:read things:write" {
		t.Errorf("the tool saw %q, %v", text, err)
	}
}

// TestKeysMayComeElsewhere: in a field of their own, which tools do not see if
// the guard strips it.
func TestKeysMayComeElsewhere(t *testing.T) {
	k := newKit(t, stateful, options, latchkeytest.Options{Guard: middleware.Options{
		Extractors: []middleware.Extractor{middleware.Header("X-API-Key")}, StripCredential: true,
	}})
	k.serve = func(_ context.Context, r *mcp.CallToolRequest) (string, error) {
		return r.Extra.Header.Get("X-API-Key") + r.Extra.Header.Get("Authorization") + "nothing", nil
	}
	if text, err := call(t.Context(), k.connect(k.key("things:read")), "read"); err != nil || text != "nothing" {
		t.Errorf("the tool saw %q, %v", text, err)
	}
}

// TestNobodyComesByAnotherWay: neither over another transport, nor by the door of
// another endpoint, whose rows may ask for less.
func TestNobodyComesByAnotherWay(t *testing.T) {
	k := newKit(t, stateless, options, latchkeytest.Options{})
	here, there := mcp.NewInMemoryTransports()
	if _, err := k.server.Connect(t.Context(), there, nil); err != nil {
		t.Fatal(err)
	}
	_, err := mcp.NewClient(&mcp.Implementation{Name: "x"}, nil).Connect(t.Context(), here, nil)
	if code, _, r := refused(t, err); code != 401 || r.Code != "missing_key" {
		t.Errorf("in memory: %d %+v", code, r)
	}

	second := latchmcp.New(k.guard, k.server, latchmcp.Options{Tools: options.Tools, Transport: &stateless})
	w := httptest.NewRecorder()
	r := k.key("things:read").Request(http.MethodPost, "/", strings.NewReader(calling("read")))
	r.Header.Set("Accept", "application/json, text/event-stream")
	r.Header.Set("Content-Type", "application/json")
	second.ServeHTTP(w, r)
	if body := w.Body.String(); !strings.Contains(body, `"code":"missing_key"`) || k.calls.Load() != 0 {
		t.Errorf("by the door of another endpoint: %s", body)
	}
}

// TestAPreflightReachesTheTransport: it brings no key, and gets nothing.
func TestAPreflightReachesTheTransport(t *testing.T) {
	k := newKit(t, stateful, options, latchkeytest.Options{Guard: middleware.Options{PreflightCORS: true}})
	w := k.raw(t.Context(), nil, http.MethodOptions, "", "Origin", "https://example.com", "Access-Control-Request-Method", "POST")
	if w.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("it is answered with %d", w.StatusCode)
	}
}

// TestAnErrorHandlersAnswer: what is no JSON does not reach clients, and the code
// does.
func TestAnErrorHandlersAnswer(t *testing.T) {
	k := newKit(t, stateful, options, latchkeytest.Options{Guard: middleware.Options{
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, o middleware.Outcome) { http.Error(w, "no", o.Status()) },
	}})
	_, err := call(t.Context(), k.connect(k.key()), "read")
	if code, message, r := refused(t, err); code != 403 || r.Code != "insufficient_scope" || message != apikey.InsufficientScope.Info().Title {
		t.Errorf("the refusal is %d %q %+v", code, message, r)
	}
}

// TestMetadata: a refusal over HTTP says where they are, and they say where to
// get a key.
func TestMetadata(t *testing.T) {
	o := options
	o.Resource, o.Documentation = "https://api.example.com/mcp", "https://example.com/keys"
	k := newKit(t, stateless, o, latchkeytest.Options{})
	challenge := k.raw(t.Context(), nil, http.MethodPost, initialize).Header.Get("WWW-Authenticate")
	if want := `Bearer realm="api", resource_metadata="https://api.example.com/.well-known/oauth-protected-resource/mcp"`; challenge != want {
		t.Errorf("the challenge is %s, want %s", challenge, want)
	}
	path, document := k.handler.Metadata()
	if path != "/.well-known/oauth-protected-resource/mcp" {
		t.Errorf("the path is %s", path)
	}
	w := httptest.NewRecorder()
	document.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	var got map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	scopes, _ := json.Marshal(got["scopes_supported"])
	if got["resource"] != o.Resource || got["resource_documentation"] != o.Documentation || got["authorization_servers"] != nil ||
		string(scopes) != `["prompts:read","things:read","things:write"]` {
		t.Errorf("the metadata are %s", w.Body)
	}
}

// TestMistakesInTheOptionsPanic: before anything is served.
func TestMistakesInTheOptionsPanic(t *testing.T) {
	guard := latchkeytest.NewGuard(t, latchkeytest.Options{})
	for want, make := range map[string]func(o *latchmcp.Options){
		"Route.Need": func(o *latchmcp.Options) { o.Tools = map[string]middleware.Route{"read": {}} },
		"a row for each tool": func(o *latchmcp.Options) {
			o.Methods = map[string]middleware.Route{"tools/call": {Need: middleware.AnyKey()}}
		},
		`"/mcp" is not an address`:     func(o *latchmcp.Options) { o.Resource = "/mcp" },
		"Options.Resource is empty":    func(*latchmcp.Options) {},
		`"ftp://x/" is not an address`: func(o *latchmcp.Options) { o.Resource = "ftp://x/" },
	} {
		t.Run(want, func(t *testing.T) {
			defer func() {
				if text, _ := recover().(string); !strings.Contains(text, want) {
					t.Errorf("it says %q", text)
				}
			}()
			var o latchmcp.Options
			make(&o)
			latchmcp.New(guard, mcp.NewServer(&mcp.Implementation{Name: "x"}, nil), o).Metadata()
		})
	}
}

package latchmcp_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/latchkeytest"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/middleware/latchmcp"
)

// required is the SDK's middleware around a handler that tells what it was told.
func required(d *middleware.Door, got **auth.TokenInfo) http.Handler {
	return auth.RequireBearerToken(latchmcp.TokenVerifier(d), nil)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		*got = auth.TokenInfoFromContext(r.Context())
	}))
}

// TestTheVerifierTellsTheSDKAboutTheKey: who it is, and an expiry that the SDK
// takes also of a key that has none. It is another one for the next request.
func TestTheVerifierTellsTheSDKAboutTheKey(t *testing.T) {
	guard := latchkeytest.NewGuard(t, latchkeytest.Options{})
	door := guard.Door(middleware.Route{Need: middleware.AllOf("things:read")})
	ends := time.Now().Add(48 * time.Hour).Truncate(time.Second)
	for name, c := range map[string]struct{ expires, earliest, latest time.Time }{
		"no expiry":   {time.Time{}, time.Now().Add(59 * time.Minute), time.Now().Add(61 * time.Minute)},
		"with expiry": {ends, ends, ends},
	} {
		t.Run(name, func(t *testing.T) {
			key := latchkeytest.CreateKey(t, guard, latchkey.NewKey{Owner: "acme", Scopes: []string{"things:read"}, ExpiresAt: c.expires})
			var info, next *auth.TokenInfo
			w := httptest.NewRecorder()
			required(door, &info).ServeHTTP(w, key.Request("POST", "/mcp", nil))
			if w.Code != 200 || info == nil {
				t.Fatalf("the SDK answers %d %s", w.Code, w.Body)
			}
			p, _ := info.Extra["principal"].(*apikey.Principal)
			if info.UserID != key.ID || len(info.Scopes) != 1 || info.Scopes[0] != "things:read" || p == nil || p.Owner() != "acme" {
				t.Errorf("the SDK is told %+v", info)
			}
			if info.Expiration.Before(c.earliest) || info.Expiration.After(c.latest) {
				t.Errorf("the expiry is %v, want %v to %v", info.Expiration, c.earliest, c.latest)
			}
			required(door, &next).ServeHTTP(httptest.NewRecorder(), key.Request("POST", "/mcp", nil))
			if rolls := next.Expiration.After(info.Expiration); rolls != c.expires.IsZero() {
				t.Errorf("the next request has the expiry %v after %v", next.Expiration, info.Expiration)
			}
		})
	}
}

// TestTheVerifierRefuses what the door refuses, with the status that the SDK has
// for it, the guard's sentence, and the code.
func TestTheVerifierRefuses(t *testing.T) {
	guard := latchkeytest.NewGuard(t, latchkeytest.Options{})
	door := guard.Door(middleware.Route{Need: middleware.AllOf("things:read")})
	good := latchkey.NewKey{Scopes: []string{"things:read"}}
	elsewhere := good
	elsewhere.Networks = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for name, c := range map[string]struct {
		key    latchkey.NewKey
		end    func(*latchkeytest.Key)
		edit   func(*http.Request)
		status int
		code   apikey.Code
	}{
		"revoked":       {good, (*latchkeytest.Key).Revoke, nil, 401, apikey.RevokedKey},
		"expired":       {good, (*latchkeytest.Key).Expire, nil, 401, apikey.ExpiredKey},
		"limited":       {good, (*latchkeytest.Key).Exhaust, nil, 400, apikey.RateLimited},
		"no scope":      {latchkey.NewKey{}, nil, nil, 400, apikey.InsufficientScope},
		"wrong network": {elsewhere, nil, func(r *http.Request) { r.RemoteAddr = "192.0.2.1:1" }, 400, apikey.NetworkNotAllowed},
		"mistyped":      {good, nil, func(r *http.Request) { r.Header.Set("Authorization", r.Header.Get("Authorization")+"x") }, 401, apikey.InvalidKey},
	} {
		t.Run(name, func(t *testing.T) {
			key := latchkeytest.CreateKey(t, guard, c.key)
			if c.end != nil {
				c.end(key)
			}
			r := key.Request("POST", "/mcp", nil)
			if c.edit != nil {
				c.edit(r)
			}
			var info *auth.TokenInfo
			w := httptest.NewRecorder()
			required(door, &info).ServeHTTP(w, r)
			_, err := latchmcp.TokenVerifier(door)(t.Context(), key.Token.Reveal(), r)
			if w.Code != c.status || info != nil || !errors.Is(err, c.code) || err.Error() != strings.TrimSpace(w.Body.String()) || len(err.Error()) < 20 {
				t.Errorf("the SDK answers %d %q, and the error is %v; want %d and %v", w.Code, w.Body, err, c.status, c.code)
			}
		})
	}
}

// TestAVerifierLeavesTheTokensOfOthers to the next one, if the door does.
func TestAVerifierLeavesTheTokensOfOthers(t *testing.T) {
	guard := latchkeytest.NewGuard(t, latchkeytest.Options{})
	keys := latchmcp.TokenVerifier(guard.Door(middleware.Route{Need: middleware.AnyKey(), Others: true}))
	r := httptest.NewRequest("POST", "/mcp", nil)
	r.Header.Set("Authorization", "Bearer eyJhbGciOiJFUzI1NiJ9.e30.c2ln")
	_, err := keys(t.Context(), "eyJhbGciOiJFUzI1NiJ9.e30.c2ln", r)
	if _, coded := errors.AsType[apikey.Code](err); coded || !errors.Is(err, auth.ErrInvalidToken) {
		t.Errorf("the error is %v", err)
	}
}

// TestAServerBehindTheVerifier: a client of the SDK lists tools with a key, and
// its session ends with the key at the next request.
func TestAServerBehindTheVerifier(t *testing.T) {
	guard := latchkeytest.NewGuard(t, latchkeytest.Options{})
	server := mcp.NewServer(&mcp.Implementation{Name: "things"}, nil)
	mcp.AddTool(server, &mcp.Tool{Name: "whose"}, func(_ context.Context, r *mcp.CallToolRequest, _ noArguments) (*mcp.CallToolResult, any, error) {
		p := r.Extra.TokenInfo.Extra["principal"].(*apikey.Principal)
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: p.Owner()}}}, nil, nil
	})
	door := guard.Door(middleware.Route{Need: middleware.AnyKey()})
	s := httptest.NewServer(auth.RequireBearerToken(latchmcp.TokenVerifier(door), nil)(
		mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, &stateful)))
	t.Cleanup(s.Close)
	k := &kit{t: t, guard: guard, url: s.URL}
	key := latchkeytest.CreateKey(t, guard, latchkey.NewKey{Owner: "acme"})
	session := k.connect(key)
	if text, err := call(t.Context(), session, "whose"); err != nil || text != "acme" {
		t.Errorf("the tool answers %q, %v", text, err)
	}
	key.Revoke()
	if _, err := call(t.Context(), session, "whose"); err == nil {
		t.Error("a revoked key calls a tool")
	}
}

package latchconnect_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/middleware/latchconnect"
)

func TestAnAdmittedCallHasItsPrincipalAndItsLimits(t *testing.T) {
	each(t, func(t *testing.T, k *kit) {
		id, token := k.key()
		k.get = func(ctx context.Context, in string) (string, error) {
			p, ok := middleware.PrincipalFrom(ctx)
			return fmt.Sprint(in, " ", ok && p.KeyID() == id), nil
		}
		out, header, err := k.call("/test.Things/Get", "hello", token)
		if err != nil || out != "hello true" {
			t.Fatalf("the call returned %q, %v", out, err)
		}
		if p, l := header.Get("RateLimit-Policy"), header.Get("RateLimit"); p != `"minute";q=1000000;w=60` || !strings.HasPrefix(l, `"minute";r=999999;t=`) {
			t.Errorf("the header is %v, without the limits", header)
		}
		if _, header, err = k.call("/test.Things/Dear", "", token); err != nil || !strings.HasPrefix(header.Get("RateLimit"), `"minute";r=999996;`) {
			t.Errorf("a call that costs 3: %v, %v", header, err)
		}
	})
}

func TestRefusals(t *testing.T) {
	each(t, func(t *testing.T, k *kit) {
		revoked, revokedToken := k.key()
		k.revoke(revoked)
		_, good := k.key()
		_, sandbox := k.key(func(n *latchkey.NewKey) { n.Environment = "test" })
		_, elsewhere := k.key(func(n *latchkey.NewKey) { n.Networks = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} })
		_, here := k.key(func(n *latchkey.NewKey) { n.Networks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
		_, limited := k.key(func(n *latchkey.NewKey) { n.Limits = []apikey.Limit{apikey.PerDay(1)} })
		if _, _, err := k.call("/test.Things/Get", "", limited); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			name, token, method string
			code                connect.Code
			why                 string
			about               map[string]string
		}{
			{"without a key", "", "Get", connect.CodeUnauthenticated, "MISSING_KEY", nil},
			{"of a malformed field", good + " x", "Get", connect.CodeInvalidArgument, "MALFORMED_REQUEST", nil},
			{"with an unknown key", strings.Repeat("x", 60), "Get", connect.CodeUnauthenticated, "INVALID_KEY", nil},
			{"with a revoked key", revokedToken, "Get", connect.CodeUnauthenticated, "REVOKED_KEY", nil},
			{"with another host's key", sandbox, "Get", connect.CodeUnauthenticated, "ENVIRONMENT_MISMATCH", map[string]string{"base_url": "https://sandbox.example.com"}},
			{"from another network", elsewhere, "Get", connect.CodePermissionDenied, "NETWORK_NOT_ALLOWED", nil},
			{"from the key's network", here, "Get", 0, "", nil},
			{"without the scope", good, "Write", connect.CodePermissionDenied, "INSUFFICIENT_SCOPE", map[string]string{"missing_scopes": "things:write"}},
			{"over the limit", limited, "Get", connect.CodeResourceExhausted, "RATE_LIMITED", nil},
			{"with no key where it is optional", "", "Optional", 0, "", nil},
			{"with a bad key where it is optional", "x", "Optional", connect.CodeUnauthenticated, "INVALID_KEY", nil},
		} {
			_, _, err := k.call("/test.Things/"+c.method, "", c.token)
			calls := map[string]error{"a unary call ": err}
			if c.method == "Get" && c.code != 0 {
				s := k.open(c.token)
				if s.Receive() {
					t.Errorf("a stream %s has a message", c.name)
				}
				calls["a stream "] = s.Err()
			}
			for kind, err := range calls {
				expect(t, err, c.code, c.why)
				_, _, about, retry := reason(t, err)
				if len(about)+len(c.about) > 0 && fmt.Sprint(about) != fmt.Sprint(c.about) {
					t.Errorf("%s: the metadata of ErrorInfo are %v, want %v", kind+c.name, about, c.about)
				}
				if limited := c.code == connect.CodeResourceExhausted; limited != (retry > 23*time.Hour) {
					t.Errorf("%s: RetryInfo says %v", kind+c.name, retry)
				}
			}
			var e *connect.Error
			if errors.As(err, &e) {
				if limited := c.code == connect.CodeResourceExhausted; limited != (e.Meta().Get("Retry-After") != "") || e.Meta().Get("Cache-Control") != "no-store" {
					t.Errorf("%s: the header is %v", c.name, e.Meta())
				}
				if c.code == connect.CodeUnauthenticated && !strings.HasPrefix(e.Meta().Get("WWW-Authenticate"), `Bearer realm="things"`) {
					t.Errorf("%s: the header %v has no challenge", c.name, e.Meta())
				}
			}
		}
	})
}

func TestAStoreThatIsDownIsUnavailable(t *testing.T) {
	each(t, func(t *testing.T, k *kit) {
		_, token := k.key()
		k.store.down.Store(true)
		_, _, err := k.call("/test.Things/Get", "", token)
		expect(t, err, connect.CodeUnavailable, "UNAVAILABLE")
		if _, _, _, retry := reason(t, err); retry != time.Second {
			t.Errorf("RetryInfo says %v", retry)
		}
	})
}

// TestAMethodWithoutARowIsRefused: unary and streaming, with any key, and the
// refusal says what to do.
func TestAMethodWithoutARowIsRefused(t *testing.T) {
	each(t, func(t *testing.T, k *kit) {
		k.get = func(context.Context, string) (string, error) { t.Error("the handler runs"); return "", nil }
		k.watch = func(context.Context, *connect.ServerStream[message]) error { t.Error("the handler runs"); return nil }
		_, token := k.key()
		_, _, unary := k.call("/test.Things/Hidden", "", token)
		s, err := k.client("/test.Things/HiddenWatch").CallServerStream(t.Context(), request("", token))
		if err != nil {
			t.Fatal(err)
		}
		s.Receive()
		for _, err := range []error{unary, s.Err()} {
			expect(t, err, connect.CodePermissionDenied, "UNKNOWN_METHOD")
			if err == nil || !strings.Contains(err.Error(), "latchconnect.Methods") {
				t.Errorf("the refusal does not say what to do: %v", err)
			}
		}
	})
}

func TestAPublicMethodLooksAtNoKey(t *testing.T) {
	each(t, func(t *testing.T, k *kit) {
		k.get = func(ctx context.Context, _ string) (string, error) {
			_, ok := middleware.PrincipalFrom(ctx)
			return fmt.Sprint(ok), nil
		}
		for _, token := range []string{"", "no key"} {
			if out, _, err := k.call("/test.Health/Check", "", token); err != nil || out != "false" {
				t.Errorf("a public method, with the token %q: %q, %v", token, out, err)
			}
		}
	})
}

// TestAMethodsOwnRowWins over that of its service, and no other spelling of a
// path finds a row.
func TestAMethodsOwnRowWins(t *testing.T) {
	k := newGuard(t)
	table := latchconnect.Methods{
		Guarded: map[string]middleware.Route{"/test.Things/Write": {Need: middleware.AllOf("things:write")}, "/test.Health/*": {Need: middleware.AnyKey()}},
		Public:  []string{"/test.Things/*"},
	}
	served := false
	h := latchconnect.New(k.guard, table)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served = true }))
	for path, want := range map[string]bool{
		"/test.Things/Get": true, "/test.Things/Write": false, "/test.Health/Check": false, "/test.Things/../test.Health/Check": false,
		"/test.Things/Get/": false, "//test.Things/Get": false, "/test.things/Get": false, "/": false, "": false, "*": false,
	} {
		served = false
		r, err := http.NewRequest("POST", "http://api.example.com", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.URL.Path = path
		r.Header.Set("Content-Type", "application/proto")
		h.ServeHTTP(discard{}, r)
		if served != want {
			t.Errorf("%q without a key is served: %t", path, served)
		}
	}
}

type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) WriteHeader(int)             {}
func (discard) Write(p []byte) (int, error) { return len(p), nil }

func TestMistakesInTheMethodsPanic(t *testing.T) {
	k := newGuard(t)
	need := middleware.Route{Need: middleware.AnyKey()}
	for name, m := range map[string]latchconnect.Methods{
		"a route without a need":  {Guarded: map[string]middleware.Route{"/test.Things/Get": {}}},
		"guarded and public":      {Guarded: map[string]middleware.Route{"/test.Things/Get": need}, Public: []string{"/test.Things/Get"}},
		"public twice":            {Public: []string{"/test.Things/Get", "/test.Things/Get"}},
		"no slash at the front":   {Public: []string{"test.Things/Get"}},
		"a service alone":         {Public: []string{"/test.Things"}},
		"a star for all services": {Public: []string{"/*"}},
		"a star for a service":    {Public: []string{"/*/Get"}},
		"a star for a part":       {Public: []string{"/test.Things/Get*"}},
		"an empty name":           {Public: []string{""}},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("New accepts it")
				}
			}()
			latchconnect.New(k.guard, m)
		})
	}
}

// TestOtherRequestsGetTheProblemDocument, and are guarded like calls.
func TestOtherRequestsGetTheProblemDocument(t *testing.T) {
	k := newGuard(t)
	k.raw = func(w http.ResponseWriter, r *http.Request) {
		p, _ := middleware.PrincipalFrom(r.Context())
		_, _ = io.WriteString(w, p.Owner())
	}
	k.start(false, nil)
	_, token := k.key()
	for token, want := range map[string]string{"": `"code":"missing_key"`, token: "acme"} {
		r, err := http.NewRequestWithContext(t.Context(), "PUT", k.server.URL+"/test.Things/Raw", nil)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		res, err := k.server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if !strings.Contains(string(body), want) {
			t.Errorf("got %d %s, want %s", res.StatusCode, body, want)
		}
	}
}

// TestConcurrentCallsNeverCross: 200 calls at once with two keys, each of which
// finds its own principal.
func TestConcurrentCallsNeverCross(t *testing.T) {
	k := newGuard(t)
	k.start(true, nil)
	k.get = func(ctx context.Context, _ string) (string, error) {
		p, _ := middleware.PrincipalFrom(ctx)
		return p.KeyID(), nil
	}
	var ids, tokens [2]string
	for i := range ids {
		ids[i], tokens[i] = k.key()
	}
	var calls sync.WaitGroup
	for i := range 200 {
		calls.Go(func() {
			if out, _, err := k.call("/test.Things/Get", "", tokens[i%2]); err != nil || out != ids[i%2] {
				t.Errorf("a call of key %q was served as %q: %v", ids[i%2], out, err)
			}
		})
	}
	calls.Wait()
}

// TestAPanicLeavesNothingInFlight, and passes through to what recovers it.
func TestAPanicLeavesNothingInFlight(t *testing.T) {
	k := newGuard(t)
	recovered := make(chan any, 1)
	k.start(true, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() { recovered <- recover() }()
			next.ServeHTTP(w, r)
		})
	})
	id, token := k.key()
	if _, _, err := k.keys.Rotate(t.Context(), ops, id, latchkey.RotateOptions{}); err != nil { // so that Rotation counts its requests
		t.Fatal(err)
	}
	inFlight := func() int {
		r, err := k.keys.Rotation(context.Background(), id)
		if err != nil {
			t.Error(err)
		}
		return r.InFlight
	}
	during := 0
	k.get = func(context.Context, string) (string, error) { during = inFlight(); panic("mine") }
	_, _, _ = k.call("/test.Things/Get", "", token)
	if p := <-recovered; p != "mine" || during != 1 || inFlight() != 0 {
		t.Errorf("recovered %v; in flight during the call %d, after it %d", p, during, inFlight())
	}
}

// TestLastUseTellsTheMethodAndTheStatus of HTTP.
func TestLastUseTellsTheMethodAndTheStatus(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want int
	}{
		"served":     {nil, 200},
		"not served": {connect.NewError(connect.CodeNotFound, errors.New("x")), 404},
	} {
		t.Run(name, func(t *testing.T) {
			k := newGuard(t)
			k.start(true, nil)
			id, token := k.key()
			k.get = func(context.Context, string) (string, error) { return "", c.err }
			_, _, _ = k.call("/test.Things/Get", "", token)
			k.server.Close() // waits for what comes after the answer
			u, err := k.keys.Usage(t.Context(), id, time.Now())
			if last := u.Last(); err != nil || last.Route != "/test.Things/Get" || last.Status != c.want || last.Network != "127.0.0.0/24" {
				t.Errorf("the last use is %+v, %v; want the status %d", last, err, c.want)
			}
		})
	}
}

// TestAStreamOfAGoodKeyIsLeftAlone: messages, header, trailer and errors of its
// own arrive.
func TestAStreamOfAGoodKeyIsLeftAlone(t *testing.T) {
	each(t, func(t *testing.T, k *kit) {
		_, token := k.key()
		for _, end := range []error{nil, connect.NewError(connect.CodeNotFound, errors.New("no more"))} {
			k.watch = func(_ context.Context, s *connect.ServerStream[message]) error {
				for _, text := range []string{"one", "", strings.Repeat("x", 1<<16)} {
					if err := s.Send(wrapperspb.String(text)); err != nil {
						return err
					}
				}
				return end
			}
			s, n := k.open(token), 0
			for s.Receive() {
				n += len(s.Msg().Value)
			}
			if n != 3+(1<<16) || connect.CodeOf(s.Err()) != connect.CodeOf(end) {
				t.Errorf("%d bytes, and %v", n, s.Err())
			}
			if h := s.ResponseHeader(); h.Get("Finding") != "42" || h.Get("RateLimit") == "" || s.ResponseTrailer().Get("Late") != "43" {
				t.Errorf("header %v, trailer %v", h, s.ResponseTrailer())
			}
		}
	})
}

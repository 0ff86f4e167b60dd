package latchconnect_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/middleware/latchconnect"
)

// TestAKeyMayBeOptional: a call without one has no principal, and a bad one is
// refused.
func TestAKeyMayBeOptional(t *testing.T) {
	each(t, func(t *testing.T, k *kit) {
		k.get = func(ctx context.Context, _ string) (string, error) {
			_, ok := middleware.PrincipalFrom(ctx)
			return fmt.Sprint(ok), nil
		}
		_, token := k.key()
		for token, want := range map[string]string{"": "false", token: "true"} {
			if out, _, err := k.call("/test.Things/Optional", "", token); err != nil || out != want {
				t.Errorf("with the token %q: %q, %v", token, out, err)
			}
		}
		_, _, err := k.call("/test.Things/Optional", "", "x")
		expect(t, err, connect.CodeUnauthenticated, "INVALID_KEY")
	})
}

// TestStripCredential: a handler finds no key to pass on, where that is asked for.
func TestStripCredential(t *testing.T) {
	for _, strips := range []bool{true, false} {
		k := newGuard(t, func(o *middleware.Options) { o.StripCredential = strips })
		k.start(true, nil)
		_, token := k.key()
		k.get = func(ctx context.Context, _ string) (string, error) {
			call, _ := connect.CallInfoForHandlerContext(ctx)
			return fmt.Sprint(call.RequestHeader()), nil
		}
		header, _, err := k.call("/test.Things/Get", "", token)
		if err != nil || strings.Contains(header, token) == strips || !strings.Contains(header, "Content-Type") {
			t.Errorf("strips %v: the handler sees %s, %v", strips, header, err)
		}
	}
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
		"guarded and public": {Guarded: map[string]middleware.Route{"/test.Things/Get": need}, Public: []string{"/test.Things/Get"}},
		"a service alone":    {Public: []string{"/test.Things"}},
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

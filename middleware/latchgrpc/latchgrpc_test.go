package latchgrpc_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/middleware/latchgrpc"
)

func TestAnAdmittedCallHasItsPrincipalAndItsLimits(t *testing.T) {
	k := newKit(t)
	id, token := k.key()
	k.get = func(ctx context.Context, in string) (string, error) {
		p, ok := middleware.PrincipalFrom(ctx)
		return fmt.Sprint(in, " ", ok && p.KeyID() == id), nil
	}
	out, header, err := k.call(k.with(token), "/test.Things/Get", "hello")
	if err != nil || out != "hello true" {
		t.Fatalf("the call returned %q, %v", out, err)
	}
	if p, l := header.Get("ratelimit-policy"), header.Get("ratelimit"); fmt.Sprint(p) != `["minute";q=1000000;w=60]` || len(l) != 1 || !strings.HasPrefix(l[0], `"minute";r=999999;t=`) {
		t.Errorf("the header metadata are %v, without the limits", header)
	}
	if _, header, err = k.call(k.with(token), "/test.Things/Dear", ""); err != nil || !strings.HasPrefix(header.Get("ratelimit")[0], `"minute";r=999996;`) {
		t.Errorf("a call that costs 3: %v, %v", header, err)
	}
}

func TestRefusals(t *testing.T) {
	k := newKit(t)
	revoked, revokedToken := k.key()
	k.revoke(revoked)
	_, good := k.key()
	_, sandbox := k.key(func(n *latchkey.NewKey) { n.Environment = "test" })
	_, elsewhere := k.key(func(n *latchkey.NewKey) { n.Networks = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} })
	_, here := k.key(func(n *latchkey.NewKey) { n.Networks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	_, limited := k.key(func(n *latchkey.NewKey) { n.Limits = []apikey.Limit{apikey.PerDay(1)} })
	if _, _, err := k.call(k.with(limited), "/test.Things/Get", ""); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, token, method string
		code                codes.Code
		why                 string
		about               map[string]string
	}{
		{"without a key", "", "Get", codes.Unauthenticated, "MISSING_KEY", nil},
		{"of a malformed field", good + " x", "Get", codes.InvalidArgument, "MALFORMED_REQUEST", nil},
		{"with an unknown key", strings.Repeat("x", 60), "Get", codes.Unauthenticated, "INVALID_KEY", nil},
		{"with a revoked key", revokedToken, "Get", codes.Unauthenticated, "REVOKED_KEY", nil},
		{"with another host's key", sandbox, "Get", codes.Unauthenticated, "ENVIRONMENT_MISMATCH", map[string]string{"base_url": "https://sandbox.example.com"}},
		{"from another network", elsewhere, "Get", codes.PermissionDenied, "NETWORK_NOT_ALLOWED", nil},
		{"from the key's network", here, "Get", codes.OK, "", nil},
		{"without the scope", good, "Write", codes.PermissionDenied, "INSUFFICIENT_SCOPE", map[string]string{"missing_scopes": "things:write"}},
		{"over the limit", limited, "Get", codes.ResourceExhausted, "RATE_LIMITED", nil},
		{"with no key where it is optional", "", "Optional", codes.OK, "", nil},
		{"with a bad key where it is optional", "x", "Optional", codes.Unauthenticated, "INVALID_KEY", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx := k.with(c.token)
			if c.token == good+" x" {
				ctx = metadata.AppendToOutgoingContext(k.with(good), "authorization", "Bearer "+good)
			}
			_, header, err := k.call(ctx, "/test.Things/"+c.method, "")
			expect(t, err, c.code, c.why)
			_, _, about, retry := reason(t, err)
			if fmt.Sprint(about) != fmt.Sprint(c.about) {
				t.Errorf("the metadata of ErrorInfo are %v, want %v", about, c.about)
			}
			if limited := c.code == codes.ResourceExhausted; limited != (retry > 23*time.Hour) || limited != (len(header.Get("retry-after")) == 1) {
				t.Errorf("RetryInfo says %v, the header %v", retry, header)
			}
			if c.code == codes.Unauthenticated && len(header.Get("www-authenticate")) != 1 {
				t.Errorf("the header %v has no challenge", header)
			}
		})
	}
}

func TestAStoreThatIsDownIsUnavailable(t *testing.T) {
	k := newKit(t)
	_, token := k.key()
	k.store.down.Store(true)
	_, _, err := k.call(k.with(token), "/test.Things/Get", "")
	expect(t, err, codes.Unavailable, "UNAVAILABLE")
	if _, _, _, retry := reason(t, err); retry != time.Second {
		t.Errorf("RetryInfo says %v", retry)
	}
}

// TestAMethodWithoutARowIsRefused: unary and streaming, with any key, and the
// refusal says what to do.
func TestAMethodWithoutARowIsRefused(t *testing.T) {
	k := newKit(t)
	k.get = func(context.Context, string) (string, error) { t.Error("the handler runs"); return "", nil }
	k.watch = func(grpc.ServerStream) error { t.Error("the handler runs"); return nil }
	_, token := k.key()
	_, _, unary := k.call(k.with(token), "/test.Things/Hidden", "")
	s, err := k.conn.NewStream(k.with(token), &grpc.StreamDesc{ServerStreams: true}, "/test.Things/HiddenWatch")
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{unary, s.RecvMsg(new(message))} {
		expect(t, err, codes.PermissionDenied, "UNKNOWN_METHOD")
		if !strings.Contains(status.Convert(err).Message(), "latchgrpc.Methods") {
			t.Errorf("the refusal does not say what to do: %v", err)
		}
	}
}

func TestAPublicMethodLooksAtNoKey(t *testing.T) {
	k := newKit(t)
	k.get = func(ctx context.Context, _ string) (string, error) {
		_, ok := middleware.PrincipalFrom(ctx)
		return fmt.Sprint(ok), nil
	}
	for _, token := range []string{"", "no key"} {
		if out, _, err := k.call(k.with(token), "/test.Health/Check", ""); err != nil || out != "false" {
			t.Errorf("a public method, with the token %q: %q, %v", token, out, err)
		}
	}
}

// TestAMethodsOwnRowWins over that of its service.
func TestAMethodsOwnRowWins(t *testing.T) {
	before := methods
	defer func() { methods = before }()
	methods = latchgrpc.Methods{
		Guarded: map[string]middleware.Route{"/test.Things/Write": {Need: middleware.AllOf("things:write")}, "/test.Health/*": {Need: middleware.AnyKey()}},
		Public:  []string{"/test.Things/*"},
	}
	k := newKit(t)
	for method, want := range map[string]codes.Code{"/test.Things/Get": codes.OK, "/test.Things/Write": codes.Unauthenticated, "/test.Health/Check": codes.Unauthenticated} {
		if _, _, err := k.call(k.with(""), method, ""); status.Code(err) != want {
			t.Errorf("%s without a key: %v, want %v", method, err, want)
		}
	}
}

func TestMistakesInTheMethodsPanic(t *testing.T) {
	k := newGuard(t)
	need := middleware.Route{Need: middleware.AnyKey()}
	for name, m := range map[string]latchgrpc.Methods{
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
			latchgrpc.New(k.guard, m)
		})
	}
}

// TestConcurrentCallsNeverCross: 200 calls at once with two keys, each of which
// finds its own principal.
func TestConcurrentCallsNeverCross(t *testing.T) {
	k := newKit(t)
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
			if out, _, err := k.call(k.with(tokens[i%2]), "/test.Things/Get", ""); err != nil || out != ids[i%2] {
				t.Errorf("a call of key %q was served as %q: %v", ids[i%2], out, err)
			}
		})
	}
	calls.Wait()
}

// TestAPanicLeavesNothingInFlight, and passes through to what recovers it.
func TestAPanicLeavesNothingInFlight(t *testing.T) {
	recovered := status.Error(codes.Internal, "recovered")
	k := newKit(t,
		grpc.UnaryInterceptor(func(ctx context.Context, in any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (_ any, err error) {
			defer func() {
				if recover() != nil {
					err = recovered
				}
			}()
			return next(ctx, in)
		}),
		grpc.StreamInterceptor(func(service any, s grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
			defer func() {
				if recover() != nil {
					err = recovered
				}
			}()
			return next(service, s)
		}))
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
	k.get = func(context.Context, string) (string, error) { during = inFlight(); panic("unary") }
	k.watch = func(grpc.ServerStream) error { during = inFlight(); panic("stream") }
	for name, call := range map[string]func() error{
		"unary":  func() error { _, _, err := k.call(k.with(token), "/test.Things/Get", ""); return err },
		"stream": func() error { return k.open(token).RecvMsg(new(message)) },
	} {
		during = 0
		if err := call(); status.Convert(err).Message() != "recovered" || during != 1 || inFlight() != 0 {
			t.Errorf("%s: %v; in flight during the call %d, after it %d", name, err, during, inFlight())
		}
	}
}

// TestLastUseTellsTheMethodAndTheStatus, in numbers of HTTP.
func TestLastUseTellsTheMethodAndTheStatus(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want int
	}{
		"served":           {nil, 200},
		"a status":         {status.Error(codes.NotFound, ""), 404},
		"a context":        {context.DeadlineExceeded, 504},
		"another error":    {errors.New("x"), 500},
		"a code of no row": {status.Error(77, ""), 500},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKit(t)
			id, token := k.key()
			k.get = func(context.Context, string) (string, error) { return "", c.err }
			_, _, _ = k.call(k.with(token), "/test.Things/Get", "")
			u, err := k.keys.Usage(t.Context(), id, time.Now())
			if last := u.Last(); err != nil || last.Route != "/test.Things/Get" || last.Status != c.want || last.Network != "127.0.0.0/24" {
				t.Errorf("the last use is %+v, %v; want the status %d", last, err, c.want)
			}
		})
	}
}

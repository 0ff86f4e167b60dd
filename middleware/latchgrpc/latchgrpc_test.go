package latchgrpc_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/middleware/latchgrpc"
)

// TestAMethodWithoutARowIsRefused: unary and streaming, with any key, and the
// refusal says what to do.
func TestAMethodWithoutARowIsRefused(t *testing.T) {
	k := newKit(t)
	k.get = func(context.Context, string) (string, error) { t.Error("the handler runs"); return "", nil }
	k.watch = func(grpc.ServerStream) error { t.Error("the handler runs"); return nil }
	_, token := k.key()
	_, unary := k.call(k.with(token), "/test.Things/Hidden", "")
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
		if out, err := k.call(k.with(token), "/test.Health/Check", ""); err != nil || out != "false" {
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
		if _, err := k.call(k.with(""), method, ""); status.Code(err) != want {
			t.Errorf("%s without a key: %v, want %v", method, err, want)
		}
	}
}

func TestMistakesInTheMethodsPanic(t *testing.T) {
	k := newGuard(t)
	need := middleware.Route{Need: middleware.AnyKey()}
	for name, m := range map[string]latchgrpc.Methods{
		"guarded and public": {Guarded: map[string]middleware.Route{"/test.Things/Get": need}, Public: []string{"/test.Things/Get"}},
		"a service alone":    {Public: []string{"/test.Things"}},
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
			_, _ = k.call(k.with(token), "/test.Things/Get", "")
			u, err := k.keys.Usage(t.Context(), id, time.Now())
			if last := u.Last(); err != nil || last.Route != "/test.Things/Get" || last.Status != c.want || last.Network != "127.0.0.0/24" {
				t.Errorf("the last use is %+v, %v; want the status %d", last, err, c.want)
			}
		})
	}
}

// TestCheckComparesTheMethodsWithTheServer: it names each method that nobody may
// call, and each row for nothing.
func TestCheckComparesTheMethodsWithTheServer(t *testing.T) {
	k := newGuard(t)
	server := k.server()
	need := middleware.Route{Need: middleware.AnyKey()}
	for name, c := range map[string]struct {
		m    latchgrpc.Methods
		want []string
	}{
		"by services": {latchgrpc.Methods{Guarded: map[string]middleware.Route{"/test.Things/*": need}, Public: []string{"/test.Health/*"}}, nil},
		"by methods": {latchgrpc.Methods{
			Guarded: map[string]middleware.Route{"/test.Things/Get": need, "/test.Things/Write": need, "/test.Things/Hidden": need, "/test.Things/Watch": need},
			Public:  []string{"/test.Health/Check", "/test.Things/HiddenWatch"},
		}, nil},
		"methods without rows": {methods, []string{
			"nobody may call /test.Things/Hidden: add it to Guarded or Public", "nobody may call /test.Things/HiddenWatch: add it to Guarded or Public",
		}},
		"rows for nothing": {latchgrpc.Methods{
			Guarded: map[string]middleware.Route{"/test.Things/*": need, "/test.Things/Gte": need, "/test.Thing/*": need},
			Public:  []string{"/test.Health/*", "/test.Health/Watch"},
		}, []string{"the server has no /test.Health/Watch", "the server has no /test.Thing/*", "the server has no /test.Things/Gte"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.m.Check(server)
			if c.want == nil {
				if err != nil {
					t.Errorf("there is nothing wrong, and Check says %v", err)
				}
				return
			}
			if want := "latchgrpc: Methods and the server differ: " + strings.Join(c.want, "; "); err == nil || err.Error() != want {
				t.Errorf("Check says\n%v, want\n%s", err, want)
			}
		})
	}
}

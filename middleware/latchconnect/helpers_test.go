package latchconnect_test

import (
	"context"
	"errors"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/middleware/latchconnect"
	"github.com/wontopos/latchkey/storage/memstore"
)

// patience bounds every wait; nothing takes so long.
const patience = 10 * time.Second

var ops = apikey.Actor{ID: "ops@example.com"}

// message is what all methods of the test's service take and return.
type message = wrapperspb.StringValue

// methods are those of most tests: Hidden has no row.
var methods = latchconnect.Methods{
	Guarded: map[string]middleware.Route{
		"/test.Things/Get":      {Need: middleware.AllOf("things:read")},
		"/test.Things/Watch":    {Need: middleware.AllOf("things:read")},
		"/test.Things/Chat":     {Need: middleware.AllOf("things:read")},
		"/test.Things/Raw":      {Need: middleware.AllOf("things:read")},
		"/test.Things/Optional": {Need: middleware.AnyKey(), Optional: true},
	},
	Public: []string{"/test.Health/*"},
}

var protocols = map[string][]connect.ClientOption{
	"Connect":        nil,
	"Connect, JSON":  {connect.WithProtoJSON()},
	"Connect by GET": {connect.WithHTTPGet()},
	"gRPC":           {connect.WithGRPC()},
	"gRPC-Web":       {connect.WithGRPCWeb()},
	"gRPC-Web, gzip": {connect.WithGRPCWeb(), connect.WithSendGzip()},
}

// each runs a test in every protocol, over HTTP/1.1 and HTTP/2.
func each(t *testing.T, test func(t *testing.T, k *kit)) {
	for name, options := range protocols {
		for _, version := range []string{"HTTP/1.1", "HTTP/2"} {
			t.Run(name+" over "+version, func(t *testing.T) {
				t.Parallel()
				k := newGuard(t)
				k.options = options
				k.start(version == "HTTP/2", nil)
				test(t, k)
			})
		}
	}
}

// kit is a server on a socket, with a client.
type kit struct {
	t       testing.TB
	keys    *latchkey.Service
	guard   *middleware.Guard
	server  *httptest.Server
	options []connect.ClientOption

	get   func(ctx context.Context, in string) (string, error)                     // serves the unary methods
	watch func(ctx context.Context, s *connect.ServerStream[message]) error        // serves Watch
	chat  func(ctx context.Context, s *connect.BidiStream[message, message]) error // serves Chat
	raw   http.HandlerFunc                                                         // serves Raw
}

func newGuard(t testing.TB, change ...func(*middleware.Options)) *kit {
	t.Helper()
	k := &kit{t: t}
	k.get = func(_ context.Context, in string) (string, error) { return in, nil }
	k.watch = func(context.Context, *connect.ServerStream[message]) error { return nil }
	quiet := slog.New(slog.DiscardHandler)
	var err error
	k.keys, err = latchkey.New(memstore.New(), latchkey.Options{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	o := middleware.Options{Logger: quiet, Realm: "things"}
	for _, f := range change {
		f(&o)
	}
	if k.guard, err = middleware.New(k.keys, o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = k.guard.Close(context.Background())
		_ = k.keys.Close(context.Background())
	})
	return k
}

// start starts a server, with something around the guard.
func (k *kit) start(http2 bool, around func(http.Handler) http.Handler) {
	mux := http.NewServeMux()
	for _, method := range []string{"/test.Things/Get", "/test.Things/Hidden", "/test.Things/Optional", "/test.Health/Check"} {
		mux.Handle(method, connect.NewUnaryHandler(method, func(ctx context.Context, in *connect.Request[message]) (*connect.Response[message], error) {
			out, err := k.get(ctx, in.Msg.Value)
			res := connect.NewResponse(wrapperspb.String(out))
			res.Header().Set("Finding", "42")
			res.Trailer().Set("Late", "43")
			return res, err
		}, connect.WithIdempotency(connect.IdempotencyNoSideEffects)))
	}
	for _, method := range []string{"/test.Things/Watch", "/test.Things/HiddenWatch"} {
		mux.Handle(method, connect.NewServerStreamHandler(method, func(ctx context.Context, _ *connect.Request[message], s *connect.ServerStream[message]) error {
			s.ResponseHeader().Set("Finding", "42")
			s.ResponseTrailer().Set("Late", "43")
			return k.watch(ctx, s)
		}))
	}
	mux.Handle("/test.Things/Chat", connect.NewBidiStreamHandler("/test.Things/Chat", func(ctx context.Context, s *connect.BidiStream[message, message]) error { return k.chat(ctx, s) }))
	mux.HandleFunc("/test.Things/Raw", func(w http.ResponseWriter, r *http.Request) { k.raw(w, r) })
	h := latchconnect.New(k.guard, methods)(mux)
	if around != nil {
		h = around(h)
	}
	k.server = httptest.NewUnstartedServer(h)
	k.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	if k.server.EnableHTTP2 = http2; http2 {
		k.server.StartTLS()
	} else {
		k.server.Start()
	}
	k.t.Cleanup(func() {
		k.server.CloseClientConnections()
		k.server.Close()
	})
	k.server.Client().Timeout = patience
}

// key creates a key and returns its id and token.
func (k *kit) key() (id, token string) {
	k.t.Helper()
	key, secret, err := k.keys.Create(context.Background(), ops, latchkey.NewKey{
		Name: "production-backend", Owner: "acme", Scopes: []string{"things:read"},
		Limits: []apikey.Limit{{Name: "minute", N: 1_000_000, Window: time.Minute}},
	})
	if err != nil {
		k.t.Fatal(err)
	}
	return key.ID, secret.Reveal()
}

func (k *kit) revoke(id string) {
	if _, err := k.keys.Revoke(context.Background(), ops, id, "test"); err != nil {
		k.t.Error(err)
	}
}

func (k *kit) client(method string) *connect.Client[message, message] {
	return connect.NewClient[message, message](k.server.Client(), k.server.URL+method, k.options...)
}

func request(in, token string) *connect.Request[message] {
	r := connect.NewRequest(wrapperspb.String(in))
	if token != "" {
		r.Header().Set("Authorization", "Bearer "+token)
	}
	return r
}

// call calls a unary method and returns its answer and header, or its error.
func (k *kit) call(method, in, token string) (string, http.Header, error) {
	res, err := k.client(method).CallUnary(k.t.Context(), request(in, token))
	if err != nil {
		return "", nil, err
	}
	if res.Header().Get("Finding") != "42" || res.Trailer().Get("Late") != "43" {
		k.t.Errorf("what the handler sets does not arrive: %v, %v", res.Header(), res.Trailer())
	}
	return res.Msg.Value, res.Header(), nil
}

// open opens the stream Watch.
func (k *kit) open(token string) *connect.ServerStreamForClient[message] {
	k.t.Helper()
	s, err := k.client("/test.Things/Watch").CallServerStream(k.t.Context(), request("", token))
	if err != nil {
		k.t.Fatal(err)
	}
	return s
}

// reason returns the code of a call's error, the reason and metadata of its
// ErrorInfo, and the delay of its RetryInfo.
func reason(t testing.TB, err error) (code connect.Code, why string, about map[string]string, retry time.Duration) {
	t.Helper()
	var e *connect.Error
	if !errors.As(err, &e) {
		return 0, "", nil, 0
	}
	for _, d := range e.Details() {
		m, err := d.Value()
		if err != nil {
			t.Error(err)
		}
		switch d := m.(type) {
		case *errdetails.ErrorInfo:
			why, about = d.Reason, d.Metadata
			if d.Domain != "latchkey" {
				t.Errorf("the domain is %q", d.Domain)
			}
		case *errdetails.RetryInfo:
			retry = d.RetryDelay.AsDuration()
		}
	}
	return e.Code(), why, about, retry
}

// expect checks the code and the reason of a refusal.
func expect(t testing.TB, err error, code connect.Code, why string) {
	t.Helper()
	if c, w, _, _ := reason(t, err); c != code || w != why {
		t.Errorf("the call ended with %v, reason %q: %v; want %v, %q", c, w, err, code, why)
	}
}

func expectRevoked(t testing.TB, err error) {
	t.Helper()
	expect(t, err, connect.CodeUnauthenticated, "REVOKED_KEY")
	if err == nil || !strings.Contains(err.Error(), "revoked") {
		t.Errorf("the refusal does not say why: %v", err)
	}
}

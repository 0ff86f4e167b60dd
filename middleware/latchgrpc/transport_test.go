package latchgrpc_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/middleware/latchgrpc"
	"github.com/wontopos/latchkey/middleware/middlewaretest"
)

// TestTransport: unary methods, and streams where a script needs one.
func TestTransport(t *testing.T) { middlewaretest.RunTransport(t, transport(false)) }

// TestTransportOfStreams: every script is a method with streams both ways.
func TestTransportOfStreams(t *testing.T) { middlewaretest.RunTransport(t, transport(true)) }

func transport(allStream bool) middlewaretest.Transport {
	return middlewaretest.Transport{
		Status: func(code apikey.Code) string { return codes.Code(code.Info().GRPC).String() },
		Start: func(t *testing.T, g *middleware.Guard, scripts []middlewaretest.Script) func(context.Context, middlewaretest.Ask) middlewaretest.Reply {
			guarded := map[string]middleware.Route{}
			service := &grpc.ServiceDesc{ServiceName: "suite.Scripts", HandlerType: (*any)(nil)}
			streams := map[string]bool{}
			for _, s := range scripts {
				guarded["/suite.Scripts/"+s.Name] = s.Route
				if streams[s.Name] = s.Streams || allStream; streams[s.Name] {
					service.Streams = append(service.Streams, grpc.StreamDesc{StreamName: s.Name, ServerStreams: true, ClientStreams: true, Handler: playStream(s)})
				} else {
					service.Methods = append(service.Methods, grpc.MethodDesc{MethodName: s.Name, Handler: playUnary(s)})
				}
			}
			server := grpc.NewServer(append(recovery, latchgrpc.New(g, latchgrpc.Methods{Guarded: guarded})...)...)
			server.RegisterService(service, nil)
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			go func() { _ = server.Serve(listener) }()
			t.Cleanup(server.Stop)
			conn, err := grpc.NewClient("passthrough:///"+listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.Close() })
			return func(ctx context.Context, a middlewaretest.Ask) middlewaretest.Reply {
				return ask(ctx, conn, streams[a.Script], a)
			}
		},
	}
}

var errRecovered = status.Error(codes.Internal, "recovered")

// recovery stands around the guard: grpc-go has none of its own.
var recovery = []grpc.ServerOption{
	grpc.UnaryInterceptor(func(ctx context.Context, in any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (_ any, err error) {
		defer func() {
			if recover() != nil {
				err = errRecovered
			}
		}()
		return next(ctx, in)
	}),
	grpc.StreamInterceptor(func(service any, s grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
		defer func() {
			if recover() != nil {
				err = errRecovered
			}
		}()
		return next(service, s)
	}),
}

func playUnary(s middlewaretest.Script) grpc.MethodHandler {
	return func(_ any, ctx context.Context, decode func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
		in := new(wrapperspb.BytesValue)
		if err := decode(in); err != nil {
			return nil, err
		}
		return intercept(ctx, in, &grpc.UnaryServerInfo{FullMethod: "/suite.Scripts/" + s.Name}, func(ctx context.Context, _ any) (any, error) {
			p, _ := middleware.PrincipalFrom(ctx)
			out := new(unary)
			err := s.Play(ctx, p, out)
			return wrapperspb.Bytes(out.part), err
		})
	}
}

func playStream(s middlewaretest.Script) grpc.StreamHandler {
	return func(_ any, under grpc.ServerStream) error {
		p, _ := middleware.PrincipalFrom(under.Context())
		return s.Play(under.Context(), p, exchange{under})
	}
}

type unary struct{ part []byte }

func (u *unary) Send(part []byte) error   { u.part = part; return nil }
func (u *unary) Receive() ([]byte, error) { return nil, io.EOF }

type exchange struct{ grpc.ServerStream }

func (x exchange) Send(part []byte) error { return x.SendMsg(wrapperspb.Bytes(part)) }

func (x exchange) Receive() ([]byte, error) {
	in := new(wrapperspb.BytesValue)
	err := x.RecvMsg(in)
	return in.Value, err
}

// header are the header metadata of an answer.
type header metadata.MD

func (h header) Values(name string) []string { return metadata.MD(h).Get(name) }

func ask(ctx context.Context, conn *grpc.ClientConn, stream bool, a middlewaretest.Ask) (r middlewaretest.Reply) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for name, values := range a.Fields {
		for _, value := range values {
			ctx = metadata.AppendToOutgoingContext(ctx, name, value)
		}
	}
	desc := &grpc.StreamDesc{ServerStreams: stream, ClientStreams: stream}
	s, err := conn.NewStream(ctx, desc, "/suite.Scripts/"+a.Script, grpc.CallAuthority(a.Host))
	if err != nil {
		return middlewaretest.Reply{Err: err}
	}
	go func() {
		if !stream {
			_ = s.SendMsg(new(wrapperspb.BytesValue))
		}
		if a.Parts != nil {
			for part := range a.Parts {
				_ = s.SendMsg(wrapperspb.Bytes(part))
			}
		}
		_ = s.CloseSend()
	}()
	parts := 0
	for ; err == nil && (stream || parts == 0); parts++ {
		out := new(wrapperspb.BytesValue)
		if err = s.RecvMsg(out); err != nil {
			break
		}
		r.Body = append(r.Body, out.Value...)
		if a.OnPart != nil {
			a.OnPart(out.Value)
		}
	}
	if md, _ := s.Header(); md != nil {
		r.Fields = header(md)
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if parts > 0 {
		r.Err = err
	}
	refused(&r, status.Convert(err))
	return r
}

// refused puts into a reply what the status of a call says.
func refused(r *middlewaretest.Reply, s *status.Status) {
	r.Status = s.Code().String()
	for _, d := range s.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			for _, code := range apikey.Codes() {
				if d.Domain == "latchkey" && strings.ToUpper(code.Info().Name) == d.Reason {
					r.Code, r.Detail = code, s.Message()
				}
			}
			if missing := d.Metadata["missing_scopes"]; missing != "" {
				r.MissingScopes = strings.Fields(missing)
			}
			r.BaseURL = d.Metadata["base_url"]
		case *errdetails.RetryInfo:
			r.RetryAfter = int64(d.RetryDelay.AsDuration().Seconds())
		}
	}
}

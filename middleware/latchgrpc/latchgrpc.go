package latchgrpc

import (
	"context"
	"log/slog"
	"net"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
)

// New returns the options that guard every method of a server, unary or
// streaming: one interceptor for each. It panics on a mistake in the methods.
// Interceptors of options before these see refused calls, too.
func New(g *middleware.Guard, m Methods) []grpc.ServerOption {
	s := &server{door: g.Methods(m.Guarded, m.Public)}
	return []grpc.ServerOption{grpc.ChainUnaryInterceptor(s.unary), grpc.ChainStreamInterceptor(s.stream)}
}

type server struct {
	door      func(method string) (d *middleware.Door, known bool) // nil: public
	cutsLater sync.Once                                            // a stream without WriteStatus was logged
}

func (s *server) unary(ctx context.Context, request any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (answer any, err error) {
	err = s.serve(ctx, info.FullMethod, func(ctx context.Context) (err error) {
		answer, err = next(ctx, request)
		return err
	})
	if err != nil {
		return nil, err
	}
	return answer, nil
}

func (s *server) stream(service any, under grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	return s.serve(under.Context(), info.FullMethod, func(ctx context.Context) error {
		return next(service, &stream{under, ctx})
	})
}

// serve decides a call, and lets handle serve it with the context of Begin.
func (s *server) serve(ctx context.Context, method string, handle func(context.Context) error) (err error) {
	door, known := s.door(method)
	switch {
	case !known:
		return unknown(method)
	case door == nil:
		return handle(ctx)
	}
	call, answered := new(middleware.Call), 0
	door.Decide(ctx, call, request(ctx, method))
	_ = grpc.SetHeader(ctx, header(&call.Outcome))
	if !call.Allowed() {
		return refusal(&call.Outcome)
	}
	defer func() { // also when handle panics
		if call.End(answered) != nil {
			err = refusal(&call.Outcome)
		}
	}()
	served := call.Begin(s.ender(ctx))
	err = handle(served)
	answered = httpStatus(err)
	return err
}

func request(ctx context.Context, method string) middleware.Request {
	r := middleware.Request{Fields: fields{ctx}, Pattern: method}
	if host := metadata.ValueFromIncomingContext(ctx, ":authority"); len(host) > 0 {
		r.Host = host[0]
	}
	if p, ok := peer.FromContext(ctx); ok && p.Addr != nil {
		if tcp, ok := p.Addr.(*net.TCPAddr); ok {
			r.PeerAddr = tcp.AddrPort().Addr()
		} else {
			r.Peer = p.Addr.String()
		}
	}
	return r
}

// fields are the metadata of a call.
type fields struct{ ctx context.Context }

func (f fields) Values(name string) []string {
	return metadata.ValueFromIncomingContext(f.ctx, lower(name))
}

// ender returns what ends a call from outside its handler: it answers the client
// and wakes blocked SendMsg and RecvMsg. The stream's WriteStatus is what grpc-go
// itself ends calls with; the second one, when the handler returns, does nothing.
func (s *server) ender(ctx context.Context) func(cause error) {
	under, ok := grpc.ServerTransportStreamFromContext(ctx).(interface{ WriteStatus(*status.Status) error })
	if !ok {
		s.cutsLater.Do(func() {
			slog.Warn("latchgrpc: calls of a key that ends are answered only when their handler returns: the stream in their context is not grpc-go's own")
		})
		return nil
	}
	return func(cause error) {
		go func() { _ = under.WriteStatus(status.Convert(refusal(middleware.Refusal(cause)))) }() // over net/http it may block
	}
}

// stream ends with its context.
type stream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s *stream) Context() context.Context { return s.ctx }

func (s *stream) RecvMsg(m any) error { return s.cutOr(s.ServerStream.RecvMsg(m)) }

func (s *stream) SendMsg(m any) error {
	if err := s.cutOr(nil); err != nil {
		return err
	}
	return s.cutOr(s.ServerStream.SendMsg(m))
}

// cutOr returns the refusal of a call that was cut, and err of any other.
func (s *stream) cutOr(err error) error {
	if cause, cut := context.Cause(s.ctx).(apikey.Code); cut {
		return refusal(middleware.Refusal(cause))
	}
	return err
}

package latchconnect_test

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/middleware/latchconnect"
	"github.com/wontopos/latchkey/middleware/middlewaretest"
)

// One test for each protocol. Scripts that stream are methods with streams both
// ways, over HTTP/2. The others are unary, over HTTP/1.1 unless it is gRPC.

func TestTransport(t *testing.T) { middlewaretest.RunTransport(t, wire{}.transport()) }

func TestTransportOfStreams(t *testing.T) {
	middlewaretest.RunTransport(t, wire{allStream: true}.transport())
}

func TestTransportOfWeb(t *testing.T) {
	middlewaretest.RunTransport(t, wire{options: protocols["gRPC-Web"]}.transport())
}

func TestTransportOfGRPC(t *testing.T) {
	middlewaretest.RunTransport(t, wire{options: protocols["gRPC"], http2: true}.transport())
}

type wire struct {
	options   []connect.ClientOption
	allStream bool
	http2     bool // for unary methods, too
}

func (w wire) transport() middlewaretest.Transport {
	return middlewaretest.Transport{Status: statusOf, Start: w.start}
}

func statusOf(code apikey.Code) string {
	if code == apikey.OK {
		return "ok"
	}
	return connect.Code(code.Info().GRPC).String()
}

type part = wrapperspb.BytesValue

func (w wire) start(t *testing.T, g *middleware.Guard, scripts []middlewaretest.Script) func(context.Context, middlewaretest.Ask) middlewaretest.Reply {
	guarded, mux, streams := map[string]middleware.Route{}, http.NewServeMux(), map[string]bool{}
	for _, s := range scripts {
		method := "/suite.Scripts/" + s.Name
		guarded[method] = s.Route
		if streams[s.Name] = s.Streams || w.allStream; streams[s.Name] {
			mux.Handle(method, connect.NewBidiStreamHandler(method, func(ctx context.Context, x *connect.BidiStream[part, part]) error {
				p, _ := middleware.PrincipalFrom(ctx)
				return s.Play(ctx, p, exchange{x})
			}))
		} else {
			mux.Handle(method, connect.NewUnaryHandler(method, func(ctx context.Context, _ *connect.Request[part]) (*connect.Response[part], error) {
				p, _ := middleware.PrincipalFrom(ctx)
				out := new(single)
				err := s.Play(ctx, p, out)
				return connect.NewResponse(wrapperspb.Bytes(out.part)), err
			}))
		}
	}
	server := httptest.NewUnstartedServer(latchconnect.New(g, latchconnect.Methods{Guarded: guarded})(mux))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // for the panics
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	under := server.Client().Transport.(*http.Transport)
	client := func(http2 bool) *http.Client {
		t := under.Clone()
		t.MaxConnsPerHost = 100 // for the sake of machines that count open files
		t.Protocols = new(http.Protocols)
		t.Protocols.SetHTTP1(!http2)
		t.Protocols.SetHTTP2(http2)
		if !http2 {
			t.TLSClientConfig.NextProtos = nil
		}
		return &http.Client{Transport: t}
	}
	one, two := client(w.http2), client(true)
	t.Cleanup(func() { // before the server closes, which waits for it
		one.CloseIdleConnections()
		two.CloseIdleConnections()
	})
	return func(ctx context.Context, a middlewaretest.Ask) middlewaretest.Reply {
		url := server.URL + "/suite.Scripts/" + a.Script
		if streams[a.Script] {
			return stream(ctx, t, connect.NewClient[part, part](two, url, w.options...), a)
		}
		return unary(ctx, t, connect.NewClient[part, part](one, url, w.options...), a)
	}
}

// single is the exchange of a unary method.
type single struct{ part []byte }

func (x *single) Send(part []byte) error   { x.part = part; return nil }
func (x *single) Receive() ([]byte, error) { return nil, io.EOF }

type exchange struct {
	*connect.BidiStream[part, part]
}

func (x exchange) Send(part []byte) error { return x.BidiStream.Send(wrapperspb.Bytes(part)) }

func (x exchange) Receive() ([]byte, error) {
	in, err := x.BidiStream.Receive()
	return in.GetValue(), err
}

func unary(ctx context.Context, t *testing.T, c *connect.Client[part, part], a middlewaretest.Ask) (r middlewaretest.Reply) {
	in := connect.NewRequest(new(part))
	address(in.Header(), a)
	out, err := c.CallUnary(ctx, in)
	if err == nil {
		r.Body, r.Fields = out.Msg.Value, out.Header()
	}
	ended(t, &r, err)
	return r
}

func stream(ctx context.Context, t *testing.T, c *connect.Client[part, part], a middlewaretest.Ask) (r middlewaretest.Reply) {
	s := c.CallBidiStream(ctx)
	address(s.RequestHeader(), a)
	go func() {
		if a.Parts != nil {
			for part := range a.Parts {
				_ = s.Send(wrapperspb.Bytes(part))
			}
		}
		_ = s.CloseRequest()
	}()
	defer func() { _ = s.CloseResponse() }()
	parts := 0
	for ; ; parts++ {
		out, err := s.Receive()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			r.Fields = s.ResponseHeader()
			if ended(t, &r, err); parts > 0 {
				r.Err = err
			}
			return r
		}
		r.Body = append(r.Body, out.Value...)
		if a.OnPart != nil {
			a.OnPart(out.Value)
		}
	}
}

func address(header http.Header, a middlewaretest.Ask) {
	for name, values := range a.Fields {
		header[name] = values
	}
	header.Set("Host", a.Host)
}

// ended puts into a reply what the error of a call says.
func ended(t *testing.T, r *middlewaretest.Reply, err error) {
	r.Status = statusOf(apikey.OK)
	var e *connect.Error
	if err == nil {
		return
	} else if !errors.As(err, &e) {
		r.Status, r.Err = "", err
		return
	}
	code, why, about, retry := reason(t, err)
	r.Status, r.Fields = code.String(), e.Meta()
	for _, c := range apikey.Codes() {
		if strings.ToUpper(c.Info().Name) == why {
			r.Code, r.Detail = c, e.Message()
		}
	}
	if missing := about["missing_scopes"]; missing != "" {
		r.MissingScopes = strings.Fields(missing)
	}
	r.BaseURL, r.RetryAfter = about["base_url"], int64(retry.Seconds())
}

package latchgrpc_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/wontopos/latchkey/apikey"
)

// blocked are handlers of streams, by what they wait for when their key is
// revoked. What they return is nothing that a client may see.
var blocked = map[string]func(s grpc.ServerStream, released <-chan struct{}) error{
	"its context": func(s grpc.ServerStream, _ <-chan struct{}) error {
		<-s.Context().Done()
		return nil
	},
	"RecvMsg": func(s grpc.ServerStream, _ <-chan struct{}) error {
		return s.RecvMsg(new(message))
	},
	"SendMsg": func(s grpc.ServerStream, _ <-chan struct{}) error {
		for large := wrapperspb.String(strings.Repeat("x", 1<<16)); ; { // the client reads nothing meanwhile
			if err := s.SendMsg(large); err != nil {
				return err
			}
		}
	},
	"something else": func(_ grpc.ServerStream, released <-chan struct{}) error {
		<-released
		return nil
	},
}

// cuts revokes the key of a stream whose handler waits for one of these, and
// checks what both ends see.
func (k *kit) cuts(t *testing.T, wait func(s grpc.ServerStream, released <-chan struct{}) error) {
	id, token := k.key()
	started, released, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	k.watch = func(s grpc.ServerStream) error {
		if err := s.SendMsg(wrapperspb.String("first")); err != nil {
			return err
		}
		close(started)
		err := wait(s, released)
		if cause := context.Cause(s.Context()); cause != error(apikey.RevokedKey) {
			t.Errorf("the handler's context ended with %v", cause)
		}
		expectRevoked(t, s.SendMsg(wrapperspb.String("late")))
		expectRevoked(t, s.RecvMsg(new(message)))
		if s.SetHeader(metadata.Pairs("late", "x")) == nil {
			t.Error("header metadata can be set after the call has ended")
		}
		done <- err
		return nil
	}
	s := k.open(token)
	if err := s.RecvMsg(new(message)); err != nil {
		t.Fatal(err)
	}
	<-started
	begun := time.Now()
	k.revoke(id)
	var err error
	for in := new(message); err == nil; err = s.RecvMsg(in) {
		if in.Value == "late" {
			t.Error("a message that was sent after the revocation has arrived")
		}
	}
	t.Logf("the client knew %v after the revocation began", time.Since(begun))
	expectRevoked(t, err)
	close(released)
	if err := <-done; err != nil { // of SendMsg or RecvMsg
		expectRevoked(t, err)
	}
}

// TestAStreamEndsWithItsKey: the client learns why at once, whatever the handler
// is blocked on; the handler is woken where it is the stream or the context.
func TestAStreamEndsWithItsKey(t *testing.T) {
	for name, wait := range blocked {
		t.Run("blocked on "+name, func(t *testing.T) { newKit(t).cuts(t, wait) })
	}
}

// TestAStreamEndsWithItsKeyOverNetHTTP: on a server that is mounted as an
// http.Handler.
func TestAStreamEndsWithItsKeyOverNetHTTP(t *testing.T) {
	for name, wait := range blocked {
		t.Run("blocked on "+name, func(t *testing.T) {
			k := newGuard(t)
			h := httptest.NewUnstartedServer(k.server())
			h.EnableHTTP2 = true
			h.StartTLS()
			t.Cleanup(h.Close)
			k.conn = k.dial(h.Listener.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{InsecureSkipVerify: true}))) //nolint:gosec // a test
			k.cuts(t, wait)
		})
	}
}

// TestAUnaryCallEndsWithItsKey: what the handler returns is dropped.
func TestAUnaryCallEndsWithItsKey(t *testing.T) {
	for name, wait := range map[string]func(ctx context.Context, released <-chan struct{}){
		"its context":    func(ctx context.Context, _ <-chan struct{}) { <-ctx.Done() },
		"something else": func(_ context.Context, released <-chan struct{}) { <-released },
	} {
		t.Run("blocked on "+name, func(t *testing.T) {
			inner := make(chan error, 1) // what an interceptor around the guard sees
			k := newKit(t, grpc.UnaryInterceptor(func(ctx context.Context, in any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
				out, err := next(ctx, in)
				if out != nil {
					err = errors.New("the answer left the guard")
				}
				inner <- err
				return out, err
			}))
			id, token := k.key()
			started, released := make(chan struct{}), make(chan struct{})
			k.get = func(ctx context.Context, _ string) (string, error) {
				close(started)
				wait(ctx, released)
				if cause := context.Cause(ctx); cause != error(apikey.RevokedKey) {
					t.Errorf("the handler's context ended with %v", cause)
				}
				return "secret", nil
			}
			answer := make(chan error, 1)
			go func() {
				_, err := k.call(k.with(token), "/test.Things/Get", "")
				answer <- err
			}()
			<-started
			k.revoke(id)
			expectRevoked(t, <-answer)
			close(released)
			expectRevoked(t, <-inner)
		})
	}
}

// replaced is a stream in the context that is not grpc-go's own.
type replaced struct{ grpc.ServerTransportStream }

type replacing struct {
	grpc.ServerStream
	ctx context.Context
}

func (r replacing) Context() context.Context { return r.ctx }

// TestWhereTheStreamWasReplaced: a cut call ends when its handler next uses the
// stream, still as a refusal, and the log says so once.
func TestWhereTheStreamWasReplaced(t *testing.T) {
	var log bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	defer slog.SetDefault(before)
	k := newKit(t, grpc.StreamInterceptor(func(service any, s grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
		under := grpc.ServerTransportStreamFromContext(s.Context())
		return next(service, replacing{s, grpc.NewContextWithServerTransportStream(s.Context(), replaced{under})})
	}))
	for range 2 {
		id, token := k.key()
		late := make(chan error, 2)
		k.watch = func(s grpc.ServerStream) error {
			_ = s.SendMsg(wrapperspb.String("first"))
			late <- s.RecvMsg(new(message))
			late <- s.SendMsg(wrapperspb.String("late"))
			return nil
		}
		s := k.open(token)
		if err := s.RecvMsg(new(message)); err != nil {
			t.Fatal(err)
		}
		k.revoke(id)
		if err := s.SendMsg(wrapperspb.String("a message that wakes the handler")); err != nil {
			t.Fatal(err)
		}
		expectRevoked(t, s.RecvMsg(new(message)))
		expectRevoked(t, <-late)
		expectRevoked(t, <-late)
	}
	if n := strings.Count(log.String(), "latchgrpc: "); n != 1 {
		t.Errorf("the log mentions it %d times:\n%s", n, log.String())
	}
}

// TestACallThatItsClientEndsIsNotCut: it ends as canceled, and nothing says that
// the key did.
func TestACallThatItsClientEndsIsNotCut(t *testing.T) {
	k := newKit(t)
	_, token := k.key()
	started, cause := make(chan struct{}), make(chan error, 2)
	k.watch = func(s grpc.ServerStream) error {
		close(started)
		cause <- s.RecvMsg(new(message))
		<-s.Context().Done()
		cause <- context.Cause(s.Context())
		return nil
	}
	ctx, cancel := context.WithCancel(k.with(token))
	if _, err := k.conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true}, "/test.Things/Watch"); err != nil {
		t.Fatal(err)
	}
	<-started
	cancel()
	if err := <-cause; status.Code(err) != codes.Canceled {
		t.Errorf("RecvMsg returned %v", err)
	}
	if err := <-cause; !errors.Is(err, context.Canceled) {
		t.Errorf("the context ended with %v", err)
	}
}

// TestAStreamOfAGoodKeyIsLeftAlone: messages both ways, to its end.
func TestAStreamOfAGoodKeyIsLeftAlone(t *testing.T) {
	k := newKit(t)
	_, token := k.key()
	k.watch = func(s grpc.ServerStream) error {
		for {
			in := new(message)
			if err := s.RecvMsg(in); err != nil {
				if errors.Is(err, io.EOF) {
					return nil
				}
				return err
			}
			if err := s.SendMsg(in); err != nil {
				return err
			}
		}
	}
	s := k.open(token)
	for range 10 {
		out := new(message)
		if err := errors.Join(s.SendMsg(wrapperspb.String("x")), s.RecvMsg(out)); err != nil || out.Value != "x" {
			t.Fatalf("the echo is %q, %v", out.Value, err)
		}
	}
	if err := errors.Join(s.CloseSend(), s.RecvMsg(new(message))); !errors.Is(err, io.EOF) {
		t.Errorf("the stream ended with %v", err)
	}
	if h, err := s.Header(); err != nil || len(h.Get("ratelimit")) != 1 {
		t.Errorf("the header of the stream is %v, %v", h, err)
	}
}

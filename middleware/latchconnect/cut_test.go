package latchconnect_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/wontopos/latchkey/apikey"
)

// TestAStreamEndsWithItsKey: the client learns why, in its protocol.
func TestAStreamEndsWithItsKey(t *testing.T) {
	each(t, func(t *testing.T, k *kit) {
		id, token := k.key()
		done := make(chan error, 1)
		k.watch = func(ctx context.Context, s *connect.ServerStream[message]) error {
			ended := ctx.Done()
			_ = s.Send(wrapperspb.String("first"))
			<-ended
			if cause := context.Cause(ctx); cause != error(apikey.RevokedKey) {
				t.Errorf("the handler's context ended with %v", cause)
			}
			done <- s.Send(wrapperspb.String("late"))
			return errors.New("a secret finding")
		}
		k.cuts(t, id, token)
		if err := <-done; err == nil {
			t.Error("a message is sent after the cut")
		}
	})
}

// TestABusyStreamEndsWithItsKey between two of its messages.
func TestABusyStreamEndsWithItsKey(t *testing.T) {
	each(t, func(t *testing.T, k *kit) {
		id, token := k.key()
		k.watch = func(_ context.Context, s *connect.ServerStream[message]) error {
			for {
				if err := s.Send(wrapperspb.String("first")); err != nil {
					return nil
				}
			}
		}
		k.cuts(t, id, token)
	})
}

// cuts revokes the key of an open stream.
func (k *kit) cuts(t *testing.T, id, token string) {
	t.Helper()
	s := k.open(token)
	if !s.Receive() || s.Msg().Value != "first" {
		t.Fatalf("the first message does not arrive: %v", s.Err())
	}
	begun := time.Now()
	k.revoke(id)
	for s.Receive() {
		if s.Msg().Value == "late" {
			t.Error("a message that was sent after the revocation has arrived")
		}
	}
	t.Logf("the client knew %v after the revocation began", time.Since(begun))
	expectRevoked(t, s.Err())
}

// TestAStreamThatHasNotBegunIsRefused, with nothing that the handler has set.
func TestAStreamThatHasNotBegunIsRefused(t *testing.T) {
	each(t, func(t *testing.T, k *kit) {
		id, token := k.key()
		k.watch = func(ctx context.Context, s *connect.ServerStream[message]) error {
			k.revoke(id)
			<-ctx.Done()
			return s.Send(wrapperspb.String("late"))
		}
		s := k.open(token)
		if s.Receive() {
			t.Error("a message has arrived")
		}
		expectRevoked(t, s.Err())
		if h := s.ResponseHeader(); h.Get("Finding") != "" || h.Get("RateLimit") != "" || !strings.HasPrefix(h.Get("WWW-Authenticate"), `Bearer realm="things"`) {
			t.Errorf("the header is %v", h)
		}
	})
}

// TestAUnaryCallEndsWithItsKey: what the handler returns is dropped.
func TestAUnaryCallEndsWithItsKey(t *testing.T) {
	each(t, func(t *testing.T, k *kit) {
		id, token := k.key()
		k.get = func(ctx context.Context, _ string) (string, error) {
			k.revoke(id)
			if cause := context.Cause(ctx); cause != error(apikey.RevokedKey) {
				t.Errorf("the handler's context ended with %v", cause)
			}
			return "secret", nil
		}
		_, _, err := k.call("/test.Things/Get", "", token)
		expectRevoked(t, err)
		var e *connect.Error
		if errors.As(err, &e) && (e.Meta().Get("Finding") != "" || e.Meta().Get("RateLimit") != "") {
			t.Errorf("the refusal has something of the response that it replaces: %v", e.Meta())
		}
		// The connection of a call that was cut does not spoil the next one.
		_, other := k.key()
		k.get = func(ctx context.Context, in string) (string, error) { return in, ctx.Err() }
		for range 3 {
			if out, _, err := k.call("/test.Things/Get", "again", other); err != nil || out != "again" {
				t.Errorf("the next call returned %q, %v", out, err)
			}
		}
	})
}

// TestADeafStreamIsReset over HTTP/2: its client does not wait for a handler that
// notices nothing.
func TestADeafStreamIsReset(t *testing.T) {
	for _, protocol := range []string{"Connect", "gRPC-Web", "gRPC"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			k := newGuard(t)
			k.options = protocols[protocol]
			k.start(true, nil)
			id, token := k.key()
			release := make(chan struct{})
			defer close(release)
			k.watch = func(_ context.Context, s *connect.ServerStream[message]) error {
				_ = s.Send(wrapperspb.String("first"))
				<-release
				return nil
			}
			s := k.open(token)
			s.Receive()
			k.revoke(id)
			if s.Receive() || s.Err() == nil {
				t.Errorf("the stream goes on, or looks whole: %v", s.Err())
			}
		})
	}
}

// TestAHandlerThatIsBlockedIsWoken, in Receive and in Send.
func TestAHandlerThatIsBlockedIsWoken(t *testing.T) {
	for _, protocol := range []string{"Connect", "gRPC-Web", "gRPC"} {
		for name, block := range map[string]func(s *connect.BidiStream[message, message], blocked chan<- struct{}) error{
			"Receive": func(s *connect.BidiStream[message, message], blocked chan<- struct{}) error {
				close(blocked)
				_, err := s.Receive()
				return err
			},
			"Send": func(s *connect.BidiStream[message, message], _ chan<- struct{}) error {
				return s.Send(wrapperspb.String(strings.Repeat("x", large))) // the client reads nothing meanwhile
			},
		} {
			t.Run(protocol+", "+name, func(t *testing.T) {
				t.Parallel()
				k := newGuard(t)
				k.options = slices.Concat(protocols[protocol], []connect.ClientOption{connect.WithAcceptCompression("gzip", nil, nil)})
				blocked, woken := make(chan struct{}), make(chan error, 1)
				k.start(true, func(next http.Handler) http.Handler {
					return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(tells{w, blocked}, r) })
				})
				id, token := k.key()
				k.chat = func(_ context.Context, s *connect.BidiStream[message, message]) error {
					_ = s.Send(wrapperspb.String("first"))
					woken <- block(s, blocked)
					return nil
				}
				s := k.client("/test.Things/Chat").CallBidiStream(t.Context())
				s.RequestHeader().Set("Authorization", "Bearer "+token)
				if err := s.Send(nil); err != nil {
					t.Fatal(err)
				}
				if _, err := s.Receive(); err != nil {
					t.Fatal(err)
				}
				<-blocked
				begun := time.Now()
				k.revoke(id)
				if err := <-woken; err == nil {
					t.Error("the handler is woken without an error")
				}
				t.Logf("woken after %v", time.Since(begun))
				_, err := s.Receive()
				if name == "Receive" {
					expectRevoked(t, err)
				} else if err == nil || errors.Is(err, io.EOF) {
					t.Errorf("a stream whose client did not read looks whole: %v", err)
				}
			})
		}
	}
}

// large is more than the client buffers.
const large = 16 << 20

// tells says when something large is being written.
type tells struct {
	http.ResponseWriter
	blocked chan<- struct{}
}

func (w tells) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w tells) Write(p []byte) (int, error) {
	if len(p) >= large {
		close(w.blocked)
	}
	return w.ResponseWriter.Write(p)
}

// TestACallIsCutOutsideItsMessages: a raw handler of a Connect stream writes part
// of an envelope, or an end of its own.
func TestACallIsCutOutsideItsMessages(t *testing.T) {
	const end = "\x02\x00\x00\x00\x02{}"
	for name, c := range map[string]struct {
		writes []string
		whole  bool   // the response ends well
		body   string // begins with this
		told   bool   // and says that the key was revoked
	}{
		"before a message":         {nil, true, "", true},
		"after a message":          {[]string{"\x00\x00\x00\x00\x03", "one"}, true, "\x00\x00\x00\x00\x03one", true},
		"after an empty message":   {[]string{"\x00\x00\x00\x00\x00", ""}, true, "\x00\x00\x00\x00\x00", true},
		"after a prefix":           {[]string{"\x00\x00\x00\x00\x03"}, true, "", true},
		"after a prefix in pieces": {[]string{"\x00\x00", "\x00\x00\x03"}, false, "\x00\x00\x00\x00\x03", false},
		"in a message":             {[]string{"\x00\x00\x00\x00\x03o"}, false, "\x00\x00\x00\x00\x03o", false},
		"after its end":            {[]string{end[:5], end[5:]}, true, end, false},
	} {
		for _, around := range []string{"nothing", "a recovery that swallows all"} {
			for _, version := range []string{"HTTP/1.1", "HTTP/2"} {
				t.Run(name+", inside "+around+", over "+version, func(t *testing.T) {
					t.Parallel()
					k := newGuard(t)
					id, token := k.key()
					k.raw = func(w http.ResponseWriter, r *http.Request) {
						w.(http.Flusher).Flush()
						for _, text := range c.writes {
							if _, err := io.WriteString(w, text); err != nil {
								t.Error(err)
							}
							w.(http.Flusher).Flush()
						}
						k.revoke(id)
						<-r.Context().Done()
						if _, err := io.WriteString(w, "late"); !errors.Is(err, apikey.RevokedKey) {
							t.Errorf("writing after the cut returned %v", err)
						}
					}
					var wrap func(http.Handler) http.Handler
					if around != "nothing" {
						wrap = swallows
					}
					k.start(version == "HTTP/2", wrap)
					r, err := http.NewRequestWithContext(t.Context(), "POST", k.server.URL+"/test.Things/Raw", bytes.NewReader(make([]byte, prefixLen)))
					if err != nil {
						t.Fatal(err)
					}
					r.Header.Set("Content-Type", "application/connect+proto")
					r.Header.Set("Authorization", "Bearer "+token)
					res, err := k.server.Client().Do(r)
					if err != nil {
						t.Fatal(err)
					}
					defer res.Body.Close()
					body, err := io.ReadAll(res.Body)
					if (err == nil) != c.whole || !bytes.HasPrefix(body, []byte(c.body)) || bytes.Contains(body, []byte("late")) {
						t.Errorf("the body is %q, %v", body, err)
					}
					rest := body[min(len(c.body), len(body)):]
					if !c.told {
						if len(rest) > 0 {
							t.Errorf("something follows: %q", rest)
						}
					} else if len(rest) < prefixLen || rest[0] != 2 || int(binary.BigEndian.Uint32(rest[1:])) != len(rest)-prefixLen || !strings.Contains(string(rest), `"unauthenticated"`) {
						t.Errorf("the end of the stream is %q", rest)
					}
				})
			}
		}
	}
}

const prefixLen = 5

func swallows(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { _ = recover() }()
		next.ServeHTTP(w, r)
	})
}

// hides has a writer that cannot be unwrapped.
func hides(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(struct {
			http.ResponseWriter
			http.Flusher
		}{w, w.(http.Flusher)}, r)
	})
}

// TestACutUnaryResponseThatHasBegunIsBrokenOff: there is no way to end it.
func TestACutUnaryResponseThatHasBegunIsBrokenOff(t *testing.T) {
	for _, version := range []string{"HTTP/1.1", "HTTP/2"} {
		for _, around := range []func(http.Handler) http.Handler{nil, swallows, hides} {
			k := newGuard(t)
			id, token := k.key()
			k.raw = func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, `{"part`)
				w.(http.Flusher).Flush()
				k.revoke(id)
			}
			k.start(version == "HTTP/2", around)
			r, err := http.NewRequestWithContext(t.Context(), "POST", k.server.URL+"/test.Things/Raw", strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Authorization", "Bearer "+token)
			res, err := k.server.Client().Do(r)
			if err != nil {
				continue // broken off before its header was read
			}
			if body, err := io.ReadAll(res.Body); err == nil {
				t.Errorf("%s: a response that was cut looks whole: %q", version, body)
			}
			_ = res.Body.Close()
		}
	}
}

// TestACallThatItsClientEndsIsNotCut: nothing says that the key did.
func TestACallThatItsClientEndsIsNotCut(t *testing.T) {
	each(t, func(t *testing.T, k *kit) {
		_, token := k.key()
		cause := make(chan error, 1)
		k.watch = func(ctx context.Context, s *connect.ServerStream[message]) error {
			_ = s.Send(wrapperspb.String("first"))
			<-ctx.Done()
			var code apikey.Code
			if err := s.Send(wrapperspb.String("late")); errors.As(err, &code) {
				t.Errorf("sending after the client has left returned %v", err)
			}
			cause <- context.Cause(ctx)
			return ctx.Err()
		}
		ctx, cancel := context.WithCancel(t.Context())
		s, err := k.client("/test.Things/Watch").CallServerStream(ctx, request("", token))
		if err != nil {
			t.Fatal(err)
		}
		s.Receive()
		cancel()
		if err := <-cause; !errors.Is(err, context.Canceled) {
			t.Errorf("the context ended with %v", err)
		}
	})
}

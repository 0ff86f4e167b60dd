package middleware_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/middleware"
)

// gatedLimiter holds its first Take until it is told what to answer.
type gatedLimiter struct {
	limiter.Limiter
	entered chan struct{}
	answer  chan error
	passed  atomic.Bool
}

func (l *gatedLimiter) Take(ctx context.Context, r limiter.Request) (limiter.Decision, error) {
	if !l.passed.Swap(true) {
		close(l.entered)
		if err := <-l.answer; err != nil {
			return limiter.Decision{}, err
		}
	}
	return l.Limiter.Take(ctx, r)
}

// TestACutBeforeTheHandlerSparesTheConnection: a key is revoked while the
// limiter decides a request with it. That request is refused as revoked,
// whatever the limiter says, and the next one on the connection, with somebody
// else's good key, is served as if nothing had been. (It was not: the cut set a
// read deadline in the past, which ended the context of the connection.)
func TestACutBeforeTheHandlerSparesTheConnection(t *testing.T) {
	for name, answer := range map[string]error{"admitted": nil, "the limiter fails": limiter.ErrUnavailable} {
		t.Run(name, func(t *testing.T) {
			window, err := limiter.New(limiter.Options{})
			if err != nil {
				t.Fatal(err)
			}
			l := &gatedLimiter{Limiter: window, entered: make(chan struct{}), answer: make(chan error)}
			k := newKit(t, middleware.Options{Limiter: l})
			id, doomed := k.key()
			_, good := k.key()
			s := httptest.NewServer(k.guard.Require(middleware.AnyKey())(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = fmt.Fprint(w, r.Context().Err())
			})))
			defer s.Close()
			conn, err := net.Dial("tcp", s.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			answers := bufio.NewReader(conn)
			ask := func(token string) {
				_, _ = fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: api.example.com\r\nAuthorization: Bearer %s\r\n\r\n", token)
			}
			read := func() (int, string) {
				t.Helper()
				res, err := http.ReadResponse(answers, nil)
				if err != nil {
					t.Fatalf("the connection did not survive: %v", err)
				}
				b, err := io.ReadAll(res.Body)
				if err != nil {
					t.Fatal(err)
				}
				return res.StatusCode, string(b)
			}
			ask(doomed)
			<-l.entered
			k.revoke(id)
			l.answer <- answer
			if status, body := read(); status != http.StatusUnauthorized {
				t.Errorf("a key that was revoked during the decision was answered with %d: %s", status, body)
			}
			ask(good)
			if status, body := read(); status != http.StatusOK || body != "<nil>" {
				t.Errorf("the next request on the connection was answered with %d: %s", status, body)
			}
		})
	}
}

package middleware_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
)

// rounds is how often a case is tried that depends on who is quicker.
func rounds() int {
	if os.Getenv("LATCHKEY_LONG") != "" {
		return 40
	}
	return 2
}

// TestACutResponseNeverLooksWhole, whatever stands around the guard, whatever
// the handler does, over every protocol.
func TestACutResponseNeverLooksWhole(t *testing.T) {
	for protocol := range protocols {
		for chain, wrap := range outside {
			t.Run(protocol+", "+chain, func(t *testing.T) {
				t.Parallel()
				k := newKit(t, middleware.Options{})
				s := serveOn(t, protocol, wrap(k.guard.Require(middleware.AnyKey())(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					p, _ := middleware.PrincipalFrom(r.Context())
					forms[r.URL.Query().Get("form")](w)
					ways[r.URL.Query().Get("way")](w, r, func() {
						if r.URL.Query().Has("elsewhere") {
							go k.revoke(p.KeyID())
							<-r.Context().Done()
							return
						}
						k.revoke(p.KeyID())
					})
				}))))
				for form := range forms {
					for way := range ways {
						for i := range rounds() {
							_, token := k.key()
							query := url.Values{"form": {form}, "way": {way}}
							if i%2 == 0 { // the handler knows before the connection does
								query.Set("elsewhere", "")
							}
							method := "GET"
							if form == "not flushed" {
								method = "HEAD"
							}
							res, err := s.Client().Do(ask(t, method, s.URL+"/?"+query.Encode(), token, nil))
							if err != nil {
								continue
							}
							b, err := io.ReadAll(res.Body)
							_ = res.Body.Close()
							if err == nil {
								t.Errorf("a response %s, handler that %s: ended well with %s %q, trailer %v", form, way, res.Status, b, res.Trailer)
							}
							if bytes.Contains(b, []byte("late")) || res.Trailer.Get("X-Sum") != "" {
								t.Errorf("a response %s, handler that %s: what came after the cut arrived: %q, trailer %v", form, way, b, res.Trailer)
							}
						}
					}
				}
			})
		}
	}
}

// TestACutResponseToHTTP10: it has no other end than its connection's. Nor may
// net/http end it, which closes the connection when a write fails.
func TestACutResponseToHTTP10(t *testing.T) {
	for chain, wrap := range outside {
		for name, more := range streams {
			t.Run(name+", "+chain, func(t *testing.T) {
				t.Parallel()
				k := newKit(t, middleware.Options{})
				s := serveOn(t, "HTTP/1", wrap(k.guard.Require(middleware.AnyKey())(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.WriteString(w, "part")
					_ = http.NewResponseController(w).Flush()
					more(w, r)
				}))))
				for range 5 * rounds() {
					id, token := k.key()
					conn, in := dial(t, s)
					fmt.Fprintf(conn, "GET / HTTP/1.0\r\nHost: api.example.com\r\nAuthorization: Bearer %s\r\n\r\n", token)
					if _, err := in.Peek(1); err != nil {
						t.Fatal(err)
					}
					go k.revoke(id)
					if n, err := io.Copy(io.Discard, in); err == nil {
						t.Errorf("ended well after %d bytes", n)
					}
				}
			})
		}
	}
}

// TestACutResponseThatOthersEndWithItsConnection: middleware around the guard
// has asked for that, and the handler never looks at the header.
func TestACutResponseThatOthersEndWithItsConnection(t *testing.T) {
	for _, c := range []struct {
		plan, stream string
		change       func(*latchkey.NewKey)
	}{
		{"with limits", "waits", wide},
		{"with limits", "writes until that fails", wide},
		{"without limits", "waits", func(*latchkey.NewKey) {}},
	} {
		t.Run(c.stream+", "+c.plan, func(t *testing.T) {
			t.Parallel()
			k := newKit(t, middleware.Options{}, unlimited)
			guarded := k.guard.Require(middleware.AnyKey())(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, "part")
				_ = http.NewResponseController(w).Flush()
				streams[c.stream](w, r)
			}))
			s := serveOn(t, "HTTP/1", recovers(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Transfer-Encoding", "identity")
				guarded.ServeHTTP(w, r)
			})))
			for range 5 * rounds() {
				id, token := k.key(c.change)
				res, err := s.Client().Do(ask(t, "GET", s.URL, token, nil))
				if err != nil {
					t.Fatal(err)
				}
				go k.revoke(id)
				if n, err := io.Copy(io.Discard, res.Body); err == nil {
					t.Errorf("ended well after %d bytes", n)
				}
				_ = res.Body.Close()
			}
		})
	}
}

// TestTheRefusalIsTrueToWhatIsAround: what middleware around the guard has set
// stays, even if the handler took it away; what the handler has set goes.
func TestTheRefusalIsTrueToWhatIsAround(t *testing.T) {
	around := func(h http.Handler) http.Handler {
		return compresses(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Api-Version", "3")
			h.ServeHTTP(w, r)
		}))
	}
	for name, handler := range map[string]func(w http.ResponseWriter){
		"sets nothing": func(http.ResponseWriter) {},
		"sets fields": func(w http.ResponseWriter) {
			w.Header().Set("Content-Encoding", "br")
			w.Header().Set("X-Api-Version", "4")
			w.Header().Set("X-Secret-Finding", "42")
			w.Header().Set("Content-Length", "3")
			w.Header().Set(http.TrailerPrefix+"X-Sum", "42")
		},
		"deletes fields": func(w http.ResponseWriter) { clear(w.Header()) },
	} {
		for protocol := range protocols {
			for inside, wrap := range map[string]func(http.Handler) http.Handler{
				"": recovers, ", compression inside": compresses,
			} {
				t.Run(name+inside+", "+protocol, func(t *testing.T) {
					t.Parallel()
					k := newKit(t, middleware.Options{LegacyHeaders: true})
					id, token := k.key()
					s := serveOn(t, protocol, around(k.guard.Require(middleware.AnyKey())(wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
						handler(w)
						k.revoke(id)
						_, _ = io.WriteString(w, "late")
					})))))
					res, err := s.Client().Do(ask(t, "GET", s.URL, token, nil))
					if err != nil {
						t.Fatal(err)
					}
					if res.StatusCode != http.StatusUnauthorized || !res.Uncompressed || !strings.Contains(body(t, res), apikey.RevokedKey.Info().Name) {
						t.Errorf("%s, uncompressed by the client: %v", res.Status, res.Uncompressed)
					}
					if got := res.Header.Get("X-Api-Version"); got != "3" {
						t.Errorf("X-Api-Version is %q", got)
					}
					for _, field := range []string{"X-Secret-Finding", "RateLimit", "X-RateLimit-Limit"} {
						if res.Header.Get(field) != "" || len(res.Trailer) > 0 {
							t.Errorf("%s: %v, trailer %v", field, res.Header, res.Trailer)
						}
					}
				})
			}
		}
	}
	t.Run("compression by the handler alone", func(t *testing.T) {
		k := newKit(t, middleware.Options{})
		id, token := k.key()
		res := serve(k.guard.Require(middleware.AnyKey())(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			k.revoke(id)
		})), get(token))
		if res.StatusCode != http.StatusUnauthorized || res.Header.Get("Content-Encoding") != "" {
			t.Errorf("%d %v", res.StatusCode, res.Header)
		}
	})
}

// TestAHijackedConnectionEndsInAReset, and nothing is written to it after the
// cut, whoever closes it first.
func TestAHijackedConnectionEndsInAReset(t *testing.T) {
	for name, end := range map[string]func(conn net.Conn, rw *bufio.ReadWriter){
		"closes":       func(net.Conn, *bufio.ReadWriter) {},
		"says goodbye": func(conn net.Conn, _ *bufio.ReadWriter) { _, _ = io.WriteString(conn, "goodbye\n") },
		"copies goodbye": func(conn net.Conn, _ *bufio.ReadWriter) {
			_, _ = io.Copy(conn, io.LimitReader(strings.NewReader("goodbye\n"), 8))
		},
		"flushes goodbye": func(_ net.Conn, rw *bufio.ReadWriter) { _, _ = rw.WriteString("goodbye\n"); _ = rw.Flush() },
		"closes one half": func(conn net.Conn, _ *bufio.ReadWriter) {
			if half, ok := conn.(interface{ CloseWrite() error }); ok {
				_ = half.CloseWrite()
			}
		},
	} {
		for _, protocol := range []string{"HTTP/1", "HTTP/1 over TLS"} {
			t.Run(name+", "+protocol, func(t *testing.T) {
				t.Parallel()
				k := newKit(t, middleware.Options{})
				s := serveOn(t, protocol, k.guard.Require(middleware.AnyKey())(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					conn, rw, err := w.(http.Hijacker).Hijack()
					if err != nil {
						t.Error(err)
						return
					}
					defer conn.Close()
					_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: hello\r\n\r\nhello\n")
					_ = rw.Flush()
					<-r.Context().Done()
					end(conn, rw)
				})))
				for range 5 * rounds() {
					id, token := k.key()
					r := ask(t, "GET", s.URL, token, nil)
					r.Header.Set("Connection", "Upgrade")
					r.Header.Set("Upgrade", "hello")
					res, err := s.Client().Do(r)
					if err != nil {
						t.Fatal(err)
					}
					in := bufio.NewReader(res.Body)
					if line, err := in.ReadString('\n'); line != "hello\n" {
						t.Fatal(line, err)
					}
					k.revoke(id)
					if rest, err := io.ReadAll(in); err == nil || len(rest) > 0 {
						t.Errorf("the connection ended with %q, %v", rest, err)
					}
					_ = res.Body.Close()
				}
			})
		}
	}
}

// TestAConnectionThroughAProxyIsCut: net/http's proxy, as a guarded handler,
// takes the connection over for protocols such as WebSocket.
func TestAConnectionThroughAProxyIsCut(t *testing.T) {
	behind := serveOn(t, "HTTP/1", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, _ := http.NewResponseController(w).Hijack()
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: hello\r\n\r\nhello\n")
		_, _ = rw.ReadByte() // until the proxy goes
	}))
	target, _ := url.Parse(behind.URL)
	k := newKit(t, middleware.Options{})
	s := serveOn(t, "HTTP/1", k.guard.Require(middleware.AnyKey())(httputil.NewSingleHostReverseProxy(target)))
	id, token := k.key()
	conn, in := dial(t, s)
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: api.example.com\r\nAuthorization: Bearer %s\r\nConnection: Upgrade\r\nUpgrade: hello\r\n\r\n", token)
	res, err := http.ReadResponse(in, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(res, err)
	}
	if line, err := in.ReadString('\n'); line != "hello\n" {
		t.Fatal(line, err)
	}
	k.revoke(id)
	if rest, err := io.ReadAll(in); err == nil || len(rest) > 0 {
		t.Errorf("the connection ended with %q, %v", rest, err)
	}
}

// TestAWriterThatHidesTheConnectionIsLogged: once, and only where a server is
// behind it.
func TestAWriterThatHidesTheConnectionIsLogged(t *testing.T) {
	for name, c := range map[string]struct {
		wrap func(http.Handler) http.Handler
		want int
	}{
		"without Unwrap":     {around["a wrapper without Unwrap"], 1},
		"TimeoutHandler":     {around["http.TimeoutHandler"], 1},
		"with Unwrap":        {compresses, 0},
		"the server's alone": {around["nothing"], 0},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			k := newKit(t, middleware.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			_, token := k.key(wide)
			h := c.wrap(k.guard.Require(middleware.AnyKey())(noContent))
			for protocol := range protocols {
				s := serveOn(t, protocol, h)
				for range 2 {
					if res, err := s.Client().Do(ask(t, "GET", s.URL, token, nil)); err == nil {
						_ = res.Body.Close()
					}
				}
			}
			h.ServeHTTP(httptest.NewRecorder(), get(token))
			if got := strings.Count(log.String(), "hides the connection"); got != c.want {
				t.Errorf("logged %d times, want %d: %s", got, c.want, &log)
			}
		})
	}
}

// TestCopyingEndsWithTheCut, also where the connection cannot be reached.
func TestCopyingEndsWithTheCut(t *testing.T) {
	k := newKit(t, middleware.Options{})
	id, token := k.key()
	w := &readerFrom{ResponseRecorder: httptest.NewRecorder()}
	reads := 0
	h := k.guard.Require(middleware.AnyKey())(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, err := io.Copy(w, readFunc(func(p []byte) (int, error) {
			if reads++; reads == 3 {
				k.revoke(id)
			}
			if reads > 100 {
				return 0, io.EOF
			}
			return len(p), nil
		}))
		if !errors.Is(err, apikey.RevokedKey) || reads != 3 {
			t.Errorf("%v after %d reads", err, reads)
		}
	}))
	if p := serveSpied(h, w, get(token)); p != http.ErrAbortHandler { //nolint:errorlint // a panic value
		t.Errorf("got %v", p)
	}
}

type readFunc func(p []byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

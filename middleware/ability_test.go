package middleware_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
)

// patience bounds what is waited for; nothing takes so long.
const patience = 10 * time.Second

// abilities is what a handler finds out about its writer, by asking and by
// trying.
type abilities struct {
	Flusher, Hijacker, Pusher, CloseNotifier, ReaderFrom   bool
	Flush, ReadDeadline, WriteDeadline, FullDuplex, Hijack string // what trying says
}

// closeNotifier is [http.CloseNotifier], which is deprecated, and in use.
type closeNotifier interface{ CloseNotify() <-chan bool }

func look(w http.ResponseWriter) (a abilities) {
	_, a.Flusher = w.(http.Flusher)
	_, a.Hijacker = w.(http.Hijacker)
	_, a.Pusher = w.(http.Pusher)
	_, a.CloseNotifier = w.(closeNotifier)
	_, a.ReaderFrom = w.(io.ReaderFrom)
	say := func(err error) string {
		switch {
		case err == nil:
			return "works"
		case errors.Is(err, http.ErrNotSupported):
			return "not supported"
		}
		return err.Error()
	}
	c := http.NewResponseController(w)
	a.ReadDeadline, a.WriteDeadline = say(c.SetReadDeadline(time.Time{})), say(c.SetWriteDeadline(time.Time{}))
	a.FullDuplex = say(c.EnableFullDuplex())
	a.Flush = say(c.Flush())
	conn, _, err := c.Hijack()
	if a.Hijack = say(err); err == nil {
		_ = conn.Close()
	}
	return a
}

// protocols are servers of net/http, each with a client.
var protocols = map[string]func(h http.Handler) *httptest.Server{
	"HTTP/1":          httptest.NewServer,
	"HTTP/1 over TLS": httptest.NewTLSServer,
	"HTTP/2": func(h http.Handler) *httptest.Server {
		s := httptest.NewUnstartedServer(h)
		s.EnableHTTP2 = true
		s.StartTLS()
		return s
	},
}

// serveOn runs a server without a word in the test's output.
func serveOn(t *testing.T, protocol string, h http.Handler) *httptest.Server {
	t.Helper()
	s := protocols[protocol](h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	s.Client().Timeout = patience
	return s
}

// ask makes a request with a token.
func ask(t *testing.T, method, url, token string, body io.Reader) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "api.example.com"
	r.Header.Set("Authorization", "Bearer "+token)
	return r
}

// around are writers of other middleware that stand between server and guard.
var around = map[string]func(http.Handler) http.Handler{
	"nothing":             func(h http.Handler) http.Handler { return h },
	"http.TimeoutHandler": func(h http.Handler) http.Handler { return http.TimeoutHandler(h, time.Minute, "") },
	"a wrapper without Unwrap": func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(bare{w}, r) })
	},
	"a wrapper without Unwrap that streams": func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.ServeHTTP(streamer{w, w.(http.Flusher), w.(closeNotifier)}, r)
		})
	},
}

// TestGuardedWriterIsTheServers: a handler finds out the same about its writer
// with the guard around it and without.
func TestGuardedWriterIsTheServers(t *testing.T) {
	k := newKit(t, middleware.Options{})
	_, token := k.key()
	for protocol := range protocols {
		for name, wrap := range around {
			t.Run(protocol+", "+name, func(t *testing.T) {
				t.Parallel()
				seen := make(chan abilities, 1)
				h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { seen <- look(w) })
				found := func(h http.Handler) abilities {
					s := serveOn(t, protocol, wrap(h))
					if res, err := s.Client().Do(ask(t, "GET", s.URL, token, nil)); err == nil {
						_ = res.Body.Close()
					}
					select {
					case a := <-seen:
						return a
					case <-time.After(patience):
						t.Fatal("the handler did not run")
						panic("unreachable")
					}
				}
				if d := cmp.Diff(found(h), found(k.guard.Require(middleware.AnyKey())(h))); d != "" {
					t.Errorf("without the guard (-) and with it (+):\n%s", d)
				}
			})
		}
	}
	t.Run("a wrapper that claims what the server lacks", func(t *testing.T) {
		h := k.guard.Require(middleware.AnyKey())(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, flush := w.(http.Flusher)
			_, hijack := w.(http.Hijacker)
			if err := http.NewResponseController(w).Flush(); flush || hijack || !errors.Is(err, http.ErrNotSupported) {
				t.Errorf("flush %v, hijack %v, flushing says %v", flush, hijack, err)
			}
		}))
		h.ServeHTTP(claimer{bare{httptest.NewRecorder()}}, get(token))
	})
}

// claimer offers whatever it is asked for, as gin's writer does.
type claimer struct{ http.ResponseWriter }

func (claimer) Flush()                                       { panic("cannot flush") }
func (claimer) Hijack() (net.Conn, *bufio.ReadWriter, error) { panic("cannot hijack") }
func (c claimer) Unwrap() http.ResponseWriter                { return c.ResponseWriter }

// TestCloseNotify fires when the client goes, and when the request is cut.
func TestCloseNotify(t *testing.T) {
	for protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			k := newKit(t, middleware.Options{})
			began, fired := make(chan struct{}, 1), make(chan bool, 1)
			s := serveOn(t, protocol, k.guard.Require(middleware.AnyKey())(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				gone := w.(closeNotifier).CloseNotify()
				began <- struct{}{}
				select {
				case v := <-gone:
					fired <- v
				case <-time.After(patience):
					fired <- false
				}
			})))
			for name, end := range map[string]func(id string, goes func()){
				"the client goes":    func(_ string, goes func()) { goes() },
				"the key is revoked": func(id string, _ func()) { k.revoke(id) },
			} {
				id, token := k.key()
				ctx, goes := context.WithCancel(t.Context())
				defer goes()
				go func() {
					if res, err := s.Client().Do(ask(t, "GET", s.URL, token, nil).WithContext(ctx)); err == nil {
						_ = res.Body.Close()
					}
				}()
				<-began
				end(id, goes)
				if !<-fired {
					t.Errorf("%s, and CloseNotify does not tell", name)
				}
			}
		})
	}
}

// readers are ways to read a body through http.MaxBytesReader with the limit
// of 511 bytes: with it a buffer of 512, such as io.ReadAll's, is filled.
var readers = map[string]func(w http.ResponseWriter, r *http.Request) error{
	"ReadAll": func(w http.ResponseWriter, r *http.Request) error {
		r.Body = http.MaxBytesReader(w, r.Body, 511)
		_, err := io.ReadAll(r.Body)
		return err
	},
	"a reader of its own": func(w http.ResponseWriter, r *http.Request) error {
		_, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, 511))
		return err
	},
	"byte by byte": func(w http.ResponseWriter, r *http.Request) error {
		b := http.MaxBytesReader(w, r.Body, 511)
		for one := make([]byte, 1); ; {
			if _, err := b.Read(one); err != nil {
				return unlessEOF(err)
			}
		}
	},
	"a copy of the request": func(w http.ResponseWriter, r *http.Request) (err error) {
		http.MaxBytesHandler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, err = io.ReadAll(r.Body)
		}), 511).ServeHTTP(w, r)
		return err
	},
	"a form": func(w http.ResponseWriter, r *http.Request) error {
		r.Body = http.MaxBytesReader(w, r.Body, 511)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return r.ParseForm()
	},
	"JSON": func(w http.ResponseWriter, r *http.Request) error {
		var v any
		return unlessEOF(json.NewDecoder(http.MaxBytesReader(w, r.Body, 511)).Decode(&v))
	},
	"behind a reader of other middleware": func(w http.ResponseWriter, r *http.Request) error {
		r.Body = struct {
			io.Reader
			io.Closer
		}{io.TeeReader(r.Body, io.Discard), r.Body}
		_, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 511))
		return err
	},
	"and answers nothing": func(w http.ResponseWriter, r *http.Request) error {
		_, _ = io.ReadAll(http.MaxBytesReader(w, r.Body, 511))
		return nil
	},
}

func unlessEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// TestMaxBytesReaderHasItsEffect: a body that is too large is answered at once,
// although most of it is still to come, and the connection closes. A body within
// the limit leaves the connection open.
func TestMaxBytesReaderHasItsEffect(t *testing.T) {
	k := newKit(t, middleware.Options{})
	_, token := k.key(wide)
	for name, read := range readers {
		h := http.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := read(w, r); err != nil {
				http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
			}
		}))
		for guarded, h := range map[string]http.Handler{"bare": h, "guarded": k.guard.Require(middleware.AnyKey())(h)} {
			s := serveOn(t, "HTTP/1", h)
			for form, send := range map[string]string{
				"Content-Length": "Content-Length: 1000000\r\n\r\n" + strings.Repeat(" ", 600),
				"chunked":        "Transfer-Encoding: chunked\r\n\r\n1000\r\n" + strings.Repeat(" ", 600),
			} {
				t.Run(name+", "+form+", "+guarded, func(t *testing.T) {
					t.Parallel()
					conn, in := dial(t, s)
					fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: api.example.com\r\nAuthorization: Bearer %s\r\n%s", token, send)
					res, err := http.ReadResponse(in, nil)
					if err != nil {
						t.Fatalf("the answer comes before the rest of the body: %v", err)
					}
					text := body(t, res)
					if name != "and answers nothing" && res.StatusCode != http.StatusRequestEntityTooLarge {
						t.Errorf("answered %d: %s", res.StatusCode, text)
					}
					if !res.Close {
						t.Error("the answer announces the end of the connection")
					}
					if form != "chunked" { // there net/http looks for the end of the body, to close it
						if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
							t.Errorf("the connection ends in %v", err)
						}
					}
					_ = conn.Close()
				})
			}
			t.Run(name+", within the limit, "+guarded, func(t *testing.T) {
				t.Parallel()
				conn, in := dial(t, s)
				for range 2 {
					fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: api.example.com\r\nAuthorization: Bearer %s\r\nContent-Length: 511\r\n\r\n%s", token, strings.Repeat(" ", 511))
					res, err := http.ReadResponse(in, nil)
					if err != nil || res.StatusCode != http.StatusOK || res.Close {
						t.Fatalf("%v, %v", res, err)
					}
					_ = body(t, res)
				}
			})
		}
	}
}

func dial(t *testing.T, s *httptest.Server) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", s.Listener.Addr().String(), patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn, bufio.NewReader(conn)
}

// TestReadingGoesOn: a handler that reads some of a body, and then the rest, or
// leaves the rest alone, is served as without the guard.
func TestReadingGoesOn(t *testing.T) {
	k := newKit(t, middleware.Options{})
	_, token := k.key(wide)
	for name, read := range map[string]func(w http.ResponseWriter, r *http.Request){
		"not at all":    func(http.ResponseWriter, *http.Request) {},
		"the beginning": func(_ http.ResponseWriter, r *http.Request) { _, _ = io.ReadFull(r.Body, make([]byte, 10)) },
		"in parts, through a limit": func(w http.ResponseWriter, r *http.Request) {
			b := http.MaxBytesReader(w, r.Body, 5000)
			_, _ = io.ReadFull(b, make([]byte, 10))
			_, _ = io.Copy(io.Discard, b)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := serveOn(t, "HTTP/1", k.guard.Require(middleware.AnyKey())(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				read(w, r)
				w.WriteHeader(http.StatusOK)
			})))
			conn, in := dial(t, s)
			for range 2 {
				fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: api.example.com\r\nAuthorization: Bearer %s\r\nContent-Length: 1000\r\n\r\n%s", token, bytes.Repeat([]byte("x"), 1000))
				res, err := http.ReadResponse(in, nil)
				if err != nil || res.Close {
					t.Fatalf("the connection stays open: %v, %v", res, err)
				}
				_ = body(t, res)
			}
		})
	}
}

// TestCutBodyTellsTheCause: to a read that waits, and to all after it.
func TestCutBodyTellsTheCause(t *testing.T) {
	for protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			k := newKit(t, middleware.Options{})
			id, token := k.key()
			began, errs := make(chan struct{}), make(chan error, 2)
			s := serveOn(t, protocol, k.guard.Require(middleware.AnyKey())(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.ReadFull(r.Body, make([]byte, 1))
				close(began)
				_, err := io.Copy(io.Discard, r.Body)
				errs <- err
				_, err = r.Body.Read(make([]byte, 1))
				errs <- err
			})))
			from, to := io.Pipe()
			defer to.Close()
			go func() { _, _ = to.Write([]byte("x")) }()
			go func() {
				if res, err := s.Client().Do(ask(t, "POST", s.URL, token, from)); err == nil {
					_ = res.Body.Close()
				}
			}()
			<-began
			k.revoke(id)
			for range 2 {
				if err := <-errs; !errors.Is(err, apikey.RevokedKey) {
					t.Errorf("reading a body after the cut: %v", err)
				}
			}
		})
	}
}

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/storage/memstore"
)

// A scenario is one step of the hot path. make builds it on a set-up of its
// own and returns what is done n times over; i counts the calls. An answer
// other than the expected one is an error: a step that fails early is cheap.
type scenario struct {
	name string
	keys int
	n    int // how often it is done for one count
	make func(*setup) func(i int) error
}

// often is enough for a count that is steady to a few thousandths; for what
// costs a multiple seldom is, and for what costs a part it takes more.
const (
	oftener = 60_000
	often   = 20_000
	seldom  = 5_000
)

// scope is what every key may do, and what the guarded route asks for.
const scope = "things:read"

// scenarios returns all of them, in the order of the table.
func scenarios() (all []scenario) {
	times := often
	add := func(name string, keys int, f func(*setup) func(int) error) {
		all = append(all, scenario{name, keys, times, f})
	}
	// A yardstick: what of Verify is the digest of a token's id and secret,
	// without the instructions for it that new processors have.
	add("sha256", 1, func(s *setup) func(int) error {
		text := []byte(s.tokens[0])[:55]
		want := sha256.Sum256(text)
		return func(int) error { return expect(sha256.Sum256(text), want) }
	})
	for _, keys := range []int{1, 1000} {
		of := func(name string) string { return fmt.Sprintf("%s/keys=%d", name, keys) }
		add(of("verify"), keys, verify)
		add(of("call"), keys, func(s *setup) func(int) error { return s.call(s.tokens, apikey.OK) })
		add(of("serve"), keys, func(s *setup) func(int) error {
			h := argument(s.guard, func(w http.ResponseWriter, _ *http.Request, p *apikey.Principal) {
				if p != nil {
					_, _ = w.Write(body)
				}
			})
			return s.serve(h, s.tokens, http.StatusOK)
		})
		add(of("require"), keys, func(s *setup) func(int) error { return s.serve(s.require(), s.tokens, http.StatusOK) })
		times = oftener
		add(of("window-1"), keys, func(s *setup) func(int) error { return s.take(1) })
		add(of("window-2"), keys, func(s *setup) func(int) error { return s.take(2) })
		times = often
	}
	times = seldom
	// The same through all of net/http, over a connection in memory, beside a
	// handler alone and one that sends two constants for the RateLimit fields.
	add("server-bare", 1, func(s *setup) func(int) error { return s.ask(http.HandlerFunc(answer)) })
	add("server-bare-fields", 1, func(s *setup) func(int) error { return s.ask(http.HandlerFunc(answerWithFields)) })
	add("server-require", 1, func(s *setup) func(int) error { return s.ask(s.require()) })
	for _, refusal := range []struct {
		name   string
		keys   int
		tokens func(*setup) []string
		code   apikey.Code
	}{
		{"mistyped", 1, (*setup).mistyped, apikey.InvalidKey},
		{"unknown/keys=1", 1, func(s *setup) []string { return s.unknown }, apikey.InvalidKey},
		{"unknown/keys=1000", 1000, func(s *setup) []string { return s.unknown }, apikey.InvalidKey},
		{"limited", 1, func(s *setup) []string { return s.limited }, apikey.RateLimited},
	} {
		add("call-"+refusal.name, refusal.keys, func(s *setup) func(int) error { return s.call(refusal.tokens(s), refusal.code) })
		add("require-"+refusal.name, refusal.keys, func(s *setup) func(int) error {
			return s.serve(s.require(), refusal.tokens(s), refusal.code.Info().Status)
		})
	}
	return all
}

// setup is one service with one guard, and the tokens to ask about.
type setup struct {
	service *latchkey.Service
	guard   *middleware.Guard
	tokens  []string // good, with room
	limited []string // good, over their limit
	unknown []string // well formed, of no key
	client  net.Conn // of ask
}

// An hour is more than any run: what a Service and a limiter do of themselves
// now and then stays out of the count.
const never = time.Hour

func newSetup(keys int) (*setup, error) {
	ctx := context.Background()
	quiet := slog.New(slog.DiscardHandler)
	options := latchkey.Options{
		Plans:      []apikey.Plan{{Name: "roomy", Limits: roomy()}, {Name: "full", Limits: []apikey.Limit{apikey.PerMinute(1), apikey.PerDay(1)}}},
		FlushEvery: never, Logger: quiet,
	}
	service, err := latchkey.New(memstore.New(), options)
	if err != nil {
		return nil, err
	}
	stranger, err := latchkey.New(memstore.New(), options)
	if err != nil {
		return nil, err
	}
	guard, err := middleware.New(service, middleware.Options{
		Logger: quiet, RequestID: func(context.Context, middleware.Fields) string { return "gate" },
	})
	if err != nil {
		return nil, err
	}
	s := &setup{service: service, guard: guard}
	for _, x := range []struct {
		n    int
		of   *latchkey.Service
		plan string
		list *[]string
	}{{keys, service, "roomy", &s.tokens}, {1, service, "full", &s.limited}, {keys, stranger, "roomy", &s.unknown}} {
		for range x.n {
			_, token, err := x.of.Create(ctx, apikey.Actor{ID: "gate"}, latchkey.NewKey{Name: "gate", Owner: "acme", Scopes: []string{scope}, Plan: x.plan})
			if err != nil {
				return nil, err
			}
			*x.list = append(*x.list, token.Reveal())
		}
	}
	return s, s.call(s.limited, apikey.OK)(0)
}

func (s *setup) close() error {
	ctx := context.Background()
	if s.client != nil {
		_ = s.client.Close()
	}
	if err := s.guard.Close(ctx); err != nil {
		return err
	}
	return s.service.Close(ctx)
}

// roomy are two windows whose segments are longer than a run: how often a
// segment ends while a thousand keys take turns is a matter of time, not of
// instructions.
func roomy() []apikey.Limit {
	return []apikey.Limit{{Name: "hour", N: apikey.MaxLimitN, Window: time.Hour}, apikey.PerDay(apikey.MaxLimitN)}
}

// mistyped is a token whose checksum is wrong.
func (s *setup) mistyped() []string {
	t := s.tokens[0]
	last := "x"
	if strings.HasSuffix(t, last) {
		last = "y"
	}
	return []string{t[:len(t)-1] + last}
}

func (s *setup) require() http.Handler {
	return s.guard.Require(middleware.AllOf(scope))(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, ok := middleware.PrincipalFrom(r.Context()); ok {
			_, _ = w.Write(body)
		}
	}))
}

// ask puts a handler behind a server, and requests to it over one connection.
func (s *setup) ask(h http.Handler) func(int) error {
	server, client := net.Pipe()
	s.client = client
	go func() { _ = http.Serve(&oneListener{conn: server}, h) }()
	request := []byte("GET /things HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: gate/1\r\nAccept-Encoding: gzip\r\nAuthorization: Bearer " + s.tokens[0] + "\r\n\r\n")
	start, end, buf := []byte("HTTP/1.1 200 OK\r\n"), append([]byte("\r\n\r\n"), body...), make([]byte, 4096)
	return func(int) error {
		if _, err := client.Write(request); err != nil {
			return err
		}
		n, err := client.Read(buf) // the server writes a small response at once
		if err != nil {
			return err
		}
		return expect(bytes.HasPrefix(buf[:n], start) && bytes.HasSuffix(buf[:n], end), true)
	}
}

// oneListener accepts one connection.
type oneListener struct {
	conn net.Conn
}

func (l *oneListener) Accept() (net.Conn, error) {
	if c := l.conn; c != nil {
		l.conn = nil
		return c, nil
	}
	return nil, net.ErrClosed
}

func (l *oneListener) Close() error   { return nil }
func (l *oneListener) Addr() net.Addr { return &net.TCPAddr{} }

func verify(s *setup) func(int) error {
	ctx := context.Background()
	return func(i int) error {
		_, err := s.service.Verify(ctx, s.tokens[i%len(s.tokens)])
		return err
	}
}

func (s *setup) call(tokens []string, want apikey.Code) func(int) error {
	ctx := context.Background()
	lines := authorization(tokens)
	r := middleware.Request{Host: "api.example.com", PeerAddr: netip.MustParseAddr("192.0.2.1")} // as transports know it
	door, call := s.guard.Door(middleware.Route{Need: middleware.AllOf(scope)}), new(middleware.Call)
	fields := make([]middleware.Fields, len(lines))
	for i, line := range lines {
		fields[i] = http.Header{"Authorization": line}
	}
	return func(i int) error {
		r.Fields = fields[i%len(fields)]
		*call = middleware.Call{}
		door.Decide(ctx, call, r)
		call.End(http.StatusOK)
		return expect(call.Code(), want)
	}
}

func (s *setup) serve(h http.Handler, tokens []string, want int) func(int) error {
	lines := authorization(tokens)
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://api.example.com/things", nil)
	if err != nil {
		return func(int) error { return err }
	}
	r.RemoteAddr = "192.0.2.1:1234"
	r.Header = http.Header{"Authorization": nil, "Accept": {"application/json"}, "User-Agent": {"gate/1"}}
	w := &writer{header: make(http.Header, 8)}
	return func(i int) error {
		r.Header["Authorization"] = lines[i%len(lines)]
		w.status = 0
		clear(w.header)
		h.ServeHTTP(w, r)
		return expect(w.status, want)
	}
}

// take asks a limiter alone, for as many windows and subjects.
func (s *setup) take(windows int) func(int) error {
	w, err := limiter.New(limiter.Options{})
	if err != nil {
		return func(int) error { return err }
	}
	ctx, limits := context.Background(), roomy()[:windows]
	return func(i int) error {
		d, err := w.Take(ctx, limiter.Request{Demands: []limiter.Demand{{Subject: s.tokens[i%len(s.tokens)], Limits: limits}}})
		if err != nil {
			return err
		}
		return expect(d.Allowed, true)
	}
}

func authorization(tokens []string) [][]string {
	lines := make([][]string, len(tokens))
	for i, t := range tokens {
		lines[i] = []string{"Bearer " + t}
	}
	return lines
}

func expect[T comparable](got, want T) error {
	if got != want {
		return fmt.Errorf("answer %v, want %v", got, want)
	}
	return nil
}

var body = []byte("ok")

func answer(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) }

func answerWithFields(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h["Ratelimit-Policy"] = []string{`"hour";q=999999999;w=3600, "day";q=999999999;w=86400`}
	h["Ratelimit"] = []string{`"hour";r=999989999;t=3600, "day";r=999989999;t=86400`}
	answer(w, r)
}

// writer is a ResponseWriter that writes nowhere.
type writer struct {
	header http.Header
	status int
}

func (w *writer) Header() http.Header { return w.header }

func (w *writer) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return len(p), nil
}

func (w *writer) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

// Flush keeps the abilities of a real writer visible to wrappers.
func (w *writer) Flush() {}

// perform does a scenario n times, after every key has had its first request.
func (s scenario) perform(n int) error {
	all, err := newSetup(s.keys)
	if err != nil {
		return err
	}
	step := s.make(all)
	for i := range s.keys {
		if err := step(i); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	for i := range n {
		if err := step(i); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return all.close()
}

// argument guards a handler that takes the principal as an argument.
func argument(g *middleware.Guard, h func(http.ResponseWriter, *http.Request, *apikey.Principal)) http.Handler {
	door := g.Door(middleware.Route{Need: middleware.AllOf(scope)})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { door.Serve(w, r, h) })
}

package chains

import (
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/storage/memstore"
)

// site is a server with one layer, alone or beside a guard. What is behind both
// is up to the visit: one visit at a time.
type site struct {
	layer    *layer
	place    place
	protocol string
	server   *httptest.Server
	use      func(v *visit) string
	keys     *latchkey.Service // nil without a guard
	guard    *middleware.Guard
	handler  atomic.Pointer[http.HandlerFunc] // behind the layer and the guard
	running  sync.WaitGroup                   // requests, until everything around the handler has returned
}

func open(t testing.TB, l *layer, p place, protocol string) *site {
	s := &site{layer: l, place: p, protocol: protocol}
	wrap, use := l.build(t)
	s.use = use
	h := http.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*s.handler.Load())(w, r) }))
	if p == alone {
		h = wrap(h)
	} else {
		var err error
		if s.keys, err = latchkey.New(memstore.New(), latchkey.Options{Logger: quiet()}); err != nil {
			t.Fatal(err)
		}
		o := middleware.Options{StripCredential: true, PreflightCORS: true, Logger: quiet()}
		if s.guard, err = middleware.New(s.keys, o); err != nil {
			t.Fatal(err)
		}
		guarded := s.guard.Require(middleware.AnyKey())
		if p == outside {
			h = wrap(guarded(h))
		} else {
			h = guarded(wrap(h))
		}
	}
	s.server = serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.running.Add(1)
		defer s.running.Done()
		h.ServeHTTP(w, r)
	}), protocol)
	t.Cleanup(func() {
		if s.keys != nil {
			_ = s.guard.Close(context.Background())
			_ = s.keys.Close(context.Background())
		}
	})
	return s
}

// serve starts a server, which ends before what was there before it.
func serve(t testing.TB, h http.Handler, protocol string) *httptest.Server {
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	if protocol == "HTTP/2" {
		s.EnableHTTP2 = true
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

// visit is one client with a key and connections of its own.
type visit struct {
	*site
	t       *testing.T
	ctx     context.Context
	client  *http.Client
	token   string
	keyID   string
	details []string // of what was wrong
}

func (s *site) enter(t *testing.T) *visit {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	own := s.server.Client().Transport.(*http.Transport).Clone()
	v := &visit{site: s, t: t, ctx: ctx, client: &http.Client{Transport: own}}
	t.Cleanup(func() {
		cancel()
		own.CloseIdleConnections()
	})
	if s.keys != nil {
		v.newKey()
	}
	return v
}

// newKey makes the key of the requests to come, which may come from these networks.
func (v *visit) newKey(networks ...netip.Prefix) {
	key, token, err := v.keys.Create(v.t.Context(), ops, latchkey.NewKey{Name: "n", Owner: "acme", Networks: networks})
	if err != nil {
		v.t.Fatal(err)
	}
	v.keyID, v.token = key.ID, token.Reveal()
}

func (v *visit) revoke() {
	if _, err := v.keys.Revoke(context.Background(), ops, v.keyID, ""); err != nil {
		v.t.Error(err)
	}
}

// behind says what the next requests are served by.
func (v *visit) behind(h http.HandlerFunc) { v.handler.Store(&h) }

// wrong notes the details of what is wrong, for whoever reads that the table is.
func (v *visit) wrong(what string, details ...error) string {
	for _, err := range details {
		if err != nil {
			v.details = append(v.details, err.Error())
		}
	}
	return what
}

func (v *visit) request(method, path string, body io.Reader, fields ...string) *http.Request {
	r, err := http.NewRequestWithContext(v.ctx, method, v.server.URL+path, body)
	if err != nil {
		v.t.Fatal(err)
	}
	if v.token != "" {
		r.Header.Set("Authorization", "Bearer "+v.token)
	}
	for i := 0; i < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	return r
}

// answer is what a client has read of a response.
type answer struct {
	*http.Response
	text string
	err  error // there is no response, or it broke off
}

func (v *visit) do(r *http.Request) answer {
	res, err := v.client.Do(r)
	if err != nil {
		return answer{&http.Response{Header: http.Header{}}, "", err}
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return answer{res, string(b), err}
}

func (v *visit) get(path string, h http.HandlerFunc, fields ...string) answer {
	v.behind(h)
	return v.do(v.request("GET", path, nil, fields...))
}

// refusedAs reports whether the client can read a refusal with this code.
func (a answer) refusedAs(status int, code string) bool {
	return a.err == nil && a.StatusCode == status && strings.Contains(a.text, `"code":"`+code+`"`)
}

// brief is how long something that is declared never to arrive is waited for. It
// is too short only to see that a declaration has become wrong.
const brief = 100 * time.Millisecond

// patience is how long to wait for what a column is about.
func (v *visit) patience(column string) time.Duration {
	if v.layer.lacks.at(v.place, v.protocol, column) != "" {
		return brief
	}
	return patience
}

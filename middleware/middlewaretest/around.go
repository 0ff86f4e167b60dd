package middlewaretest

import (
	"compress/gzip"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/wontopos/latchkey/apikey"
)

// aroundRules put middleware around the adapter's whole server, if it is a
// net/http server: that middleware must not make a cut response look whole.
func aroundRules() []rule {
	var rules []rule
	for _, p := range []struct {
		name  string
		start func(*httptest.Server)
	}{
		{"HTTP/1", (*httptest.Server).Start},
		{"HTTP/2", func(s *httptest.Server) { s.EnableHTTP2 = true; s.StartTLS() }},
	} {
		for _, m := range []struct {
			name string
			wrap func(http.Handler) http.Handler
		}{
			{"middleware that recovers panics", recovers},
			{"middleware that compresses", compresses},
		} {
			rules = append(rules, rule{
				"cut: " + m.name + " does not make a response whole, over " + p.name,
				[]Ability{Cut, Streaming},
				func(t *testing.T, h Harness) { newRig(t, h, plain).around(m.wrap, p.start).cutQuit() },
			})
		}
		rules = append(rules, rule{
			"cut: the refusal is true to middleware that compresses, over " + p.name,
			[]Ability{Cut},
			func(t *testing.T, h Harness) {
				r := newRig(t, h, plain).around(compresses, p.start)
				id, token := r.key()
				done := r.later(r.request("GET", "/wait", token, nil))
				wait(t, "the handler begins", r.started)
				r.revoke(id)
				r.settled(wait(t, "the answer", done), apikey.RevokedKey, token)
			},
		})
	}
	return rules
}

// around replaces the adapter's server with one that has the same handler and
// something around it.
func (r *rig) around(wrap func(http.Handler) http.Handler, start func(*httptest.Server)) *rig {
	r.Helper()
	r.get("/public", "")
	native := r.native.Load()
	if native == nil {
		r.Skip("the framework is not on net/http: nothing of net/http can stand around it")
	}
	h := native.Handler
	if h == nil {
		h = http.DefaultServeMux
	}
	s := httptest.NewUnstartedServer(wrap(h))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	start(s)
	r.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	client := *s.Client()
	client.Timeout = patience
	r.server = Server{URL: s.URL, Client: &client}
	return r
}

func recovers(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { _ = recover() }()
		h.ServeHTTP(w, r)
	})
}

// compresses announces compression before it knows the response, and recovers
// panics.
func compresses(h http.Handler) http.Handler {
	return recovers(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		defer z.Close()
		h.ServeHTTP(&compressor{w, z}, r)
	}))
}

type compressor struct {
	http.ResponseWriter
	z *gzip.Writer
}

func (c *compressor) Unwrap() http.ResponseWriter { return c.ResponseWriter }
func (c *compressor) Write(p []byte) (int, error) { return c.z.Write(p) }

func (c *compressor) Flush() {
	_ = c.z.Flush()
	_ = http.NewResponseController(c.ResponseWriter).Flush()
}

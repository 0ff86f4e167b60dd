package middlewaretest_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/middleware/middlewaretest"
)

// serve is an adapter that is right, but for what it does to each request.
func serve(wrong func(next http.Handler) http.Handler) func(*testing.T, *middleware.Guard, []middlewaretest.Route) middlewaretest.Server {
	return func(t *testing.T, g *middleware.Guard, routes []middlewaretest.Route) middlewaretest.Server {
		mux := http.NewServeMux()
		for _, r := range routes {
			h := http.Handler(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { r.Handler(w, req, nil) }))
			if !r.Public {
				door := g.Door(r.Route)
				h = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { door.Serve(w, req, r.Handler) })
			}
			mux.Handle(r.Method+" "+r.Path, wrong(h))
		}
		s := httptest.NewServer(mux)
		t.Cleanup(func() {
			s.CloseClientConnections()
			s.Close()
		})
		return middlewaretest.Server{URL: s.URL}
	}
}

func right(next http.Handler) http.Handler { return next }

// hides gives the guard a writer that cannot be unwrapped.
func hides(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(struct {
			http.ResponseWriter
			http.Flusher
		}{w, w.(http.Flusher)}, r)
	})
}

// forgets takes away what middleware around it has set.
func forgets(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Del("Content-Encoding")
		next.ServeHTTP(w, r)
	})
}

func lacks(a ...middlewaretest.Ability) middlewaretest.Harness {
	return middlewaretest.Harness{Start: serve(right), Lacks: a}
}

var wrongAdapters = map[string]struct {
	harness middlewaretest.Harness
	rule    string // that it breaks
}{
	"hides the connection, HTTP/1": {middlewaretest.Harness{Start: serve(hides)}, "cut:_middleware_that_recovers_panics_does_not_make_a_response_whole,_over_HTTP/1"},
	"hides the connection, HTTP/2": {middlewaretest.Harness{Start: serve(hides)}, "cut:_middleware_that_recovers_panics_does_not_make_a_response_whole,_over_HTTP/2"},
	"forgets who compresses":       {middlewaretest.Harness{Start: serve(forgets)}, "cut:_the_refusal_is_true_to_middleware_that_compresses,_over_HTTP/1"},
	"can stream":                   {lacks(middlewaretest.Streaming), "it_lacks_streaming,_as_it_says"},
	"can cut":                      {lacks(middlewaretest.Cut), "it_lacks_cut,_as_it_says"},
	"can wake uploads":             {lacks(middlewaretest.Uploads), "it_lacks_uploads,_as_it_says"},
	"can be taken over":            {lacks(middlewaretest.Hijack), "it_lacks_hijack,_as_it_says"},
	"can hint":                     {lacks(middlewaretest.Informational), "it_lacks_informational,_as_it_says"},
	"tells ends":                   {lacks(middlewaretest.Ends), "it_lacks_ends,_as_it_says"},
	"speaks HTTP/1":                {lacks(middlewaretest.HTTP1), "it_lacks_http1,_as_it_says"},
	"lacks what is not an ability": {lacks("patience"), "it_lacks_patience,_as_it_says"},
}

// TestASuiteNoticesWrongAdapters runs each in a process of its own, because the
// suite fails the test that it runs in.
func TestASuiteNoticesWrongAdapters(t *testing.T) {
	if name := os.Getenv(wrongAdapter); name != "" {
		middlewaretest.Run(t, wrongAdapters[name].harness)
		return
	}
	for name, wrong := range wrongAdapters {
		t.Run(name, func(t *testing.T) { notices(t, "TestASuiteNoticesWrongAdapters", name, wrong.rule) })
	}
}

const wrongAdapter = "LATCHKEY_WRONG_ADAPTER"

// notices fails unless the rule of a suite, run by a test, fails for an adapter.
func notices(t *testing.T, test, name, rule string) {
	t.Parallel()
	run := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.timeout=60s",
		"-test.run=^"+test+"$/^"+strings.ReplaceAll(rule, "/", "$/^")+"$")
	run.Env = append(os.Environ(), wrongAdapter+"="+name)
	out, err := run.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "--- FAIL: "+test+"/"+rule+" ") {
		t.Errorf("the rule %q passes: %v\n%s", rule, err, out)
	}
}

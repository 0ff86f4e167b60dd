package chains

import (
	"bytes"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
	"time"

	chimw "github.com/go-chi/chi/v5/middleware"
	"github.com/gorilla/handlers"
	"github.com/klauspost/compress/gzhttp"
	"github.com/rs/cors"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
)

type wrapper = func(http.Handler) http.Handler

// is builds a layer that has no state of a test.
func is(wrap wrapper, use func(v *visit) string) func(testing.TB) (wrapper, func(*visit) string) {
	return func(testing.TB) (wrapper, func(*visit) string) { return wrap, use }
}

// logs builds a layer that logs requests.
func logs(to func(io.Writer) wrapper) func(testing.TB) (wrapper, func(*visit) string) {
	return func(testing.TB) (wrapper, func(*visit) string) {
		out := &lines{}
		return to(out), func(v *visit) string { return logged(v, out) }
	}
}

var layers = []layer{
	{name: "nothing", build: is(func(h http.Handler) http.Handler { return h }, status)},
	{name: "otelhttp", build: measured, lacks: hidesServer},
	{name: "gzhttp", build: is(func(h http.Handler) http.Handler { return gzhttp.GzipHandler(h) }, compressed), lacks: lacks{"flush": "held back: a Flush before the first byte does nothing", "alone HTTP/1.1 413": noClose}},
	{name: "rs/cors", build: is(cors.New(cors.Options{AllowedOrigins: []string{origin}, AllowedHeaders: []string{"Authorization"}}).Handler, shared), lacks: lacks{
		"inside use": "refusals not shared: the guard answers before it runs, so a script cannot read why it is refused",
	}},
	{name: "http.TimeoutHandler", build: is(func(h http.Handler) http.Handler {
		return soonAt("/soon", http.TimeoutHandler(h, patience, "too slow"), http.TimeoutHandler(h, time.Millisecond, "too slow"))
	}, timesOut(http.StatusServiceUnavailable)), lacks: lacks{
		"stream": buffers, "flush": buffers, "go-sse": buffers, "c.Stream": "no answer: gin asserts a CloseNotifier, which its writer is not, and panics",
		"hijack": noUpgrade, "coder": noUpgrade, "gorilla": noUpgrade, "alone HTTP/1.1 413": noClose, "outside HTTP/1.1 413": "left open: its writer hides the server's, and cannot be unwrapped",
	}},
	{name: "http.MaxBytesHandler", build: is(func(h http.Handler) http.Handler { return http.MaxBytesHandler(h, 3000) }, tooLarge)},
	{name: "httputil.ReverseProxy", build: forwarded, lacks: lacks{
		"HTTP/1.1 413":         "left open: the upstream closes its connection, and the proxy keeps its client's",
		"alone use":            "the upstream gets the key: a proxy passes all header fields on",
		"outside HTTP/1.1 cut": "hijack looks orderly: the guard resets the proxy's connection, and the proxy closes its client's; a WebSocket has an end of its own, which is missing",
	}},
	{name: "chi RequestID", build: is(chimw.RequestID, named)},
	//lint:ignore SA1019 people use it: the table shows what it does to keys that are bound to networks
	{name: "chi RealIP", build: is(chimw.RealIP, boundToNetwork), lacks: forgeable},
	{name: "chi Logger", build: logs(func(w io.Writer) wrapper {
		return chimw.RequestLogger(&chimw.DefaultLogFormatter{Logger: log.New(w, "", 0), NoColor: true})
	}), lacks: lacks{"alone c.Stream": noNotifier, "inside c.Stream": noNotifier, "alone HTTP/1.1 413": noClose}},
	{name: "chi Recoverer", build: is(func(h http.Handler) http.Handler {
		recoverer := chimw.Recoverer(h)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			recoverer.ServeHTTP(w, chimw.WithLogEntry(r, unlogged{}))
		})
	}, recovered)},
	{name: "chi Compress", build: is(chimw.Compress(5, "text/plain", "text/event-stream", "application/problem+json"), compressed), lacks: lacks{
		"flush": plainHeader, "go-sse": plainHeader, "alone c.Stream": noNotifier, "inside c.Stream": noNotifier, "alone HTTP/1.1 413": noClose,
	}},
	{name: "chi Timeout", build: is(func(h http.Handler) http.Handler {
		return soonAt("/soon", chimw.Timeout(patience)(h), chimw.Timeout(time.Millisecond)(h))
	}, timesOut(http.StatusGatewayTimeout))},
	{name: "gorilla RecoveryHandler", build: is(gorillaRecovery, recovered)},
	{name: "gorilla CompressHandler", build: is(handlers.CompressHandler, compressed), lacks: hidesServer},
	{name: "gorilla LoggingHandler", build: logs(func(w io.Writer) wrapper {
		return func(h http.Handler) http.Handler { return handlers.LoggingHandler(w, h) }
	}), lacks: hidesServer},
	{name: "gorilla ProxyHeaders", build: is(handlers.ProxyHeaders, boundToNetwork), lacks: forgeable},
}

// Why something does not hold.
const (
	noClose     = "left open: its writer hides the server's from MaxBytesReader; a guard inside or outside makes up for it"
	buffers     = "no flush: it buffers the whole response"
	noUpgrade   = "no upgrade: its writer cannot be hijacked"
	noNotifier  = "no answer: gin asserts a CloseNotifier, which its writer is not, and panics; the guard's is one"
	plainHeader = "incomplete: a Flush before the first byte sends a header without Content-Encoding, and the body is compressed"
)

var (
	hidesServer = lacks{"alone HTTP/1.1 413": noClose}
	forged      = "the client chooses its address: it believes the client's own header field"
	forgeable   = lacks{"alone use": forged, "outside use": forged}
)

// soonAt has another handler at one path.
func soonAt(path string, h, soon http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == path {
			soon.ServeHTTP(w, r)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// unlogged keeps panics out of the test's output.
type unlogged struct{}

func (unlogged) Write(int, int, http.Header, time.Duration, any) {}
func (unlogged) Panic(any, []byte)                               {}

// lines is a log that several requests write.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Contains(l.buf.Bytes(), []byte(text))
}

// measured is otelhttp with a meter of the test's.
func measured(testing.TB) (wrapper, func(*visit) string) {
	reader := sdkmetric.NewManualReader()
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	return otelhttp.NewMiddleware("api", otelhttp.WithMeterProvider(meters)), func(v *visit) string { return routed(v, reader) }
}

// forwarded is a proxy in front of everything that is further inside. As people write it, it passes Host on and tells
// the client's address.
func forwarded(t testing.TB) (wrapper, func(*visit) string) {
	return func(h http.Handler) http.Handler {
		target, err := url.Parse(serve(t, h, "HTTP/1.1").URL)
		if err != nil {
			t.Fatal(err)
		}
		transport := http.DefaultTransport.(*http.Transport).Clone()
		t.Cleanup(transport.CloseIdleConnections)
		return &httputil.ReverseProxy{
			Transport: transport,
			ErrorLog:  log.New(io.Discard, "", 0),
			Rewrite: func(r *httputil.ProxyRequest) {
				r.SetURL(target)
				r.Out.Host = r.In.Host
				r.SetXForwarded()
			},
		}
	}, keyKept
}

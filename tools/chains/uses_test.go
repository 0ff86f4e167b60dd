package chains

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"

	chimw "github.com/go-chi/chi/v5/middleware"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// What people use layers for. Each returns what is seen instead.

// routed: the duration of the request is recorded under the pattern of its route.
func routed(v *visit, reader sdkmetric.Reader) string {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /things/{id}", func(http.ResponseWriter, *http.Request) {})
	if a := v.get("/things/7", mux.ServeHTTP); a.err != nil || a.StatusCode != 200 {
		return v.wrong("no answer", a.err)
	}
	v.running.Wait()
	var data metricdata.ResourceMetrics
	if err := reader.Collect(v.ctx, &data); err != nil {
		return v.wrong("no metrics", err)
	}
	for _, scope := range data.ScopeMetrics {
		for _, m := range scope.Metrics {
			if h, ok := m.Data.(metricdata.Histogram[float64]); ok && m.Name == "http.server.request.duration" {
				for _, p := range h.DataPoints {
					if route, _ := p.Attributes.Value("http.route"); route.AsString() == "/things/{id}" {
						return ""
					}
				}
			}
		}
	}
	return "no http.route"
}

// compressed: a text of some length is compressed, and whole.
func compressed(v *visit) string {
	text := strings.Repeat("words and words\n", 500)
	v.behind(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, text)
	})
	a := v.do(v.request("GET", "/", nil, "Accept-Encoding", "gzip"))
	if a.err != nil || a.Header.Get("Content-Encoding") != "gzip" {
		return v.wrong("not compressed", a.err)
	}
	z, err := gzip.NewReader(strings.NewReader(a.text))
	if err != nil {
		return v.wrong("broken", err)
	}
	if b, err := io.ReadAll(z); err != nil || string(b) != text {
		return v.wrong("broken", err)
	}
	return ""
}

const origin = "https://app.example"

// shared: a browser's preflight is answered without a key, and its script may read responses, and refusals.
func shared(v *visit) string {
	key := v.token
	v.token = ""
	v.behind(func(http.ResponseWriter, *http.Request) {})
	a := v.do(v.request("OPTIONS", "/", nil, "Origin", origin, "Access-Control-Request-Method", "GET", "Access-Control-Request-Headers", "authorization"))
	if a.err != nil || a.StatusCode != http.StatusNoContent || a.Header.Get("Access-Control-Allow-Origin") != origin {
		return v.wrong("no preflight", a.err)
	}
	refused := v.do(v.request("GET", "/", nil, "Origin", origin))
	v.token = key
	a = v.do(v.request("GET", "/", nil, "Origin", origin))
	switch {
	case a.err != nil || a.StatusCode != 200 || a.Header.Get("Access-Control-Allow-Origin") != origin:
		return v.wrong("responses not shared", a.err)
	case refused.err != nil || refused.Header.Get("Access-Control-Allow-Origin") != origin:
		return v.wrong("refusals not shared", refused.err)
	}
	return ""
}

// timesOut: a handler that takes too long is answered for.
func timesOut(status int) func(v *visit) string {
	return func(v *visit) string {
		a := v.get("/soon", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		if a.err != nil || a.StatusCode != status {
			return v.wrong("another answer", a.err)
		}
		return ""
	}
}

// keyKept: an upstream does not get the key.
func keyKept(v *visit) string {
	got := make(chan string, 1)
	a := v.get("/", func(_ http.ResponseWriter, r *http.Request) { got <- fmt.Sprint(r.Header) },
		"Authorization", "Bearer "+v.secret(), "Referer", "https://app.example/?key="+v.secret())
	switch {
	case a.err != nil || a.StatusCode != 200:
		return v.wrong("no answer", a.err)
	case strings.Contains(<-got, v.secret()):
		return "the upstream gets the key"
	}
	return ""
}

// secret is the key, or what a client without a guard in front would send.
func (v *visit) secret() string {
	if v.token == "" {
		return "secret"
	}
	return v.token
}

// named: the handler and a refusal have the name that the client gave the request.
func named(v *visit) string {
	names := make(chan string, 1)
	a := v.get("/", func(_ http.ResponseWriter, r *http.Request) { names <- chimw.GetReqID(r.Context()) }, "X-Request-Id", "mine-1")
	if a.err != nil || a.StatusCode != 200 || <-names != "mine-1" {
		return v.wrong("another name", a.err)
	}
	if v.place == alone {
		return ""
	}
	v.token = ""
	if a = v.do(v.request("GET", "/", nil, "X-Request-Id", "mine-1")); !strings.Contains(a.text, `"request_id":"mine-1"`) {
		return v.wrong("a refusal with another name", a.err)
	}
	return ""
}

// boundToNetwork: a key for one network is refused from elsewhere, whatever the client says about its address.
func boundToNetwork(v *visit) string {
	if v.place != alone {
		v.newKey(netip.MustParsePrefix("203.0.113.0/24"))
	}
	peers := make(chan string, 1)
	a := v.get("/", func(_ http.ResponseWriter, r *http.Request) { peers <- r.RemoteAddr }, "X-Real-Ip", "203.0.113.7")
	switch {
	case a.refusedAs(403, "network_not_allowed"):
		return ""
	case a.err == nil && a.StatusCode == 200 && <-peers == "203.0.113.7":
		return "the client chooses its address"
	}
	return v.wrong("another answer", a.err)
}

// logged: the log has the status.
func logged(v *visit, out *lines) string {
	if seen := status(v); seen != "" {
		return seen
	}
	v.running.Wait()
	if !out.has("418") {
		return "not logged"
	}
	return ""
}

// recovered: a panic becomes a 500.
func recovered(v *visit) string {
	a := v.get("/", func(http.ResponseWriter, *http.Request) { panic("mine") })
	if a.err != nil || a.StatusCode != http.StatusInternalServerError {
		return v.wrong("no 500", a.err)
	}
	return ""
}

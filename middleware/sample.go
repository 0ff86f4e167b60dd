package middleware

import (
	"net/http"
	"strings"

	"github.com/wontopos/latchkey/internal/engine"
)

// runSampled is run and conclude for the request that becomes its secret's
// recorded last use, however the handler ends.
func (c *httpCall) runSampled(s *engine.Sample, next handler) {
	returned := false
	defer func() { c.tellEnd(s, returned) }()
	c.run(next)
	returned = true
	c.conclude()
}

func (c *httpCall) tellEnd(s *engine.Sample, returned bool) {
	method, what := routeOf(c.w.original)
	s.Ended(method, what, c.status(returned))
}

// status returns the status that the client got, or 0 if it is not known: the
// handler panicked before it had answered, or hijacked the connection.
func (c *httpCall) status(returned bool) int {
	s := c.w.state.Load()
	switch {
	case s&sent != 0:
		return s.status()
	case !returned || c.plain().hijacked() != nil:
		return 0
	case s&cut != 0:
		return s.code().Info().Status
	}
	return http.StatusOK // net/http writes it if the handler writes nothing
}

// routeOf names what a request asked for: the pattern of a mux that it went
// through, inside or outside the guard, otherwise its escaped path, without the
// query.
func routeOf(r *http.Request) (method, what string) {
	if method, what = route(r.Method, r.Pattern); what != "" {
		return method, what
	}
	return r.Method, r.URL.EscapedPath()
}

// route returns the pattern, and the method if the pattern has none. Without a
// pattern, or with one that matches every path, there is no route.
func route(method, pattern string) (before, what string) {
	switch {
	case pattern == "" || pattern == "/" || strings.HasSuffix(pattern, " /"):
		return "", ""
	case strings.ContainsAny(pattern, " \t"):
		return "", pattern
	}
	return method, pattern
}

package middleware

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/wontopos/latchkey/apikey"
)

// StripCredential returns the request for the handler of an admitted Call: r, or
// with [Options.StripCredential] a copy without the key. It is for adapters that
// hand on an http.Request; r has the context of [Call.Begin], and a door inside
// still finds the key. Of nested doors the outermost strips.
func (c *Call) StripCredential(r *http.Request) *http.Request {
	if !c.entered || !c.passage.door.guard.o.StripCredential {
		return r
	}
	c.passage.original = r
	stripped := r.WithContext(r.Context())
	c.passage.door.guard.strip(stripped)
	return stripped
}

// strip takes the key out of a request, a copy that still shares its header,
// address and form with the original. Middleware around the guard sees those
// unchanged. It also removes every header field in which the key occurs: a
// browser or a proxy may repeat the whole URL, in Referer or X-Original-URL.
func (g *Guard) strip(r *http.Request) {
	header, key := maps.Clone(r.Header), ""
	for i := range g.o.Extractors {
		e := &g.o.Extractors[i]
		token, code := e.find(headerFields(header), r.URL.RawQuery, e.name)
		if code != apikey.OK || !strings.HasPrefix(token, g.prefix) {
			continue // not one of our keys
		}
		key = token
		switch e.place {
		case inCookie:
			stripCookie(header, e.name)
		case inSocket:
			stripOffered(header, e.name)
		case inQuery:
			stripParameter(r, e.name)
		default:
			delete(header, e.field())
		}
	}
	if key != "" {
		maps.DeleteFunc(header, func(_ string, lines []string) bool {
			return slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, key) })
		})
	}
	r.Header = header
}

func stripCookie(h http.Header, name string) {
	var lines []string
	for _, line := range h["Cookie"] {
		var pairs []string
		for pair := range strings.SplitSeq(line, ";") {
			if n, _, _ := strings.Cut(strings.Trim(pair, " \t"), "="); n != name {
				pairs = append(pairs, strings.Trim(pair, " \t"))
			}
		}
		if len(pairs) > 0 {
			lines = append(lines, strings.Join(pairs, "; "))
		}
	}
	if h["Cookie"] = lines; len(lines) == 0 {
		delete(h, "Cookie")
	}
}

func stripParameter(r *http.Request, name string) {
	var pairs []string
	for pair := range strings.SplitSeq(r.URL.RawQuery, "&") {
		n, _, _ := strings.Cut(pair, "=")
		if n, err := url.QueryUnescape(n); err != nil || n != name {
			pairs = append(pairs, pair)
		}
	}
	u := *r.URL
	u.RawQuery = strings.Join(pairs, "&")
	r.URL = &u
	if r.RequestURI != "" {
		r.RequestURI = u.RequestURI()
	}
	if r.Form != nil {
		r.Form = maps.Clone(r.Form)
		delete(r.Form, name)
	}
}

// unstrip shows an inner door what the outermost one took out of the request,
// so that both decide about the same request.
func (g *Guard) unstrip(q *Request, outer *passage) {
	if !g.o.StripCredential || outer.original == nil {
		return
	}
	token, code := g.credential(q)
	if code == apikey.MissingKey || !g.mentioned(q, token, code) {
		q.Fields, q.RawQuery = headerFields(outer.original.Header), outer.original.URL.RawQuery
	}
}

package middleware_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
)

// behindProxy serves a handler through a real reverse proxy.
func behindProxy(t *testing.T, h http.Handler, rewrite func(*httputil.ProxyRequest)) string {
	t.Helper()
	backend := httptest.NewServer(h)
	t.Cleanup(backend.Close)
	target, _ := url.Parse(backend.URL)
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target); rewrite(r) }})
	t.Cleanup(proxy.Close)
	return proxy.URL
}

// call sends a request to host by way of an address.
func call(t *testing.T, address, host, token string) (status int, body string) {
	t.Helper()
	r, _ := http.NewRequestWithContext(t.Context(), "GET", address, nil)
	r.Host = host
	r.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(b)
}

// TestAProxyThatRewritesHost: the log says once what is happening, and the body where to look; a proxy that passes Host
// on serves every key.
func TestAProxyThatRewritesHost(t *testing.T) {
	var log bytes.Buffer
	k := newKit(t, middleware.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	_, token := k.key()
	address := behindProxy(t, k.guard.Require(middleware.AnyKey())(noContent), func(r *httputil.ProxyRequest) { r.SetXForwarded() })
	for range 3 {
		status, body := call(t, address, "api.example.com", token)
		var p struct{ Code, Detail string }
		if err := json.Unmarshal([]byte(body), &p); err != nil || status != 401 || p.Code != "environment_mismatch" || !strings.Contains(p.Detail, "proxy") || !strings.Contains(p.Detail, "log") {
			t.Errorf("the body says what the operator should look at: %d %s", status, body)
		}
	}
	if said := log.String(); strings.Count(said, "\n") != 1 || !strings.Contains(said, "host=127.0.0.1:") || !strings.Contains(said, "forwarded_host=api.example.com") || !strings.Contains(said, "a proxy in front has changed Host") {
		t.Errorf("the log says once which Host arrived:\n%s", said)
	}
	if strings.Contains(log.String(), token) {
		t.Error("the log holds the token")
	}

	address = behindProxy(t, k.guard.Require(middleware.AnyKey())(noContent), func(r *httputil.ProxyRequest) { r.Out.Host = r.In.Host })
	if status, body := call(t, address, "api.example.com", token); status != 204 {
		t.Errorf("a proxy that passes Host on: %d %s", status, body)
	}
}

// TestAHostOfAnotherEnvironmentIsTheClientsMistake: nothing is in the log for it.
func TestAHostOfAnotherEnvironmentIsTheClientsMistake(t *testing.T) {
	var log bytes.Buffer
	k := newKit(t, middleware.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	_, token := k.key()
	for _, host := range []string{"sandbox.example.com", "SANDBOX.example.com:443"} {
		r := get(token)
		r.Host = host
		if body, _ := io.ReadAll(serve(k.guard.Require(middleware.AnyKey())(noContent), r).Body); strings.Contains(string(body), "proxy") || !strings.Contains(string(body), "https://api.example.com") {
			t.Errorf("%s: %s", host, body)
		}
	}
	if log.Len() > 0 {
		t.Errorf("a client's mistake is in the log:\n%s", log.String())
	}
}

// TestNoTokenInTheName: a request that is named by its key is not echoed by its secret.
func TestNoTokenInTheName(t *testing.T) {
	for name, o := range map[string]middleware.Options{
		"default": {},
		"own":     {RequestID: func(_ context.Context, f middleware.Fields) string { return f.Values("X-Request-Id")[0] }},
	} {
		k := newKit(t, o)
		_, token := k.key()
		r := get("")
		r.Header.Set("X-Request-Id", token)
		if body, _ := io.ReadAll(serve(k.guard.Require(middleware.AnyKey())(noContent), r).Body); strings.Contains(string(body), token[len(token)-40:]) {
			t.Errorf("%s: the secret is in the body: %s", name, body)
		}
	}
}

// TestStripCredential: a handler that passes requests on passes on no secret, whatever place it came in; everything
// else stays, and outside nothing changes.
func TestStripCredential(t *testing.T) {
	b, h, c, q, basic := middleware.Bearer(), middleware.Header("X-API-Key"), middleware.Cookie("key"), middleware.InsecureQuery("key"), middleware.BasicUser()
	for rule, x := range map[string]struct {
		from  []middleware.Extractor
		send  func(r *http.Request, token string)
		stays string
	}{
		"bearer": {[]middleware.Extractor{b}, func(r *http.Request, s string) { r.Header.Set("Authorization", "Bearer "+s) }, ""},
		"basic": {[]middleware.Extractor{basic}, func(r *http.Request, s string) {
			r.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(s+":")))
		}, ""},
		"header, beside somebody else's Authorization": {[]middleware.Extractor{b, h}, func(r *http.Request, s string) {
			r.Header.Set("X-API-Key", s)
			r.Header.Set("Authorization", "Bearer eyJ.eyJ.c2ln")
		}, "eyJ.eyJ.c2ln"},
		"header, beside what is no Authorization at all": {[]middleware.Extractor{h, basic}, func(r *http.Request, s string) {
			r.Header.Set("X-API-Key", s)
			r.Header.Set("Authorization", "Basic YW5u")
		}, "Basic YW5u"},
		"cookie":       {[]middleware.Extractor{c}, func(r *http.Request, s string) { r.Header.Set("Cookie", "theme=dark; key="+s+"; lang=en") }, "theme=dark; lang=en"},
		"cookie alone": {[]middleware.Extractor{c}, func(r *http.Request, s string) { r.Header.Set("Cookie", "key="+s) }, ""},
		"query": {[]middleware.Extractor{q}, func(r *http.Request, s string) {
			r.URL.RawQuery = "a=%20b&key=" + s + "&c=;"
			r.RequestURI = r.URL.RequestURI()
			_ = r.ParseForm()
		}, "a=%20b&c=;"},
		"query, which other fields repeat": {[]middleware.Extractor{q}, func(r *http.Request, s string) {
			r.URL.RawQuery = "key=" + s
			r.Header.Set("Referer", "https://api.example.com/?key="+s)
			r.Header["Forwarded"] = []string{"for=192.0.2.1", "path=\"/?key=" + s + "\""}
			r.Header.Set("X-Theme", "dark")
		}, "X-Theme: dark"},
	} {
		for _, strips := range []bool{true, false} {
			k := newKit(t, middleware.Options{Extractors: x.from, StripCredential: strips})
			_, token := k.key()
			sent := func(r *http.Request) string {
				var all bytes.Buffer
				_ = r.Header.Write(&all)
				auth, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(r.Header.Get("Authorization"), "Basic "))
				return all.String() + string(auth) + r.URL.String() + r.RequestURI + r.Form.Encode()
			}
			door := k.guard.Door(middleware.Route{Need: middleware.AnyKey()})
			for kind, guard := range map[string]func(http.Handler) http.Handler{
				"net/http": door.Wrap,
				"Call":     func(h http.Handler) http.Handler { return carried(door, h) },
			} {
				var seen string
				inner := guard(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = sent(r) }))
				r := get("")
				x.send(r, token)
				before := sent(r)
				if res := serve(guard(inner), r); res.StatusCode != 200 {
					t.Fatalf("%s, %s: %d through two doors", kind, rule, res.StatusCode)
				}
				if strings.Contains(seen, token) == strips || strips && !strings.Contains(seen, x.stays) {
					t.Errorf("%s, %s, strips %v: the handler sees %q", kind, rule, strips, seen)
				}
				if after := sent(r); after != before {
					t.Errorf("%s, %s: outside the guard the request changed from %q to %q", kind, rule, before, after)
				}
			}
		}
	}
}

// TestAReverseProxyBehindTheGuardPassesNoSecretOn tries it with a real one.
func TestAReverseProxyBehindTheGuardPassesNoSecretOn(t *testing.T) {
	k := newKit(t, middleware.Options{StripCredential: true})
	_, token := k.key()
	var got http.Header
	upstream := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Clone() }))
	defer upstream.Close()
	target, _ := url.Parse(upstream.URL)
	s := httptest.NewServer(handlerFunc(k.guard, apikey.AnyKey(), func(w http.ResponseWriter, r *http.Request, p *apikey.Principal) {
		(&httputil.ReverseProxy{Rewrite: func(out *httputil.ProxyRequest) { out.SetURL(target); out.Out.Header.Set("X-Owner", p.Owner()) }}).ServeHTTP(w, r)
	}))
	defer s.Close()
	if status, body := call(t, s.URL, "api.example.com", token); status != 200 || got.Get("Authorization") != "" || got.Get("X-Owner") == "" {
		t.Errorf("%d %s: upstream got %v", status, body, got)
	}
}

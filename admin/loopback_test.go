package admin_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/wontopos/latchkey/admin"
	"github.com/wontopos/latchkey/storage/memstore"
)

// local makes a request one from this machine.
func local(r *http.Request) {
	r.RemoteAddr, r.Host = "127.0.0.1:54321", "localhost:8080"
}

func TestLoopback(t *testing.T) {
	t.Parallel()
	session := admin.Loopback()
	g := newRigWith(t, memstore.New(), session.Authorize, admin.Options{})
	link, err := url.Parse(session.Link("http://localhost:8080/settings/keys/"))
	if err != nil || link.Path != "/settings/keys/" {
		t.Fatalf("the link is at the mount point: %v, %v", link, err)
	}
	login := "/?" + link.RawQuery

	a := g.want(401, "", "GET", "/", "", local)
	if !strings.Contains(a.body, "pen the link") {
		t.Errorf("without a session the page says what to do:\n%s", a.body)
	}
	g.want(401, "", "GET", "/?login=wrong", "", local)
	g.want(401, "", "GET", "/?login=", "", local)
	g.want(403, "", "GET", login, "", local, header("Sec-Purpose", "prefetch;prerender"))
	g.want(401, "", "HEAD", login, "", local)
	g.want(401, "", "GET", "/v1/whoami"+login[1:], "", local)

	a = g.want(303, "", "GET", login, "", local)
	cookie := a.header.Get("Set-Cookie")
	if a.header.Get("Location") != "./" || !strings.Contains(cookie, "; HttpOnly") || !strings.Contains(cookie, "; SameSite=Strict") || strings.Contains(cookie, "Path=") || strings.Contains(cookie, link.Query().Get("login")) {
		t.Errorf("the link leads to the clean address with a session: %v", a.header)
	}
	g.want(401, "", "GET", login, "", local) // somebody else, with the spent link
	signedIn := header("Cookie", cookie[:strings.Index(cookie, ";")])
	g.want(303, "", "GET", login, "", local, signedIn) // the same person, from the history
	if m := g.want(200, "", "GET", "/v1/whoami", "", local, signedIn).members(t); m["role"] != "operator" {
		t.Errorf("whoami: %v", m)
	}
	g.want(401, "", "GET", "/v1/whoami", "", local, header("Cookie", "latchkey_loopback=guess"))

	for rule, edit := range map[string]func(*http.Request){
		"from another machine":           func(r *http.Request) { r.RemoteAddr = "192.0.2.1:1234" },
		"from another machine, v6":       func(r *http.Request) { r.RemoteAddr = "[2001:db8::1]:1234" },
		"without an address":             func(r *http.Request) { r.RemoteAddr = "@" },
		"a rebound name":                 func(r *http.Request) { r.Host = "evil.example:8080" },
		"a name that looks like ours":    func(r *http.Request) { r.Host = "localhost.evil.example" },
		"a name that starts like ours":   func(r *http.Request) { r.Host = "127.0.0.1.evil.example:8080" },
		"no host":                        func(r *http.Request) { r.Host = "" },
		"any address":                    func(r *http.Request) { r.Host = "0.0.0.0:8080" },
		"another address":                func(r *http.Request) { r.Host = "192.168.1.5:8080" },
		"forwarded":                      header("Forwarded", "for=127.0.0.1"),
		"forwarded by X-Forwarded-For":   header("X-Forwarded-For", "127.0.0.1"),
		"forwarded, with an empty value": header("X-Forwarded-For", ""),
		"forwarded by a host":            header("X-Forwarded-Host", "localhost"),
		"forwarded by X-Real-Ip":         header("X-Real-Ip", "127.0.0.1"),
		"forwarded by Via":               header("Via", "1.1 proxy"),
	} {
		if a := g.do("", "GET", "/v1/keys", "", local, signedIn, edit); a.status != 403 {
			t.Errorf("%s: status %d, want 403", rule, a.status)
		}
	}
	for rule, edit := range map[string]func(*http.Request){
		"IPv6":           func(r *http.Request) { r.RemoteAddr, r.Host = "[::1]:1234", "[::1]:8080" },
		"mapped IPv4":    func(r *http.Request) { r.RemoteAddr, r.Host = "[::ffff:127.0.0.1]:1234", "127.0.0.1" },
		"without a port": func(r *http.Request) { r.Host = "LOCALHOST" },
		"IPv6, no port":  func(r *http.Request) { r.Host = "[::1]" },
		"all of 127.0/8": func(r *http.Request) { r.RemoteAddr, r.Host = "127.9.9.9:1", "127.0.0.53:1" },
	} {
		if a := g.do("", "GET", "/v1/keys", "", local, signedIn, edit); a.status != 200 {
			t.Errorf("%s: status %d, want 200", rule, a.status)
		}
	}

	old := session.Link("http://localhost:8080")
	renewed, err := url.Parse(session.Link("http://localhost:8080"))
	if err != nil || renewed.Path != "/" {
		t.Fatal(renewed, err)
	}
	g.want(401, "", "GET", "/?"+strings.SplitN(old, "?", 2)[1], "", local)
	g.want(303, "", "GET", "/?"+renewed.RawQuery, "", local)
	g.want(200, "", "GET", "/v1/keys", "", local, signedIn)
	if strings.Contains(g.log.String(), renewed.Query().Get("login")) || strings.Contains(g.log.String(), link.Query().Get("login")) {
		t.Error("a link is not logged")
	}
}

package admin_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/wontopos/latchkey/admin"
	"github.com/wontopos/latchkey/storage/memstore"
)

// TestFormsOfThePageNameTheirOrigin: what the page asks of browsers and what it
// asks for agree. A browser that sends no Sec-Fetch-Site (plain HTTP off
// localhost, Safari before 16.4) sends Origin: null under no-referrer, which no
// check can tell from a stranger's.
func TestFormsOfThePageNameTheirOrigin(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	k, _ := g.key("acme", "production")
	for _, path := range []string{"/", "/new", "/leak", "/keys/" + k.ID, "/keys/" + k.ID + "/copy", "/nowhere"} {
		a := g.do("owner", "GET", path, "", header("Accept", "text/html"))
		switch got := a.header.Get("Referrer-Policy"); {
		case got != "same-origin" && got != "strict-origin-when-cross-origin":
			t.Errorf("%s: under Referrer-Policy %q the page's own forms have no origin", path, got)
		case strings.Contains(a.body, "noreferrer") || strings.Contains(a.body, "referrerpolicy"):
			t.Errorf("%s: an element takes the origin away:\n%s", path, a.body)
		}
	}
	disable := "/keys/" + k.ID + "/disable"
	g.want(303, "owner", "POST", disable, "", header("Origin", "http://example.com")) // the host of these requests
	for rule, origin := range map[string]string{"a sandboxed frame": "null", "another host": "http://evil.example", "another port": "http://example.com:81"} {
		if a := g.do("owner", "POST", "/keys/"+k.ID+"/enable", "", header("Origin", origin)); a.status != 403 || !strings.Contains(a.body, "Host") {
			t.Errorf("%s changes nothing, and the answer says what a proxy may have to do with it: %d %s", rule, a.status, a.body)
		}
	}
}

type signInElsewhere struct{ status int }

func (signInElsewhere) Error() string { return "not signed in" }
func (s signInElsewhere) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, &http.Cookie{Name: "state", Value: "xyz"})
	http.Redirect(w, r, "https://login.example/?back=keys&x=%22", s.status)
}

// TestSignInElsewhere: where the session of a page has ended, its forms, links
// and scripts get a page with the link to the sign-in instead of a redirect, which
// the page's own policy would make browsers drop.
func TestSignInElsewhere(t *testing.T) {
	t.Parallel()
	for _, status := range []int{302, 303, 307} {
		g := newRigWith(t, memstore.New(), func(*http.Request) (admin.Actor, error) { return admin.Actor{}, signInElsewhere{status} }, admin.Options{})
		w := httptest.NewRecorder() // not recorded: what the application answers is no part of the API
		if g.mount.ServeHTTP(w, httptest.NewRequest("POST", "/settings/keys/v1/keys", nil)); w.Code != status {
			t.Errorf("a program is answered as the application says: %d", w.Code)
		}
		for _, tc := range []struct {
			rule, method, path string
			edit               []func(*http.Request)
			page, refresh      bool
		}{
			{"a form", "POST", "/new", []func(*http.Request){header("Sec-Fetch-Site", "same-origin")}, true, false},
			{"a form of an old browser", "POST", "/keys/" + keyID(1) + "/revoke", nil, true, false},
			{"a search", "GET", "/?search=x", []func(*http.Request){header("Sec-Fetch-Site", "same-origin")}, true, true},
			{"a search in an old browser", "GET", "/?search=x", []func(*http.Request){header("Referer", "http://example.com/settings/keys/")}, true, true},
			{"news", "GET", "/keys/" + keyID(1) + "/rotation", []func(*http.Request){header("Sec-Fetch-Site", "same-origin"), header("Accept", "application/json")}, true, true},
			{"somebody who comes", "GET", "/", []func(*http.Request){header("Sec-Fetch-Site", "none")}, false, false},
			{"a link of another page", "GET", "/", []func(*http.Request){header("Sec-Fetch-Site", "cross-site"), header("Referer", "https://other.example/")}, false, false},
		} {
			a := g.do("", tc.method, tc.path, "", tc.edit...)
			cookie := a.header.Get("Set-Cookie")
			if !tc.page {
				if a.status != status || a.header.Get("Location") == "" || cookie == "" {
					t.Errorf("%s is redirected as the application says: %d %v", tc.rule, a.status, a.header)
				}
				continue
			}
			if a.status != 401 || a.header.Get("Location") != "" || a.header.Get("WWW-Authenticate") == "" || cookie == "" {
				t.Errorf("%s is answered by a page: %d %v", tc.rule, a.status, a.header)
			}
			if !strings.Contains(a.body, `href="https://login.example/?back=keys&amp;x=%22"`) {
				t.Errorf("%s: the page has the link:\n%s", tc.rule, a.body)
			}
			if got := a.header.Get("Refresh"); (got == "0; url=https://login.example/?back=keys&x=%22") != tc.refresh {
				t.Errorf("%s: what changes nothing goes on by itself, what would have does not: Refresh %q", tc.rule, got)
			}
			if unsent := strings.Contains(a.body, "Nothing was changed"); unsent == tc.refresh {
				t.Errorf("%s: says what became of a form:\n%s", tc.rule, a.body)
			}
		}
	}
}

type odd func(w http.ResponseWriter, r *http.Request)

func (odd) Error() string                                      { return "odd" }
func (f odd) ServeHTTP(w http.ResponseWriter, r *http.Request) { f(w, r) }

// TestSignInOfTheApplication: any answer of an authorizer but a redirect stands,
// and no address of a script becomes a link.
func TestSignInOfTheApplication(t *testing.T) {
	t.Parallel()
	serve := func(f odd) answer {
		g := newRigWith(t, memstore.New(), func(*http.Request) (admin.Actor, error) { return admin.Actor{}, f }, admin.Options{})
		return g.do("", "POST", "/new", "", header("Sec-Fetch-Site", "same-origin"))
	}
	if a := serve(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "who are you?", http.StatusUnauthorized) }); a.status != 401 || a.body != "who are you?\n" {
		t.Errorf("a challenge stands: %d %q", a.status, a.body)
	}
	if a := serve(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("sign in here")) }); a.status != 200 || a.body != "sign in here" {
		t.Errorf("a page stands: %d %q", a.status, a.body)
	}
	a := serve(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "javascript:alert(1)")
		w.WriteHeader(http.StatusFound)
	})
	if a.status != 401 || strings.Contains(a.body, "javascript:") || a.header.Get("Refresh") != "" {
		t.Errorf("a script is no sign-in: %d %v %s", a.status, a.header, a.body)
	}
}

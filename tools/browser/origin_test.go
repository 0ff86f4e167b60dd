package browser_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/admin"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/tools/browser"
)

// as is the address of a server under another name, which is no localhost to the
// browser.
func as(name, address string) string {
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(address, "http://"))
	return "http://" + net.JoinHostPort(name, port)
}

// TestFormsOnPlainHTTP: on plain HTTP off localhost, where browsers send no
// Sec-Fetch-Site, every form of the page reaches the handler.
func TestFormsOnPlainHTTP(t *testing.T) {
	t.Parallel()
	s := start(t)
	b := open(t, s)
	s.Pages.URL = as("app.example", s.Pages.URL)

	b.goTo("/visitor/new")
	if eval[bool](b, "isSecureContext") {
		t.Fatal("this page is on a trusted address: it shows nothing")
	}
	b.do(chromedp.WaitVisible("#name"), chromedp.SendKeys("#name", keyName), chromedp.Click(`.actions .primary`), chromedp.WaitVisible("#reveal"))
	token := eval[string](b, secretText)
	id := b.keys("initech")[0].ID
	b.do(chromedp.Click("#saved"), chromedp.WaitEnabled("#done"), chromedp.Click("#done"), chromedp.WaitVisible("#usage-title"))
	b.goTo("/visitor/leak")
	b.do(chromedp.SendKeys("#text", token), chromedp.Click("main .primary"), chromedp.WaitVisible(".notice.good"))
	b.goTo("/visitor/keys/" + id)
	b.do(chromedp.Click("details:has(#confirm) summary"), chromedp.WaitVisible("#disable-reason"), chromedp.Submit("#disable-reason"), chromedp.WaitVisible(".notice.good"))
	b.shows("Disabled.")
	if got := eval[string](b, `document.querySelector("main a").referrerPolicy + document.referrer`); strings.Contains(got, token) {
		t.Errorf("no address of a page holds the secret: %q", got)
	}
}

// TestSignInOnAnotherOrigin: when the session has ended, forms and links lead to
// the sign-in, wherever that is, and the page says that nothing was changed.
func TestSignInOnAnotherOrigin(t *testing.T) {
	t.Parallel()
	s := start(t)
	referrers := make(chan string, 100)
	login := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			referrers <- r.Referer()
		}
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, `<!doctype html><link rel="icon" href="data:,"><p id="login">Who are you?</p>`)
	}))
	t.Cleanup(login.Close)
	var signedOut atomic.Bool
	page, err := admin.New(s.Keys, func(*http.Request) (admin.Actor, error) {
		if signedOut.Load() {
			return admin.Actor{}, toLogin(as("login.example", login.URL))
		}
		return browser.People["visitor"], nil
	}, admin.Options{})
	if err != nil {
		t.Fatal(err)
	}
	app := httptest.NewServer(http.StripPrefix("/keys", page))
	t.Cleanup(app.Close)
	k, _, err := s.Keys.Create(t.Context(), apikey.Actor{ID: "vera"}, latchkey.NewKey{Name: keyName, Owner: "initech"})
	if err != nil {
		t.Fatal(err)
	}
	b := open(t, s)
	b.mayFault = true // 401
	s.Pages.URL = as("app.example", app.URL) + "/keys"
	visit := func(path, wait string) {
		signedOut.Store(false)
		b.goTo(path)
		b.do(chromedp.WaitVisible(wait))
		signedOut.Store(true)
	}
	visit("/", "#search")
	b.do(chromedp.SendKeys("#search", "x\r"), chromedp.WaitVisible("#login")) // a form that changes nothing goes on by itself
	if at := <-referrers; at != "" {
		t.Errorf("the sign-in learns no address of the page: %q", at)
	}
	visit("/", "#search")
	b.do(chromedp.Click(`.keys a`), chromedp.WaitVisible("#login"))
	visit("/new", "#name")
	b.do(chromedp.SendKeys("#name", "another"), chromedp.Click(`.actions .primary`), chromedp.WaitVisible("main a.primary"))
	b.shows("You are not signed in any more. Nothing was changed: sign in, then go back and send the form again.")
	b.do(chromedp.Click("main a.primary"), chromedp.WaitVisible("#login"))
	visit("/keys/"+k.ID, "#usage-title")
	b.do(chromedp.Click("details:has(#confirm) summary"), chromedp.WaitVisible("#disable-reason"), chromedp.Submit("#disable-reason"), chromedp.WaitVisible("main a.primary"))
	if keys := b.keys("initech"); len(keys) != 1 || !keys[0].DisabledAt.IsZero() {
		t.Errorf("nobody changes anything who is not signed in: %+v", keys)
	}
	signedOut.Store(true)
	b.do(chromedp.Navigate("about:blank"), chromedp.Navigate(s.Pages.URL+"/"), chromedp.WaitVisible("#login")) // and whoever comes is redirected as ever
}

type toLogin string

func (toLogin) Error() string { return "not signed in" }
func (to toLogin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, string(to), http.StatusSeeOther)
}

package admin

import (
	"net/http"
	"net/url"

	"github.com/wontopos/latchkey/apikey"
)

// answerItself lets an authorizer's error write the response, with one
// exception: a request that the page itself sent and that the error redirects,
// usually to a sign-in. The page's policy (form-action) makes browsers silently
// drop a redirect of a form to another origin, and a fetch would take the
// sign-in page for an answer. So these get a page of ours with the link.
func (c *call) answerItself(answer http.Handler) {
	if c.api() || !c.fromPage() {
		answer.ServeHTTP(c.w, c.r)
		return
	}
	w := &redirectKeeper{ResponseWriter: c.w}
	answer.ServeHTTP(w, c.r)
	if !w.kept {
		return
	}
	header := c.w.Header()
	link := header.Get("Location")
	header.Del("Location")
	header.Del("Content-Length")
	detail := "You are not signed in any more."
	if read := c.r.Method == http.MethodGet || c.r.Method == http.MethodHead; !read {
		detail += " Nothing was changed: sign in, then go back and send the form again."
	} else if to, err := url.Parse(link); err == nil && (to.Scheme == "" || to.Scheme == "http" || to.Scheme == "https") {
		header.Set("Refresh", "0; url="+to.String())
	}
	c.refuse(&failure{info: apikey.Unauthenticated.Info(), detail: detail, signIn: link})
}

// fromPage reports whether a page of this origin may have sent the request, by
// a form, a link or a script. Browsers that do not say so (Sec-Fetch-Site) send
// a Referer.
func (c *call) fromPage() bool {
	if c.r.Method != http.MethodGet && c.r.Method != http.MethodHead {
		return true
	}
	site := c.r.Header.Get("Sec-Fetch-Site")
	return site == "same-origin" || site == "" && c.r.Referer() != ""
}

// redirectKeeper passes on every answer except a redirect, which it keeps. The
// header fields of the redirect stay, including cookies.
type redirectKeeper struct {
	http.ResponseWriter
	kept bool
}

func (w *redirectKeeper) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *redirectKeeper) WriteHeader(status int) {
	if w.kept = status >= 300 && status < 400 && w.Header().Get("Location") != ""; !w.kept {
		w.ResponseWriter.WriteHeader(status)
	}
}

func (w *redirectKeeper) Write(p []byte) (int, error) {
	if w.kept {
		return len(p), nil
	}
	return w.ResponseWriter.Write(p)
}

package admin

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/bounds"
)

// loopbackCookie carries the session. Cookies ignore ports: another program on
// this machine's loopback that the person visits below the same path gets it
// too.
const loopbackCookie = "latchkey_loopback"

// forwardingHeaders are what a proxy adds. Behind a proxy, everybody's requests
// come from loopback.
var forwardingHeaders = []string{
	"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Server",
	"X-Real-Ip", "X-Client-Ip", "Cf-Connecting-Ip", "True-Client-Ip", "Via",
}

// LoopbackSession signs in the person who runs the program, on their own
// machine, for development: there are no accounts to set up. Make it with
// [Loopback], pass its Authorize to [New] and print its Link.
//
// It admits only requests from a loopback address to a loopback host, without
// signs of a proxy, and only with the session that the link has opened. A port
// on loopback is open to every program and every user of the machine and,
// through DNS rebinding, to web pages. Everyone admitted is an [Operator].
type LoopbackSession struct {
	mu       sync.Mutex
	link     [sha256.Size]byte // digest of the unused link's token
	linked   bool
	sessions map[[sha256.Size]byte]bool
}

// Loopback returns an authorizer for development.
func Loopback() *LoopbackSession {
	return &LoopbackSession{sessions: make(map[[sha256.Size]byte]bool)}
}

// Link returns an address that signs in the first browser that opens it, for
// the mount point base, for example "http://localhost:8080/settings/keys/".
// Print it on the terminal, not into a log that others read. A new link
// invalidates the previous one, if it was not used; sessions last until the
// program ends.
//
// Opening the link is the only GET that changes something. Requests that
// announce themselves as a prefetch do not use it up.
func (l *LoopbackSession) Link(base string) string {
	token := rand.Text()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.link, l.linked = sha256.Sum256([]byte(token)), true
	return strings.TrimSuffix(base, "/") + "/?login=" + token
}

// Authorize is an [Authorizer].
func (l *LoopbackSession) Authorize(r *http.Request) (Actor, error) {
	if why := notLoopback(r); why != "" {
		return Actor{}, &apikey.Error{Code: apikey.Forbidden, Msg: "this sign-in is for development, on this machine alone: " + why}
	}
	if r.URL.Path == "/" && r.Method == http.MethodGet && r.URL.Query().Has("login") {
		return Actor{}, l.signIn(r)
	}
	if !l.signedIn(r) {
		return Actor{}, &apikey.Error{Code: apikey.Unauthenticated, Msg: "open the link that the program printed when it started"}
	}
	return Actor{ID: "loopback", Role: Operator}, nil
}

// notLoopback says why a request does not seem to have started on this machine;
// empty if it did, as far as can be told.
func notLoopback(r *http.Request) string {
	if !bounds.Address(r.RemoteAddr).IsLoopback() {
		return "the request does not come from a loopback address"
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if addr, err := netip.ParseAddr(host); !strings.EqualFold(host, "localhost") && (err != nil || !addr.Unmap().IsLoopback()) {
		return "the request is for another host than localhost, as if a web page had rebound its name"
	}
	for _, name := range forwardingHeaders {
		if len(r.Header.Values(name)) > 0 {
			return "the request was forwarded by a proxy, which sent " + name
		}
	}
	return ""
}

func (l *LoopbackSession) signedIn(r *http.Request) bool {
	for _, cookie := range r.CookiesNamed(loopbackCookie) {
		l.mu.Lock()
		known := l.sessions[sha256.Sum256([]byte(cookie.Value))]
		l.mu.Unlock()
		if known {
			return true
		}
	}
	return false
}

// signIn uses up the link, once.
func (l *LoopbackSession) signIn(r *http.Request) error {
	if l.signedIn(r) { // the link opened again, from the history
		return &signedIn{}
	}
	if strings.Contains(r.Header.Get("Sec-Purpose")+r.Header.Get("Purpose"), "prefetch") {
		return ErrForbidden
	}
	token := sha256.Sum256([]byte(r.URL.Query().Get("login")))
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.linked || subtle.ConstantTimeCompare(token[:], l.link[:]) != 1 {
		return &apikey.Error{Code: apikey.Unauthenticated, Msg: "the link is spent or wrong: start the program again for a new one"}
	}
	session := rand.Text()
	l.linked, l.link = false, [sha256.Size]byte{}
	l.sessions[sha256.Sum256([]byte(session))] = true
	return &signedIn{session}
}

// signedIn answers the link: it redirects to the address without the token.
type signedIn struct{ session string }

func (*signedIn) Error() string { return "signed in by the link" }

func (s *signedIn) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	if s.session != "" {
		// Without Path, a browser sends the cookie only below the mount point.
		http.SetCookie(w, &http.Cookie{Name: loopbackCookie, Value: s.session, HttpOnly: true, SameSite: http.SameSiteStrictMode})
	}
	w.Header().Set("Location", "./")
	w.WriteHeader(http.StatusSeeOther)
}

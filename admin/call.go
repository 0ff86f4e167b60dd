package admin

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/bounds"
)

// call is one request being handled by a route.
type call struct {
	h     *Handler
	w     http.ResponseWriter
	r     *http.Request
	id    string // of the request, for the log and the answer
	now   time.Time
	route *route     // nil until the route is known
	actor Actor      // zero until admitted
	key   apikey.Key // named by the path; the actor may see it

	inside bool     // it has a place in the bulkhead
	listed struct { // the plans, once they were asked for
		asked bool
		plans []apikey.Plan
		err   error
	}
}

func (h *Handler) newCall(w http.ResponseWriter, r *http.Request) *call {
	id := w.Header().Get("X-Request-Id") // of this request, if it passed here before
	if id == "" {
		id = requestID(r)
	}
	secureHeaders(w.Header(), id)
	return &call{h: h, w: w, r: r, id: id, now: time.Now()}
}

// requestID uses the caller's id if it is a plain one, so that traces can be
// joined. An API key is not plain: it has underscores.
func requestID(r *http.Request) string {
	id := r.Header.Get("X-Request-Id")
	plain := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.'
	}
	if len(id) < 8 || len(id) > 64 || strings.ContainsFunc(id, func(c rune) bool { return !plain(c) }) {
		return rand.Text()
	}
	return id
}

// contentPolicy lets a page load its style sheet and its module, send its forms
// and fetch news of itself, and nothing else. Trusted types without a policy:
// the module cannot turn text into markup even by mistake.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; " +
	"frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// secureHeaders sets the fields that every response has.
func secureHeaders(header http.Header, id string) {
	header.Set("X-Request-Id", id)
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Security-Policy", contentPolicy)
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Referrer-Policy", "same-origin") // no-referrer would make the Origin of our own forms "null"
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Frame-Options", "DENY")
}

// api reports whether the answer is JSON. So is the answer to a request outside
// the table, unless a browser asks for a page.
func (c *call) api() bool {
	if c.route != nil {
		return c.route.api()
	}
	return isAPI(c.r.URL.Path) || !strings.Contains(c.r.Header.Get("Accept"), "text/html")
}

func (c *call) by() apikey.Actor {
	from := c.actor.From
	if from == "" {
		from = c.h.from(c.r)
	}
	return apikey.Actor{ID: c.actor.ID, From: from, Customer: c.actor.Role == Customer}
}

// client is the address of a request's client, as the guard determines it, if
// there is a guard.
func (h *Handler) client(r *http.Request) (addr netip.Addr) {
	if h.o.Guard != nil {
		addr = h.o.Guard.ClientAddr(r)
	}
	if !addr.IsValid() {
		addr = bounds.Address(r.RemoteAddr)
	}
	return addr
}

// from is where a request came from, for the audit trail.
func (h *Handler) from(r *http.Request) string {
	switch addr := h.client(r); {
	case addr.IsValid():
		return addr.WithZone("").String()
	case bounds.Socket(r.RemoteAddr):
		return "unix socket"
	}
	return ""
}

// json answers with a value.
func (c *call) json(status int, v any) error {
	var body bytes.Buffer
	if err := json.NewEncoder(&body).Encode(v); err != nil {
		return err
	}
	return c.write(status, "application/json", body.Bytes())
}

// write sends a finished body: after an earlier error the response is still
// unwritten.
func (c *call) write(status int, contentType string, body []byte) error {
	c.leave()
	header := c.w.Header()
	header.Set("Content-Type", contentType)
	header.Set("Content-Length", strconv.Itoa(len(body)))
	c.w.WriteHeader(status)
	_, _ = c.w.Write(body) // the client has gone; there is nobody to tell
	return nil
}

// redirect sends the client to an address relative to the request's: the
// handler does not know its mount point. [http.Redirect] would make the address
// absolute from the stripped path.
func (c *call) redirect(status int, relative string) error {
	c.w.Header().Set("Location", relative)
	c.w.WriteHeader(status)
	return nil
}

// toMountPoint redirects to the address with the slash that relative addresses
// need.
func (c *call) toMountPoint() error {
	full, _, _ := strings.Cut(c.r.RequestURI, "?")
	segment := lastSegment(full)
	if segment == "" {
		return errNoRoute
	}
	return c.redirect(http.StatusPermanentRedirect, "./"+c.h.shape.redact(segment+"/"+query(c.r)))
}

func lastSegment(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

func query(r *http.Request) string {
	if r.URL.RawQuery == "" {
		return ""
	}
	return "?" + r.URL.RawQuery
}

// etag is a key's revision, in the form for If-Match.
func etag(k *apikey.Key) string { return `"` + strconv.FormatUint(k.Revision, 10) + `"` }

// checkIfMatch refuses a change that is based on a revision other than the
// key's current one.
func (c *call) checkIfMatch() error {
	want := c.r.Header.Values("If-Match")
	if len(want) == 0 || c.route.access == reads || c.r.Method == http.MethodGet || c.r.Method == http.MethodHead {
		return nil
	}
	for tag := range strings.SplitSeq(strings.Join(want, ","), ",") {
		if tag = strings.TrimSpace(tag); tag == "*" || tag == etag(&c.key) {
			return nil
		}
	}
	return c.preconditionFailed()
}

// matched reports whether If-Match was compared with the key, so that the
// change is for that revision only.
func (c *call) matched() bool {
	want := c.r.Header.Get("If-Match")
	return want != "" && want != "*"
}

func (c *call) preconditionFailed() error {
	return &failure{
		info:   preconditionFailed,
		detail: "If-Match names none of the key's revisions, or an earlier one: it is at " + etag(&c.key) + " now. Read it again, and repeat the change on what you find",
	}
}

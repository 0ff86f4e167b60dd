package admin

import (
	"errors"
	"net/http"
	"path"
	"strings"

	"github.com/wontopos/latchkey/apikey"
)

// ServeHTTP answers a request whose path starts at the mount point: mount with
// [http.StripPrefix].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := h.newCall(w, r)
	if err := h.route(c); err != nil {
		c.fail(err)
	}
}

// route refuses what can be refused without knowing the actor and passes the
// rest to the mux, whose patterns all lead to serve.
func (h *Handler) route(c *call) error {
	r := c.r
	if h.shape.inAuthorization(r.Header) {
		return errAPIKey
	}
	if err := h.origins.Check(r); err != nil {
		return errCrossOrigin
	}
	p := r.URL.Path
	switch {
	case p == "":
		return c.toMountPoint()
	case p != "/" && strings.HasSuffix(p, "/") && path.Clean(p)+"/" == p:
		return c.redirect(http.StatusPermanentRedirect, "../"+h.shape.redact(lastSegment(strings.TrimSuffix(r.URL.EscapedPath(), "/"))+query(r)))
	case path.Clean(p) != p: // the mux would redirect to outside the mount point
		return errNoRoute
	}
	if _, pattern := h.mux.Handler(r); pattern != "" {
		h.mux.ServeHTTP(c.w, r)
		return nil
	}
	return h.unrouted(r)
}

// unrouted distinguishes an unknown path from a wrong method.
func (h *Handler) unrouted(r *http.Request) error {
	answer := &headerOnly{header: make(http.Header)}
	handler, _ := h.mux.Handler(r)
	handler.ServeHTTP(answer, r)
	if answer.status != http.StatusMethodNotAllowed {
		return errNoRoute
	}
	allow := answer.header.Get("Allow")
	return &failure{info: methodNotAllowed, detail: "this address answers to " + allow + ", not to " + r.Method, header: http.Header{"Allow": {allow}}}
}

// headerOnly captures the mux's own refusal, which is plain text, so that it
// can be written as one of ours.
type headerOnly struct {
	header http.Header
	status int
}

func (w *headerOnly) Header() http.Header         { return w.header }
func (w *headerOnly) Write(p []byte) (int, error) { return len(p), nil }
func (w *headerOnly) WriteHeader(status int)      { w.status = status }

// serve is the only way to every route's handler.
func (h *Handler) serve(rt *route, w http.ResponseWriter, r *http.Request) {
	c := h.newCall(w, r)
	c.route = rt
	defer c.leave()
	err := h.admit(c)
	if err == nil && rt.method == http.MethodGet && rt.access != everybody {
		err = c.enter()
	}
	if err == nil {
		err = rt.handle(c)
		if rt.method != http.MethodGet {
			h.surveys.changes.Add(1)
		}
	}
	if err != nil {
		c.fail(err)
	}
}

// admit determines who the actor is, whether they may use the route, and
// whether they may see the key that it names.
func (h *Handler) admit(c *call) error {
	if c.route.access == everybody {
		return nil
	}
	c.r = withClient(c.r, h.client(c.r))
	actor, err := h.authorize(c.r)
	if err != nil {
		return notAuthorized(err)
	}
	if err := actor.validate(); err != nil {
		return &failure{info: apikey.Internal.Info(), err: err}
	}
	c.actor = actor
	switch c.route.access {
	case reads:
	case writes:
		if actor.ReadOnly {
			return errReadOnly
		}
	case operatorRead:
		if !actor.operator() {
			return errOperatorsOnly
		}
	case operatorOnly:
		if !actor.operator() {
			return errOperatorsOnly
		}
		if actor.ReadOnly {
			return errReadOnly
		}
	default:
		return errOperatorsOnly
	}
	if !c.route.namesKey() {
		return nil
	}
	key, err := h.keys.Get(c.r.Context(), c.r.PathValue("id"))
	if err != nil {
		return err
	}
	if !actor.sees(key.Owner) {
		return apikey.NotFound
	}
	c.key = key
	return c.checkIfMatch()
}

// unconfirmed is what the client reads if nobody can say who they are.
const unconfirmed = "who you are cannot be confirmed right now: try again in a moment"

// notAuthorized answers an authorizer's error. An [apikey.Error] has a message
// for the client; the text of any other error is for the log.
func notAuthorized(err error) error {
	if answer, ok := errors.AsType[selfAnswering](err); ok {
		return answer
	}
	if own, ok := errors.AsType[*failure](err); ok { // from an authorizer of this package
		return own
	}
	f := &failure{info: apikey.Unauthenticated.Info(), detail: ErrUnauthenticated.Msg, err: err}
	switch e, _ := coded(err); e.Code {
	case apikey.Forbidden, apikey.Unauthenticated:
		f.info, f.detail = e.Code.Info(), e.Msg
	case apikey.Unavailable:
		f.info, f.detail = e.Code.Info(), unconfirmed
		f.header = http.Header{"Retry-After": {"1"}}
	}
	return f
}

// selfAnswering is an authorizer's error that writes its own response.
type selfAnswering interface {
	error
	http.Handler
}

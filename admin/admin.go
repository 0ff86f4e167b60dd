package admin

import (
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"strings"

	"github.com/go-playground/validator/v10"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
)

// Options configures a [Handler]. The zero value is ready to use.
type Options struct {
	// Title is the heading of the page; default "API keys".
	Title string
	// ExamplePath is the path that the snippets on the page request; default
	// "/". It starts with a slash.
	ExamplePath string
	// Style is CSS that is appended to the page's style sheet, to match the look
	// of your application: `:root { --accent: #0a7d5a; --radius: 4px; }`. A theme
	// sets the custom properties at the top of the sheet.
	Style string
	// Guard is the guard of the API that the keys are for. With it, explanations
	// of requests include their limits, a key's page shows what is left of each
	// limit, and the audit trail and [BasicAuth] have the address of a client that
	// its TrustedProxies forward.
	Guard *middleware.Guard
	// Routes are the routes of the API and what each requires, as
	// [middleware.Mux.Routes] yields them; a nil Route is public. Operators find them
	// on a page of their own. They are read each time that it is opened. For routes
	// that another router or transport has, make a map and pass maps.All of it.
	Routes iter.Seq2[string, *middleware.Route]
	// TrustedOrigins are origins like "https://admin.example.com" whose pages may
	// send changes here, in addition to the handler's own. Usually none.
	TrustedOrigins []string
	// Logger receives faults, and refused requests at debug level; default
	// [slog.Default]. No secret and no body is ever logged.
	Logger *slog.Logger
}

// Handler is the settings page and the REST API of one service. Make it with
// [New]; it is an [http.Handler] and may be shared. Several handlers on one
// store serve the same people: a form from one may be sent to another, or after
// a restart, and makes at most one key.
type Handler struct {
	keys      *latchkey.Service
	authorize Authorizer
	o         Options
	log       *slog.Logger
	shape     *keyShape
	origins   *http.CrossOriginProtection
	mux       *http.ServeMux
	routes    map[string]*route // by mux pattern
	surveys   surveys
	bulkhead  *bulkhead
	overloads throttle // of the log
	style     asset
	script    asset
	validate  *validator.Validate
	prefix    string // of tokens
}

// New returns the handler for a service. Both arguments are required: there is
// no default for who may manage keys. For development see [Loopback].
func New(keys *latchkey.Service, authorize Authorizer, o Options) (*Handler, error) {
	if keys == nil {
		return nil, invalid("keys", "is nil: make a service with latchkey.New")
	}
	if authorize == nil {
		return nil, invalid("authorize", "is nil: say who may manage keys; for development use Loopback().Authorize")
	}
	if o.Guard != nil && o.Guard.Keys() != keys {
		return nil, invalid("Options.Guard", "is the guard of another service")
	}
	if o.Title == "" {
		o.Title = "API keys"
	}
	if o.ExamplePath == "" {
		o.ExamplePath = "/"
	}
	if !strings.HasPrefix(o.ExamplePath, "/") || strings.ContainsAny(o.ExamplePath, " \"'`\\$\r\n") {
		return nil, invalid("Options.ExamplePath", fmt.Sprintf("%q must be a path like /v1/things, free of quotes and spaces", o.ExamplePath))
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	h := &Handler{
		keys: keys, authorize: authorize, o: o, log: o.Logger,
		shape:    newKeyShape(keys),
		origins:  http.NewCrossOriginProtection(),
		mux:      http.NewServeMux(),
		routes:   make(map[string]*route),
		bulkhead: newBulkhead(),
		style:    newAsset("admin.css", "text/css; charset=utf-8", o.Style),
		script:   newAsset("admin.js", "text/javascript; charset=utf-8", ""),
	}
	h.validate = newValidator(h.shape)
	h.prefix = keys.Prefix()
	for i, origin := range o.TrustedOrigins {
		if err := h.origins.AddTrustedOrigin(origin); err != nil {
			return nil, invalid(fmt.Sprintf("Options.TrustedOrigins[%d]", i), err.Error())
		}
	}
	for _, rt := range table() {
		h.routes[rt.pattern()] = &rt
		h.mux.HandleFunc(rt.pattern(), func(w http.ResponseWriter, r *http.Request) { h.serve(&rt, w, r) })
	}
	return h, nil
}

func invalid(field, msg string) error {
	return &apikey.Error{Code: apikey.InvalidArgument, Field: "admin.New: " + field, Msg: msg}
}

// hint is the public beginning of a key's tokens, by which people recognise
// them.
func (h *Handler) hint(k *apikey.Key) string { return h.prefix + "_" + k.Environment + "_" + k.ID }

func (h *Handler) environment(name string) (apikey.Environment, bool) {
	for _, e := range h.keys.Environments() {
		if e.Name == name {
			return e, true
		}
	}
	return apikey.Environment{}, false
}

func (h *Handler) hasEnvironment(name string) bool {
	_, ok := h.environment(name)
	return ok
}

package latchhuma

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/middleware/latchopenapi"
)

// Public is the Security of an operation that anybody may call: no key is looked
// at. The document says "security: []" of it.
var Public = []map[string][]string{}

// New returns an API that guards each of its operations with the guard of its
// security scheme. Register operations with it, and with groups of it, in place
// of the one that it was made from. It panics on a mistake, and if that one has
// operations.
func New(under huma.API, guards map[string]*middleware.Guard) huma.API {
	doc := under.OpenAPI()
	if len(doc.Paths) > 0 {
		panic("latchhuma: the API has operations, which would not be guarded: register them with the API that New returns")
	}
	if doc.Components.SecuritySchemes == nil {
		doc.Components.SecuritySchemes = make(map[string]*huma.SecurityScheme)
	}
	for name, g := range guards {
		if g == nil {
			panic(fmt.Sprintf("latchhuma: the guard of the security scheme %q is nil", name))
		}
		if doc.Components.SecuritySchemes[name] == nil {
			doc.Components.SecuritySchemes[name] = scheme(g)
		}
	}
	return &api{under, maps.Clone(guards)}
}

// scheme describes where a guard looks for keys.
func scheme(g *middleware.Guard) *huma.SecurityScheme {
	r := &http.Request{Header: http.Header{}, URL: &url.URL{}}
	g.SetCredential(r, "x")
	for name := range r.URL.Query() {
		return &huma.SecurityScheme{Type: "apiKey", In: "query", Name: name}
	}
	for _, c := range r.Cookies() {
		return &huma.SecurityScheme{Type: "apiKey", In: "cookie", Name: c.Name}
	}
	if how, _, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok {
		return &huma.SecurityScheme{Type: "http", Scheme: strings.ToLower(how)}
	}
	return &huma.SecurityScheme{Type: "apiKey", In: "header", Name: slices.Collect(maps.Keys(r.Header))[0]}
}

// api is the API that operations are registered with.
type api struct {
	huma.API
	guards map[string]*middleware.Guard
}

func (a *api) Adapter() huma.Adapter { return &adapter{a.API.Adapter(), a} }

// Config is how Huma finds the settings of an API behind another one.
func (a *api) Config() (c huma.Config) {
	if under, ok := a.API.(interface{ Config() huma.Config }); ok {
		c = under.Config()
	}
	return c
}

// DocumentOperation lets a group that is guarded as a whole write its part of the
// document.
func (a *api) DocumentOperation(op *huma.Operation) {
	if under, ok := a.API.(huma.OperationDocumenter); ok {
		under.DocumentOperation(op)
	} else if !op.Hidden {
		a.OpenAPI().AddOperation(op)
	}
}

// adapter is what every operation goes through on its way to the router.
type adapter struct {
	huma.Adapter
	api *api
}

func (a *adapter) Handle(op *huma.Operation, handle func(huma.Context)) {
	security := op.Security
	if security == nil {
		security = a.api.OpenAPI().Security
	}
	cost, ok := op.Extensions["x-latchkey-cost"].(int)
	if !ok && op.Extensions["x-latchkey-cost"] != nil {
		panic(fmt.Sprintf("latchhuma: %s %s: x-latchkey-cost is no int", op.Method, op.Path))
	}
	door, public, err := latchopenapi.Door(a.api.guards, security, int64(cost))
	switch {
	case err != nil:
		panic(fmt.Sprintf("latchhuma: %s %s %v", op.Method, op.Path, err))
	case public:
		a.Adapter.Handle(op, handle)
	default:
		a.Adapter.Handle(op, func(ctx huma.Context) { serve(door, ctx, handle) })
	}
}

func serve(door *middleware.Door, ctx huma.Context, handle func(huma.Context)) {
	r, w := Unwrap(ctx)
	if w == nil {
		serveHeld(door, ctx, handle)
		return
	}
	if r.Pattern == "" {
		r.Pattern = ctx.Operation().Path
	}
	door.Serve(w, r, func(w http.ResponseWriter, r *http.Request, _ *apikey.Principal) {
		handle(&guarded{under: ctx, r: r, w: w})
	})
}

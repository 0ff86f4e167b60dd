package latchmcp

import (
	"context"
	"fmt"
	"net/http"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
)

// Options say what a key must be allowed. With the zero Options clients can
// connect and list tools, and call none.
type Options struct {
	// Tools says what each tool requires of a key, by the tool's name. A call of
	// a tool without a row is refused.
	Tools map[string]middleware.Route
	// Methods says what other methods of MCP require, such as "resources/read" or
	// "prompts/get". A method without a row is refused, except for initialize,
	// ping, server/discover, logging/setLevel and tools/list, which any key may
	// call, and notifications, which have no row.
	Methods map[string]middleware.Route

	// Resource is the address of the endpoint as clients call it, such as
	// "https://api.example.com/mcp". If it is set, [Handler.Metadata] describes it,
	// and refusals over HTTP say where that is.
	Resource string
	// Documentation is the address of a page that tells people how to get a key,
	// for the metadata; it may be empty.
	Documentation string

	// Transport configures the SDK's streamable HTTP transport; it may be nil.
	// Unless it is Stateless, set its SessionTimeout: the SDK keeps sessions in
	// memory until then, those of keys that have ended, too, and by default forever.
	Transport *mcp.StreamableHTTPOptions
}

// Handler is the endpoint of an MCP server for clients with keys. Make one with
// [New].
type Handler struct {
	door      *middleware.Door
	transport http.Handler
	rows      rows
	metadata  metadata
}

// New guards an MCP server and returns its endpoint, to mount at one path for all
// HTTP methods. From then on the server serves nobody else: what reaches it over
// another transport is refused. New panics on a mistake in the Options.
//
// It adds receiving middleware to the server. What was added before runs only for
// admitted requests; what is added later sees refused ones, too.
func New(g *middleware.Guard, s *mcp.Server, o Options) *Handler {
	h := &Handler{
		door:      g.Door(middleware.Route{Need: middleware.AnyKey()}),
		transport: mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return s }, o.Transport),
		rows:      o.rows(g),
		metadata:  o.metadata(),
	}
	s.AddReceivingMiddleware(h.receive)
	return h
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.door.Serve(h.metadata.challenged(w), r, h.admitted)
}

// admitted serves an HTTP request of MCP. The SDK takes who makes it from
// [auth.RequireBearerToken] alone, and binds sessions to its UserID.
func (h *Handler) admitted(w http.ResponseWriter, r *http.Request, p *apikey.Principal) {
	if p == nil { // a CORS preflight; without an exchange nothing of MCP is served
		h.transport.ServeHTTP(w, r)
		return
	}
	x := &exchange{by: h, w: w, r: r}
	defer x.end()
	info := &auth.TokenInfo{UserID: p.KeyID(), Scopes: p.Scopes(), Expiration: p.ExpiresAt(), Extra: map[string]any{exchangeKey: x}}
	handOver := auth.RequireBearerToken(
		func(context.Context, string, *http.Request) (*auth.TokenInfo, error) { return info, nil },
		&auth.RequireBearerTokenOptions{AllowMissingExpiration: true}) // most keys have none
	handOver(http.HandlerFunc(func(w http.ResponseWriter, told *http.Request) {
		x.ctx = told.Context()
		h.transport.ServeHTTP(w, r.WithContext(x.ctx))
	})).ServeHTTP(w, (&http.Request{Header: someToken}).WithContext(r.Context()))
}

// someToken satisfies RequireBearerToken also where keys come elsewhere, or the
// guard has taken them out.
var someToken = http.Header{"Authorization": {"Bearer admitted"}}

// rows are the doors of tools and other methods. A method with the door nil is
// open to any key.
type rows struct{ tools, methods map[string]*middleware.Door }

func (o Options) rows(g *middleware.Guard) rows {
	all := rows{make(map[string]*middleware.Door), make(map[string]*middleware.Door)}
	for _, m := range []string{"initialize", "ping", "server/discover", "logging/setLevel", "tools/list"} {
		all.methods[m] = nil
	}
	for name, route := range o.Tools {
		all.tools[name] = g.Door(route)
	}
	for name, route := range o.Methods {
		if name == "tools/call" {
			panic("latchmcp: Options.Methods: tools/call has a row for each tool, in Options.Tools")
		}
		all.methods[name] = g.Door(route)
	}
	return all
}

// of returns the door of a request, or the refusal of one without a row.
func (r rows) of(method string, request mcp.Request) (*middleware.Door, error) {
	if call, is := request.(*mcp.CallToolRequest); is && call.Params != nil {
		door, ok := r.tools[call.Params.Name]
		if !ok {
			return nil, refuse(http.StatusForbidden, "unknown_tool",
				fmt.Sprintf("Nobody may call the tool %q: the server's latchmcp.Options do not name it. Add it to Tools.", call.Params.Name))
		}
		return door, nil
	}
	door, ok := r.methods[method]
	if !ok {
		return nil, refuse(http.StatusForbidden, "unknown_method",
			fmt.Sprintf("Nobody may call %q: the server's latchmcp.Options do not name it. Add it to Methods.", method))
	}
	return door, nil
}

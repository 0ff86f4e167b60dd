package latchmcp

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/oauthex"

	"github.com/wontopos/latchkey/middleware"
)

// metadata describe the endpoint to clients, as RFC 9728 says. They are zero
// without Options.Resource.
type metadata struct {
	path, challenge string
	document        *oauthex.ProtectedResourceMetadata
}

func (o Options) metadata() metadata {
	if o.Resource == "" {
		return metadata{}
	}
	u, err := url.Parse(o.Resource)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		panic(fmt.Sprintf("latchmcp: Options.Resource: %q is not an address like https://api.example.com/mcp", o.Resource))
	}
	path := "/.well-known/oauth-protected-resource" + strings.TrimSuffix(u.EscapedPath(), "/")
	scopes := make(map[string]bool)
	for _, rows := range []map[string]middleware.Route{o.Tools, o.Methods} {
		for _, route := range rows {
			for _, scope := range strings.Fields(route.Need.String()) {
				scopes[scope] = true
			}
		}
	}
	return metadata{
		path:      path,
		challenge: fmt.Sprintf(`, resource_metadata="%s://%s%s"`, u.Scheme, u.Host, path),
		document: &oauthex.ProtectedResourceMetadata{
			Resource:               o.Resource,
			ScopesSupported:        slices.Sorted(maps.Keys(scopes)),
			BearerMethodsSupported: []string{"header"},
			ResourceDocumentation:  o.Documentation,
		},
	}
}

// Metadata returns the metadata of the endpoint as a protected resource, and the
// path at which clients look for them, to mount without a key:
//
//	mux.Public(h.Metadata())
//
// They name the scopes of all rows, and no authorization server: keys are not
// issued by one. Metadata panics if Options.Resource is empty.
func (h *Handler) Metadata() (path string, document http.Handler) {
	if h.metadata.document == nil {
		panic("latchmcp: Options.Resource is empty: metadata need the address of the endpoint")
	}
	return h.metadata.path, auth.ProtectedResourceMetadataHandler(h.metadata.document)
}

// challenged returns a writer that adds the address of the metadata to the
// guard's challenge.
func (m metadata) challenged(w http.ResponseWriter) http.ResponseWriter {
	if m.challenge == "" {
		return w
	}
	return &challenger{w, m.challenge}
}

type challenger struct {
	http.ResponseWriter
	parameter string
}

func (c *challenger) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func (c *challenger) WriteHeader(status int) {
	if field := c.Header()["Www-Authenticate"]; len(field) == 1 && strings.HasPrefix(field[0], "Bearer ") {
		c.Header().Set("Www-Authenticate", field[0]+c.parameter)
	}
	c.ResponseWriter.WriteHeader(status)
}

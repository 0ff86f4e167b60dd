package middleware

import (
	"net/http"
	"net/netip"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/engine"
)

// Request is what [Guard.Check] needs to know about a request, whatever its
// transport. Check keeps none of its strings: a framework may reuse their
// memory afterwards.
type Request struct {
	// Fields are the request's header fields. Required.
	Fields Fields
	// RawQuery is the undecoded query string, for [InsecureQuery] alone.
	RawQuery string
	// Host is the host that the client called, as in http.Request.
	Host string
	// Peer is the other end of the connection, as "address:port" or as an address
	// alone. PeerAddr is the same, for a transport that has parsed it; if it is
	// set, Peer is ignored.
	Peer     string
	PeerAddr netip.Addr

	// Method and Pattern name the route, for the last use that the key's page
	// shows. Pattern is as a router knows it, "/v1/apis/{id}", with or without a
	// method before it. Without a Pattern, [Outcome.Ended] can give the route.
	Method, Pattern string

	// Need is what the route requires of the key. No key meets the zero
	// Requirement.
	Need apikey.Requirement
	// Cost is what the request takes from each limit; 0 means 1.
	Cost int64
	// Optional admits a request without a key. A bad key is still refused.
	Optional bool

	// Flight, unless nil, is entered with Cutter before the request is charged.
	// From then on the request is cut when its key ends. After an admitted request
	// the caller must call Leave; after a refused one Check does.
	Flight *engine.Flight
	Cutter engine.Cutter
}

// Fields gives access to the header fields of a request. http.Header is one.
type Fields interface {
	// Values returns the lines of a field, in order. The name comes in the
	// canonical form of [http.CanonicalHeaderKey]. The Guard only reads the
	// result, and does not keep it.
	Values(name string) []string
}

// headerFields is http.Header without a second canonicalization of the names.
type headerFields http.Header

func (f headerFields) Values(name string) []string { return f[name] }

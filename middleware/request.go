package middleware

import (
	"net/http"
	"net/netip"
	"time"

	"github.com/wontopos/latchkey/internal/engine"
)

// Request is what [Door.Decide] needs to know about a request, whatever its
// transport. Decide keeps none of its strings: a framework may reuse their
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
	// method before it. If it is known only later, see [Call.Matched].
	Method, Pattern string
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

// of makes q the request r; q is zero.
func (q *Request) of(r *http.Request) {
	q.Fields, q.RawQuery, q.Host, q.Peer = headerFields(r.Header), r.URL.RawQuery, r.Host, r.RemoteAddr
	q.Method, q.Pattern = r.Method, r.Pattern
}

// ask is a request at a door.
type ask struct {
	Request
	door   *Door
	flight *engine.Flight // entered with cutter before the request is charged
	cutter engine.Cutter
	began  time.Duration // since processStart, if tells
	tells  bool          // somebody may ask for the client's address, the route, and how long it took
	call   bool          // and for the address of a refusal in any case
}

// observed notes when the decision begins, if hooks may ask.
func (q *ask) observed(g *Guard) {
	if q.tells = g.tells; q.tells {
		q.began = time.Since(processStart)
	}
}

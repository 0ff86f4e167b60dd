// Package middlewaretest decides whether an adapter of
// [github.com/wontopos/latchkey/middleware] for a framework is correct. It has
// two suites: [Run] for adapters that speak HTTP, and [RunTransport], which is
// smaller, for adapters of any transport. Every rule is a subtest whose name is the
// rule.
//
// # HTTP
//
// Run starts the framework with a real listener and talks to it over sockets.
//
//	func TestConformance(t *testing.T) {
//		middlewaretest.Run(t, middlewaretest.Harness{
//			Start: func(t *testing.T, g *middleware.Guard, routes []middlewaretest.Route) middlewaretest.Server {
//				…
//			},
//		})
//	}
//
// An adapter declares what its framework cannot do in [Harness.Lacks], where
// everybody can read it. The rules that need it are skipped, and the suite checks
// that the framework really lacks it.
//
// For a framework on net/http the suite also puts middleware around the whole
// server that recovers panics, and middleware that compresses, over HTTP/1 and
// HTTP/2.
//
// # Any transport
//
// RunTransport makes each kind of request that a guard can decide, cuts some while
// they are served, and holds what the client saw against what the guard decided. A
// handler is a [Script] that any transport can play, sending and receiving through
// an [Exchange]. An adapter brings the server and the client, as a [Transport];
// for one that speaks HTTP, [HTTP] has the client:
//
//	func TestTransport(t *testing.T) { middlewaretest.RunTransport(t, middlewaretest.HTTP(harness)) }
//
// The package needs the standard library and this module only.
package middlewaretest

// Package middlewaretest decides whether an adapter of
// [github.com/wontopos/latchkey/middleware] for a framework is correct: it
// starts the framework with a real listener and talks to it over sockets.
//
//	func TestConformance(t *testing.T) {
//		middlewaretest.Run(t, middlewaretest.Harness{
//			Start: func(t *testing.T, g *middleware.Guard, routes []middlewaretest.Route) middlewaretest.Server {
//				…
//			},
//		})
//	}
//
// Every rule is a subtest whose name is the rule. An adapter declares what its
// framework cannot do in [Harness.Lacks], where everybody can read it. The
// rules that need it are skipped, and the suite checks that the framework
// really lacks it.
//
// For a framework on net/http the suite also puts middleware around the whole
// server that recovers panics, and middleware that compresses, over HTTP/1 and
// HTTP/2.
//
// The package needs the standard library and this module only.
package middlewaretest

// Package routers guards the routes of chi and of gorilla/mux. Neither needs an
// adapter: both take middleware of net/http, and Require and Door.Wrap are that.
//
// The API is the same twice. Every path below /v1 needs a key, each route says
// its scopes, and a subrouter has a door for all its routes: a request is decided
// once for all doors that it passes, and costs what the dearest of them asks.
//
//	GET  /health            open to all
//	GET  /v1/me             any key
//	GET  /v1/things/{id}    things:read
//	POST /v1/things         things:read and things:write
//	GET  /v1/reports/{name} reports:read, and costs 10
package routers

// Package latchmcp guards an MCP server of the official Go SDK with API keys, for
// clients that have nobody to sign in: programs, CI jobs and agents on servers.
//
//	server := mcp.NewServer(&mcp.Implementation{Name: "things"}, nil)
//	mcp.AddTool(server, &mcp.Tool{Name: "list_things"}, listThings)
//
//	endpoint := latchmcp.New(guard, server, latchmcp.Options{
//		Tools: map[string]middleware.Route{
//			"list_things":  {Need: middleware.AllOf("things:read")},
//			"delete_thing": {Need: middleware.AllOf("things:write"), Cost: 10},
//		},
//	})
//	http.Handle("/mcp", endpoint)
//
// A client sends its key with every HTTP request, as "Authorization: Bearer" or
// where [middleware.Options] say. Handlers of tools find the principal with
// [middleware.PrincipalFrom]; the SDK's TokenInfo has the key's id as UserID, its
// scopes and its expiry. A tool without a row is refused, and so is any other
// method that reads or does something: see [Options].
//
// # Answers
//
// Each HTTP request is decided once. At its door it needs any key, and is refused
// like any request of net/http: with a status and a problem document. A door
// around the endpoint may ask for more, such as
// guard.Require(middleware.AllOf("mcp:use"))(endpoint).
//
// What a tool or a method needs is decided by an inner door when the SDK has read
// the request. Its refusal is an error of JSON-RPC, because for many clients a
// status of HTTP ends the session, and the result of a tool, even one that is an
// error, is something to show to a model. The error's code is the status (403 or
// 429), its message says what to do, and its data are the problem document, with
// the members code, missing_scopes and, where waiting helps, retry_after in
// seconds.
//
// # Charges
//
// An HTTP request costs what its tool costs, at least 1, and nothing if a door
// refuses it. Connecting, listing and opening a stream cost 1 each. So do calls
// that have no row, and what the SDK itself refuses. An HTTP request may bring one
// request: the second one in a batch is refused. With an EventStore the SDK may
// begin the response before the tool's door decides; then it is too late to give
// anything back. The RateLimit fields are those of the HTTP request's door, and do
// not show what the tool costs on top.
//
// # Requests in flight
//
// When a key ends, its calls and streams are cut as package middleware says, also
// the GET on which the server sends what it likes. The context of a tool ends with
// the key and has its cause. It also ends with the HTTP request that brought the
// call: a call that goes on after its client has left would run without a guard. So
// a client can fetch what a call has sent so far again, with an EventStore, and
// cannot leave and wait for the rest.
//
// Sessions belong to a key: with another one they are answered with 403. A new
// secret of the same key continues them.
//
// # What it does not do
//
//   - The list of tools is the same for all keys.
//   - A row of resources/read, or prompts/get, is for all resources or prompts.
//   - The SDK's older transport, SSEHandler, stdio and any other way into the
//     server are refused.
//   - Notifications need a key, and no scopes.
//   - It takes keys only. A server that takes OAuth tokens as well chooses between
//     this endpoint and auth.RequireBearerToken for another mcp.Server by the form of
//     the token, or uses [TokenVerifier], which does less.
package latchmcp

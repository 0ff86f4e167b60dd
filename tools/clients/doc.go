// Package clients makes clients of the REST API of package admin with the
// generators that people use, oapi-codegen for Go and openapi-typescript, and
// runs the life of a key with each. It is a module of its own, so that nobody
// who uses latchkey downloads what its test needs. Nothing generated is
// committed: the test makes it anew.
package clients

// Command cluster runs three instances of an API as processes of their own, with
// keys in PostgreSQL and limits in Redis. It breaks what can break between them,
// and watches from outside that no key is accepted after its revocation
// returned, and that limits hold:
//
//	go run ./examples/cluster
//
// README.md shows a run. The exit code is 0 when every invariant held.
package main

// Command cluster runs three instances of an API on one PostgreSQL, as
// processes of their own, breaks what can break between them, and watches from
// outside that no key is accepted after its revocation returned:
//
//	go run ./examples/cluster
//
// README.md shows a run. The exit code is 0 when every invariant held.
package main

// Package chains holds the guard to its word beside the middleware that people
// really use. It has two tests:
//
//   - One cuts requests behind gin's, chi's, echo's and gorilla's recovery of
//     panics and compression, in chains of several, over every protocol, with
//     handlers of several kinds. It fails when a client takes what came for the
//     whole.
//   - The other is a table of one middleware at a time, alone, outside the guard
//     and inside it, over HTTP/1.1 and HTTP/2: whether responses arrive piece by
//     piece, connections can be taken over, refusals can be read, a cut never looks
//     like an end, and the middleware still does what it is for. What does not hold
//     is declared with a reason, and the test fails when that is no longer true.
//     go test -v -run AroundAndInside . prints the table.
//
// It is a module of its own, so that no user of latchkey downloads a framework.
package chains

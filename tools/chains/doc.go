// Package chains holds the guard to its word behind the middleware that people
// really use: gin's, chi's, echo's and gorilla's recovery of panics and
// compression. Its tests cut requests in every chain, over every protocol, with
// handlers of several kinds, and fail when a client takes what came for the whole.
//
// It is a module of its own, so that no user of latchkey downloads a framework.
package chains

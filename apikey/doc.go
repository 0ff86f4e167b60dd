// Package apikey is the data that latchkey is about: keys and their secrets, scopes and what a route requires of them,
// plans, environments, usage, audit entries, and the codes of refusals. It starts nothing and stores nothing; the service is
// package latchkey.
//
// A key is sk_live_<id>_<secret><checksum>: a public id, 226 random bits, and a CRC-32 that rejects a mistyped or invented key
// before anything is looked up. A store holds a digest of the secret (SHA-256, or HMAC-SHA-256 under a pepper that the store
// does not hold), never the secret.
//
// A [Key] belongs to an owner and an [Environment], and has scopes, a [Plan] with limits, networks, metadata and an expiry.
// It can be disabled and enabled. Revoking it is final: a state is written, and no row is deleted.
package apikey

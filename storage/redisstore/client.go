package redisstore

import (
	"context"
	"crypto/sha1"
	_ "embed"
	"encoding/hex"
	"strings"
)

// Client is what a [Limiter] needs of a client of Redis. Packages rueidisstore
// and goredisstore have one each; one for another client takes a few lines.
type Client interface {
	// Do sends the calls together, each to the primary that holds its keys, and
	// returns one reply each. It sends no call a second time, unless a cluster has
	// answered that it belongs to another node, and returns when ctx has ended.
	Do(ctx context.Context, calls ...Call) []Reply
	// Cluster reports whether the keys of one call must share a hash slot.
	Cluster() bool
}

// Call is one EVALSHA, or one EVAL if Source is set.
type Call struct {
	SHA1   string // of the script, in hex
	Source string // the script itself: for EVAL
	Keys   []string
	Arg    string // the only argument, in binary
}

// Reply is the reply to a [Call], which is a string. The text of an error that
// the server returned begins with its code, such as NOSCRIPT.
type Reply struct {
	Value string
	Err   error
}

//go:embed limit.lua
var limitLua string

// script is a script, and its name on the server.
type script struct{ source, sha1 string }

func newScript(source string) script {
	sum := sha1.Sum([]byte(source)) // not for secrecy: it is how Redis names scripts
	return script{source, hex.EncodeToString(sum[:])}
}

var limitScript = newScript(limitLua)

// run makes the calls by the script's name, and those again by its source that
// were answered by a server which did not know it, and so did nothing.
func (s script) run(ctx context.Context, c Client, calls ...Call) []Reply {
	for i := range calls {
		calls[i].SHA1 = s.sha1
	}
	replies := c.Do(ctx, calls...)
	var again []Call
	var at []int
	for i := range replies {
		if err := replies[i].Err; err != nil && strings.HasPrefix(err.Error(), "NOSCRIPT") {
			calls[i].Source = s.source
			again, at = append(again, calls[i]), append(at, i)
		}
	}
	if len(again) > 0 {
		for i, r := range c.Do(ctx, again...) {
			replies[at[i]] = r
		}
	}
	return replies
}

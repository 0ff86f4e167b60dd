// Package rueidisstore is the limiter of package redisstore over the client
// [rueidis].
//
// [rueidis]: https://pkg.go.dev/github.com/redis/rueidis
package rueidisstore

import (
	"context"
	"errors"

	"github.com/redis/rueidis"

	"github.com/wontopos/latchkey/storage/redisstore"
)

// NewLimiter returns a limiter on the client: of one server, of sentinels or of
// a cluster. The client stays the caller's, who closes it after the limiter.
func NewLimiter(c rueidis.Client, o redisstore.LimiterOptions) (*redisstore.Limiter, error) {
	if c == nil {
		return nil, errors.New("rueidisstore: new limiter: the client is nil")
	}
	return redisstore.NewLimiter(client{c}, o)
}

type client struct{ c rueidis.Client }

func (c client) Cluster() bool { return c.c.Mode() == rueidis.ClientModeCluster }

// Do does not retry: the client does so only with commands that read.
func (c client) Do(ctx context.Context, calls ...redisstore.Call) []redisstore.Reply {
	if len(calls) == 1 {
		return []redisstore.Reply{reply(c.c.Do(ctx, c.command(&calls[0])))}
	}
	commands := make([]rueidis.Completed, len(calls))
	for i := range calls {
		commands[i] = c.command(&calls[i])
	}
	replies := make([]redisstore.Reply, len(calls))
	for i, r := range c.c.DoMulti(ctx, commands...) {
		replies[i] = reply(r)
	}
	return replies
}

func (c client) command(call *redisstore.Call) rueidis.Completed {
	if call.Source != "" {
		return c.c.B().Eval().Script(call.Source).Numkeys(int64(len(call.Keys))).Key(call.Keys...).Arg(call.Arg).Build()
	}
	return c.c.B().Evalsha().Sha1(call.SHA1).Numkeys(int64(len(call.Keys))).Key(call.Keys...).Arg(call.Arg).Build()
}

func reply(r rueidis.RedisResult) redisstore.Reply {
	s, err := r.ToString()
	return redisstore.Reply{Value: s, Err: err}
}

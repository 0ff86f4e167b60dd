// Package goredisstore is the limiter of package redisstore over the client
// [go-redis], for programs that have one already.
//
// [go-redis]: https://pkg.go.dev/github.com/redis/go-redis/v9
package goredisstore

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"

	"github.com/wontopos/latchkey/storage/redisstore"
)

// NewLimiter returns a limiter on the client: of one server, of sentinels or of
// a cluster. A Ring is an error, because it moves keys when a server is away,
// and limits would start from zero. The client stays the caller's, who closes it
// after the limiter.
//
// The limiter's time limit and its calls without a retry do not depend on the
// client's options. With ContextTimeoutEnabled, a connection whose answer is
// late is closed at once, and not after ReadTimeout.
func NewLimiter(c redis.UniversalClient, o redisstore.LimiterOptions) (*redisstore.Limiter, error) {
	switch c := c.(type) {
	case nil:
		return nil, errors.New("goredisstore: new limiter: the client is nil")
	case *redis.Ring:
		return nil, errors.New("goredisstore: new limiter: a Ring moves keys when a server is away: use a cluster")
	default:
		return redisstore.NewLimiter(client{c}, o)
	}
}

type client struct{ c redis.UniversalClient }

func (c client) Cluster() bool {
	_, ok := c.c.(*redis.ClusterClient)
	return ok
}

// once is a command that the client does not retry.
type once struct{ *redis.Cmd }

func (once) NoRetry() bool { return true }

// Do waits for the client in a goroutine of its own, because a client without
// ContextTimeoutEnabled waits longer than ctx.
func (c client) Do(ctx context.Context, calls ...redisstore.Call) []redisstore.Reply {
	commands := make([]once, len(calls))
	for i := range calls {
		commands[i] = command(ctx, &calls[i])
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if len(commands) == 1 {
			_ = c.c.Process(ctx, commands[0])
			return
		}
		pipe := c.c.Pipeline()
		for _, cmd := range commands {
			_ = pipe.Process(ctx, cmd)
		}
		_, _ = pipe.Exec(ctx)
	}()
	replies := make([]redisstore.Reply, len(calls))
	select {
	case <-done:
		for i, cmd := range commands {
			replies[i].Value, replies[i].Err = cmd.Text()
		}
	case <-ctx.Done():
		for i := range replies {
			replies[i].Err = ctx.Err()
		}
	}
	return replies
}

func command(ctx context.Context, call *redisstore.Call) once {
	args := make([]any, 0, 4+len(call.Keys))
	if call.Source != "" {
		args = append(args, "eval", call.Source)
	} else {
		args = append(args, "evalsha", call.SHA1)
	}
	args = append(args, len(call.Keys))
	for _, key := range call.Keys {
		args = append(args, key)
	}
	cmd := redis.NewCmd(ctx, append(args, call.Arg)...)
	cmd.SetFirstKeyPos(3)
	return once{cmd}
}

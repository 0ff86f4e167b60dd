package histories

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/anishathalye/porcupine"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/engine"
	"github.com/wontopos/latchkey/storage"
)

// history is one run of clients over keys of its own.
type history struct {
	w          *world
	seed       uint64
	operations int64
	started    atomic.Int64
	clock      atomic.Int64 // ticks at each call and return: an order without ties
	keys       []*life

	mu  sync.Mutex
	all []porcupine.Operation

	verified, unavailable, lost atomic.Int64
}

// life is one key, as far as the clients share what they know of it.
type life struct {
	claimed atomic.Bool   // somebody creates it
	latest  atomic.Uint32 // the kind of change that somebody began last
	scope   string
	change  storage.Change // creates it, for one that is verified before

	mu     sync.Mutex
	id     string   // empty: not known yet
	tokens []string // by the number of the secret; empty ones were never seen
}

const (
	clients = 12
	// abreast is how many keys are in use at a time, and perKey how many
	// operations there are for each: what porcupine has to search through.
	abreast = 4
	perKey  = 50
)

func newHistory(ctx context.Context, w *world, seed uint64, operations int) (*history, error) {
	h := &history{w: w, seed: seed, operations: int64(operations)}
	for i := range max(abreast, operations/perKey) {
		l := &life{scope: scope(0)}
		if w.early && i%2 == 0 {
			token, change, err := w.unborn(ctx, l.scope)
			if err != nil {
				return nil, err
			}
			l.change, l.id, l.tokens = change, change.Record.Key.ID, []string{"", token}
		}
		h.keys = append(h.keys, l)
	}
	return h, nil
}

func scope(n int) string { return []string{"red:read", "green:read", "blue:read"}[n] }

// run lets the clients loose, and looks once more at every key when they have
// gone.
func (h *history) run(ctx context.Context) error {
	var group sync.WaitGroup
	for i := range clients {
		group.Go(func() {
			c := &client{h: h, number: i, rng: rand.New(rand.NewPCG(h.seed, uint64(i)))}
			for h.started.Add(1) <= h.operations {
				for !c.act(ctx) {
					runtime.Gosched()
				}
			}
			c.keep()
		})
	}
	group.Wait()
	return h.close(ctx)
}

// close waits until every instance has to have all changes, and asks each.
func (h *history) close(ctx context.Context) error {
	c := &client{h: h, number: clients, rng: rand.New(rand.NewPCG(h.seed, clients))}
	last := make(map[*life]uint64)
	for _, l := range h.keys {
		if l.id != "" {
			last[l] = c.get(ctx, l, 0).after.revision
		}
	}
	if err := h.w.passFence(ctx); err != nil {
		return err
	}
	for _, l := range h.keys {
		if l.id == "" {
			continue
		}
		c.force(l.id, last[l], h.clock.Add(1), h.clock.Add(1))
		for on := range h.w.instances {
			for secret, token := range l.tokens {
				if token != "" {
					c.verify(ctx, l, on, uint32(secret), token)
				}
			}
		}
	}
	c.keep()
	return nil
}

// client does one thing after the other.
type client struct {
	h      *history
	number int
	rng    *rand.Rand
	did    []porcupine.Operation
	after  *life // whose change has just returned, and on which instance
	where  int
}

// keep hands in what the client did.
func (c *client) keep() {
	c.h.mu.Lock()
	defer c.h.mu.Unlock()
	c.h.all = append(c.h.all, c.did...)
}

// record does a call and writes it down. A change of an instance is in force on
// all of them before it returns.
func (c *client) record(in input, call func() output) output {
	o := porcupine.Operation{ClientId: c.number, Input: in, Call: c.h.clock.Add(1)}
	out := call()
	o.Output, o.Return = out, c.h.clock.Add(1)
	if out.lost {
		o.Return = never
		c.h.lost.Add(1)
	}
	c.did = append(c.did, o)
	if in.kind < get && in.on >= 0 && out.code == apikey.OK && !out.lost {
		c.force(in.key, out.after.revision, o.Call, o.Return)
	}
	return out
}

func (c *client) force(key string, revision uint64, from, to int64) {
	c.did = append(c.did, porcupine.Operation{
		ClientId: clients + 1 + c.number, Input: input{kind: inForce, key: key, revision: revision}, Call: from, Output: output{}, Return: to,
	})
}

// pick finds a key to do something with: the clients walk over all of them side
// by side.
func (c *client) pick() *life {
	first := int(c.h.started.Load()) * (len(c.h.keys) - abreast + 1) / int(c.h.operations)
	return c.h.keys[min(first+c.rng.IntN(abreast), len(c.h.keys)-1)]
}

// known reports whether its id has come back from whoever creates it.
func (l *life) known() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.id != ""
}

// act does one operation, and reports false when it found nothing to do.
func (c *client) act(ctx context.Context) bool {
	if l := c.after; l != nil { // see at once what the others know of it
		c.after = nil
		if secret, token := l.token(c.rng); token != "" {
			c.verify(ctx, l, (c.where+1)%len(c.h.w.instances), secret, token)
			return true
		}
	}
	on := c.rng.IntN(len(c.h.w.instances))
	keys := c.h.w.instances[on]
	switch {
	case c.rng.IntN(100) < 20: // push something out of the cache
		_, _ = keys.Verify(ctx, c.h.w.others[c.rng.IntN(others)])
	case c.rng.IntN(100) < 5: // make all that is cached be read again
		_ = keys.RefreshPlans(ctx)
	}
	l := c.pick()
	known := l.known()
	if !l.claimed.Load() && (!known || c.rng.IntN(8) == 0) && !l.claimed.Swap(true) {
		c.create(ctx, l, on)
		return true
	}
	if !known {
		return false
	}
	switch n := c.rng.IntN(100); {
	case n < 45:
		secret, token := l.token(c.rng)
		if token == "" {
			return false
		}
		c.verify(ctx, l, on, secret, token)
	case n < 52:
		c.get(ctx, l, on)
	default:
		c.change(ctx, l, on)
	}
	return true
}

// token picks one of a key's tokens, most often one of the two newest.
func (l *life) token(rng *rand.Rand) (uint32, string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.tokens) - 1 - rng.IntN(2)
	if rng.IntN(8) == 0 {
		n = rng.IntN(len(l.tokens))
	}
	return uint32(max(n, 0)), l.tokens[max(n, 0)]
}

func (l *life) learn(id string, secret uint32, token string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.id == "" { // and never again: it is read without the lock by who has seen it
		l.id = id
	}
	for len(l.tokens) <= int(secret) {
		l.tokens = append(l.tokens, "")
	}
	l.tokens[secret] = token
}

func (c *client) create(ctx context.Context, l *life, on int) {
	if l.change.Record.Key.ID != "" { // by another process
		c.record(input{kind: create, key: l.id, on: -1, scopes: l.scope}, func() output {
			revision, err := c.h.w.store.Apply(ctx, l.change)
			k := l.change.Record.Key.Clone()
			k.Revision = revision
			return outcome(&k, err)
		})
		return
	}
	from := c.h.clock.Add(1)
	k, token, err := c.h.w.instances[on].Create(ctx, by, newKey(l.scope))
	if err != nil {
		l.claimed.Store(false)
		return // its id is not known, so nobody will see it
	}
	to := c.h.clock.Add(1)
	c.did = append(c.did, porcupine.Operation{
		ClientId: c.number, Input: input{kind: create, key: k.ID, on: on, scopes: l.scope}, Call: from, Output: outcome(&k, nil), Return: to,
	})
	c.force(k.ID, k.Revision, from, to)
	l.learn(k.ID, 1, token.Reveal())
}

func (c *client) verify(ctx context.Context, l *life, on int, secret uint32, token string) {
	c.h.verified.Add(1)
	c.record(input{kind: verify, key: l.id, on: on, secret: secret}, func() output {
		v, err := engine.Of(c.h.w.instances[on]).Verify(ctx, token)
		out := output{code: apikey.CodeOf(err)}
		if err == nil || errors.Is(err, apikey.ExpiredKey) || errors.Is(err, apikey.DisabledKey) || errors.Is(err, apikey.RevokedKey) {
			out.secret, out.scopes = v.Principal().Secret(), strings.Join(v.Principal().Scopes(), " ")
		}
		if out.code == apikey.Unavailable {
			c.h.unavailable.Add(1)
		}
		return out
	})
}

func (c *client) get(ctx context.Context, l *life, on int) output {
	return c.record(input{kind: get, key: l.id, on: on}, func() output {
		k, err := c.h.w.instances[on].Get(ctx, l.id)
		out := outcome(&k, err)
		out.lost = false
		return out
	})
}

func (c *client) change(ctx context.Context, l *life, on int) {
	in := input{key: l.id, on: on}
	switch n := c.rng.IntN(100); {
	case n%3 == 0: // as somebody else does, perhaps at the same time
		in.kind = kind(l.latest.Load())
	case n < 22:
		in.kind = disable
	case n < 52:
		in.kind = enable
	case n < 70:
		in.kind = rotate
	case n < 80:
		in.kind = finish
	case n < 87:
		in.kind = cancel
	case n < 96:
		in.kind = update
	default:
		in.kind = revoke
	}
	if in.kind == create { // the first change of all
		in.kind = disable
	}
	l.latest.Store(uint32(in.kind))
	switch in.kind {
	case rotate:
		in.at1 = c.rng.IntN(2) == 0
	case update:
		in.scopes = scope(c.rng.IntN(3))
	}
	keys := c.h.w.instances[on]
	c.record(in, func() output {
		var (
			k   apikey.Key
			err error
		)
		switch in.kind {
		case disable:
			k, err = keys.Disable(ctx, by, l.id, "")
		case enable:
			k, err = keys.Enable(ctx, by, l.id)
		case rotate:
			var token latchkey.Token
			k, token, err = keys.Rotate(ctx, by, l.id, latchkey.RotateOptions{Immediately: in.at1})
			if err == nil {
				defer l.learn(l.id, k.Secrets[0].Number, token.Reveal())
			}
		case finish:
			k, err = keys.FinishRotation(ctx, by, l.id, true)
		case cancel:
			k, err = keys.CancelRotation(ctx, by, l.id)
		case update:
			k, err = keys.Update(ctx, by, l.id, latchkey.Update{Scopes: &[]string{in.scopes}})
		default:
			k, err = keys.Revoke(ctx, by, l.id, "")
		}
		return outcome(&k, err)
	})
	c.after, c.where = l, on
}

// outcome reads how a call returned. A failure of the store leaves open whether
// a change is written.
func outcome(k *apikey.Key, err error) output {
	out := output{code: apikey.CodeOf(err)}
	switch out.code {
	case apikey.OK:
		out.after = versionOf(k)
	case apikey.NotFound, apikey.InvalidState, apikey.Conflict, apikey.InvalidArgument:
	default:
		out.code, out.lost = apikey.Unavailable, true
	}
	return out
}

package engine

import (
	"context"
	"errors"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/token"
)

// Verify authenticates a token. It returns
//
//   - nil, if the token belongs to a key that works now;
//   - [apikey.ExpiredKey], [apikey.DisabledKey] or [apikey.RevokedKey], with a Verified that says
//     whose it is, if the secret is right but does not work;
//   - [apikey.InvalidKey] for everything else that is not a key: the same answer
//     for an unknown id and for a wrong secret;
//   - [apikey.Unavailable] if the store cannot confirm, [apikey.Closed] after Close,
//     ctx's error if it ends first.
//
// The verdict is as fresh as the store allows: on one that reports changes
// ([storage.Notifier]) a Verify that starts after Revoke has returned refuses the key.
// Verifying a cached key does no I/O and allocates nothing. The token is not
// kept.
func (eng *Engine) Verify(ctx context.Context, token string) (Verified, error) {
	v, err := eng.Authenticate(ctx, token)
	if err == nil && v.has(firstUse|redigest) {
		eng.noteUse(v.credential, token)
	}
	return v, err
}

// Authenticate is Verify without a trace: the secret does not count as used.
func (eng *Engine) Authenticate(ctx context.Context, token string) (Verified, error) {
	if eng.closed.Load() {
		return Verified{}, apikey.Closed
	}
	t, ok := eng.format.Parse(token)
	if !ok {
		return Verified{}, apikey.InvalidKey
	}
	newest, err := eng.current(ctx, &t)
	if err != nil {
		return Verified{}, err
	}
	c, err := eng.match(newest, &t)
	if err != nil {
		if c, err = eng.matchNewer(ctx, newest, &t, err); err != nil {
			return Verified{}, err
		}
	}
	if code := c.refusal(); code != apikey.OK {
		return Verified{c}, code
	}
	return Verified{c}, nil
}

// current returns the newest secret of a token's key, as fresh as the store
// allows.
func (eng *Engine) current(ctx context.Context, t *token.Parsed) (*credential, error) {
	if eng.lease != nil && !eng.lease.holds(time.Now()) {
		if err := eng.lease.confirm(ctx, eng.queueOf(t.ID)); err != nil {
			return nil, err
		}
	}
	c := eng.cache.lookup(t.ID)
	if c == nil || !eng.fresh(c) {
		return eng.fetch(ctx, t, c)
	}
	return c, nil
}

// fetch reads a key from the store, if the cache has none, or only a state that
// is not good enough.
func (eng *Engine) fetch(ctx context.Context, t *token.Parsed, cached *credential) (*credential, error) {
	var snap, old *snapshot
	var err error
	if cached != nil {
		old = cached.snap
	}
	if !eng.cache.isAbsent(t.ID) {
		snap, err = eng.load(ctx, keyID([]byte(t.ID)), old, eng.queueOf(t.ID))
	}
	if snap == nil && err == nil { // unknown: take as long as for a wrong secret
		eng.digest.Decoy(*t)
		err = apikey.InvalidKey
	}
	if err != nil {
		return nil, err
	}
	return snap.current, nil
}

// fresh reports whether what is cached may still be trusted.
func (eng *Engine) fresh(c *credential) bool {
	if c.terms.generation != eng.planGeneration.Load() {
		return false
	}
	return eng.cache.stale == 0 || time.Since(processStart)-c.snap.loadedAt < eng.cache.stale
}

// match finds which of the key's secrets the token contains. The digest covers
// only id and secret, so a token relabelled for another environment has the
// right digest: its environment must be the record's.
func (eng *Engine) match(newest *credential, t *token.Parsed) (*credential, error) {
	if t.Env != newest.envIndex() {
		eng.digest.Decoy(*t)
		return nil, apikey.InvalidKey
	}
	for c := newest; c != nil; c = c.next() {
		if !eng.digest.Knows(c.digest.Pepper, t.Env) {
			eng.complain("a key cannot be verified: its pepper is missing from Options.Peppers", "key", c.snap.key.ID, "pepper", c.digest.Pepper)
			return nil, apikey.Unavailable
		}
		if eng.digest.Matches(*t, &c.digest) {
			return c, nil
		}
	}
	return nil, apikey.InvalidKey
}

// rereadEvery bounds how often wrong secrets cause a key to be read again.
const rereadEvery = 250 * time.Millisecond

// matchNewer is called after match found the secret wrong, on a store that
// others change: the secret may be newer than the cache. It waits for a read of
// the key that began after the request came, and there is one per rereadEvery:
// otherwise a client that keeps using an old secret would make a new one count
// as wrong.
func (eng *Engine) matchNewer(ctx context.Context, newest *credential, t *token.Parsed, err error) (*credential, error) {
	if eng.synchronous || err != apikey.InvalidKey || t.Env != newest.envIndex() {
		return nil, err
	}
	came := time.Since(processStart)
	if err := eng.awaitReread(ctx, newest.entry); err != nil {
		return nil, err
	}
	for newer := newest.snap; ; {
		switch newer, err = eng.load(ctx, keyID([]byte(t.ID)), newer, eng.strangers); {
		case err != nil:
			return nil, err
		case newer == nil:
			return nil, apikey.InvalidKey
		case newer.loadedAt >= came:
			return eng.match(newer.current, t)
		}
	}
}

// mostRereads bounds how many requests wait until a key may be read again. Ids
// are public: they have a bound of their own, so that a flood of wrong secrets
// for a known key takes no place from others.
const mostRereads = 256

// awaitReread waits until a key may be read again.
func (eng *Engine) awaitReread(ctx context.Context, e *entry) error {
	last, now := e.reread.Load(), int64(time.Since(processStart))
	wait := time.Duration(last + int64(rereadEvery) - now)
	if last == 0 || wait <= 0 {
		if e.reread.CompareAndSwap(last, now) {
			return nil
		}
		wait = rereadEvery // another request reads it now
	}
	defer eng.rereads.Add(-1)
	if eng.rereads.Add(1) > mostRereads {
		eng.tooMany()
		return apikey.Unavailable
	}
	turn := time.NewTimer(wait)
	defer turn.Stop()
	select {
	case <-turn.C:
		e.reread.CompareAndSwap(last, int64(time.Since(processStart)))
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// next returns the credential to try after this one.
func (c *credential) next() *credential {
	if c == c.snap.current {
		return c.snap.previous
	}
	return nil
}

// Known returns a secret of a key as if its token had been presented, for
// questions about a key: nobody was authenticated. Secret 0 is the newest. The
// error is that of [Engine.Authenticate], or [apikey.NotFound]; a key that has no
// secret of this number is the zero Verified.
func (eng *Engine) Known(ctx context.Context, id string, secret uint32) (Verified, error) {
	if eng.closed.Load() {
		return Verified{}, apikey.Closed
	}
	if len(id) != token.IDLen {
		return Verified{}, apikey.NotFound
	}
	newest, err := eng.current(ctx, &token.Parsed{ID: id})
	if errors.Is(err, apikey.InvalidKey) {
		return Verified{}, apikey.NotFound
	} else if err != nil {
		return Verified{}, err
	}
	for c := newest; c != nil; c = c.next() {
		if secret != 0 && secret != c.principal.Secret() {
			continue
		}
		if code := c.refusal(); code != apikey.OK {
			return Verified{c}, code
		}
		return Verified{c}, nil
	}
	return Verified{}, nil
}

package apikey

import (
	"slices"
	"time"
)

// Principal is who a request acts for: the key with which it was sent, as far
// as handlers should see it. It is immutable and shared between requests. The
// zero Principal, and a nil one, stand for nobody: they have no name and no
// scopes.
type Principal struct {
	of     *Key
	uses   scopeUses
	secret uint32
}

// NewPrincipal returns the principal of requests that are sent with a secret of a key, for tests and for adapters. The
// key must not change afterwards. uses may be nil; otherwise it is told the index in [Key.Scopes] of each scope that a
// handler asks for with [Principal.Has], also concurrently.
func NewPrincipal(k *Key, secret uint32, uses interface{ UseScope(i int) }) Principal {
	return Principal{k, uses, secret}
}

type scopeUses interface{ UseScope(i int) }

func (p *Principal) key() *Key {
	if p == nil || p.of == nil {
		return &noKey
	}
	return p.of
}

var noKey Key

// KeyID returns the key's public id.
func (p *Principal) KeyID() string { return p.key().ID }

// Name returns the key's name.
func (p *Principal) Name() string { return p.key().Name }

// Owner returns the account that the key acts for.
func (p *Principal) Owner() string { return p.key().Owner }

// Environment returns the key's environment, for example "live" or "test". It
// says which data the request must act on.
func (p *Principal) Environment() string { return p.key().Environment }

// Plan returns the name of the key's plan.
func (p *Principal) Plan() string { return p.key().Plan }

// Has reports whether the key was granted a scope. If it was, the scope counts
// as used.
func (p *Principal) Has(scope string) bool {
	i := granting(p.key().Scopes, scope)
	if i < 0 {
		return false
	}
	if p.uses != nil {
		p.uses.UseScope(i)
	}
	return true
}

// Scopes returns a copy of the granted scopes.
func (p *Principal) Scopes() []string { return slices.Clone(p.key().Scopes) }

// Metadata returns one value of the key's metadata.
func (p *Principal) Metadata(name string) string { return p.key().Metadata[name] }

// Secret returns the number of the secret with which the request was sent.
func (p *Principal) Secret() uint32 {
	if p == nil {
		return 0
	}
	return p.secret
}

// PresentedSecret returns what is known about the secret with which the request
// was sent, and whether it is the newest of the key.
func (p *Principal) PresentedSecret() (s Secret, newest bool) {
	for i, s := range p.key().Secrets {
		if s.Number == p.Secret() {
			return s, i == 0
		}
	}
	return Secret{}, false
}

// ExpiresAt returns when the key expires; zero means never.
func (p *Principal) ExpiresAt() time.Time { return p.key().ExpiresAt }

package latchkey

import "github.com/wontopos/latchkey/apikey"

// TokenFormat opens the codec to tests.
type TokenFormat struct{ f *tokenFormat }

func NewTokenFormat(prefix string, envs ...string) (TokenFormat, error) {
	var list []apikey.Environment
	for _, e := range envs {
		list = append(list, apikey.Environment{Name: e})
	}
	f, err := newTokenFormat(prefix, list)
	return TokenFormat{f}, err
}

func (t TokenFormat) Parse(text string) (id, body string, env int, ok bool) {
	p, ok := t.f.parse(text)
	return p.id, p.body, p.env, ok
}

func (t TokenFormat) Mint(env int, id string) Token {
	token, _ := t.f.mint(env, id)
	return token
}

var (
	Checksum     = checksum
	FormatCursor = formatCursor
	ParseCursor  = parseCursor
	Network      = network
	Clip         = clip

	AddToUsage    = addUsage
	AddToActivity = addActivity
)

// InFlight counts all requests in flight with one secret of a key.
func (s *Service) InFlight(id string, secret uint32) int { return s.cache.inFlight(id, secret) }

// Cached counts the entries of the cache.
func (s *Service) Cached() int {
	n := 0
	for i := range s.cache.shards {
		sh := &s.cache.shards[i]
		sh.mu.Lock()
		n += len(sh.entries)
		sh.mu.Unlock()
	}
	return n
}

// OnceIDs are the ids that a named creation may have.
func OnceIDs(s *Service, name string) []string { return s.digest.onceIDs(name) }

// BeginSample does the first half of what the first request after a flush does:
// it is told of as the last use, and not listed.
func (v *Verified) BeginSample() { v.credential.last.Store(newSample(v.credential, nil)) }

// OweAtMost bounds how many counts are kept for a store that does not take them.
func (s *Service) OweAtMost(deltas int) { s.outbox.most = deltas }

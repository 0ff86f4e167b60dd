package middlewaretest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// store is a store for one service, in memory, with only what the suite needs.
type store struct {
	down atomic.Bool // every read fails

	mu      sync.Mutex
	records map[string]storage.Record
	usage   map[string]*apikey.Usage // only last uses and scopes
	notify  []func(storage.Notice)
}

// errDown contains text that must not reach a client.
var errDown = errors.New("pq: password authentication failed for user \"keys\"")

func newStore() *store {
	return &store{records: map[string]storage.Record{}, usage: map[string]*apikey.Usage{}}
}

func (s *store) Get(_ context.Context, id string) (storage.Record, error) {
	if s.down.Load() {
		return storage.Record{}, errDown
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.records[id]
	if !ok {
		return storage.Record{}, apikey.NotFound
	}
	return r.Clone(), nil
}

func (s *store) Apply(_ context.Context, c storage.Change) (uint64, error) {
	s.mu.Lock()
	if old, ok := s.records[c.Record.Key.ID]; ok != (c.Expect > 0) || old.Key.Revision != c.Expect {
		s.mu.Unlock()
		return 0, apikey.Conflict
	}
	r := c.Record.Clone()
	r.Key.Revision = c.Expect + 1
	s.records[r.Key.ID] = r
	notify := s.notify
	s.mu.Unlock()
	shared := r.Clone()
	for _, f := range notify {
		f(storage.Notice{ID: r.Key.ID, Revision: r.Key.Revision, Record: &shared})
	}
	return r.Key.Revision, nil
}

func (s *store) Subscribe(f func(storage.Notice)) (cancel func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notify = append(s.notify, f)
	return func() {}
}

func (*store) List(context.Context, storage.Query) (storage.Listing, error) {
	return storage.Listing{}, nil
}

func (*store) Audit(context.Context, apikey.AuditQuery) ([]apikey.AuditEntry, error) {
	return nil, nil
}

func (s *store) AddUsage(_ context.Context, batch []storage.UsageDelta) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range batch {
		u := s.usage[d.KeyID]
		if u == nil {
			u = new(apikey.Usage)
			s.usage[d.KeyID] = u
		}
		if d.Last.Replaces(u.Last()) {
			u.Secrets = []apikey.UsageSecret{{Secret: d.Secret, Last: d.Last}}
		}
		for _, scope := range d.Scopes {
			if !slices.ContainsFunc(u.Scopes, func(s apikey.ScopeUse) bool { return s.Scope == scope }) {
				u.Scopes = append(u.Scopes, apikey.ScopeUse{Scope: scope, Hour: d.Hour})
			}
		}
	}
	return nil
}

func (s *store) Usage(_ context.Context, id string, _ time.Time) (apikey.Usage, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := apikey.Usage{ScopesSince: time.Unix(0, 0)}
	if u := s.usage[id]; u != nil {
		out.Secrets, out.Scopes = slices.Clone(u.Secrets), slices.Clone(u.Scopes)
	}
	return out, nil
}

func (*store) Activity(_ context.Context, ids []string, _ time.Time) ([]apikey.Activity, error) {
	all := make([]apikey.Activity, len(ids))
	for i, id := range ids {
		all[i].ID = id
	}
	return all, nil
}

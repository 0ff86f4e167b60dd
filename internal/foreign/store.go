package foreign

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/bounds"
	"github.com/wontopos/latchkey/storage"
)

// Store stands between a service and its store, so that everything the store returns can be represented in an
// answer. An older program, or somebody with SQL, may have written values that no answer can represent. Such a time
// becomes the nearest one that can be represented, and the record is repaired when it is next changed. Texts that go
// into the audit trail, or come out of it, are stripped of secrets. A text that no record has selects nothing, and no
// store is asked for it.
//
// Every call has a deadline, and a panic in one is an error.
type Store struct {
	patientStore
	batches storage.BatchGetter // nil when it reads one key at a time
	redact  func(string) string
}

// NewStore returns a Store that waits for each read of store as long as
// patience, and for a change [ChangePatience] times as long. redact removes the
// secrets from a text.
func NewStore(store storage.Store, patience time.Duration, redact func(string) string, log *slog.Logger) Store {
	batches, _ := store.(storage.BatchGetter)
	return Store{patientStore{store, &Callee{Name: "the store", Log: log}, patience}, batches, redact}
}

// maxAsked bounds a text to search for, in bytes: no field that can be searched is longer.
const maxAsked = 1024

// askable reports whether every one of the texts could be in a record.
func askable(texts ...string) bool {
	for _, text := range texts {
		if len(text) > maxAsked || !bounds.Storable(text) {
			return false
		}
	}
	return true
}

func (s Store) Get(ctx context.Context, id string) (storage.Record, error) {
	if !askable(id) {
		return storage.Record{}, apikey.NotFound
	}
	r, err := s.patientStore.Get(ctx, id)
	return s.told(r, err)
}

// GetAlone is Get for a load, which others wait for with a bound of their own.
// Whoever reads it waits as long as the store does: a goroutine for each read
// would more than double the cost of an unknown id on a store in this process.
func (s Store) GetAlone(ctx context.Context, id string) (r storage.Record, err error) {
	err = s.Safely(func() error { r, err = s.Store.Get(ctx, id); return err })
	return s.told(r, err)
}

// Batches reports whether GetBatch reads many keys at once.
func (s Store) Batches() bool { return s.batches != nil }

// GetBatch reads many keys: a record or an error for each id, in order. It may
// be called if Batches says so. Its texts may contain secrets.
func (s Store) GetBatch(ctx context.Context, ids []string) (records []storage.Record, errs []error) {
	err := s.Safely(func() error { records, errs = s.batches.GetBatch(ctx, ids); return nil })
	if err == nil && (len(records) != len(ids) || len(errs) != len(ids)) {
		err = fmt.Errorf("the store answered %d ids with %d records and %d errors", len(ids), len(records), len(errs))
	}
	if err != nil {
		records, errs = make([]storage.Record, len(ids)), make([]error, len(ids))
		for i := range errs {
			errs[i] = err
		}
		return records, errs
	}
	for i := range records {
		clampRecord(&records[i])
	}
	return records, errs
}

// told makes a record representable, if there is one.
func (s Store) told(r storage.Record, err error) (storage.Record, error) {
	if err == nil {
		err = checkShape(&r)
	}
	if err != nil {
		return storage.Record{}, err
	}
	s.tellRecord(&r)
	return r, nil
}

// checkShape rejects a record that no store of ours writes. Anything else in a
// record can be represented somehow, but the rest of the code relies on its
// secrets.
func checkShape(r *storage.Record) error {
	if n := len(r.Key.Secrets); n < 1 || n > 2 || n != len(r.Digests) {
		return fmt.Errorf("record of key %q has %d secrets and %d digests", r.Key.ID, n, len(r.Digests))
	}
	return nil
}

func (s Store) List(ctx context.Context, q storage.Query) (storage.Listing, error) {
	if !askable(q.Owner, q.Environment, q.Plan, q.Search) {
		return storage.Listing{}, nil
	}
	q.UnusedSince, q.ExpiresBefore, q.SecretBefore = bounds.Clamp(q.UnusedSince), bounds.Clamp(q.ExpiresBefore), bounds.Clamp(q.SecretBefore)
	l, err := s.patientStore.List(ctx, q)
	l.Records = slices.DeleteFunc(l.Records, func(r storage.Record) bool {
		bad := checkShape(&r)
		if bad != nil {
			s.Log.ErrorContext(ctx, "a list omits a record that cannot be represented", "error", bad)
		}
		return bad != nil
	})
	for i := range l.Records {
		s.tellRecord(&l.Records[i])
	}
	return l, err
}

func (s Store) Apply(ctx context.Context, c storage.Change) (revision uint64, err error) {
	c.Entry.Details = maps.Clone(c.Entry.Details)
	s.tell(&c.Entry)
	return s.patientStore.Apply(ctx, c)
}

func (s Store) Audit(ctx context.Context, q apikey.AuditQuery) ([]apikey.AuditEntry, error) {
	if !askable(q.KeyID, q.Owner) {
		return nil, nil
	}
	entries, err := s.patientStore.Audit(ctx, q)
	for i := range entries {
		s.tell(&entries[i])
	}
	return entries, err
}

// tell redacts an entry in place.
func (s Store) tell(e *apikey.AuditEntry) {
	e.At = bounds.Clamp(e.At)
	for _, text := range []*string{&e.Actor, &e.From, &e.Reason} {
		*text = s.redact(*text)
	}
	for name, text := range e.Details {
		e.Details[name] = s.redact(text)
	}
}

func (s Store) Usage(ctx context.Context, id string, since time.Time) (apikey.Usage, error) {
	if !askable(id) {
		return apikey.Usage{}, nil
	}
	u, err := s.patientStore.Usage(ctx, id, bounds.Clamp(since))
	u.ScopesSince = bounds.Clamp(u.ScopesSince)
	for i := range u.Hours {
		u.Hours[i].Hour = bounds.Clamp(u.Hours[i].Hour)
	}
	for i := range u.Secrets {
		s.tellUse(&u.Secrets[i].Last)
	}
	for i := range u.Scopes {
		u.Scopes[i].Hour = bounds.Clamp(u.Scopes[i].Hour)
	}
	return u, err
}

func (s Store) Activity(ctx context.Context, ids []string, since time.Time) ([]apikey.Activity, error) {
	asked := slices.Clone(ids)
	for i, id := range asked {
		if !askable(id) {
			asked[i] = storable(id[:min(len(id), maxAsked)]) // no key has it
		}
	}
	all, err := s.patientStore.Activity(ctx, asked, bounds.Clamp(since))
	for i := range all {
		if i < len(ids) && asked[i] != ids[i] {
			all[i].ID = ids[i]
		}
		s.tellUse(&all[i].Last)
		for j := range all[i].Days {
			all[i].Days[j].Day = bounds.Clamp(all[i].Days[j].Day)
		}
	}
	return all, err
}

func (s Store) tellUse(l *apikey.LastUse) {
	l.At, l.UserAgent, l.Route = bounds.Clamp(l.At), s.redact(l.UserAgent), s.redact(l.Route)
}

// tellRecord makes r representable. Texts that an older program accepted may
// contain a secret.
func (s Store) tellRecord(r *storage.Record) {
	clampRecord(r)
	k := &r.Key
	for _, text := range []*string{&k.Name, &k.CreatedBy, &k.DisabledBy, &k.RevokedBy, &k.RevokeReason} {
		*text = s.redact(*text)
	}
}

// clampRecord makes every time and text of r one that can be represented and written.
// It leaves the id alone: without it the key could not be found again.
func clampRecord(r *storage.Record) {
	k := &r.Key
	for _, t := range []*time.Time{&k.CreatedAt, &k.UpdatedAt, &k.ExpiresAt, &k.DisabledAt, &k.RevokedAt} {
		*t = bounds.Clamp(*t)
	}
	for i := range k.Secrets {
		s := &k.Secrets[i]
		s.CreatedAt, s.EndsAt, s.FirstUsedAt = bounds.Clamp(s.CreatedAt), bounds.Clamp(s.EndsAt), bounds.Clamp(s.FirstUsedAt)
	}
	for _, text := range []*string{&k.Name, &k.Owner, &k.Environment, &k.Plan, &k.CreatedBy, &k.DisabledBy, &k.RevokedBy, &k.RevokeReason} {
		*text = storable(*text)
	}
	for i := range k.Scopes {
		k.Scopes[i] = storable(k.Scopes[i])
	}
	for i, p := range k.Networks {
		if !p.IsValid() {
			k.Networks[i] = nowhere
		}
	}
	for name, value := range k.Metadata {
		if !bounds.Storable(name) || !bounds.Storable(value) {
			delete(k.Metadata, name)
			k.Metadata[storable(name)] = storable(value)
		}
	}
}

// nowhere replaces a network that cannot be represented, so that a key bound to
// networks stays bound.
var nowhere = netip.PrefixFrom(netip.IPv6Unspecified(), 128)

// storable replaces what cannot be stored in a text with U+FFFD, so that the
// text does not become somebody else's name.
func storable(s string) string {
	if bounds.Storable(s) {
		return s
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

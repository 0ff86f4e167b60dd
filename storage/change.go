package storage

import (
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/bounds"
)

// CheckChange decides whether change c may be made to a key whose record is
// current (nil: there is none). A store calls it inside the transaction that
// read current and will write c; nil means go on.
//
// The rules, in the order in which they are checked:
//
//  1. The key has an ID, the entry is about this key, and the record has one or
//     two secrets with one digest each (a deletion needs the ID only). Each
//     time is zero or in the years 1 to 9999, UTC, each text is UTF-8 without
//     NUL, and each network is valid, so that what is written can be
//     represented in an answer. Otherwise [apikey.InvalidArgument].
//  2. A key that does not exist can only be created; otherwise
//     [apikey.NotFound].
//  3. A revoked key stays revoked, with the same time, actor and reason,
//     whatever revision the change was based on; otherwise
//     [apikey.InvalidState].
//  4. Only a revoked key may be deleted; otherwise [apikey.InvalidState].
//  5. The change is based on the current revision, and a key is created only
//     once; otherwise [apikey.Conflict].
func CheckChange(current *Record, c Change) error {
	if err := checkShape(c); err != nil {
		return err
	}
	if current == nil {
		if c.Expect != 0 || c.Delete {
			return apikey.NotFound
		}
		return nil
	}
	revoked := !current.Key.RevokedAt.IsZero()
	switch {
	case revoked && !c.Delete && !sameRevocation(&current.Key, &c.Record.Key):
		return &apikey.Error{Code: apikey.InvalidState, Msg: "a revoked key stays as it was revoked"}
	case !revoked && c.Delete:
		return &apikey.Error{Code: apikey.InvalidState, Msg: "only a revoked key can be purged: revoke it first"}
	case c.Expect == 0:
		return &apikey.Error{Code: apikey.Conflict, Msg: "a key with this ID exists already"}
	case c.Expect != current.Key.Revision:
		return apikey.Conflict
	}
	return nil
}

func checkShape(c Change) error {
	k := &c.Record.Key
	invalid := func(field, msg string) error {
		return &apikey.Error{Code: apikey.InvalidArgument, Field: field, Msg: msg}
	}
	switch {
	case k.ID == "":
		return invalid("Change.Record.Key.ID", "is empty")
	case c.Entry.KeyID != k.ID:
		return invalid("Change.Entry.KeyID", "is not the ID of the key that changes")
	case c.Delete:
		return nil
	case len(k.Secrets) < 1 || len(k.Secrets) > 2:
		return invalid("Change.Record.Key.Secrets", "a key has one or two secrets")
	case len(c.Record.Digests) != len(k.Secrets):
		return invalid("Change.Record.Digests", "every secret has one digest")
	case len(c.Record.Extensions) > 0 && !extensions(c.Record.Extensions):
		return invalid("Change.Record.Extensions", "is not what a record was read with")
	}
	return checkTold(c)
}

// checkTold rejects values that would not be read back as they were written:
// one such record would break every answer that contains it.
func checkTold(c Change) error {
	k, e := &c.Record.Key, &c.Entry
	times := []*time.Time{&e.At}
	for _, t := range recordTimes(k) {
		times = append(times, t)
	}
	for i := range k.Secrets {
		s := &k.Secrets[i]
		times = append(times, &s.CreatedAt, &s.EndsAt, &s.FirstUsedAt)
	}
	for _, t := range times {
		if !t.IsZero() && !bounds.Time(*t) {
			return untold("a time is not in the years 1 to 9999, in UTC")
		}
	}
	texts := append([]string{e.Actor, e.From, e.Action, e.Owner, e.Reason}, k.Scopes...)
	for _, s := range recordStrings(k) {
		texts = append(texts, *s)
	}
	for _, l := range k.Limits {
		texts = append(texts, l.Name, string(l.Period), l.Zone, l.Unit)
	}
	for _, m := range []map[string]string{k.Metadata, e.Details} {
		for name, value := range m {
			texts = append(texts, name, value)
		}
	}
	for _, s := range texts {
		if !bounds.Storable(s) {
			return untold("a text is not UTF-8 without NUL")
		}
	}
	for _, p := range k.Networks {
		if !p.IsValid() {
			return untold("a network is not valid")
		}
	}
	return nil
}

func untold(msg string) error {
	return &apikey.Error{Code: apikey.InvalidArgument, Field: "Change", Msg: "cannot be represented when it is read back: " + msg}
}

func sameRevocation(old, now *apikey.Key) bool {
	return NormalizeTime(now.RevokedAt).Equal(NormalizeTime(old.RevokedAt)) &&
		now.RevokedBy == old.RevokedBy && now.RevokeReason == old.RevokeReason
}

package storage

import (
	"github.com/wontopos/latchkey/apikey"
)

// CheckChange decides whether change c may be made to a key whose record is
// current (nil: there is none). A store calls it inside the transaction that
// read current and will write c; nil means go on.
//
// The rules, in the order in which they are checked:
//
//  1. The key has an ID, the entry is about this key, and the record has one or
//     two secrets with one digest each (a deletion needs the ID only); else
//     [apikey.ErrInvalidArgument].
//  2. A key that does not exist can only be created; else [apikey.ErrNotFound].
//  3. A revoked key stays revoked, since the same instant, by the same actor and
//     for the same reason, whatever revision the change was made from; else
//     [apikey.ErrInvalidState].
//  4. Only a revoked key may be deleted; else [apikey.ErrInvalidState].
//  5. The change was made from the current revision, and a key is created only
//     once; else [apikey.ErrConflict].
func CheckChange(current *apikey.Record, c apikey.Change) error {
	if err := checkShape(c); err != nil {
		return err
	}
	if current == nil {
		if c.Expect != 0 || c.Delete {
			return apikey.ErrNotFound
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
		return apikey.ErrConflict
	}
	return nil
}

func checkShape(c apikey.Change) error {
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
	}
	return nil
}

func sameRevocation(old, now *apikey.Key) bool {
	return NormalizeTime(now.RevokedAt).Equal(NormalizeTime(old.RevokedAt)) &&
		now.RevokedBy == old.RevokedBy && now.RevokeReason == old.RevokeReason
}

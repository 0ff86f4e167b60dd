package latchkey

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/bounds"
	"github.com/wontopos/latchkey/internal/faults"
	"github.com/wontopos/latchkey/storage"
)

// Update says what to change in a key: a nil field stays unchanged, a pointer
// to a zero value empties the field.
type Update struct {
	// Revision, when not 0, is the revision that the caller saw: if the key has
	// changed since, Update returns [apikey.Conflict].
	Revision uint64

	Name      *string
	Scopes    *[]string
	Plan      *string
	Limits    *[]apikey.Limit
	Networks  *[]netip.Prefix
	Metadata  *map[string]string
	ExpiresAt *time.Time // zero: does not expire
}

// Update changes a key. It takes effect with the next request: taking away a
// scope or network refuses new requests that need it, and requests already
// admitted continue. An expiry in the past is refused: disable or revoke
// instead.
func (s *Service) Update(ctx context.Context, by apikey.Actor, id string, u Update) (apikey.Key, error) {
	return s.mutate(ctx, by, id, "update", func(r *storage.Record, e *apikey.AuditEntry) error {
		k := &r.Key
		if err := refuseRevoked(k); err != nil {
			return err
		}
		if u.Revision != 0 && u.Revision != k.Revision {
			return &apikey.Error{Code: apikey.Conflict, Msg: fmt.Sprintf("the key is at revision %d, not %d: read it again and retry", k.Revision, u.Revision)}
		}
		before := k.Clone()
		if u.Name != nil {
			k.Name = *u.Name
		}
		if u.Scopes != nil {
			k.Scopes = slices.Clone(*u.Scopes)
		}
		if u.Plan != nil {
			k.Plan = *u.Plan
			defaultTo(&k.Plan, s.o.DefaultPlan)
		}
		if u.Limits != nil {
			k.Limits = slices.Clone(*u.Limits)
		}
		if u.Networks != nil {
			k.Networks = slices.Clone(*u.Networks)
		}
		if u.Metadata != nil {
			k.Metadata = maps.Clone(*u.Metadata)
		}
		if u.ExpiresAt != nil {
			k.ExpiresAt = bounds.Stamp(*u.ExpiresAt)
			if !k.ExpiresAt.IsZero() && !k.ExpiresAt.After(e.At) {
				return faults.Invalid("expires_at", "%v has passed already; disable or revoke the key instead", k.ExpiresAt.Format(time.RFC3339))
			}
		}
		if err := s.validate(ctx, &before, k); err != nil {
			return err
		}
		if e.Details = differences(&before, k); len(e.Details) == 0 {
			return errUnchanged
		}
		return nil
	})
}

// differences lists the changed fields for the audit trail. Metadata may be
// private and large, so the trail records only that it changed.
func differences(old, k *apikey.Key) map[string]string {
	d := make(map[string]string)
	note := func(field, from, to string) {
		if from != to {
			d[field] = from + " -> " + to
		}
	}
	note("name", old.Name, k.Name)
	note("scopes", strings.Join(old.Scopes, " "), strings.Join(k.Scopes, " "))
	note("plan", old.Plan, k.Plan)
	note("limits", limitText(old.Limits), limitText(k.Limits))
	note("networks", networkText(old.Networks), networkText(k.Networks))
	note("expires_at", timeText(old.ExpiresAt), timeText(k.ExpiresAt))
	if !maps.Equal(old.Metadata, k.Metadata) {
		d["metadata"] = "changed"
	}
	return d
}

func limitText(limits []apikey.Limit) string {
	var b strings.Builder
	for i, l := range limits {
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%s=%d", l.Name, l.N)
		if l.Unit != "" {
			b.WriteString("*" + l.Unit)
		}
		b.WriteByte('/')
		switch {
		case l.Concurrent:
			b.WriteString("concurrent")
		case l.Period == "":
			b.WriteString(l.Window.String())
		case l.Zone == "":
			b.WriteString(string(l.Period))
		default:
			b.WriteString(string(l.Period) + "@" + l.Zone)
		}
		if l.Shadow {
			b.WriteString("(shadow)")
		}
	}
	return b.String()
}

func networkText(networks []netip.Prefix) string {
	var b strings.Builder
	for i, p := range networks {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(p.String())
	}
	return b.String()
}

func timeText(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.Format(time.RFC3339)
}

package admin

import (
	"net/http"
	"slices"
	"time"

	"github.com/wontopos/latchkey/apikey"
)

type keyBody struct {
	keyRow
	Nonce    string // of the form that rotates
	Limits   string
	BaseURL  string
	Updated  when
	Disabled when
	Revoked  when
	Active   bool // not revoked: there is something to change
	Expired  bool
	Secrets  []secretRow
	Rotation *rotationRow
	Last     apikey.LastUse
	Audit    []auditRow
	Message  string // of an action that was refused
	Action   string // which it was
}

type secretRow struct {
	apikey.Secret
	Role      string // "current", "previous"
	Works     bool
	Created   when
	Ends      when
	Counts    apikey.Counts
	Allowed   uint64
	Refused   uint64
	LastUsed  when
	Network   string
	UserAgent string
}

type rotationRow struct {
	Safe   bool
	Reason string
	Ends   string
}

type auditRow struct {
	apikey.AuditEntry
	When when
}

// auditRows is how much of the trail a key's page shows.
const auditRows = 20

func (c *call) pageKey() error { return c.keyPage(http.StatusOK, "", "") }

// keyPage shows a key, and why an action was refused, if one was.
func (c *call) keyPage(status int, action, message string) error {
	ctx, k := c.r.Context(), &c.key
	use, err := c.h.keys.Usage(ctx, k.ID, c.now)
	if err != nil {
		return err
	}
	b := keyBody{
		keyRow: c.row(*k, use.Last()), Last: use.Last(), Limits: c.limitsText(k),
		Updated: past(k.UpdatedAt, c.now), Disabled: past(k.DisabledAt, c.now), Revoked: past(k.RevokedAt, c.now),
		Active: k.RevokedAt.IsZero(), Expired: k.StateAt(c.now) == apikey.Expired, Action: action, Message: message,
	}
	if env, ok := c.h.environment(k.Environment); ok {
		b.BaseURL = env.BaseURL
	}
	if !c.actor.ReadOnly {
		b.Nonce = c.h.forms.issue(formsOf(&c.actor), purposeRotate(k.ID))
	}
	for i, s := range k.Secrets {
		b.Secrets = append(b.Secrets, secretRowOf(s, i, use.Of(s.Number), c.now))
	}
	if k.RotatingAt(c.now) {
		rot, err := c.h.keys.Rotation(ctx, k.ID)
		switch {
		case err == nil:
			b.Rotation = &rotationRow{Safe: rot.Safe, Reason: rot.Reason, Ends: oldEnds(&rot.Old, c.now)}
		case apikey.CodeOf(err) != apikey.InvalidState: // it just ended
			return err
		}
	}
	entries, err := c.h.keys.Audit(ctx, apikey.AuditQuery{KeyID: k.ID, Owner: k.Owner, Limit: auditRows})
	if err != nil {
		return err
	}
	for _, e := range entries {
		b.Audit = append(b.Audit, auditRow{e, past(e.At, c.now)})
	}
	return c.page(status, "key", k.Name, b)
}

func secretRowOf(s apikey.Secret, i int, u apikey.UsageSecret, now time.Time) secretRow {
	row := secretRow{
		Secret: s, Role: "current", Works: s.LiveAt(now),
		Created: past(s.CreatedAt, now), Ends: coming(s.EndsAt, now),
		Counts: u.Counts, Allowed: u.Counts[apikey.OutcomeAllowed],
		LastUsed: past(u.Last.At, now), Network: u.Last.Network, UserAgent: u.Last.UserAgent,
	}
	row.Refused = u.Counts.Total() - row.Allowed
	if i > 0 {
		row.Role = "previous"
	}
	return row
}

func oldEnds(old *apikey.Secret, now time.Time) string {
	if old.Grace > 0 {
		return "The old secret ends " + length(old.Grace) + " after the new one is first used."
	}
	if old.EndsAt.IsZero() {
		return ""
	}
	return "The old secret ends " + coming(old.EndsAt, now).Text + "."
}

// limitsText is what a key may do in numbers: its own limits, or its plan's.
func (c *call) limitsText(k *apikey.Key) string {
	if len(k.Limits) > 0 {
		return planText(k.Limits) + " (its own)"
	}
	plans := c.h.keys.Plans()
	if i := slices.IndexFunc(plans, func(p apikey.Plan) bool { return p.Name == k.Plan }); i >= 0 {
		return describePlan(plans[i])
	}
	return ""
}

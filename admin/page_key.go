package admin

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/wontopos/latchkey/apikey"
)

type keyBody struct {
	keyRow
	Limits   string
	BaseURL  string
	Disabled when
	Revoked  when
	Active   bool // not revoked: there is something to change
	Expired  bool
	Usage    usagePart
	Settings *settingsPart // nil if nothing can be changed
	Secrets  []secretRow
	Rotation *rotationRow
	Last     apikey.LastUse
	ScopeUse scopesPart
	Audit    []*auditRow
	Older    bool // there are more entries than Audit has
	Exports  []link
	Done     string // the result of the last change
	Message  string // why an action was refused
	Action   string // which action it was
}

// TrimmedName is what a form that asks for the name accepts.
func (b *keyBody) TrimmedName() string { return strings.TrimSpace(b.Name) }

// DayAdmitted is how many requests were admitted in the last 24 hours.
func (b *keyBody) DayAdmitted() string {
	if n := b.Usage.Day.Allowed; n != 1 {
		return grouped(n) + " requests"
	}
	return "1 request"
}

type link struct {
	Text, Address string
	Current       bool
}

type secretRow struct {
	apikey.Secret
	Role     string // "current", "previous"
	Live     bool   // it has not ended
	State    string // of the key
	Works    bool
	Created  when
	Ends     when
	Allowed  uint64
	Refused  uint64
	LastUsed when
	Last     apikey.LastUse
}

type auditRow struct {
	apikey.AuditEntry
	When when
}

// What is the action in words.
func (r *auditRow) What() string { return strings.ReplaceAll(r.Action, "_", " ") }

// Facts are the details in words.
func (r *auditRow) Facts() []fact { return facts(r.Details) }

// auditRows is how much of the trail a key's page shows.
const auditRows = 20

func (c *call) pageKey() error { return c.keyPage(http.StatusOK, "", "", nil) }

// keyPage shows a key; after a refused action, also why, and what was typed
// into the settings.
func (c *call) keyPage(status int, action, message string, typed *settingsPart) error {
	ctx, k := c.r.Context(), &c.key
	days := spans(c.now, sparkDays, 24*time.Hour)
	use, err := c.h.keys.Usage(ctx, k.ID, days[0].From)
	if err != nil {
		return err
	}
	fill(days, use.Hours)
	plan, known := c.planOf(k)
	b := keyBody{
		keyRow: c.row(*k, days, use.Last()), Last: use.Last(), Limits: limitsText(plan, known),
		Disabled: past(k.DisabledAt, c.now), Revoked: past(k.RevokedAt, c.now),
		Active: k.RevokedAt.IsZero(), Expired: k.StateAt(c.now) == apikey.Expired, Action: action, Message: message,
		Usage: c.usagePart(use, plan.Limits), Exports: c.exports(),
	}
	if env, ok := c.h.environment(k.Environment); ok {
		b.BaseURL = env.BaseURL
	}
	if status == http.StatusOK {
		b.Done = outcomeIn(c.r.URL.Query()).text(k, c.now)
	}
	if !c.actor.ReadOnly && b.Active {
		if b.Settings = typed; typed == nil {
			b.Settings = c.settingsOf(k)
		}
	}
	for i, s := range k.Secrets {
		b.Secrets = append(b.Secrets, c.secretRow(s, i, use.Of(s.Number)))
	}
	if b.Rotation, err = c.rotationRow(); err != nil {
		return err
	}
	entries, err := c.h.keys.Audit(ctx, apikey.AuditQuery{KeyID: k.ID, Owner: k.Owner, Limit: auditRows + 1})
	if err != nil {
		return err
	}
	if b.Older = len(entries) > auditRows; b.Older {
		entries = entries[:auditRows]
	}
	for _, e := range entries {
		b.Audit = append(b.Audit, &auditRow{e, past(e.At, c.now)})
	}
	b.ScopeUse = c.scopesPart(use, grants(k, entries, !b.Older))
	if b.Settings != nil {
		b.Settings.Scopes.tell(b.ScopeUse.Rows)
	}
	return c.page(status, "key", k.Name, &b)
}

// exports are the addresses of the audit trail as files. The JSON is the first
// page of the REST API.
func (c *call) exports() []link {
	address := c.root() + "v1/keys/" + c.key.ID + "/audit"
	return []link{{Text: "CSV", Address: address + ".csv"}, {Text: "JSON (newest 1,000)", Address: address + "?limit=1000"}}
}

func (c *call) secretRow(s apikey.Secret, i int, u apikey.UsageSecret) secretRow {
	row := secretRow{
		Secret: s, Role: "current", Live: s.LiveAt(c.now), State: string(c.key.StateAt(c.now)),
		Created: past(s.CreatedAt, c.now), Ends: coming(s.EndsAt, c.now),
		Allowed:  u.Counts.Allowed,
		LastUsed: lastUsed(u.Last, u.Counts, c.now), Last: u.Last,
	}
	row.Works = row.Live && c.key.StateAt(c.now) == apikey.Active
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

// plansOnce returns the plans that are listed. A source is asked once for each
// request.
func (c *call) plansOnce() ([]apikey.Plan, error) {
	if l := &c.listed; !l.asked {
		l.asked = true
		l.plans, l.err = c.h.keys.Plans(c.r.Context())
	}
	return c.listed.plans, c.listed.err
}

// planOf returns the limits of a key, its own or its plan's, and whether they are
// known here: a PlanSource may list none.
func (c *call) planOf(k *apikey.Key) (p apikey.Plan, known bool) {
	if len(k.Limits) > 0 {
		return apikey.Plan{Limits: k.Limits}, true
	}
	plans, _ := c.plansOnce() // the page is useful without them
	i := slices.IndexFunc(plans, func(p apikey.Plan) bool { return p.Name == k.Plan })
	if i < 0 {
		return p, false
	}
	return plans[i], true
}

// limitsText describes limits in numbers: a key's own, or those of its plan.
func limitsText(p apikey.Plan, known bool) string {
	switch {
	case !known:
		return ""
	case p.Name == "":
		return describePlan(p) + " (its own)"
	}
	return describePlan(p)
}

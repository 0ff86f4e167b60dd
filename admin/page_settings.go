package admin

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
)

// settingsPart is the form that changes a key, with what was typed and what is
// wrong.
type settingsPart struct {
	newBody
	Revision uint64 // from which the form was filled in
	Keep     when   // the current expiry
	Expires  string // the choice
}

// settingsFields are the fields of the form.
var settingsFields = []string{"name", "plan", "scopes", "expires", "networks"}

// keepExpiry is the choice that leaves the expiry unchanged.
const keepExpiry = "keep"

func (c *call) settingsOf(k *apikey.Key) *settingsPart {
	return c.settings(k, url.Values{
		"name": {k.Name}, "plan": {k.Plan}, "scopes": k.Scopes, "networks": {networkLines(k.Networks)},
		"expires": {keepExpiry}, "revision": {strconv.FormatUint(k.Revision, 10)},
	})
}

func (c *call) settings(k *apikey.Key, typed url.Values) *settingsPart {
	typed = c.shown(typed)
	s := &settingsPart{
		newBody: newBody{
			Name: typed.Get("name"), Plan: typed.Get("plan"), Networks: typed.Get("networks"),
			ScopesText: strings.Join(typed["scopes"], " "), Errors: make(map[string]string),
			Scopes: newScopeGrid(c.h.keys.Scopes(), typed["scopes"]), Expiries: expiryChoices(c.now, typed.Get("expires")),
		},
		Keep: coming(k.ExpiresAt, c.now), Expires: typed.Get("expires"),
	}
	s.Revision, _ = strconv.ParseUint(typed.Get("revision"), 10, 64)
	// A plan that the actor may not give stays, but is not offered.
	if allowed := c.actor.plans(c.h.keys); allowed == nil || slices.Contains(allowed, k.Plan) {
		if s.Plans = c.planChoices(s.Plan); len(s.Plans) == 1 && s.Plans[0].Chosen {
			s.Plans = nil // there is no choice
		}
	}
	return s
}

// pageSettings changes a key as its form says, unless somebody has changed it
// since the form was made.
func (c *call) pageSettings() error {
	typed, err := c.input(append([]string{"revision"}, settingsFields...)...)
	if err != nil {
		return err
	}
	u, err := c.settingsUpdate(typed)
	if err == nil {
		_, err = c.h.keys.Update(c.r.Context(), c.by(), c.key.ID, u)
	}
	if err == nil {
		return c.done("settings", nil)
	}
	f := c.failureOf(err)
	c.logFailure(f, err)
	p := c.problem(f)
	form := c.settings(&c.key, typed)
	message := p.Detail
	if apikey.CodeOf(err) == apikey.Conflict {
		// The latest state is shown above the form; what was typed stays in it.
		if k, err := c.h.keys.Get(c.r.Context(), c.key.ID); err == nil {
			c.key, form.Revision = k, k.Revision
		}
		message = "Settings not saved: the key was changed while this form was open. Compare your changes with the details above, then save again."
	} else if form.place(p.Errors, settingsFields); len(p.Errors) > 0 {
		message = "Settings not saved. Fix the highlighted fields."
	}
	return c.keyPage(p.Status, "settings", message, form)
}

func (c *call) settingsUpdate(typed url.Values) (latchkey.Update, error) {
	var faults []fieldError
	name, scopes := strings.TrimSpace(typed.Get("name")), append([]string{}, typedScopes(typed)...)
	q := updateRequest{Name: &name, Scopes: &scopes}
	networks, faults := typedNetworks(typed, faults)
	q.Networks = &networks
	if plan := typed.Get("plan"); plan != "" && plan != c.key.Plan {
		q.Plan = &plan
	}
	if expires := typed.Get("expires"); expires != "" && expires != keepExpiry {
		if q.ExpiresAt, faults = typedExpiry(c.now, expires, faults); q.ExpiresAt == nil {
			q.ExpiresAt = &instant{time.Time{}} // never
		}
	}
	revision, err := strconv.ParseUint(typed.Get("revision"), 10, 64)
	if err != nil || revision == 0 { // 0 would mean any revision
		faults = append(faults, fieldError{Pointer: "/revision", Detail: "is missing: open the key's page again"})
	}
	if err := invalidFields(append(faults, c.h.check(&q)...)); err != nil {
		return latchkey.Update{}, err
	}
	u, err := c.update(&q)
	u.Revision = revision
	return u, err
}

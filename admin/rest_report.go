package admin

import (
	"net/http"
	"time"

	"github.com/wontopos/latchkey/apikey"
)

func (c *call) whoami() error {
	if err := c.params().err(); err != nil {
		return err
	}
	return c.json(http.StatusOK, struct {
		ID       string   `json:"id"`
		Role     string   `json:"role"`
		Owner    string   `json:"owner,omitempty"`
		ReadOnly bool     `json:"read_only"`
		Plans    []string `json:"plans,omitempty"` // plans that the actor may give to keys; absent means any
	}{c.actor.ID, c.actor.Role.String(), c.actor.Owner, c.actor.ReadOnly, c.actor.plans(c.h.keys)})
}

func (c *call) environments() error {
	if err := c.params().err(); err != nil {
		return err
	}
	type environment struct {
		Name    string   `json:"name"`
		BaseURL string   `json:"base_url,omitempty"`
		Hosts   []string `json:"hosts,omitempty"`
	}
	all := []environment{}
	for _, e := range c.h.keys.Environments() {
		all = append(all, environment{e.Name, e.BaseURL, e.Hosts})
	}
	return c.json(http.StatusOK, map[string]any{"environments": all})
}

func (c *call) plans() error {
	if err := c.params().err(); err != nil {
		return err
	}
	type plan struct {
		Name      string  `json:"name"`
		Limits    []limit `json:"limits"`
		Unlimited bool    `json:"unlimited,omitempty"`
	}
	plans, err := c.choosablePlans()
	if err != nil {
		return err
	}
	all := []plan{}
	for _, p := range plans {
		all = append(all, plan{p.Name, limitsJSON(p.Limits), p.Unlimited})
	}
	return c.json(http.StatusOK, map[string]any{"plans": all})
}

func (c *call) scopes() error {
	if err := c.params().err(); err != nil {
		return err
	}
	return c.json(http.StatusOK, map[string]any{"scopes": append([]apikey.Scope{}, c.h.keys.Scopes()...)})
}

func (c *call) usage() error {
	p := c.params("since")
	since := p.instant("since", c.now.Add(-24*time.Hour))
	if err := p.err(); err != nil {
		return err
	}
	u, err := c.h.keys.Usage(c.r.Context(), c.key.ID, since)
	if err != nil {
		return err
	}
	type hour struct {
		Hour   time.Time         `json:"hour"`
		Secret uint32            `json:"secret"`
		Counts map[string]uint64 `json:"counts"`
	}
	hours, secrets, sum := []hour{}, []usageSecretJSON{}, apikey.Counts{}
	for _, h := range u.Hours {
		hours = append(hours, hour{h.Hour, h.Secret, counts(h.Counts)})
		sum.Add(h.Counts)
	}
	for _, s := range u.Secrets {
		secrets = append(secrets, usageOf(s))
	}
	scopes, scopesSince := c.scopeUses(u)
	return c.json(http.StatusOK, struct {
		Since       time.Time         `json:"since"`
		Counts      map[string]uint64 `json:"counts"` // in the period
		Hours       []hour            `json:"hours"`
		Secrets     []usageSecretJSON `json:"secrets"` // since the key was created
		Scopes      []scopeUseJSON    `json:"scopes"`  // that the key has now
		ScopesSince time.Time         `json:"scopes_since,omitzero"`
	}{since.UTC(), counts(sum), hours, secrets, scopes, scopesSince})
}

type scopeUseJSON struct {
	Scope string    `json:"scope"`
	Hour  time.Time `json:"last_hour,omitzero"`
}

// scopeUses returns for each scope of the key when it was last used, and since
// when that has been counted: zero if it is not.
func (c *call) scopeUses(u apikey.Usage) (uses []scopeUseJSON, since time.Time) {
	uses = []scopeUseJSON{}
	for _, scope := range c.key.Scopes {
		uses = append(uses, scopeUseJSON{scope, hourOf(u.Scopes, scope)})
	}
	if since = u.ScopesSince; !since.IsZero() && since.Before(c.key.CreatedAt) {
		since = c.key.CreatedAt
	}
	return uses, since
}

func (c *call) keyAudit() error {
	p := c.params("before", "limit")
	return c.auditPage(p, apikey.AuditQuery{KeyID: c.key.ID, Owner: c.key.Owner})
}

func (c *call) audit() error {
	p := c.params("owner", "key", "before", "limit")
	return c.auditPage(p, apikey.AuditQuery{KeyID: p.text("key"), Owner: c.owner(p)})
}

func (c *call) auditPage(p *params, q apikey.AuditQuery) error {
	q.Before, q.Limit = p.number("before"), p.limit()
	if err := p.err(); err != nil {
		return err
	}
	entries, err := c.h.keys.Audit(c.r.Context(), q)
	if err != nil {
		return err
	}
	answer := struct {
		Entries []apikey.AuditEntry `json:"entries"`
		Next    uint64              `json:"next,omitempty"` // "before" of the next page
	}{Entries: append([]apikey.AuditEntry{}, entries...)}
	if len(entries) == q.Limit {
		answer.Next = entries[len(entries)-1].Seq
	}
	return c.json(http.StatusOK, answer)
}

func (c *call) due() error {
	p := c.params("owner", "ahead")
	owner, ahead := c.owner(p), p.duration("ahead", 7*24*time.Hour)
	if err := p.err(); err != nil {
		return err
	}
	keys, err := c.h.keys.Due(c.r.Context(), owner, ahead)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, map[string]any{"keys": c.keysJSON(keys)})
}

func (c *call) pepperUse() error {
	if err := c.params().err(); err != nil {
		return err
	}
	use, err := c.h.keys.PepperUse(c.r.Context())
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, map[string]any{"secrets_by_pepper": use})
}

func (c *call) purge() error {
	var q purgeRequest
	if err := c.body(&q); err != nil {
		return err
	}
	n, err := c.h.keys.Purge(c.r.Context(), c.by(), time.Duration(q.Age))
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, map[string]int{"purged": n})
}

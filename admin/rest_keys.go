package admin

import (
	"net/http"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// orders are the orders of a list, by their names.
var orders = map[string]storage.Order{"": storage.NewestFirst, "newest": storage.NewestFirst, "oldest": storage.OldestFirst, "name": storage.ByName}

func (c *call) listKeys() error {
	p := c.params("owner", "environment", "plan", "state", "search", "unused_since", "rotating", "expires_before", "order", "activity_since", "cursor", "limit")
	q := latchkey.ListRequest{
		Owner: c.owner(p), Environment: p.text("environment"), Plan: p.text("plan"), State: apikey.State(p.text("state")),
		Search: p.text("search"), UnusedSince: p.instant("unused_since", time.Time{}), Rotating: p.flag("rotating"),
		ExpiresBefore: p.instant("expires_before", time.Time{}), Cursor: p.text("cursor"), Limit: p.limit(),
	}
	var known bool
	if q.Order, known = orders[p.text("order")]; !known {
		p.fault("order", "must be newest, oldest or name")
	}
	if q.Environment != "" && !c.h.hasEnvironment(q.Environment) {
		p.fault("environment", "there is no such environment")
	}
	if c.h.shape.in(q.Search) { // addresses end up in logs
		p.fault("search", "looks like an API key: send it to v1/identify, and rotate it now")
	}
	activitySince := p.instant("activity_since", time.Time{})
	if err := p.err(); err != nil {
		return err
	}
	page, err := c.h.keys.List(c.r.Context(), q)
	if err != nil {
		return err
	}
	keys := c.keysJSON(page.Keys)
	if !activitySince.IsZero() {
		if err := c.addActivity(keys, activitySince); err != nil {
			return err
		}
	}
	return c.json(http.StatusOK, listJSON{keys, page.Next})
}

type listJSON struct {
	Keys []keyJSON `json:"keys"`
	Next string    `json:"next,omitempty"`
}

// addActivity adds to each key what it was used for.
func (c *call) addActivity(keys []keyJSON, since time.Time) error {
	ids := make([]string, len(keys))
	for i := range keys {
		ids[i] = keys[i].ID
	}
	all, err := c.h.keys.Activity(c.r.Context(), ids, since)
	if err != nil {
		return err
	}
	for i, a := range all {
		v := &activityJSON{Days: []dayJSON{}, Last: a.Last}
		for _, d := range a.Days {
			v.Days = append(v.Days, dayJSON{d.Day, counts(d.Counts)})
		}
		keys[i].Activity = v
	}
	return nil
}

func (c *call) createKey() error {
	var q createRequest
	if err := c.body(&q); err != nil {
		return err
	}
	n, err := c.newKey(&q)
	if err != nil {
		return err
	}
	if n.Once, err = c.once(); err != nil {
		return err
	}
	k, token, err := c.h.keys.Create(c.r.Context(), c.by(), n)
	switch apikey.CodeOf(err) {
	case apikey.OK:
	case apikey.AlreadyCreated:
		return alreadyCreated(&k)
	case apikey.OnceReused:
		return errIdempotencyKeyReused
	default:
		return err
	}
	c.w.Header().Set("Location", "keys/"+k.ID)
	return c.issue(http.StatusCreated, &k, token)
}

// issue answers with a new secret. No other part of the API reveals one.
func (c *call) issue(status int, k *apikey.Key, token latchkey.Token) error {
	c.w.Header().Set("ETag", etag(k))
	return c.json(status, issued{Token: token.Reveal(), Key: c.keyJSON(k)})
}

func (c *call) getKey() error {
	if err := c.params().err(); err != nil {
		return err
	}
	return c.answerKey(&c.key)
}

func (c *call) updateKey() error {
	var q updateRequest
	if err := c.body(&q); err != nil {
		return err
	}
	u, err := c.update(&q)
	if err != nil {
		return err
	}
	if c.matched() {
		u.Revision = c.key.Revision
	}
	k, err := c.h.keys.Update(c.r.Context(), c.by(), c.key.ID, u)
	if u.Revision != 0 && apikey.CodeOf(err) == apikey.Conflict {
		return c.preconditionFailed()
	}
	if err != nil {
		return err
	}
	return c.answerKey(&k)
}

// deleteKey does what people expect of DELETE: the key stops working. It stays
// on record as revoked, and a second DELETE changes nothing.
func (c *call) deleteKey() error {
	if err := c.body(&emptyRequest{}); err != nil {
		return err
	}
	k, err := c.h.keys.Revoke(c.r.Context(), c.by(), c.key.ID, "")
	if err != nil {
		return err
	}
	return c.answerKey(&k)
}

func (c *call) disableKey() error {
	var q reasonRequest
	if err := c.body(&q); err != nil {
		return err
	}
	k, err := c.h.keys.Disable(c.r.Context(), c.by(), c.key.ID, q.Reason)
	if err != nil {
		return err
	}
	return c.answerKey(&k)
}

func (c *call) enableKey() error {
	if err := c.body(&emptyRequest{}); err != nil {
		return err
	}
	k, err := c.h.keys.Enable(c.r.Context(), c.by(), c.key.ID)
	if err != nil {
		return err
	}
	return c.answerKey(&k)
}

func (c *call) revokeKey() error {
	var q reasonRequest
	if err := c.body(&q); err != nil {
		return err
	}
	k, err := c.h.keys.Revoke(c.r.Context(), c.by(), c.key.ID, q.Reason)
	if err != nil {
		return err
	}
	return c.answerKey(&k)
}

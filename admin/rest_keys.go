package admin

import (
	"net/http"

	"github.com/wontopos/latchkey/apikey"
)

func (c *call) listKeys() error {
	p := c.params("owner", "environment", "cursor", "limit")
	q := apikey.ListRequest{Owner: c.owner(p), Environment: p.text("environment"), Cursor: p.text("cursor"), Limit: p.limit()}
	if q.Environment != "" && !c.h.hasEnvironment(q.Environment) {
		p.fault("environment", "is none of this service's environments")
	}
	if err := p.err(); err != nil {
		return err
	}
	page, err := c.h.keys.List(c.r.Context(), q)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, struct {
		Keys []keyJSON `json:"keys"`
		Next string    `json:"next,omitempty"`
	}{c.keysJSON(page.Keys), page.Next})
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

// issue answers with a new secret: the only place of the API that reveals one.
func (c *call) issue(status int, k *apikey.Key, token apikey.Token) error {
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
	if c.r.Header.Get("If-Match") != "" && c.r.Header.Get("If-Match") != "*" {
		u.Revision = c.key.Revision // which If-Match was compared with
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

// deleteKey is what people expect of DELETE: the key is dead. It stays on
// record as revoked, and a second DELETE changes nothing.
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

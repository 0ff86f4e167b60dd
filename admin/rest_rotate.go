package admin

import (
	"net/http"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
)

func (c *call) rotateKey() error {
	var q rotateRequest
	if err := c.body(&q); err != nil {
		return err
	}
	o, err := q.options()
	if err != nil {
		return err
	}
	if c.matched() { // with this key, so there is at most one rotation
		o.Number = c.key.NextSecret()
	}
	k, token, err := c.rotate(o)
	if o.Number != 0 && apikey.CodeOf(err) == apikey.Conflict {
		return c.preconditionFailed()
	}
	if err != nil {
		return err
	}
	return c.issue(http.StatusOK, &k, token)
}

// rotate makes a new secret. If the request ended while it waited for other
// instances, the secret exists, and its token must not be lost.
func (c *call) rotate(o latchkey.RotateOptions) (apikey.Key, latchkey.Token, error) {
	k, token, err := c.h.keys.Rotate(c.r.Context(), c.by(), c.key.ID, o)
	if err != nil && k.ID != "" {
		c.h.log.WarnContext(c.r.Context(), "admin: a rotation is written, but other instances may not know it yet", "request_id", c.id, "key", k.ID, "error", err)
		err = nil
	}
	return k, token, err
}

func (c *call) rotation() error {
	if err := c.params().err(); err != nil {
		return err
	}
	rot, err := c.h.keys.Rotation(c.r.Context(), c.key.ID)
	if err != nil {
		return err
	}
	type side struct {
		Secret secretJSON      `json:"secret"`
		Usage  usageSecretJSON `json:"usage"`
	}
	return c.json(http.StatusOK, struct {
		Safe     bool   `json:"safe"`
		Reason   string `json:"reason"`
		InFlight int    `json:"in_flight"`
		Old      side   `json:"old"`
		New      side   `json:"new"`
	}{
		rot.Safe, rot.Reason, rot.InFlight,
		side{secretOf(&rot.Old, c.now), usageOf(rot.OldUsage)},
		side{secretOf(&rot.New, c.now), usageOf(rot.NewUsage)},
	})
}

func (c *call) finishRotation() error {
	var q finishRequest
	if err := c.body(&q); err != nil {
		return err
	}
	k, err := c.h.keys.FinishRotation(c.r.Context(), c.by(), c.key.ID, q.Force)
	if err != nil {
		return err
	}
	return c.answerKey(&k)
}

func (c *call) cancelRotation() error {
	if err := c.body(&emptyRequest{}); err != nil {
		return err
	}
	k, err := c.h.keys.CancelRotation(c.r.Context(), c.by(), c.key.ID)
	if err != nil {
		return err
	}
	return c.answerKey(&k)
}

// identify says whose a found key is. The token comes in the body, because
// addresses end up in logs, and is not written anywhere.
func (c *call) identify() error {
	var q identifyRequest
	if err := c.body(&q); err != nil {
		return err
	}
	found, err := c.identifyToken(q.Token)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, struct {
		Works  bool       `json:"works"`
		Secret secretJSON `json:"secret"`
		Key    keyJSON    `json:"key"`
	}{found.Works, secretOf(&found.Secret, c.now), c.keyJSON(&found.Key)})
}

// identifyToken finds the key of a token, and records that in the key's audit
// trail. For an actor who may not see the key, it does not exist.
func (c *call) identifyToken(token string) (latchkey.Identity, error) {
	found, err := c.h.keys.Identify(c.r.Context(), token)
	if err != nil {
		return latchkey.Identity{}, err
	}
	if !c.actor.sees(found.Key.Owner) {
		return latchkey.Identity{}, apikey.NotFound
	}
	found.Key, err = c.h.keys.RecordFound(c.r.Context(), c.by(), found.Key.ID, found.Secret.Number)
	return found, err
}

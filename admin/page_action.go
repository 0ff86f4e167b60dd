package admin

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
)

// done answers a form: it redirects to the key, or shows the key's page with
// the reason for a refusal.
func (c *call) done(action string, err error) error {
	if err == nil {
		return c.redirect(http.StatusSeeOther, "../"+c.key.ID+c.came(action).query())
	}
	f := c.failureOf(err)
	c.logFailure(f, err)
	p := c.problem(f)
	if k, err := c.h.keys.Get(c.r.Context(), c.key.ID); err == nil {
		c.key = k // as it is now; its owner never changes
	}
	return c.keyPage(p.Status, action, p.Detail, nil)
}

// reason reads and checks the text that goes into the audit trail.
func (c *call) reason(text string) (string, error) {
	q := reasonRequest{Reason: strings.TrimSpace(text)}
	return q.Reason, invalidFields(c.h.check(&q))
}

func (c *call) pageDisable() error {
	typed, err := c.input("reason")
	if err != nil {
		return err
	}
	reason, err := c.reason(typed.Get("reason"))
	if err == nil {
		_, err = c.h.keys.Disable(c.r.Context(), c.by(), c.key.ID, reason)
	}
	return c.done("disable", err)
}

func (c *call) pageEnable() error {
	if _, err := c.input(); err != nil {
		return err
	}
	_, err := c.h.keys.Enable(c.r.Context(), c.by(), c.key.ID)
	return c.done("enable", err)
}

// pageRevoke requires the key's name, or its id if the name is hard to type:
// what cannot be undone must not happen by mistake.
func (c *call) pageRevoke() error {
	typed, err := c.input("reason", "confirm")
	if err != nil {
		return err
	}
	if !c.confirmed(typed.Get("confirm")) {
		return c.done("revoke", &failure{info: apikey.InvalidArgument.Info(), detail: "nothing was revoked: type the key's name exactly, or its id"})
	}
	reason, err := c.reason(typed.Get("reason"))
	if err == nil {
		_, err = c.h.keys.Revoke(c.r.Context(), c.by(), c.key.ID, reason)
	}
	return c.done("revoke", err)
}

// confirmed reports whether somebody typed the key's name, or its id if the
// name is hard to type.
func (c *call) confirmed(typed string) bool {
	typed = strings.TrimSpace(typed)
	return typed == strings.TrimSpace(c.key.Name) || typed == c.key.ID
}

// pageRotate makes a new secret, once for each number for which a form was
// made, and shows it.
func (c *call) pageRotate() error {
	typed, err := c.input("secret", "overlap", "reason")
	if err != nil {
		return err
	}
	o, ok := overlaps[typed.Get("overlap")]
	if !ok {
		return c.done("rotate", &failure{info: apikey.InvalidArgument.Info(), detail: "choose how long to keep the old secret working"})
	}
	number, err := strconv.ParseUint(typed.Get("secret"), 10, 32)
	if err != nil || number == 0 { // 0 would mean any number
		return c.done("rotate", &failure{info: apikey.InvalidArgument.Info(), detail: "nothing was rotated: the form was incomplete; use the one below"})
	}
	o.Number = uint32(number)
	if o.Reason, err = c.reason(typed.Get("reason")); err != nil {
		return c.done("rotate", err)
	}
	k, token, err := c.rotate(o)
	switch apikey.CodeOf(err) {
	case apikey.OK:
		return c.reveal(&k, token, "The key's new secret")
	case apikey.Conflict:
		return c.again(againBody{Rotated: true, KeyID: c.key.ID}, "The key was rotated before")
	}
	return c.done("rotate", err)
}

// overlaps are the choices of the form for a rotation.
var overlaps = map[string]latchkey.RotateOptions{
	"day":       {Grace: 24 * time.Hour},
	"week":      {Grace: 7 * 24 * time.Hour},
	"first-use": {Grace: 24 * time.Hour, StartOnFirstUse: true},
	"none":      {Immediately: true},
}

// pageFinish ends the old secret; if it is still in use, only if the key's name
// was typed.
func (c *call) pageFinish() error {
	typed, err := c.input("confirm")
	if err != nil {
		return err
	}
	force := typed.Get("confirm") != ""
	if force && !c.confirmed(typed.Get("confirm")) {
		return c.done("finish", &failure{info: apikey.InvalidArgument.Info(), detail: "nothing was changed: type the key's name exactly, or its id"})
	}
	_, err = c.h.keys.FinishRotation(c.r.Context(), c.by(), c.key.ID, force)
	return c.done("finish", err)
}

func (c *call) pageCancel() error {
	if _, err := c.input(); err != nil {
		return err
	}
	_, err := c.h.keys.CancelRotation(c.r.Context(), c.by(), c.key.ID)
	return c.done("cancel", err)
}

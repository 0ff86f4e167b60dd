package admin

import (
	"net/http"
	"strings"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
)

type secretBody struct {
	Key           *apikey.Key
	Token, Masked string
	BaseURL       string
	Snippets      []snippet
	Note          string
}

// reveal shows a new secret. No other part of the page does.
func (c *call) reveal(k *apikey.Key, token latchkey.Token, title string) error {
	env, _ := c.h.environment(k.Environment)
	text := token.Reveal()
	start := c.h.hint(k) + "_"
	b := secretBody{
		Key: k, Token: text, Masked: start + strings.Repeat("•", max(0, len(text)-len(start))),
		BaseURL: env.BaseURL, Snippets: c.h.snippets(env),
	}
	if len(k.Secrets) == 2 {
		switch old := k.Secrets[1]; {
		case old.Grace > 0:
			b.Note = "The old secret works until " + length(old.Grace) + " after this one is first used."
		case old.LiveAt(c.now):
			b.Note = "The old secret works until " + coming(old.EndsAt, c.now).Exact + "."
		default:
			b.Note = "The old secret no longer works."
		}
	}
	return c.page(http.StatusOK, "secret", title, b)
}

type againBody struct {
	Sent          bool // the form for a new key, sent a second time
	Rotated       bool // a form for a rotation, after a rotation
	KeyID         string
	Address, Link string // elsewhere
}

// again answers a form that was sent twice. Nothing was done, and the secret
// cannot be shown again.
func (c *call) again(b againBody, title string) error {
	return c.page(http.StatusConflict, "again", title, b)
}

// pageGone is the address of the page with a secret, so that a reload or Back
// leads here.
func (c *call) pageGone() error {
	return c.page(http.StatusOK, "again", "The secret is not here any more", againBody{KeyID: c.key.ID})
}

package admin

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
)

// maxFound bounds how many keys are looked for in one text.
const maxFound = 10

type leakBody struct {
	Found   []foundRow
	Message string
	Fault   bool
}

// foundRow is a key whose secret was in the text.
type foundRow struct {
	keyRow
	Number            uint32 // of the secret
	Works             bool
	CanEnd, CanRotate bool
	Last              apikey.LastUse
}

func (c *call) pageLeak() error {
	return c.page(http.StatusOK, "leak", "Report a leaked key", leakBody{})
}

// pageFind looks for keys in a text that somebody found. The text goes no
// further than here: it is hashed, compared and dropped, and no answer or log
// line contains any of it.
func (c *call) pageFind() error {
	typed, err := c.input("text")
	if err != nil {
		return err
	}
	var b leakBody
	tokens := c.h.shape.tokens(typed.Get("text"), maxFound+1)
	more := len(tokens) > maxFound
	for _, token := range tokens[:min(len(tokens), maxFound)] {
		found, err := c.identifyToken(token)
		switch code := apikey.CodeOf(err); {
		case err == nil:
			row, err := c.foundRow(&found)
			if err != nil {
				return err
			}
			if !slices.ContainsFunc(b.Found, func(f foundRow) bool { return f.ID == row.ID && f.Number == row.Number }) {
				b.Found = append(b.Found, row)
			}
		case code != apikey.NotFound && code != apikey.InvalidArgument:
			return err
		}
	}
	switch {
	case len(tokens) == 0:
		b.Fault, b.Message = true, "No key found in this text. A key starts with "+c.h.prefix+"_ and has 44 characters after its last underscore. Check that you copied all of it."
	case len(b.Found) == 0:
		b.Fault, b.Message = true, "No match: the text contains what looks like a key, but not one that you manage. It may be mistyped, or belong to somebody else."
	case len(b.Found) == 1:
		b.Message = "Match: this secret belongs to the key below."
	default:
		b.Message = "Match: " + plural(len(b.Found), "secret") + "."
	}
	if more {
		b.Message += fmt.Sprintf(" Only the first %d keys in the text were checked.", maxFound)
	}
	return c.page(http.StatusOK, "leak", "Report a leaked key", b)
}

func (c *call) foundRow(found *latchkey.Identity) (foundRow, error) {
	k := &found.Key
	use, err := c.h.keys.Usage(c.r.Context(), k.ID, c.now)
	if err != nil {
		return foundRow{}, err
	}
	row := foundRow{
		keyRow: c.row(*k, nil, use.Of(found.Secret.Number).Last), Number: found.Secret.Number, Works: found.Works,
		Last: use.Of(found.Secret.Number).Last, CanEnd: k.RevokedAt.IsZero(),
	}
	// A secret that was rotated out ends with the rotation; only the current one
	// can be replaced.
	row.CanRotate = row.CanEnd && found.Secret.Number == k.Secrets[0].Number && !k.RotatingAt(c.now) && k.StateAt(c.now) != apikey.Expired
	return row, nil
}

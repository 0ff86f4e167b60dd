package admin

import (
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/wontopos/latchkey/apikey"
)

// pageRows is how many keys one page lists.
const pageRows = 25

type listBody struct {
	Rows         []keyRow
	Environments []string
	Environment  string // filter
	Owner        string // filter, of operators
	Filtered     bool
	First        string // address of the first page, when this is not it
	Next         string // address of the next page
}

// keyRow is a key as a list and the head of its page show it.
type keyRow struct {
	apikey.Key
	Hint     string
	Chip     chip
	Notes    []chip
	Created  when
	LastUsed when
	Expires  when
}

// chip is a short state; Class chooses its colours.
type chip struct{ Class, Text string }

func (c *call) pageList() error {
	query := c.r.URL.Query()
	b := listBody{Environment: query.Get("environment")}
	if !c.h.hasEnvironment(b.Environment) {
		b.Environment = ""
	}
	owner := c.actor.Owner
	if c.actor.operator() {
		b.Owner = query.Get("owner")
		owner = b.Owner
	}
	for _, e := range c.h.keys.Environments() {
		b.Environments = append(b.Environments, e.Name)
	}
	page, err := c.h.keys.List(c.r.Context(), apikey.ListRequest{
		Owner: owner, Environment: b.Environment, Cursor: query.Get("cursor"), Limit: pageRows,
	})
	if err != nil {
		return err
	}
	for _, k := range page.Keys {
		b.Rows = append(b.Rows, c.row(k, c.lastUse(k.ID)))
	}
	b.Filtered = b.Environment != "" || b.Owner != ""
	if query.Get("cursor") != "" {
		b.First = b.address("")
	}
	if page.Next != "" {
		b.Next = b.address(page.Next)
	}
	return c.page(http.StatusOK, "list", c.h.o.Title, b)
}

// address is the list with the same filters, from a cursor on.
func (b *listBody) address(cursor string) string {
	q := url.Values{}
	for name, value := range map[string]string{"environment": b.Environment, "owner": b.Owner, "cursor": cursor} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return "./?" + q.Encode()
}

// lastUse is when a key was last used; what cannot be read is left out, the
// list is worth more than it.
func (c *call) lastUse(id string) apikey.LastUse {
	u, err := c.h.keys.Usage(c.r.Context(), id, c.now)
	if err != nil {
		c.h.log.DebugContext(c.r.Context(), "admin: usage left out", "request_id", c.id, "key", id, "error", err)
		return apikey.LastUse{}
	}
	return u.Last()
}

func (c *call) row(k apikey.Key, last apikey.LastUse) keyRow {
	row := keyRow{
		Key: k, Hint: c.h.hint(&k), Chip: stateChip(&k, c.now),
		Created: past(k.CreatedAt, c.now), LastUsed: past(last.At, c.now), Expires: coming(k.ExpiresAt, c.now),
	}
	if k.StateAt(c.now) != apikey.Active {
		return row
	}
	if d := k.ExpiresAt.Sub(c.now); !k.ExpiresAt.IsZero() && d < 14*24*time.Hour {
		row.Notes = append(row.Notes, chip{"warn", "expires " + row.Expires.Text})
	}
	if age := c.now.Sub(k.Secrets[0].CreatedAt); age >= c.h.keys.MaxAge() {
		row.Notes = append(row.Notes, chip{"warn", "rotate: " + strconv.Itoa(int(age/(24*time.Hour))) + " days old"})
	}
	if last.At.IsZero() {
		row.Notes = append(row.Notes, chip{"quiet", "never used"})
	}
	return row
}

func stateChip(k *apikey.Key, now time.Time) chip {
	switch k.StateAt(now) {
	case apikey.Revoked:
		return chip{"bad", "revoked"}
	case apikey.Disabled:
		return chip{"warn", "disabled"}
	case apikey.Expired:
		return chip{"bad", "expired"}
	}
	if k.RotatingAt(now) {
		return chip{"info", "rotating"}
	}
	return chip{"good", "active"}
}

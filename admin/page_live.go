package admin

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/wontopos/latchkey/apikey"
)

// wantsJSON reports whether a script is asking: browsers that open an address
// want HTML.
func (c *call) wantsJSON() bool { return c.r.Header.Get("Accept") == "application/json" }

// firstUse is what is known about the first request with a secret.
type firstUse struct {
	State  string `json:"state"` // "waiting", "refused", "failed", "received"
	Text   string `json:"text"`
	Detail string `json:"detail"`
	Say    string `json:"say"` // for screen readers
}

type firstUseBody struct {
	firstUse
	KeyID, Name string
	Secret      uint32
}

// pageFirstUse says whether a secret has been used: to the page that shows the
// secret, every few seconds, and as a page of its own.
func (c *call) pageFirstUse() error {
	number := c.key.Secrets[0].Number
	if text := c.r.URL.Query().Get("secret"); text != "" {
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return errNoRoute
		}
		number = uint32(n)
	}
	use, err := c.h.keys.Usage(c.r.Context(), c.key.ID, c.now)
	if err != nil {
		return err
	}
	base := ""
	if env, ok := c.h.environment(c.key.Environment); ok {
		base = env.BaseURL
	}
	first := newFirstUse(use.Of(number), base, c.now)
	if c.wantsJSON() {
		return c.json(http.StatusOK, first)
	}
	return c.page(http.StatusOK, "first-use", "First request", firstUseBody{first, c.key.ID, c.key.Name, number})
}

func newFirstUse(u apikey.UsageSecret, base string, now time.Time) firstUse {
	if !u.Last.At.IsZero() || u.Counts.Allowed > 0 {
		return received(u, now)
	}
	if u.Counts.Total() > 0 {
		why, most := "", uint64(0)
		for name, n := range u.Counts.All() {
			if n > most && name != "cut" {
				why, most = refusalText[name], n
			}
		}
		f := firstUse{State: "refused", Text: "A request arrived and was refused", Detail: why, Say: "A request arrived and was refused: " + why}
		if u.Counts.Environment > 0 && base != "" {
			f.Detail += ": this key's is " + base
		}
		return f
	}
	f := firstUse{State: "waiting", Text: "Waiting for its first request"}
	if base != "" {
		f.Detail = "Send one to " + base + "."
	}
	return f
}

// received describes an admitted request. If the API then answered with an
// error, the state is "failed": the key is good, but whoever made the request
// will want to look at it.
func received(u apikey.UsageSecret, now time.Time) firstUse {
	at := lastUsed(u.Last, u.Counts, now).Text
	f := firstUse{State: "received", Text: "Received " + at, Detail: fromWhere(u.Last), Say: "The first request has been received"}
	if n := u.Counts.Allowed; n > 1 {
		f.Text = grouped(n) + " requests received, the last " + at
	}
	f.Text += suffix(asked(u.Last))
	if status := u.Last.Status; status >= 400 {
		f.State = "failed"
		why := "The key was accepted; the API answered " + statusText(status) + "."
		f.Say += ". " + why
		f.Detail = strings.TrimSpace(why + " " + f.Detail)
	}
	return f
}

// asked describes what a request asked for and how it ended: "GET /v1/apis/{id}
// → 200". It contains text from a client.
func asked(u apikey.LastUse) string {
	switch {
	case u.Status == 0:
		return u.Route
	case u.Route == "":
		return "answered " + strconv.Itoa(u.Status)
	}
	return u.Route + " → " + strconv.Itoa(u.Status)
}

// statusText is a status with its name, if it has one.
func statusText(status int) string {
	return strings.TrimSpace(strconv.Itoa(status) + " " + http.StatusText(status))
}

// fromWhere says where a use came from.
func fromWhere(last apikey.LastUse) string {
	var parts []string
	if last.Network != "" {
		parts = append(parts, "from "+last.Network)
	}
	if last.UserAgent != "" {
		parts = append(parts, last.UserAgent)
	}
	return strings.Join(parts, ", ")
}

// refusalText says why requests were refused, for people.
var refusalText = map[string]string{
	"rate_limited":         "Over a limit",
	"insufficient_scope":   "Missing scope",
	"network_not_allowed":  "IP address not allowed",
	"environment_mismatch": "Wrong environment",
	"expired_key":          "Expired or rotated out",
	"disabled_key":         "Key disabled",
	"revoked_key":          "Key revoked",
	"unavailable":          "Temporarily unavailable",
	"cut":                  "Interrupted by revocation",
}

// rotationRow is the progress of a rotation.
type rotationRow struct {
	State    string `json:"state"` // "unsafe", "safe", "over"
	Sentence string `json:"sentence"`
	Old      string `json:"old"`
	New      string `json:"new"`
	Say      string `json:"say"`

	OldNumber  uint32 `json:"-"`
	NewNumber  uint32 `json:"-"`
	OldCreated when   `json:"-"`
	NewCreated when   `json:"-"`
	Ends       string `json:"-"`
}

// pageRotation returns the progress of a rotation, for the key's page.
func (c *call) pageRotation() error {
	if !c.wantsJSON() {
		return c.redirect(http.StatusSeeOther, "../"+c.key.ID)
	}
	row, err := c.rotationRow()
	if err != nil {
		return err
	}
	if row == nil {
		row = &rotationRow{State: "over", Sentence: "The rotation has ended."}
	}
	row.Say = row.Sentence
	return c.json(http.StatusOK, row)
}

// rotationRow returns nil if the key is not being rotated.
func (c *call) rotationRow() (*rotationRow, error) {
	if !c.key.RotatingAt(c.now) {
		return nil, nil
	}
	rot, err := c.h.keys.Rotation(c.r.Context(), c.key.ID)
	if apikey.CodeOf(err) == apikey.InvalidState { // it has just ended
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	since := c.now.UTC().Truncate(time.Hour).Add(-time.Hour)
	use, err := c.h.keys.Usage(c.r.Context(), c.key.ID, since)
	if err != nil {
		return nil, err
	}
	row := &rotationRow{
		State: "unsafe",
		Old:   recently(use, &rot.Old, since, c.now), New: recently(use, &rot.New, since, c.now),
		OldNumber: rot.Old.Number, NewNumber: rot.New.Number,
		OldCreated: past(rot.Old.CreatedAt, c.now), NewCreated: past(rot.New.CreatedAt, c.now),
		Ends: oldEnds(&rot.Old, c.now),
	}
	last := rot.OldUsage.Last.At
	switch {
	case rot.Safe && last.IsZero() && rot.OldUsage.Counts.Total() > 0:
		row.State, row.Sentence = "safe", "The old secret is not in use: safe to finish."
	case rot.Safe && last.IsZero():
		row.State, row.Sentence = "safe", "The old secret was never used: safe to finish."
	case rot.Safe:
		row.State, row.Sentence = "safe", "No request with the old secret for "+quietLength(c.now.Sub(last))+": safe to finish."
	case rot.InFlight > 0:
		row.Sentence = fmt.Sprintf("Old secret: %s being served right now.", plural(rot.InFlight, "request"))
	case rot.NewUsage.Last.At.IsZero() && rot.NewUsage.Counts.Allowed == 0:
		row.Sentence = "The new secret has not been used yet."
	default:
		row.Sentence = "Old secret: " + row.Old + "."
	}
	return row, nil
}

// recently says what a secret did since the start of the previous hour, or
// since it was made.
func recently(use apikey.Usage, secret *apikey.Secret, since, now time.Time) string {
	if secret.CreatedAt.After(since) {
		since = secret.CreatedAt.UTC()
	}
	var n uint64
	for _, h := range use.Hours {
		if h.Secret == secret.Number {
			n += h.Counts.Allowed
		}
	}
	u := use.Of(secret.Number)
	last := u.Last
	switch {
	case last.At.IsZero() && u.Counts.Total() == 0:
		return "not used yet"
	case last.At.IsZero() && n == 0:
		return lastUsed(last, u.Counts, now).Text
	case n == 0:
		return strings.TrimSpace("last used "+past(last.At, now).Text+" "+fromWhere(last)) + suffix(asked(last))
	}
	text := grouped(n) + " requests"
	if n == 1 {
		text = "1 request"
	}
	text += " since " + since.Format("15:04") + " UTC, last " + lastUsed(last, u.Counts, now).Text
	if where := fromWhere(last); where != "" {
		text += " " + where
	}
	return text + suffix(asked(last))
}

// suffix puts a colon before a text that is not empty.
func suffix(text string) string {
	if text == "" {
		return ""
	}
	return ": " + text
}

// quietLength formats a duration in hours up to two days: "26 hours" tells
// somebody who waits for it more than "1 day".
func quietLength(d time.Duration) string {
	if d >= time.Hour && d < 48*time.Hour {
		return plural(int(d/time.Hour), "hour")
	}
	return length(d)
}

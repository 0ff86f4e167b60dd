package admin

import (
	"slices"
	"strings"
	"time"

	"github.com/wontopos/latchkey/apikey"
)

// scopesPart is what a key's page says about its scopes: which of them its
// requests need, so that the others can be taken away.
type scopesPart struct {
	Rows []scopeUse
	Idle string // "2 of 5 scopes were not used in the last 90 days."; otherwise empty
}

type scopeUse struct {
	Scope string
	Use   when // its text is a phrase, "last used 3 hours ago"; empty if nothing is known
}

// scopesIdle is how long a scope must be unused for the page to say so.
const scopesIdle = 90 * 24 * time.Hour

// scopesPart says only what is known: on a store that does not count scopes it
// has only their names, and a scope is "never used" only if it has been counted
// since the day on which it was granted.
func (c *call) scopesPart(use apikey.Usage, granted func(scope string) time.Time) scopesPart {
	var part scopesPart
	idle := 0
	for _, scope := range c.key.Scopes {
		row := scopeUse{Scope: scope}
		if use.ScopesSince.IsZero() {
			part.Rows = append(part.Rows, row)
			continue
		}
		since, end := granted(scope), time.Time{}
		counted := !since.Before(use.ScopesSince)
		if !counted {
			since = use.ScopesSince
		}
		if hour := hourOf(use.Scopes, scope); !hour.IsZero() {
			end = hour.Add(time.Hour)
			row.Use = past(hour, c.now)
			row.Use.Text = "last used " + row.Use.Text
			if c.now.Before(end) {
				row.Use.Text = "used in the last hour"
			}
		} else if counted {
			row.Use.Text = "never used"
		} else {
			row.Use = exact(since, "")
			row.Use.Text = "not used since " + row.Use.Date
		}
		if c.now.Sub(since) >= scopesIdle && c.now.Sub(end) >= scopesIdle {
			idle++
		}
		part.Rows = append(part.Rows, row)
	}
	if idle > 0 {
		was := "were"
		if idle == 1 {
			was = "was"
		}
		part.Idle = grouped(uint64(idle)) + " of " + plural(len(part.Rows), "scope") + " " + was + " not used in the last 90 days."
	}
	return part
}

// hourOf returns the hour in which a scope was last used; zero if it was not.
func hourOf(uses []apikey.ScopeUse, scope string) time.Time {
	for _, u := range uses {
		if u.Scope == scope {
			return u.Hour
		}
	}
	return time.Time{}
}

// grants returns since when a key has had a scope without interruption, as far
// as the newest entries of its trail show: the grant is not older than that.
// all says that the entries are the whole trail.
func grants(k *apikey.Key, trail []apikey.AuditEntry, all bool) func(scope string) time.Time {
	return func(scope string) time.Time {
		for _, e := range trail { // newest first
			before, after, changed := strings.Cut(e.Details["scopes"], " -> ")
			if changed && slices.Contains(strings.Fields(after), scope) && !slices.Contains(strings.Fields(before), scope) {
				return e.At
			}
		}
		if len(trail) > 0 && !all {
			return trail[len(trail)-1].At
		}
		return k.CreatedAt
	}
}

package admin

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

const (
	// pageRows is how many keys one page lists.
	pageRows = 25
	// sparkDays is how far back a row's sparkline goes.
	sparkDays = 30
	// soon is how near an expiry must be to get a chip.
	soon = 14 * 24 * time.Hour
	// unusedFor is how long a key must be unused for the list to say so.
	unusedFor = 90 * 24 * time.Hour
)

type listBody struct {
	listFilter
	Rows         []keyRow
	Environments []link
	Statuses     []choice
	Plans        []choice
	Orders       []choice
	Banners      []banner
	Filtered     bool
	Empty        bool   // there are no keys at all
	Hidden       bool   // there are some, but all are revoked
	HidesRevoked bool   // revoked keys are left out
	Revoked      string // address of the same list with them
	First        string // address of the first page, unless this is it
	Next         string // address of the next page
}

// listFilter is what a list shows, as given in its address.
type listFilter struct {
	Environment, Owner, Search, Status, Plan, Order string
	Unused                                          bool
	cursor                                          string
}

type listOrder struct {
	name, text string
	order      storage.Order
}

// listOrders are the orders of a list, by their names in its address; the first is
// the default.
var listOrders = []listOrder{{"", "Newest first", storage.NewestFirst}, {"oldest", "Oldest first", storage.OldestFirst}, {"name", "By name", storage.ByName}}

// listFilter reads the address. Unknown values are ignored, because people also
// follow old links.
func (c *call) listFilter() listFilter {
	query := c.r.URL.Query()
	// The name is written into links and fields of the page.
	cut := func(name string) string { text := query.Get(name); return text[:min(len(text), maxParameter)] }
	redact := c.h.shape.redact
	f := listFilter{
		Environment: query.Get("environment"), Owner: redact(cut("owner")), Search: c.h.shape.search(cut("search")), Status: query.Get("status"),
		Plan: redact(cut("plan")), Order: query.Get("order"), Unused: query.Get("unused") != "", cursor: query.Get("cursor"),
	}
	if !c.h.hasEnvironment(f.Environment) {
		f.Environment = ""
	}
	if !slices.ContainsFunc(statuses, func(s listStatus) bool { return s.name == f.Status }) {
		f.Status = ""
	}
	if !c.actor.operator() {
		f.Owner = ""
	}
	if !slices.ContainsFunc(listOrders, func(o listOrder) bool { return o.name == f.Order }) {
		f.Order = ""
	}
	return f
}

type listStatus struct {
	name, text string
	sets       func(r *latchkey.ListRequest, c *call)
}

// statuses are the statuses by which a list can be filtered, by their names in
// its address; the first is the default.
var statuses = []listStatus{
	{"", "Not revoked", func(r *latchkey.ListRequest, _ *call) { r.OmitRevoked = true }},
	{"all", "Any status", func(*latchkey.ListRequest, *call) {}},
	{"active", "active", inState(apikey.Active)},
	{"rotating", "rotating", func(r *latchkey.ListRequest, _ *call) { r.Rotating = true }},
	{"due", "due for rotation", func(r *latchkey.ListRequest, c *call) { r.State, r.SecretBefore = apikey.Active, c.dueBefore() }},
	{"expiring", "expires soon", func(r *latchkey.ListRequest, c *call) { r.State, r.ExpiresBefore = apikey.Active, c.now.Add(soon) }},
	{"disabled", "disabled", inState(apikey.Disabled)},
	{"expired", "expired", inState(apikey.Expired)},
	{"revoked", "revoked", inState(apikey.Revoked)},
}

func inState(s apikey.State) func(*latchkey.ListRequest, *call) {
	return func(r *latchkey.ListRequest, _ *call) { r.State = s }
}

// request is the list request for the filter. A customer's owner is their own,
// whatever the address says.
func (f *listFilter) request(c *call) latchkey.ListRequest {
	owner := c.actor.Owner
	if c.actor.operator() {
		owner = f.Owner
	}
	r := latchkey.ListRequest{
		Owner: owner, Environment: f.Environment, Plan: f.Plan, Search: f.Search, Cursor: f.cursor, Limit: pageRows,
	}
	for _, s := range statuses {
		if s.name == f.Status {
			s.sets(&r, c)
		}
	}
	for _, o := range listOrders {
		if o.name == f.Order {
			r.Order = o.order
		}
	}
	if f.Unused {
		r.UnusedSince = c.now.Add(-unusedFor)
	}
	return r
}

// filtered reports whether some keys may be left out.
func (f *listFilter) filtered() bool {
	return f.Environment+f.Owner+f.Search+f.Status+f.Plan != "" || f.Unused
}

// address is the address of the list with these filters.
func (f listFilter) address() string {
	q := url.Values{}
	for name, value := range map[string]string{
		"environment": f.Environment, "owner": f.Owner, "search": f.Search, "status": f.Status, "plan": f.Plan, "order": f.Order, "cursor": f.cursor,
	} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if f.Unused {
		q.Set("unused", "90")
	}
	return "./" + strings.TrimSuffix("?"+q.Encode(), "?")
}

func (f listFilter) at(cursor string) listFilter { f.cursor = cursor; return f }

func (f listFilter) with(status string) listFilter {
	f.Status, f.cursor = status, ""
	return f
}

func (f listFilter) in(environment string) listFilter {
	f.Environment, f.cursor = environment, ""
	return f
}

// keyRow is a key as shown in a list and at the top of its page.
type keyRow struct {
	apikey.Key
	Hint     string
	Chip     chip
	Notes    []chip
	Created  when
	LastUsed when
	Expires  when
	Spark    sparkline
}

// Chips are the chips for which a row has room: "active" is left out if there
// is more to say.
func (r *keyRow) Chips() []chip {
	if len(r.Notes) > 0 && r.Chip.Text == string(apikey.Active) {
		return r.Notes
	}
	return append([]chip{r.Chip}, r.Notes...)
}

// FirstScope is the scope that a row names. OtherScopes are the rest, and
// OtherCount is their number.
func (r *keyRow) FirstScope() string {
	if len(r.Scopes) == 0 {
		return ""
	}
	return r.Scopes[0]
}

// OtherScopes are those that a row only counts.
func (r *keyRow) OtherScopes() string { return strings.Join(r.Scopes[min(len(r.Scopes), 1):], " ") }

// OtherCount is the number of OtherScopes.
func (r *keyRow) OtherCount() int { return max(0, len(r.Scopes)-1) }

// chip is a short state; Class chooses its colours.
type chip struct{ Class, Text, Title string }

func (c *call) pageList() error {
	b, err := c.listBody(c.listFilter())
	if err != nil {
		return err
	}
	return c.page(http.StatusOK, "list", c.h.o.Title, b)
}

// listBody reads what a page of the list shows.
func (c *call) listBody(f listFilter) (b listBody, err error) {
	b.listFilter = f
	page, err := c.h.keys.List(c.r.Context(), b.request(c))
	if err != nil {
		return b, err
	}
	b.Rows = c.rows(page.Keys)
	b.Filtered = b.filtered()
	if len(page.Keys) == 0 && page.Next == "" && b.cursor == "" && !b.Filtered {
		if b.Hidden, err = c.anyKey(b.listFilter); err != nil {
			return b, err
		}
		b.Empty = !b.Hidden
	}
	b.HidesRevoked = b.Status == ""
	b.Revoked = b.with("all").address()
	b.Environments = []link{{Text: "All", Address: b.in("").address(), Current: b.Environment == ""}}
	for _, e := range c.h.keys.Environments() {
		b.Environments = append(b.Environments, link{e.Name, b.in(e.Name).address(), b.Environment == e.Name})
	}
	if len(b.Environments) == 2 {
		b.Environments = nil // there is nothing to choose
	}
	for _, s := range statuses {
		b.Statuses = append(b.Statuses, choice{Value: s.name, Text: s.text, Chosen: b.Status == s.name})
	}
	if plans, _ := c.plansOnce(); len(plans) > 1 { // without a list, there is no such filter
		b.Plans = []choice{{Text: "Any plan"}}
		for _, p := range plans {
			b.Plans = append(b.Plans, choice{Value: p.Name, Text: p.Name, Chosen: b.Plan == p.Name})
		}
	}
	for _, o := range listOrders {
		b.Orders = append(b.Orders, choice{Value: o.name, Text: o.text, Chosen: b.Order == o.name})
	}
	if b.cursor != "" {
		b.First = b.at("").address()
	}
	if page.Next != "" {
		b.Next = b.at(page.Next).address()
	}
	if b.cursor == "" && b.Search+b.Status+b.Plan == "" && !b.Unused {
		b.Banners = c.banners(b.listFilter)
	}
	return b, nil
}

// anyKey reports whether the list has keys of any status.
func (c *call) anyKey(f listFilter) (bool, error) {
	f.Status = "all"
	r := f.request(c)
	r.Limit = 1
	page, err := c.h.keys.List(c.r.Context(), r)
	return len(page.Keys) > 0, err
}

// rows returns the rows of a page of keys, with the last days of each.
func (c *call) rows(keys []apikey.Key) []keyRow {
	if len(keys) == 0 {
		return nil
	}
	days := spans(c.now, sparkDays, 24*time.Hour)
	from := days[0].From
	ids := make([]string, len(keys))
	for i := range keys {
		ids[i] = keys[i].ID
	}
	activity, err := c.h.keys.Activity(c.r.Context(), ids, from)
	if err != nil {
		// The list is still useful without its sparklines.
		if c.r.Context().Err() == nil { // the client has not given up
			c.h.log.WarnContext(c.r.Context(), "admin: usage left out", "request_id", c.id, "error", err)
		}
		activity = make([]apikey.Activity, len(keys))
	}
	rows := make([]keyRow, len(keys))
	for i, k := range keys {
		for at := range days {
			days[at].Counts = apikey.Counts{}
		}
		for _, d := range activity[i].Days {
			if at := int(d.Day.Sub(from) / (24 * time.Hour)); at >= 0 && at < len(days) {
				days[at].Counts.Add(d.Counts)
			}
		}
		rows[i] = c.row(k, days, activity[i].Last)
	}
	return rows
}

// row prepares a key for display; days may be nil if no sparkline is shown.
func (c *call) row(k apikey.Key, days []span, last apikey.LastUse) keyRow {
	var seen apikey.Counts
	for i := range days {
		seen.Add(days[i].Counts)
	}
	row := keyRow{
		Key: k, Hint: c.h.hint(&k), Chip: stateChip(&k, c.now),
		Created: past(k.CreatedAt, c.now), LastUsed: lastUsed(last, seen, c.now), Expires: coming(k.ExpiresAt, c.now),
	}
	var daily uint64
	plan, _ := c.planOf(&k)
	for _, l := range plan.Limits {
		if l.Unit == "" && !l.Shadow && l.Window == 24*time.Hour {
			daily = uint64(l.N)
		}
	}
	row.Spark = spark(days, daily)
	if k.StateAt(c.now) != apikey.Active {
		return row
	}
	if limited := limitedChip(days); limited.Text != "" {
		row.Notes = append(row.Notes, limited)
	}
	if d := k.ExpiresAt.Sub(c.now); !k.ExpiresAt.IsZero() && d < soon {
		row.Notes = append(row.Notes, chip{"warn", "expires " + row.Expires.Text, row.Expires.Exact})
	}
	if age := c.now.Sub(k.Secrets[0].CreatedAt); age >= c.h.keys.MaxAge() {
		row.Notes = append(row.Notes, chip{"warn", "rotate: " + plural(int(age/(24*time.Hour)), "day") + " old", "secrets are to be rotated every " + length(c.h.keys.MaxAge())})
	}
	if last.At.IsZero() && seen.Total() == 0 {
		row.Notes = append(row.Notes, chip{"quiet", "never used", ""})
	}
	return row
}

// lastUsed says when a key or secret with these counts was last used. Times are
// recorded only for a sample of the requests, and never for refused ones.
func lastUsed(last apikey.LastUse, seen apikey.Counts, now time.Time) when {
	switch {
	case !last.At.IsZero():
		return past(last.At, now)
	case seen.Allowed > 0:
		return when{Text: "time unknown"}
	case seen.Total() > 0:
		return when{Text: "only refused so far"}
	}
	return when{Text: "never"}
}

// limitedChip marks a key that exceeds its limits: at least one in a hundred
// requests of today and the day before was refused because of them.
func limitedChip(days []span) chip {
	var sum apikey.Counts
	for i := max(0, len(days)-2); i < len(days); i++ {
		sum.Add(days[i].Counts)
	}
	limited, total := sum.RateLimited, sum.Total()
	if limited == 0 || float64(limited)*100 < float64(total) {
		return chip{}
	}
	return chip{"warn", share(limited, total) + " limited", grouped(limited) + " of " + grouped(total) + " requests since yesterday were over a limit"}
}

func stateChip(k *apikey.Key, now time.Time) chip {
	switch k.StateAt(now) {
	case apikey.Revoked:
		return chip{"bad", "revoked", k.RevokedAt.Format("2 January 2006, 15:04 UTC")}
	case apikey.Disabled:
		return chip{"warn", "disabled", k.DisabledAt.Format("2 January 2006, 15:04 UTC")}
	case apikey.Expired:
		return chip{"bad", "expired", k.ExpiresAt.Format("2 January 2006, 15:04 UTC")}
	}
	if k.RotatingAt(now) {
		return chip{"info", "rotating", "two secrets work"}
	}
	return chip{"good", "active", ""}
}

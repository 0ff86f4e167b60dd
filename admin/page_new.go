package admin

import (
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
)

// newBody is the form for a new key, with what was typed and what is wrong.
type newBody struct {
	Form         string      // its name
	Like         *apikey.Key // the key from which the form was filled in
	Name, Owner  string
	Environments []choice
	Plans        []choice // if empty, the plan is typed
	Plan         string
	Scopes       scopeGrid // if it has no rows, scopes are typed
	ScopesText   string
	Expiries     []choice
	Networks     string
	Errors       map[string]string // by field
	Error        string            // about no field
}

type choice struct {
	Value, Text, Detail string
	Lines               []string // Detail, if it has parts
	Use                 string   // of a scope that the key has
	Chosen              bool
}

func (c *call) pageNew() error { return c.newForm(http.StatusOK, nil, "", nil) }

// pageCopy is the form filled in with everything of a key except its secret:
// for a rotation by hand, or a second service of the same kind.
func (c *call) pageCopy() error {
	k := &c.key
	typed := map[string][]string{
		"name": {k.Name}, "owner": {k.Owner}, "environment": {k.Environment}, "scopes": k.Scopes,
		"networks": {networkLines(k.Networks)},
	}
	if allowed := c.actor.plans(c.h.keys); allowed == nil || slices.Contains(allowed, k.Plan) {
		typed["plan"] = []string{k.Plan}
	}
	return c.newForm(http.StatusOK, typed, "", nil)
}

func networkLines(networks []netip.Prefix) string {
	lines := make([]string, len(networks))
	for i, n := range networks {
		lines[i] = n.String()
	}
	return strings.Join(lines, "\n")
}

// newForm shows the form: empty, or again with what was typed. A form that is
// shown again keeps its name. So if it did make its key although the store
// could not confirm it, sending it again finds that key.
func (c *call) newForm(status int, typed url.Values, message string, faults []fieldError) error {
	name := typed.Get("form")
	made, ok := formMade(name, c.now)
	if !ok {
		name, made = newForm(c.now), c.now
	}
	typed = c.shown(typed)
	field := func(name, otherwise string) string {
		if v := typed[name]; len(v) > 0 {
			return v[0]
		}
		return otherwise
	}
	b := newBody{
		Form: name,
		Name: field("name", ""), Owner: field("owner", ""), Networks: field("networks", ""),
		ScopesText: strings.Join(typed["scopes"], " "), Error: message, Errors: make(map[string]string),
	}
	if c.route.namesKey() {
		b.Like = &c.key
	}
	b.place(faults, newFields)
	for i, e := range c.h.keys.Environments() {
		chosen := field("environment", "") == e.Name || i == 0 && field("environment", "") == ""
		b.Environments = append(b.Environments, choice{Value: e.Name, Text: e.Name, Detail: e.BaseURL, Chosen: chosen})
	}
	b.Plan = field("plan", c.h.keys.DefaultPlan())
	if allowed := c.actor.plans(c.h.keys); allowed != nil {
		b.Plan = field("plan", allowed[0])
	}
	b.Plans = c.planChoices(b.Plan)
	b.Scopes = newScopeGrid(c.h.keys.Scopes(), typed["scopes"])
	b.Expiries = expiryChoices(made, field("expires", "0"))
	return c.page(status, "new", "Create a key", b)
}

// shown is what was typed, for a form that is shown again. Keys are removed,
// because somebody may have pasted one into the wrong field.
func (c *call) shown(typed url.Values) url.Values {
	again := make(url.Values, len(typed))
	for name, values := range typed {
		for _, v := range values {
			again.Add(name, c.h.shape.redact(v))
		}
	}
	return again
}

// place puts each fault beside its field; faults without a field go above the
// fields.
func (b *newBody) place(faults []fieldError, fields []string) {
	for _, f := range faults {
		name, _, _ := strings.Cut(strings.TrimPrefix(f.Pointer, "/"), "/")
		if name == "expires_at" {
			name = "expires"
		}
		switch {
		case !slices.Contains(fields, name):
			b.Error = strings.TrimPrefix(f.Pointer+f.Parameter+": "+f.Detail, "/")
		case b.Errors[name] == "":
			b.Errors[name] = f.Detail
		}
	}
}

func (c *call) planChoices(chosen string) []choice {
	var all []choice
	plans, _ := c.choosablePlans() // without a list, the plan is typed
	for _, p := range plans {
		all = append(all, choice{Value: p.Name, Text: p.Name, Lines: planLines(p), Chosen: p.Name == chosen})
	}
	return all
}

// expiryChoices are the presets, with their dates written out.
func expiryChoices(from time.Time, chosen string) []choice {
	var all []choice
	for _, days := range []int{0, 7, 30, 90, 365} {
		e := choice{Value: strconv.Itoa(days), Text: "Never", Detail: "until it is revoked", Chosen: chosen == strconv.Itoa(days)}
		if days > 0 {
			e.Text, e.Detail = "In "+strconv.Itoa(days)+" days", from.AddDate(0, 0, days).UTC().Format("2 January 2006")
		}
		all = append(all, e)
	}
	return all
}

// choosablePlans are the plans that the actor may give to a key, with their
// numbers if they are known here.
func (c *call) choosablePlans() ([]apikey.Plan, error) {
	all, err := c.plansOnce()
	allowed := c.actor.plans(c.h.keys)
	if allowed == nil || err != nil {
		return all, err
	}
	var some []apikey.Plan
	for _, name := range allowed {
		if i := slices.IndexFunc(all, func(p apikey.Plan) bool { return p.Name == name }); i >= 0 {
			some = append(some, all[i])
		} else if len(all) == 0 {
			some = append(some, apikey.Plan{Name: name}) // a PlanSource has its numbers
		}
	}
	return some, nil
}

// planLines are a plan's numbers, one per line.
func planLines(p apikey.Plan) []string {
	if p.Unlimited {
		return []string{"unlimited"}
	}
	return limitLines(p.Limits)
}

func describePlan(p apikey.Plan) string { return strings.Join(planLines(p), " · ") }

// newFields are the fields of the form.
var newFields = []string{"name", "owner", "environment", "plan", "scopes", "expires", "networks"}

// pageCreate makes the key of a form, once, and shows its secret. It does not
// redirect, because a secret must not have an address.
func (c *call) pageCreate() error {
	typed, err := c.input(append([]string{"form"}, newFields...)...)
	if err != nil {
		return err
	}
	made, ok := formMade(typed.Get("form"), c.now)
	if !ok {
		return c.newForm(http.StatusConflict, typed, "Key not created: this form has expired. Check whether your key exists already; if not, send the form again.", nil)
	}
	k, token, err := c.createFrom(typed, made)
	switch apikey.CodeOf(err) {
	case apikey.OK:
		return c.reveal(&k, token, "Your new key")
	case apikey.AlreadyCreated:
		return c.again(againBody{Sent: true, KeyID: k.ID, Address: "new", Link: "Create another key"}, "This form has already made its key")
	case apikey.OnceReused:
		typed.Del("form")
		return c.newForm(http.StatusConflict, typed, "Key not created: this form has already made a key, with other fields. To create this one as well, send it again.", nil)
	}
	f := c.failureOf(err)
	c.logFailure(f, err)
	p := c.problem(f)
	message := ""
	if len(p.Errors) == 0 {
		message = p.Detail
	}
	return c.newForm(p.Status, typed, message, p.Errors)
}

func (c *call) createFrom(typed url.Values, made time.Time) (apikey.Key, latchkey.Token, error) {
	q, err := c.createRequest(typed, made)
	if err != nil {
		return apikey.Key{}, latchkey.Token{}, err
	}
	n, err := c.newKey(q)
	if err != nil {
		return apikey.Key{}, latchkey.Token{}, err
	}
	n.Once = c.actor.onceName("form", typed.Get("form"))
	return c.h.keys.Create(c.r.Context(), c.by(), n)
}

// createRequest reads the form as the API's body, so that both are validated
// alike.
func (c *call) createRequest(typed url.Values, made time.Time) (*createRequest, error) {
	q := &createRequest{Name: strings.TrimSpace(typed.Get("name")), Environment: strings.TrimSpace(typed.Get("environment")), Plan: strings.TrimSpace(typed.Get("plan"))}
	if typed.Has("owner") {
		owner := strings.TrimSpace(typed.Get("owner"))
		q.Owner = &owner
	}
	var faults []fieldError
	q.Scopes = typedScopes(typed)
	q.Networks, faults = typedNetworks(typed, faults)
	q.ExpiresAt, faults = typedExpiry(made, typed.Get("expires"), faults)
	return q, invalidFields(append(faults, c.h.check(q)...))
}

func typedScopes(typed url.Values) []string {
	var scopes []string
	for _, text := range typed["scopes"] {
		scopes = append(scopes, words(text)...)
	}
	return scopes
}

func typedNetworks(typed url.Values, faults []fieldError) ([]network, []fieldError) {
	var all []network
	fault, more := "", 0
	line := 0
	for text := range strings.Lines(typed.Get("networks")) {
		line++
		for _, word := range words(text) {
			var n network
			if err := n.setText(word); err != nil {
				if fault == "" {
					fault = "line " + strconv.Itoa(line) + ", " + strconv.Quote(shortened(word)) + ": " + err.Error()
				} else {
					more++
				}
			}
			all = append(all, n)
		}
	}
	if more > 0 {
		fault += " (and " + plural(more, "more fault") + ")"
	}
	if fault != "" {
		faults = append(faults, fieldError{Pointer: "/networks", Detail: fault})
	}
	return all, faults
}

// typedExpiry reads a preset: days from a given time, 0 for never (nil).
func typedExpiry(from time.Time, days string, faults []fieldError) (*instant, []fieldError) {
	if days = strings.TrimSpace(days); days == "" || days == "0" {
		return nil, faults
	}
	n, err := strconv.Atoi(days)
	if err != nil || n < 1 || n > 3660 {
		return nil, append(faults, fieldError{Pointer: "/expires", Detail: "choose one of the list"})
	}
	return &instant{from.AddDate(0, 0, n).Truncate(time.Second)}, faults
}

// shortened is the beginning of what somebody typed.
func shortened(text string) string {
	if len(text) > 64 {
		return strings.ToValidUTF8(text[:64], "") + "…"
	}
	return text
}

// words splits a list as people write them.
func words(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || unicode.IsSpace(r) })
}

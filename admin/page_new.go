package admin

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/wontopos/latchkey/apikey"
)

// purposeCreate is what the form of a new key is for.
const purposeCreate = "create"

// newBody is the form of a new key, with what was typed and what is wrong.
type newBody struct {
	Nonce        string
	Name, Owner  string
	Environments []choice
	Plans        []choice // empty: the plan is typed
	Plan         string
	Catalogue    []choice // empty: scopes are typed
	Scopes       string
	Expiries     []choice
	Networks     string
	Errors       map[string]string // by field
	Error        string            // of no field
}

type choice struct {
	Value, Text, Detail string
	Chosen              bool
}

func (c *call) pageNew() error { return c.newForm(http.StatusOK, nil, "", nil) }

// newForm shows the form: empty, or again with what was typed.
func (c *call) newForm(status int, typed map[string][]string, message string, faults []fieldError) error {
	field := func(name, otherwise string) string {
		if v := typed[name]; len(v) > 0 {
			return v[0]
		}
		return otherwise
	}
	b := newBody{
		Nonce: c.h.forms.issue(formsOf(&c.actor), purposeCreate),
		Name:  field("name", ""), Owner: field("owner", ""), Networks: field("networks", ""),
		Scopes: strings.Join(typed["scopes"], " "), Error: message, Errors: make(map[string]string),
	}
	for _, f := range faults {
		name, _, _ := strings.Cut(strings.TrimPrefix(f.Pointer, "/"), "/")
		switch {
		case !slices.Contains(newFields, name):
			b.Error = strings.TrimPrefix(f.Pointer+f.Parameter+": "+f.Detail, "/")
		case b.Errors[name] == "":
			b.Errors[name] = f.Detail
		}
	}
	for i, e := range c.h.keys.Environments() {
		chosen := field("environment", "") == e.Name || i == 0 && field("environment", "") == ""
		b.Environments = append(b.Environments, choice{Value: e.Name, Text: e.Name, Detail: e.BaseURL, Chosen: chosen})
	}
	b.Plan = field("plan", c.h.keys.DefaultPlan())
	if allowed := c.actor.plans(c.h.keys); allowed != nil {
		b.Plan = field("plan", allowed[0])
	}
	for _, p := range c.choosablePlans() {
		b.Plans = append(b.Plans, choice{Value: p.Name, Text: p.Name, Detail: describePlan(p), Chosen: p.Name == b.Plan})
	}
	for _, s := range c.h.keys.Scopes() {
		b.Catalogue = append(b.Catalogue, choice{Value: s.Name, Text: s.Name, Detail: s.Description, Chosen: slices.Contains(typed["scopes"], s.Name)})
	}
	for _, days := range []int{0, 7, 30, 90, 365} {
		e := choice{Value: strconv.Itoa(days), Text: "never", Chosen: field("expires", "0") == strconv.Itoa(days)}
		if days > 0 {
			e.Text = "in " + strconv.Itoa(days) + " days, on " + c.now.AddDate(0, 0, days).UTC().Format("2 January 2006")
		}
		b.Expiries = append(b.Expiries, e)
	}
	return c.page(status, "new", "Create a key", b)
}

// choosablePlans are the plans that the actor may give to a key, as far as
// their numbers are known here.
func (c *call) choosablePlans() []apikey.Plan {
	all, allowed := c.h.keys.Plans(), c.actor.plans(c.h.keys)
	if allowed == nil {
		return all
	}
	var some []apikey.Plan
	for _, name := range allowed {
		if i := slices.IndexFunc(all, func(p apikey.Plan) bool { return p.Name == name }); i >= 0 {
			some = append(some, all[i])
		} else if len(all) == 0 {
			some = append(some, apikey.Plan{Name: name}) // a PlanSource has its numbers
		}
	}
	return some
}

func describePlan(p apikey.Plan) string {
	if p.Unlimited {
		return "unlimited"
	}
	return planText(p.Limits)
}

// newFields are the fields of the form.
var newFields = []string{"name", "owner", "environment", "plan", "scopes", "expires", "networks"}

// pageCreate makes the key of a form, once, and shows its secret. The answer
// is no redirect: a secret has no address.
func (c *call) pageCreate() error {
	typed, err := c.input(append([]string{"form"}, newFields...)...)
	if err != nil {
		return err
	}
	actor, nonce := formsOf(&c.actor), typed.Get("form")
	switch state, made := c.h.forms.begin(actor, nonce, purposeCreate); state {
	case formSpent, formBusy:
		return c.again(made, "This form has already made its key", "new", "Create another key")
	case formUnknown:
		return c.newForm(http.StatusConflict, typed, "This form is too old to be taken. Nothing was created: check what you typed and send it again.", nil)
	}
	k, token, err := c.createFrom(typed)
	if err != nil {
		c.h.forms.abandon(actor, nonce)
		f := c.failureOf(err)
		c.logFailure(f, err)
		p := c.problem(f)
		message := ""
		if len(p.Errors) == 0 {
			message = p.Detail
		}
		return c.newForm(p.Status, typed, message, p.Errors)
	}
	c.h.forms.spend(actor, nonce, k.ID)
	return c.reveal(&k, token, "Your new key")
}

func (c *call) createFrom(typed map[string][]string) (apikey.Key, apikey.Token, error) {
	q, err := c.createRequest(typed)
	if err != nil {
		return apikey.Key{}, apikey.Token{}, err
	}
	n, err := c.newKey(q)
	if err != nil {
		return apikey.Key{}, apikey.Token{}, err
	}
	k, token, err := c.h.keys.Create(c.r.Context(), c.by(), n)
	if e, ok := errors.AsType[*apikey.Error](err); ok && e.Field == "expires_at" {
		err = &apikey.Error{Code: e.Code, Field: "expires", Msg: e.Msg}
	}
	return k, token, err
}

// createRequest reads the form as the API's body, so that both are judged
// alike.
func (c *call) createRequest(typed map[string][]string) (*createRequest, error) {
	one := func(name string) string {
		if v := typed[name]; len(v) > 0 {
			return strings.TrimSpace(v[0])
		}
		return ""
	}
	q := &createRequest{Name: one("name"), Environment: one("environment"), Plan: one("plan")}
	if _, sent := typed["owner"]; sent {
		owner := one("owner")
		q.Owner = &owner
	}
	for _, text := range typed["scopes"] {
		q.Scopes = append(q.Scopes, words(text)...)
	}
	var faults []fieldError
	for _, text := range words(one("networks")) {
		var n network
		if err := n.setText(text); err != nil && len(faults) == 0 {
			faults = append(faults, fieldError{Pointer: "/networks", Detail: err.Error()})
		}
		q.Networks = append(q.Networks, n)
	}
	if days := one("expires"); days != "" && days != "0" {
		n, err := strconv.Atoi(days)
		if err != nil || n < 1 || n > 3660 {
			faults = append(faults, fieldError{Pointer: "/expires", Detail: "choose one of the list"})
		}
		q.ExpiresAt = &instant{c.now.AddDate(0, 0, min(max(n, 0), 3660)).Truncate(time.Second)}
	}
	return q, invalidFields(append(faults, c.h.check(q)...))
}

// words splits a list as people write them.
func words(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || unicode.IsSpace(r) })
}

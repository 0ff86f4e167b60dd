package admin

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/wontopos/latchkey/internal/bounds"
)

// params reads the query string of an API request. It collects faults, which
// err returns.
type params struct {
	values url.Values
	faults []fieldError
}

// maxParameter bounds a parameter, in bytes: no field that can be searched for
// is longer.
const maxParameter = 1024

// params reads the parameters that the route knows. Others are refused: a
// mistyped filter would silently list everything.
func (c *call) params(known ...string) *params {
	values, err := url.ParseQuery(c.r.URL.RawQuery)
	p := &params{values: values}
	if err != nil {
		p.fault("", "the query string is malformed")
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		switch {
		case !slices.Contains(known, name):
			p.fault(clipName(name), "is not known here")
		case len(values[name]) > 1:
			p.fault(name, "is duplicated")
		case len(values.Get(name)) > maxParameter || !bounds.Storable(values.Get(name)):
			p.fault(name, fmt.Sprintf("must be UTF-8 text without NUL of at most %d bytes", maxParameter))
		}
	}
	return p
}

func (p *params) fault(parameter, detail string) {
	if len(p.faults) < maxFaults {
		p.faults = append(p.faults, fieldError{Parameter: parameter, Detail: detail})
	}
}

func (p *params) err() error { return invalidFields(p.faults) }

func (p *params) text(name string) string { return p.values.Get(name) }

// limit is a page's size.
func (p *params) limit() int { return p.limitOf(100, 1000) }

// limitOf returns the maximum number of results.
func (p *params) limitOf(otherwise, most int) int {
	text := p.text("limit")
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		p.fault("limit", fmt.Sprintf("must be a number from 1 to %d", most))
		return otherwise
	}
	return n
}

func (p *params) number(name string) uint64 {
	text := p.text(name)
	if text == "" {
		return 0
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		p.fault(name, "must be a whole number")
	}
	return n
}

func (p *params) flag(name string) bool {
	switch p.text(name) {
	case "true":
		return true
	case "", "false":
	default:
		p.fault(name, "must be true or false")
	}
	return false
}

func (p *params) duration(name string, otherwise time.Duration) time.Duration {
	text := p.text(name)
	if text == "" {
		return otherwise
	}
	var d duration
	if err := d.setText(text); err != nil {
		p.fault(name, err.Error())
	} else if d < 0 {
		p.fault(name, "must not be negative")
	}
	return time.Duration(d)
}

func (p *params) instant(name string, otherwise time.Time) time.Time {
	text := p.text(name)
	if text == "" {
		return otherwise
	}
	var t instant
	if err := t.setText(text); err != nil {
		p.fault(name, err.Error())
	}
	return t.Time
}

// owner returns whose keys to select: a customer's own, whatever they ask for;
// an operator's choice, empty for all.
func (c *call) owner(p *params) string {
	if c.actor.operator() {
		return p.text("owner")
	}
	if p.values.Has("owner") {
		p.fault("owner", "you see the keys of your own account: leave it out")
	}
	return c.actor.Owner
}

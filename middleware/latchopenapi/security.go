package latchopenapi

import (
	"errors"
	"fmt"
	"slices"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
)

// Door returns the door of an operation with a security requirement, as the
// package documentation says, and reports whether there is none because anybody
// may call the operation. It is for adapters of frameworks that make their
// document themselves. A nil security is an error: it says nothing.
func Door(guards map[string]*middleware.Guard, security []map[string][]string, cost int64) (d *middleware.Door, public bool, err error) {
	if security == nil {
		return nil, false, errors.New("names no security: write the scheme and the scopes that it needs, or security: [] if anybody may call it")
	}
	if cost < 0 {
		return nil, false, fmt.Errorf("has the negative cost %d", cost)
	}
	var (
		route  = middleware.Route{Cost: cost}
		needs  []apikey.Requirement
		scheme string
	)
	for _, alternative := range security {
		if len(alternative) > 1 {
			return nil, false, errors.New("needs two security schemes at once: a guard decides a request alone")
		}
		if len(alternative) == 0 {
			route.Optional = true
		}
		for name, scopes := range alternative {
			if scheme != "" && name != scheme {
				return nil, false, fmt.Errorf("has alternatives of the schemes %q and %q: a guard decides a request alone", scheme, name)
			}
			scheme = name
			need, err := requirement(guards[name], scopes)
			if err != nil {
				return nil, false, fmt.Errorf("names the security scheme %q, %w", name, err)
			}
			needs = append(needs, need)
		}
	}
	if len(needs) == 0 {
		return nil, true, nil
	}
	if route.Need, err = apikey.OneOf(needs...); err != nil {
		return nil, false, err
	}
	return guards[scheme].Door(route), false, nil
}

// requirement is what one alternative requires of a key.
func requirement(g *middleware.Guard, scopes []string) (apikey.Requirement, error) {
	if g == nil {
		return apikey.Requirement{}, errors.New("for which there is no guard")
	}
	if len(scopes) == 0 {
		return apikey.AnyKey(), nil
	}
	catalogue := g.Keys().Scopes()
	for _, s := range scopes {
		if len(catalogue) > 0 && !slices.ContainsFunc(catalogue, func(known apikey.Scope) bool { return known.Name == s }) {
			return apikey.Requirement{}, fmt.Errorf("with the scope %q, which is not in the catalogue of its service", s)
		}
	}
	need, err := apikey.AllOf(scopes...)
	if err != nil {
		return need, fmt.Errorf("with a scope that no key can have: %w", err)
	}
	return need, nil
}

package admin

import (
	"slices"
	"strings"

	"github.com/wontopos/latchkey/apikey"
)

// scopeGrid is the catalogue of scopes as a table: one row per resource, with
// separate columns for reading and writing.
type scopeGrid struct {
	Rows     []scopeRow
	HasOther bool
}

// tell adds when the granted scopes were last used.
func (g *scopeGrid) tell(uses []scopeUse) {
	for _, row := range g.Rows {
		for _, column := range [][]choice{row.Read, row.Write, row.Other} {
			for i := range column {
				at := slices.IndexFunc(uses, func(u scopeUse) bool { return u.Scope == column[i].Value })
				if at >= 0 {
					column[i].Use = uses[at].Use.Text
				}
			}
		}
	}
}

type scopeRow struct {
	Resource           string
	Read, Write, Other []choice
}

// newScopeGrid lays out the catalogue, with the chosen scopes ticked. A chosen
// scope that is not in it ("orders:*") gets a place, too: a form must not take
// away what it does not show. Without a catalogue there are no rows.
func newScopeGrid(catalogue []apikey.Scope, chosen []string) scopeGrid {
	var g scopeGrid
	if len(catalogue) == 0 {
		return g
	}
	all := slices.Clone(catalogue)
	for _, text := range chosen {
		for _, name := range words(text) {
			if !slices.ContainsFunc(all, func(s apikey.Scope) bool { return s.Name == name }) {
				all = append(all, apikey.Scope{Name: name})
			}
		}
	}
	for _, s := range all {
		resource, action := s.Name, ""
		if i := strings.LastIndexByte(s.Name, ':'); i >= 0 {
			resource, action = s.Name[:i], s.Name[i+1:]
		}
		at := slices.IndexFunc(g.Rows, func(r scopeRow) bool { return r.Resource == resource })
		if at < 0 {
			at, g.Rows = len(g.Rows), append(g.Rows, scopeRow{Resource: resource})
		}
		row := &g.Rows[at]
		c := choice{Value: s.Name, Text: s.Name, Detail: s.Description, Chosen: slices.Contains(chosen, s.Name)}
		switch action {
		case "read":
			row.Read = append(row.Read, c)
		case "write":
			row.Write = append(row.Write, c)
		default:
			row.Other, g.HasOther = append(row.Other, c), true
		}
	}
	return g
}

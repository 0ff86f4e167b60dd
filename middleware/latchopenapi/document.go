package latchopenapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/wontopos/latchkey/middleware"
)

// document is what the guard reads of an OpenAPI document.
type document struct {
	Security   []map[string][]string                 `json:"security"`
	Paths      map[string]map[string]json.RawMessage `json:"paths"`
	Components struct {
		SecuritySchemes map[string]json.RawMessage `json:"securitySchemes"`
	} `json:"components"`
}

// operation is one of the document's.
type operation struct {
	Security []map[string][]string `json:"security"` // nil if there is none, unlike []
	Cost     int64                 `json:"x-latchkey-cost"`

	door *middleware.Door // nil if anybody may call it
}

var methods = []string{"get", "put", "post", "delete", "options", "head", "patch", "trace", "query"}

// operations are those of a document, by method and path as [named] writes them.
// An error has a line for each mistake.
func operations(raw []byte, guards map[string]*middleware.Guard) (map[string]*operation, error) {
	var doc document
	if err := json.Unmarshal(raw, &doc); err != nil {
		return nil, fmt.Errorf("latchopenapi: the document is not OpenAPI in JSON: %w", err)
	}
	var mistakes []error
	mistake := func(format string, args ...any) {
		mistakes = append(mistakes, fmt.Errorf("latchopenapi: "+format, args...))
	}
	for _, scheme := range slices.Sorted(maps.Keys(guards)) {
		if _, ok := doc.Components.SecuritySchemes[scheme]; !ok {
			mistake("the document has no security scheme %q", scheme)
		}
	}
	all := make(map[string]*operation)
	for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
		if _, ok := doc.Paths[path]["$ref"]; ok {
			mistake("the path %s is a $ref: resolve it first", path)
		}
		for _, method := range methods {
			raw, ok := doc.Paths[path][method]
			if !ok {
				continue
			}
			name, op := strings.ToUpper(method)+" "+path, new(operation)
			err := json.Unmarshal(raw, op)
			if op.Security == nil {
				op.Security = doc.Security
			}
			if err == nil {
				op.door, _, err = Door(guards, op.Security, op.Cost)
			}
			if err != nil {
				mistake("%s %w", name, err)
			}
			key := named(name)
			if all[key] != nil {
				mistake("%s is in the document under another name, too", name)
			}
			all[key], all[name] = op, op // routers that keep the document's names are found at once
		}
	}
	if len(all) == 0 {
		mistake("the document has no operations")
	}
	return all, errors.Join(mistakes...)
}

// named writes a pattern without the names of its parameters, which routers spell
// as they like: "GET /things/{id}" becomes "GET /things/{}".
func named(pattern string) string {
	pattern = strings.TrimSuffix(pattern, "{$}") // of http.ServeMux: nothing may follow
	var b strings.Builder
	for {
		before, from, ok := strings.Cut(pattern, "{")
		inner, after, closed := strings.Cut(from, "}")
		if !ok || !closed {
			b.WriteString(pattern)
			return b.String()
		}
		b.WriteString(before)
		b.WriteString("{")
		if strings.HasSuffix(inner, "...") { // of http.ServeMux: any number of segments, which OpenAPI does not have
			b.WriteString("...")
		}
		b.WriteString("}")
		pattern = after
	}
}

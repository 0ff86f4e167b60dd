package openapi

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// Body is what an operation takes.
type Body struct {
	Method, Path string
	Schema       *openapi3.Schema
}

// Bodies lists the JSON bodies of all operations, in the order of their names.
func (a *API) Bodies() (all []Body) {
	for name, operation := range a.operations {
		if operation.RequestBody == nil {
			continue
		}
		method, path, _ := strings.Cut(name, " ")
		all = append(all, Body{method, path, operation.RequestBody.Value.Content["application/json"].Schema.Value})
	}
	slices.SortFunc(all, func(a, b Body) int { return strings.Compare(a.Path+a.Method, b.Path+b.Method) })
	return all
}

// Allows returns why a value does not fit a schema.
func (a *API) Allows(schema *openapi3.Schema, value any) error {
	raw, err := json.Marshal(value)
	if err != nil {
		return err
	}
	var plain any
	if err := decode(&plain, string(raw)); err != nil {
		return err
	}
	return a.doc.ValidateSchemaJSON(schema, plain, openapi3.EnableJSONSchema2020())
}

// Ungenerable returns what generators of clients do not take.
func (a *API) Ungenerable() (faults []string) {
	c := a.doc.Components
	for name := range c.Schemas {
		if c.Parameters[name] != nil || c.Responses[name] != nil || c.Headers[name] != nil || c.RequestBodies[name] != nil {
			faults = append(faults, name+" is a schema and something else")
		}
	}
	for name, operation := range a.operations {
		if method, _, _ := strings.Cut(name, " "); operation.RequestBody != nil && (method == http.MethodDelete || method == http.MethodGet) {
			faults = append(faults, name+" has a body")
		}
	}
	seen := map[*openapi3.Schema]bool{}
	var walk func(at string, ref *openapi3.SchemaRef)
	walk = func(at string, ref *openapi3.SchemaRef) {
		if ref == nil || ref.Value == nil || seen[ref.Value] {
			return
		}
		s := ref.Value
		seen[s] = true
		if types := slices.DeleteFunc(slices.Clone(s.Type.Slice()), func(t string) bool { return t == "null" }); len(types) > 1 {
			faults = append(faults, at+" has the types "+strings.Join(types, ", "))
		}
		for name, property := range s.Properties {
			walk(at+"."+name, property)
		}
		walk(at+"[]", s.Items)
		walk(at+"{}", s.AdditionalProperties.Schema)
		for _, some := range [][]*openapi3.SchemaRef{s.AllOf, s.AnyOf, s.OneOf} {
			for _, one := range some {
				walk(at, one)
			}
		}
	}
	for name, schema := range c.Schemas {
		walk(name, schema)
	}
	slices.Sort(faults)
	return faults
}

package openapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/admin"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage/memstore"
)

// maker makes JSON values that a schema allows, from its text alone.
type maker struct{ *rand.Rand }

func (m maker) value(schema *openapi3.Schema, depth int) any {
	switch {
	case len(schema.AnyOf) > 0:
		return m.value(schema.AnyOf[m.IntN(len(schema.AnyOf))].Value, depth)
	case len(schema.Enum) > 0:
		return schema.Enum[m.IntN(len(schema.Enum))]
	}
	types := schema.Type.Slice()
	switch types[m.IntN(len(types))] {
	case "null":
		return nil
	case "boolean":
		return m.IntN(2) == 0
	case "integer":
		least, most := int64(0), int64(1)<<32
		if schema.Min != nil {
			least = int64(*schema.Min)
		}
		if schema.Max != nil {
			most = int64(*schema.Max)
		}
		return []int64{least, most, least + m.Int64N(most-least+1)}[m.IntN(3)]
	case "array":
		most := uint64(5)
		if schema.MaxItems != nil && (m.IntN(4) == 0 || *schema.MaxItems < most) {
			most = *schema.MaxItems
		}
		all := []any{}
		for range m.Uint64N(most + 1) {
			all = append(all, m.value(schema.Items.Value, depth+1))
		}
		return all
	case "object":
		all := map[string]any{}
		for name, property := range schema.Properties {
			if slices.Contains(schema.Required, name) || m.IntN(2) == 0 {
				all[name] = m.value(property.Value, depth+1)
			}
		}
		if extra := schema.AdditionalProperties.Schema; extra != nil {
			for range m.IntN(3) {
				all[strings.ReplaceAll(m.text(1, 20), "\x00", "0")] = m.value(extra.Value, depth+1)
			}
		}
		return all
	}
	if schema.Format == "date-time" {
		return time.Now().Add(time.Duration(1+m.IntN(1000)) * time.Hour).Format(time.RFC3339)
	}
	if schema.Pattern != "" && strings.Contains(schema.Pattern, "[a-z0-9_-]") {
		return fmt.Sprint("limit-", m.IntN(1000))
	}
	most := 40
	if schema.MaxLength != nil && m.IntN(3) == 0 {
		most = int(*schema.MaxLength)
	}
	for {
		text := m.text(int(schema.MinLength), most)
		if schema.Pattern == "" || regexp.MustCompile(schema.Pattern).MatchString(text) {
			return text
		}
	}
}

func (m maker) text(least, most int) string {
	var b strings.Builder
	if m.IntN(8) == 0 && most > 1 { // what no line of text holds
		b.WriteRune([]rune("\x00\n\t\x7f\u0085\u061c\u200e\u2028\u202e\u2069 ")[m.IntN(11)])
		least, most = max(least-1, 0), most-1
	}
	for range least + m.IntN(most-least+1) {
		b.WriteRune([]rune("abcXYZ019 -_:*/.é日🔑\"'<\\")[m.IntN(23)])
	}
	return b.String()
}

// wrong changes one thing in a value, so that it may not fit any more.
func (m maker) wrong(v any) any {
	odd := []any{nil, true, -1.5, "text", []any{}, map[string]any{"colour": "red"}}[m.IntN(6)]
	switch v := v.(type) {
	case map[string]any:
		all := map[string]any{}
		names := []string{}
		for name, value := range v {
			all[name], names = value, append(names, name)
		}
		slices.Sort(names)
		switch n := m.IntN(len(names) + 2); {
		case n < len(names):
			all[names[n]] = m.wrong(all[names[n]])
		case n == len(names):
			all["colour"] = odd
		case len(names) > 0:
			delete(all, names[m.IntN(len(names))])
		}
		return all
	case []any:
		if len(v) > 0 && m.IntN(2) == 0 {
			all := slices.Clone(v)
			i := m.IntN(len(all))
			all[i] = m.wrong(all[i])
			return all
		}
	}
	return odd
}

// shapeFault is what the handler says of a body that has another shape than it
// takes.
var shapeFault = regexp.MustCompile(`^(must be (a string|a whole number|true or false|an array|an object)$|must be a whole number of seconds|must not be null|is not known here|is duplicated|must be one line|names must not be empty|give the key a name|may have at most|may be at most|must be at least)`)

// TestBodies: the handler takes every body that the document allows, but for a
// reason of its own, and refuses every body that the document forbids.
func TestBodies(t *testing.T) {
	t.Parallel()
	api := document(t)
	seed := uint64(time.Now().UnixNano())
	m := maker{rand.New(rand.NewPCG(seed, 0))}
	quiet := slog.New(slog.DiscardHandler)
	keys, err := latchkey.New(memstore.New(), latchkey.Options{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = keys.Close(context.Background()) })
	h, err := admin.New(keys, func(*http.Request) (admin.Actor, error) { return admin.Actor{ID: "o", Role: admin.Operator}, nil }, admin.Options{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	send := func(method, path string, body any) (status int, answer, sent string) {
		k, _, err := keys.Create(t.Context(), apikey.Actor{ID: "o"}, latchkey.NewKey{Name: "n", Owner: "o"})
		if err != nil {
			t.Fatal(err)
		}
		raw, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequestWithContext(t.Context(), method, strings.ReplaceAll(path, "{id}", k.ID), bytes.NewReader(raw))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code, w.Body.String(), string(raw)
	}
	rounds := 40
	good, bad := 0, 0
	for _, b := range api.Bodies() {
		for range rounds {
			body := m.value(b.Schema, 0)
			status, answer, sent := send(b.Method, b.Path, body)
			var p struct {
				Errors []struct{ Pointer, Detail string }
			}
			_ = json.Unmarshal([]byte(answer), &p)
			for _, fault := range p.Errors {
				if shapeFault.MatchString(fault.Detail) {
					t.Errorf("seed %d: %s %s refuses what the document allows: %s: %s\n%s", seed, b.Method, b.Path, fault.Pointer, fault.Detail, sent)
				}
			}
			if status == 400 || status == 413 || status == 415 || status >= 500 {
				t.Errorf("seed %d: %s %s answers %d to what the document allows: %s\n%s", seed, b.Method, b.Path, status, answer, sent)
			}
			good++
			changed := m.wrong(body)
			if _, object := changed.(map[string]any); !object || api.Allows(b.Schema, changed) == nil {
				continue
			}
			if status, answer, sent := send(b.Method, b.Path, changed); status < 400 || status >= 500 {
				t.Errorf("seed %d: %s %s takes what the document forbids (%v): %d %s\n%s", seed, b.Method, b.Path, api.Allows(b.Schema, changed), status, answer, sent)
			}
			bad++
		}
	}
	if good < 300 || bad < 100 {
		t.Errorf("%d allowed and %d forbidden bodies: this proves little", good, bad)
	}
}

// TestGeneratorsTakeIt: the document has what generators of clients for Go and
// TypeScript fail on: several types of one value besides null, a schema and a
// parameter or response of one name, and bodies of GET and DELETE.
func TestGeneratorsTakeIt(t *testing.T) {
	t.Parallel()
	for _, fault := range document(t).Ungenerable() {
		t.Error(fault)
	}
}

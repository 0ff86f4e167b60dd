package histories

import (
	"cmp"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/wontopos/latchkey/apikey"
)

// model makes a model of one key for porcupine: a store with so many views, or
// one atomic object with none.
func model(views int) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return begin() },
		Step: func(s, in, out any) (bool, any) {
			next, ok := s.(state).step(views, in.(input), out.(output))
			return ok, next
		},
		Equal: func(a, b any) bool {
			s, o := a.(state), b.(state)
			return s.head == o.head && s.seen == o.seen && slices.Equal(s.versions, o.versions)
		},
		Hash:              func(s any) uint64 { return s.(state).head<<8 | uint64(len(s.(state).versions)) },
		DescribeOperation: func(in, out any) string { return describe(in.(input), out.(output)) },
		DescribeState:     func(s any) string { return s.(state).String() },
	}
}

// atomicPart leaves out what reads the store alone, and says so before the
// views have come to it: gets, refused changes, and creations by others.
func atomicPart(history []porcupine.Operation) []porcupine.Operation {
	return slices.DeleteFunc(slices.Clone(history), func(o porcupine.Operation) bool {
		in, out := o.Input.(input), o.Output.(output)
		return in.kind == get || in.kind == inForce || in.kind != verify && !out.lost && out.code != apikey.OK
	})
}

// never is when a call returns whose outcome is not known: its change may happen
// at any time.
const never = math.MaxInt64

// patience bounds the search for one key.
const patience = time.Minute

// check looks for an order that explains the history of each key.
func check(t testing.TB, views int, history []porcupine.Operation) {
	t.Helper()
	m := model(views)
	for key, of := range byKey(history) {
		switch porcupine.CheckOperationsTimeout(m, of, patience) {
		case porcupine.Ok:
			continue
		case porcupine.Unknown:
			t.Errorf("porcupine has not found out within %v about the %d operations of key %s: let fewer clients share a key, or lose fewer answers",
				patience, len(of), key)
			continue
		}
		_, info := porcupine.CheckOperationsVerbose(m, of, patience)
		page := filepath.Join(t.ArtifactDir(), key+".html")
		if err := porcupine.VisualizePath(m, info, page); err != nil {
			page = err.Error()
		}
		t.Errorf("no order of its operations explains what key %s answered (%s): see %s (kept with -artifacts) or\n%s",
			key, holds(views), page, text(of))
	}
}

func holds(views int) string {
	if views == 0 {
		return "as one atomic object"
	}
	return fmt.Sprintf("as a store with %d views", views)
}

func byKey(history []porcupine.Operation) map[string][]porcupine.Operation {
	parts := make(map[string][]porcupine.Operation)
	for _, o := range history {
		key := o.Input.(input).key
		parts[key] = append(parts[key], o)
	}
	return parts
}

// text prints a history in the order of the calls.
func text(history []porcupine.Operation) string {
	var b strings.Builder
	history = slices.SortedFunc(slices.Values(history), func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	for _, o := range history {
		until := fmt.Sprint(o.Return)
		if o.Return == never {
			until = "?"
		}
		fmt.Fprintf(&b, "%8d to %-8s client %-3d %s\n", o.Call, until, o.ClientId, describe(o.Input.(input), o.Output.(output)))
	}
	return b.String()
}

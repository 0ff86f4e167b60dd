package chains

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
)

// place is where a layer is.
type place string

const (
	alone   place = "alone" // no guard
	outside place = "outside"
	inside  place = "inside"
)

// layer is a middleware that people use.
type layer struct {
	name string
	// build makes it, and a test that it does what people use it for.
	build func(t testing.TB) (wrap func(http.Handler) http.Handler, use func(v *visit) string)
	lacks lacks
}

// lacks declares what does not hold: "[PLACE ][PROTOCOL ]COLUMN" is "WHAT IS
// SEEN: WHY".
type lacks map[string]string

func (l lacks) at(p place, protocol, column string) string {
	for _, key := range []string{column, string(p) + " " + column, protocol + " " + column, string(p) + " " + protocol + " " + column} {
		if why := l[key]; why != "" {
			return why
		}
	}
	return ""
}

var (
	places    = []place{alone, outside, inside}
	protocols = []string{"HTTP/1.1", "HTTP/2"}
)

// cell is what was seen in one place of the table.
type cell struct{ seen, declared string }

// TestMiddlewareAroundAndInsideTheGuard is the table of what holds with which
// middleware, alone, outside the guard and inside it. Whatever does not hold is
// declared, and fails the test as soon as it does hold.
func TestMiddlewareAroundAndInsideTheGuard(t *testing.T) {
	var mu sync.Mutex
	cells := map[string]cell{}
	t.Run("table", func(group *testing.T) {
		for i := range layers {
			for _, p := range places {
				for _, protocol := range protocols {
					l, row := &layers[i], rowOf(&layers[i], p, protocol)
					group.Run(row, func(t *testing.T) {
						t.Parallel()
						s := open(lasting{t, group}, l, p, protocol)
						for _, c := range columns {
							if !c.in(p, protocol) {
								continue
							}
							got := cell{declared: l.lacks.at(p, protocol, c.name)}
							for range tries() {
								v := s.enter(t)
								got.seen = c.look(v)
								if want, _, _ := strings.Cut(got.declared, ":"); got.seen != want {
									t.Errorf("%s, %s: seen %q, declared %q %q", row, c.name, got.seen, got.declared, v.details)
									break
								}
							}
							mu.Lock()
							cells[row+" "+c.name] = got
							mu.Unlock()
						}
					})
				}
			}
		}
	})
	t.Log("\n" + drawn(cells))
}

// lasting cleans up when all rows are done: a server waits half a second for a
// connection that it closed after a 413, and no row should wait for that.
type lasting struct {
	testing.TB
	group testing.TB
}

func (l lasting) Cleanup(f func()) { l.group.Cleanup(f) }

func rowOf(l *layer, p place, protocol string) string {
	return protocol + " " + l.name + ", " + string(p)
}

func tries() int {
	if os.Getenv("LATCHKEY_LONG") != "" {
		return 10
	}
	return 1
}

// drawn is the table as people read it, with the reasons below.
func drawn(cells map[string]cell) string {
	var out bytes.Buffer
	notes, number := []string{}, map[string]int{}
	for _, protocol := range protocols {
		tab := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
		fmt.Fprint(tab, protocol, "\t")
		for _, c := range columns {
			fmt.Fprint(tab, "\t", c.name)
		}
		fmt.Fprintln(tab)
		for i := range layers {
			for _, p := range places {
				fmt.Fprint(tab, layers[i].name, "\t", p)
				for _, c := range columns {
					got, tried := cells[rowOf(&layers[i], p, protocol)+" "+c.name]
					text := "ok"
					switch want, _, _ := strings.Cut(got.declared, ":"); {
					case !tried:
						text = "–"
					case got.seen != want:
						text = "WRONG"
					case got.declared != "":
						if number[got.declared] == 0 {
							notes = append(notes, got.declared)
							number[got.declared] = len(notes)
						}
						text = fmt.Sprintf("(%d)", number[got.declared])
					}
					fmt.Fprint(tab, "\t", text)
				}
				fmt.Fprintln(tab)
			}
		}
		_ = tab.Flush()
		fmt.Fprintln(&out)
	}
	for i, note := range notes {
		fmt.Fprintf(&out, "(%d) %s\n", i+1, note)
	}
	return out.String()
}

// TestEveryDeclarationNamesACell: a declaration for a column or place that does
// not exist would excuse nothing, and look as if it did.
func TestEveryDeclarationNamesACell(t *testing.T) {
	keys := map[string]bool{}
	for _, c := range columns {
		for _, p := range places {
			for _, protocol := range protocols {
				if c.in(p, protocol) {
					for _, before := range []string{"", string(p) + " ", protocol + " ", string(p) + " " + protocol + " "} {
						keys[before+c.name] = true
					}
				}
			}
		}
	}
	for _, l := range layers {
		for _, key := range slices.Sorted(maps.Keys(l.lacks)) {
			if seen, why, _ := strings.Cut(l.lacks[key], ": "); !keys[key] || seen == "" || why == "" {
				t.Errorf("%s: %q: %q is not the declaration of a cell", l.name, key, l.lacks[key])
			}
		}
	}
}

package latchconnect

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/wontopos/latchkey/middleware"
)

// Methods says who may call which methods. A name is a procedure as generated code
// names it, "/things.v1.Things/List", or "/things.v1.Things/*" for the methods of a
// service that are not named themselves. A method that has no row is refused.
type Methods struct {
	// Guarded says what a method requires of a key.
	Guarded map[string]middleware.Route
	// Public names the methods that anybody may call. Their keys are not looked at.
	Public []string
}

// doors finds the door of a method by its name. That of a public one is nil.
type doors map[string]*middleware.Door

var methodName = regexp.MustCompile(`^/[^/*]+/([^/*]+|\*)$`)

func (m Methods) doors(g *middleware.Guard) doors {
	all := make(doors)
	add := func(name string, d *middleware.Door) {
		if !methodName.MatchString(name) {
			panic(fmt.Sprintf("latchconnect: %q is no name of a method: write it like /things.v1.Things/List or /things.v1.Things/*", name))
		}
		if _, twice := all[name]; twice {
			panic(fmt.Sprintf("latchconnect: Methods.Public: %s is guarded or duplicated", name))
		}
		all[name] = d
	}
	for name, route := range m.Guarded {
		add(name, g.Door(route))
	}
	for _, name := range m.Public {
		add(name, nil)
	}
	return all
}

// of returns the door of a method; false if it has no row.
func (d doors) of(method string) (door *middleware.Door, ok bool) {
	if door, ok = d[method]; !ok {
		door, ok = d[method[:strings.LastIndexByte(method, '/')+1]+"*"]
	}
	return door, ok
}

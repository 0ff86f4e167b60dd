package middleware

import (
	"fmt"
	"regexp"
	"strings"
)

var methodName = regexp.MustCompile(`^/[^/*]+/([^/*]+|\*)$`)

// Methods makes a door for each method of a table, and returns what finds it, for
// adapters of remote procedure calls. A name is "/things.v1.Things/List", or
// "/things.v1.Things/*" for the methods of a service that are not named themselves.
// Public methods have no door and are known; a method that is not known must be
// refused. It is for setting up a program, and panics on a mistake.
func (g *Guard) Methods(guarded map[string]Route, public []string) (find func(method string) (d *Door, known bool)) {
	doors := make(map[string]*Door)
	add := func(name string, d *Door) {
		if !methodName.MatchString(name) {
			panic(fmt.Sprintf("middleware: %q is no name of a method: write it like /things.v1.Things/List or /things.v1.Things/*", name))
		}
		if _, twice := doors[name]; twice {
			panic(fmt.Sprintf("middleware: the method %s is public, and guarded or duplicated", name))
		}
		doors[name] = d
	}
	for name, route := range guarded {
		add(name, g.Door(route))
	}
	for _, name := range public {
		add(name, nil)
	}
	return func(method string) (d *Door, known bool) {
		if d, known = doors[method]; !known {
			d, known = doors[method[:strings.LastIndexByte(method, '/')+1]+"*"]
		}
		return d, known
	}
}

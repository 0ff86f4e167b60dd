package latchgrpc

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/wontopos/latchkey/middleware"
)

// Methods says who may call which methods. A name is a full method name,
// "/things.v1.Things/List", or "/things.v1.Things/*" for the methods of a service
// that are not named themselves. A method that has no row is refused.
type Methods struct {
	// Guarded says what a method requires of a key.
	Guarded map[string]middleware.Route
	// Public names the methods that anybody may call. Their keys are not looked at.
	Public []string
}

// Check returns an error that names each method of the server that has no row, and
// so would be refused, and each row that names nothing the server has. Call it when
// all services are registered, in the program before it serves, or in a test. It is
// not for servers with an UnknownServiceHandler, whose methods nobody knows.
func (m Methods) Check(server *grpc.Server) error {
	idle := make(map[string]bool) // rows that name nothing so far
	for name := range m.Guarded {
		idle[name] = true
	}
	for _, name := range m.Public {
		idle[name] = true
	}
	rows := maps.Clone(idle)
	var wrong []string
	for service, info := range server.GetServiceInfo() {
		all := "/" + service + "/*"
		delete(idle, all)
		for _, method := range info.Methods {
			name := "/" + service + "/" + method.Name
			delete(idle, name)
			if !rows[name] && !rows[all] {
				wrong = append(wrong, fmt.Sprintf("nobody may call %s: add it to Guarded or Public", name))
			}
		}
	}
	for name := range idle {
		wrong = append(wrong, fmt.Sprintf("the server has no %s", name))
	}
	if len(wrong) == 0 {
		return nil
	}
	slices.Sort(wrong)
	return fmt.Errorf("latchgrpc: Methods and the server differ: %s", strings.Join(wrong, "; "))
}

// doors finds the door of a method by its name. That of a public one is nil.
type doors map[string]*middleware.Door

var methodName = regexp.MustCompile(`^/[^/*]+/([^/*]+|\*)$`)

func (m Methods) doors(g *middleware.Guard) doors {
	all := make(doors)
	add := func(name string, d *middleware.Door) {
		if !methodName.MatchString(name) {
			panic(fmt.Sprintf("latchgrpc: %q is no name of a method: write it like /things.v1.Things/List or /things.v1.Things/*", name))
		}
		if _, twice := all[name]; twice {
			panic(fmt.Sprintf("latchgrpc: Methods.Public: %s is guarded or duplicated", name))
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

// of returns the door of a method, or the refusal of a method without one.
func (d doors) of(method string) (*middleware.Door, error) {
	door, ok := d[method]
	if !ok {
		door, ok = d[method[:strings.LastIndexByte(method, '/')+1]+"*"]
	}
	if !ok {
		return nil, refuse(codes.PermissionDenied, "unknown_method",
			fmt.Sprintf("Nobody may call %q: the server's latchgrpc.Methods do not name it. Add it to Guarded or Public.", method), nil)
	}
	return door, nil
}

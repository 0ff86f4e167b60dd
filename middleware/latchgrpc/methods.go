package latchgrpc

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/grpc"

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

package latchfiber_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gofiber/fiber/v3"

	"github.com/wontopos/latchkey/latchkeytest"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/middleware/latchfiber"
)

// said collects what a check says in place of failing the test.
type said struct {
	testing.TB
	lines []string
	log   string
}

func (s *said) Helper()                   {}
func (s *said) Errorf(f string, a ...any) { s.lines = append(s.lines, fmt.Sprintf(f, a...)) }
func (s *said) Logf(f string, a ...any)   { s.log += fmt.Sprintf(f, a...) }

// TestARouteWithoutADoorIsFound: of the application, a group, or a mounted
// application, of any method. Nothing behind a door runs.
func TestARouteWithoutADoorIsFound(t *testing.T) {
	guard := latchkeytest.NewGuard(t, latchkeytest.Options{})
	door := func(need string) fiber.Handler { return latchfiber.Require(guard, middleware.AllOf(need)) }
	never := func(fiber.Ctx) error {
		t.Error("a handler behind a door runs")
		return nil
	}
	open := func(c fiber.Ctx) error { return c.SendString("ok") }
	app := fiber.New()
	app.Use(func(c fiber.Ctx) error { return c.Next() })
	app.Get("/health", open)
	app.Get("/things/:id", door("things:read"), never)
	app.Post("/things", open)
	app.Head("/probe", open)
	app.Get("/probe", door("probe:read"), never)
	group := app.Group("/v1", door("v1:read"))
	group.Get("/files/*", never)
	mounted := fiber.New()
	mounted.Get("/report", door("reports:read"), never)
	mounted.Delete("/report", open)
	app.Use("/mounted", mounted)

	h, routes := latchfiber.Routes(app)
	slices.Sort(routes)
	want := []string{"DELETE /mounted/report", "GET /health", "GET /mounted/report", "GET /probe", "GET /things/:id", "GET /v1/files/*", "HEAD /probe", "POST /things"}
	if !slices.Equal(routes, want) {
		t.Errorf("the routes are %q, want %q", routes, want)
	}
	s := said{TB: t}
	latchkeytest.CheckRoutes(&s, guard, h, routes, "GET /health")
	said := strings.Join(s.lines, "\n")
	for _, route := range []string{"DELETE /mounted/report", "HEAD /probe", "POST /things"} {
		if !strings.Contains(said, route+" is not guarded") {
			t.Errorf("does not say that %s is not guarded:\n%s", route, said)
		}
	}
	if len(s.lines) != 3 {
		t.Errorf("%d complaints, want 3:\n%s", len(s.lines), said)
	}
	for _, line := range []string{"GET /things/:id things:read", "GET /v1/files/* v1:read", "GET /mounted/report reports:read", "GET /health public"} {
		if !strings.Contains(strings.Join(strings.Fields(s.log), " "), line) {
			t.Errorf("the table lacks %q:%s", line, s.log)
		}
	}
}

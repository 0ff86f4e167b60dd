package latchfiber_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/adaptor"
	"github.com/gofiber/fiber/v3/middleware/timeout"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/middleware/latchfiber"
)

// upstream is a stream that waits for something else than its context.
type upstream struct{ released chan struct{} }

func (u upstream) Read(p []byte) (int, error) {
	select {
	case <-u.released:
		return 0, io.EOF
	case <-time.After(time.Millisecond):
		return len(p), nil
	}
}

// TestAnswersThatAreBeingSentAreCut: whatever fiber sends them with.
func TestAnswersThatAreBeingSentAreCut(t *testing.T) {
	released := make(chan struct{})
	defer close(released)
	for name, send := range map[string]fiber.Handler{
		"a stream that ends with its context": func(c fiber.Ctx) error {
			ctx := c.Context()
			return c.SendStreamWriter(func(w *bufio.Writer) {
				_, _ = w.WriteString("data: hello\n\n")
				_ = w.Flush()
				<-ctx.Done()
			})
		},
		"a stream that ends when writing fails": func(c fiber.Ctx) error {
			return c.SendStreamWriter(func(w *bufio.Writer) {
				for w.Flush() == nil {
					_, _ = w.WriteString("data: hello\n\n")
				}
			})
		},
		"a stream that does not end": func(c fiber.Ctx) error { return c.SendStream(upstream{released}) },
		"a stream of known length":   func(c fiber.Ctx) error { return c.SendStream(upstream{released}, 1<<30) },
		"a large answer":             func(c fiber.Ctx) error { return c.Send(make([]byte, 64<<20)) },
	} {
		for _, nested := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				r := setUp(t, middleware.Options{})
				app := fiber.New()
				if nested {
					app.Use(latchfiber.Require(r.guard, middleware.AnyKey()))
				}
				app.Get("/", latchfiber.Require(r.guard, middleware.AllOf("things:read")), send)
				r.serve(app)
				res := r.get("/") // nobody reads on
				if n := r.inFlight(); n != 1 {
					t.Errorf("while the answer is sent 1 request is in flight, got %d", n)
				}
				r.revoke()
				r.broken(res)
			})
		}
	}
}

// TestAnAnswerThatWasSentIsOver: nothing of it stays in flight, however it was sent.
func TestAnAnswerThatWasSentIsOver(t *testing.T) {
	r := setUp(t, middleware.Options{})
	app := fiber.New()
	app.Use(latchfiber.Require(r.guard, middleware.AnyKey()))
	app.Get("/small", func(c fiber.Ctx) error { return c.SendString("fine") })
	app.Get("/large", func(c fiber.Ctx) error { return c.Send(make([]byte, 1<<20)) })
	app.Get("/stream", func(c fiber.Ctx) error { return c.SendStream(strings.NewReader("fine")) })
	app.Get("/error", func(fiber.Ctx) error { return fiber.ErrTeapot })
	r.serve(app)
	for _, path := range []string{"/small", "/large", "/stream", "/error"} {
		_ = r.read(r.get(path))
		r.settles()
	}
}

// TestARefusalReplacesTheAnswer, but for what is from before the door.
func TestARefusalReplacesTheAnswer(t *testing.T) {
	for name, answer := range map[string]fiber.Handler{
		"in memory": func(c fiber.Ctx) error { return c.SendString("finding") },
		"a stream":  func(c fiber.Ctx) error { return c.SendStream(strings.NewReader("finding")) },
		"an error":  func(fiber.Ctx) error { return errors.New("finding") },
		"a connection that is taken over": func(c fiber.Ctx) error {
			c.RequestCtx().HijackSetNoResponse(true)
			c.RequestCtx().Hijack(func(net.Conn) { t.Error("the connection was taken over") })
			return c.SendStatus(fiber.StatusSwitchingProtocols)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := setUp(t, middleware.Options{})
			app := fiber.New()
			app.Use(func(c fiber.Ctx) error {
				c.Set("Access-Control-Allow-Origin", "*")
				c.Set("X-Changed", "before")
				return c.Next()
			})
			app.Get("/", latchfiber.Require(r.guard, middleware.AnyKey()), func(c fiber.Ctx) error {
				r.revoke()
				c.Set("X-Secret-Finding", "42")
				c.Set("X-Changed", "42")
				return answer(c)
			})
			r.serve(app)
			res := r.get("/")
			if body := r.read(res); res.StatusCode != 401 || !strings.Contains(body, `"code":"revoked_key"`) || strings.Contains(body, "finding") {
				t.Errorf("the client gets the refusal, got %d %s", res.StatusCode, body)
			}
			h := res.Header
			if h.Get("X-Secret-Finding") != "" || h.Get("RateLimit") != "" || h.Get("X-Changed") != "before" || h.Get("Access-Control-Allow-Origin") != "*" || !res.Close {
				t.Errorf("the header is that from before the door, and the refusal's: %v", h)
			}
		})
	}
}

// TestAnApplicationShapesRefusals in fiber's way, at the door and when they are cut.
func TestAnApplicationShapesRefusals(t *testing.T) {
	r := setUp(t, middleware.Options{})
	app := fiber.New(fiber.Config{ErrorHandler: func(c fiber.Ctx, err error) error {
		e := new(fiber.Error)
		if !errors.As(err, &e) {
			return err
		}
		return c.Status(e.Code).JSON(fiber.Map{"oops": e.Message})
	}})
	refuse := func(_ fiber.Ctx, o *middleware.Outcome) error { return fiber.NewError(o.Status(), o.Title()) }
	app.Get("/write", latchfiber.Require(r.guard, middleware.AllOf("things:write"), refuse), func(fiber.Ctx) error { return nil })
	app.Get("/cut", latchfiber.Require(r.guard, middleware.AnyKey(), refuse), func(fiber.Ctx) error { r.revoke(); return nil })
	r.serve(app)
	for _, c := range []struct {
		path string
		code apikey.Code
	}{{"/write", apikey.InsufficientScope}, {"/cut", apikey.RevokedKey}} {
		info := c.code.Info()
		res := r.get(c.path)
		if body := r.read(res); res.StatusCode != info.Status || body != `{"oops":"`+info.Title+`"}` || res.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s is answered by the application's ErrorHandler: %d %s %v", c.path, res.StatusCode, body, res.Header)
		}
	}
}

// TestNothingOfTheAnswerIsLeft for a refusal that says little.
func TestNothingOfTheAnswerIsLeft(t *testing.T) {
	r := setUp(t, middleware.Options{})
	app := fiber.New()
	refuse := func(c fiber.Ctx, o *middleware.Outcome) error { return c.SendStatus(o.Status()) }
	app.Get("/", latchfiber.Require(r.guard, middleware.AnyKey(), refuse), func(c fiber.Ctx) error {
		r.revoke()
		return c.SendString("finding")
	})
	r.serve(app)
	res := r.get("/")
	if body := r.read(res); res.StatusCode != 401 || body != "Unauthorized" {
		t.Errorf("the client gets the refusal alone: %d %s", res.StatusCode, body)
	}
}

// TestARequestIsDecidedOnceForAGroupAndItsRoute, and charged as the dearest asks.
func TestARequestIsDecidedOnceForAGroupAndItsRoute(t *testing.T) {
	var codes []apikey.Code
	r := setUp(t, middleware.Options{OnDecision: func(_ context.Context, o middleware.Outcome) { codes = append(codes, o.Code()) }})
	app := fiber.New()
	group := app.Group("/v1", latchfiber.Require(r.guard, middleware.AnyKey()))
	group.Get("/costly", latchfiber.Door(r.guard.Door(middleware.Route{Need: middleware.AllOf("things:read"), Cost: 5})), func(c fiber.Ctx) error {
		if p, ok := latchfiber.Principal(c); !ok || p.Owner() != "acme" {
			t.Errorf("the handler finds its principal: %v", p)
		}
		return nil
	})
	group.Get("/refused", latchfiber.Require(r.guard, middleware.AllOf("things:write")), func(fiber.Ctx) error { t.Error("admitted"); return nil })
	r.serve(app)
	for _, step := range []struct {
		path, left string
		status     int
		code       apikey.Code
	}{{"/v1/costly", `"minute";r=55;`, 200, apikey.OK}, {"/v1/refused", `"minute";r=55;`, 403, apikey.InsufficientScope}} {
		codes = nil
		res := r.get(step.path)
		_ = r.read(res)
		if res.StatusCode != step.status || len(codes) != 1 || codes[0] != step.code {
			t.Errorf("%s is one decision, %v, with the status %d: got %v, %d", step.path, step.code, step.status, codes, res.StatusCode)
		}
		if got := res.Header.Get("RateLimit"); step.status == 200 && !strings.HasPrefix(got, step.left) {
			t.Errorf("%s leaves %s…, got %s", step.path, step.left, got)
		}
	}
}

// TestTheLastUseNamesTheRouteAndItsStatus, also where a later handler of fiber
// decides the status, and after other requests have used its memory.
func TestTheLastUseNamesTheRouteAndItsStatus(t *testing.T) {
	for path, status := range map[string]int{"/v1/things/7": 200, "/v1/gone/7": 410, "/v1/wrong/7": 500} {
		r := setUp(t, middleware.Options{})
		app := fiber.New()
		v1 := app.Group("/v1", latchfiber.Require(r.guard, middleware.AnyKey()))
		v1.Get("/things/:id", func(c fiber.Ctx) error { return c.SendString(c.Params("id")) })
		v1.Get("/gone/:id", func(fiber.Ctx) error { return fiber.ErrGone })
		v1.Get("/wrong/:id", func(fiber.Ctx) error { return errors.New("wrong") })
		app.Get("/public/:anything", func(fiber.Ctx) error { return nil })
		r.serve(app)
		_ = r.read(r.get(path))
		_ = r.read(r.get("/public/ZZZZZZZZZZZZZZZZZZZZZ"))
		use, err := r.keys.Usage(t.Context(), r.id, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		want, last := "GET "+strings.Replace(path, "7", ":id", 1), use.Last()
		if last.Route != want || last.Status != status {
			t.Errorf("the last use is %q with %d, got %q with %d", want, status, last.Route, last.Status)
		}
	}
}

// TestARequestThatTimesOutIsOver, with the door on either side of the timeout.
func TestARequestThatTimesOutIsOver(t *testing.T) {
	r := setUp(t, middleware.Options{})
	ended := make(chan error, 1)
	slow := func(c fiber.Ctx) error {
		ctx := c.Context()
		<-ctx.Done()
		ended <- ctx.Err()
		return ctx.Err()
	}
	soon := timeout.Config{Timeout: 10 * time.Millisecond}
	door := latchfiber.Require(r.guard, middleware.AnyKey())
	app := fiber.New()
	app.Get("/outside", door, timeout.New(slow, soon))
	app.Get("/inside", timeout.New(door, soon), slow)
	app.Get("/in-time", timeout.New(door, timeout.Config{Timeout: patience}), func(c fiber.Ctx) error { return c.SendStream(strings.NewReader("fine")) })
	r.serve(app)
	for path, status := range map[string]int{"/outside": 408, "/inside": 408, "/in-time": 200} {
		res := r.get(path)
		if body := r.read(res); res.StatusCode != status {
			t.Errorf("%s is answered %d, got %d: %s", path, status, res.StatusCode, body)
		}
		if status == 408 && <-ended == nil {
			t.Error("the context of a handler that is too slow ends")
		}
		r.settles()
	}
}

// TestAStreamInsideAnotherDoorHasNotBegun while handlers around it still run.
func TestAStreamInsideAnotherDoorHasNotBegun(t *testing.T) {
	r := setUp(t, middleware.Options{})
	app := fiber.New()
	door := latchfiber.Require(r.guard, middleware.AnyKey())
	app.Get("/", door, func(c fiber.Ctx) error {
		err := c.Next()
		r.revoke()
		return err
	}, door, func(c fiber.Ctx) error { return c.SendStream(strings.NewReader("finding")) })
	r.serve(app)
	res := r.get("/")
	if body := r.read(res); res.StatusCode != 401 || strings.Count(body, `"code":"revoked_key"`) != 1 {
		t.Errorf("the client gets the refusal, once: %d %s", res.StatusCode, body)
	}
}

// TestAnApplicationInsideNetHTTP has no connection of its own.
func TestAnApplicationInsideNetHTTP(t *testing.T) {
	r := setUp(t, middleware.Options{})
	app := fiber.New()
	app.Use(latchfiber.Require(r.guard, middleware.AnyKey()))
	app.Get("/stream", func(c fiber.Ctx) error { return c.SendStream(strings.NewReader("fine")) })
	app.Get("/cut", func(c fiber.Ctx) error {
		r.revoke()
		<-c.Context().Done()
		return context.Cause(c.Context())
	})
	app.Get("/panic", func(fiber.Ctx) error { panic("mine") })
	s := httptest.NewUnstartedServer(adaptor.FiberApp(app))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Start()
	defer s.Close()
	r.url = s.URL
	if body := r.read(r.get("/stream")); body != "fine" || r.inFlight() != 0 {
		t.Errorf("got %q, and %d in flight after it", body, r.inFlight())
	}
	if _, err := r.try("/panic"); err == nil || r.inFlight() != 0 {
		t.Errorf("after a panic, %v, %d requests are in flight", err, r.inFlight())
	}
	if body := r.read(r.get("/cut")); !strings.Contains(body, "revoked_key") {
		t.Errorf("the client gets the refusal: %s", body)
	}
}

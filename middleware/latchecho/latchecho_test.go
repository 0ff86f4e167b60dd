package latchecho_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v5"
	echomw "github.com/labstack/echo/v5/middleware"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/middleware/latchecho"
	"github.com/wontopos/latchkey/storage/memstore"
)

// patience bounds every wait; nothing takes so long.
const patience = 10 * time.Second

var tester = apikey.Actor{ID: "latchecho"}

// rig is a service with one key.
type rig struct {
	*testing.T
	keys      *latchkey.Service
	guard     *middleware.Guard
	id, token string
}

func setUp(t *testing.T, o middleware.Options) *rig {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	keys, err := latchkey.New(memstore.New(), latchkey.Options{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	o.Logger = quiet
	guard, err := middleware.New(keys, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = guard.Close(context.Background())
		_ = keys.Close(context.Background())
	})
	k, token, err := keys.Create(t.Context(), tester, latchkey.NewKey{Name: "n", Owner: "acme", Scopes: []string{"things:read"}})
	if err != nil {
		t.Fatal(err)
	}
	return &rig{t, keys, guard, k.ID, token.Reveal()}
}

func (b *rig) revoke() {
	b.Helper()
	if _, err := b.keys.Revoke(context.Background(), tester, b.id, ""); err != nil {
		b.Error(err)
	}
}

// serve starts a server; protocol 2 is HTTP/2.
func (b *rig) serve(e *echo.Echo, protocol int) *httptest.Server {
	s := httptest.NewUnstartedServer(e)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	if s.EnableHTTP2 = protocol == 2; s.EnableHTTP2 {
		s.StartTLS()
	} else {
		s.Start()
	}
	b.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	s.Client().Timeout = patience
	return s
}

func (b *rig) get(s *httptest.Server, path, token string) *http.Response {
	b.Helper()
	r, err := http.NewRequestWithContext(b.Context(), "GET", s.URL+path, nil)
	if err != nil {
		b.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := s.Client().Do(r)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = res.Body.Close() })
	return res
}

func (b *rig) read(res *http.Response) string {
	b.Helper()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		b.Fatalf("the response is whole: %v", err)
	}
	return string(body)
}

// seen is what middleware around a door finds when the request is over.
type seen struct {
	err             error
	status          int
	size            int64
	writer, request bool // are what they were
}

func watch(into chan<- seen) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c *echo.Context) error {
			w, r := c.Response(), c.Request()
			err := next(c)
			res, status := echo.ResolveResponseStatus(c.Response(), err)
			into <- seen{err, status, res.Size, c.Response() == w, c.Request() == r}
			return err
		}
	}
}

// sloppy answers every error, also that of a response that was committed.
func sloppy(c *echo.Context, err error) { _ = c.String(echo.StatusCode(err), "sloppy") }

func TestARefusalIsTheErrorOfItsDoorAndHasOneAnswer(t *testing.T) {
	for name, handle := range map[string]echo.HTTPErrorHandler{"echo's": echo.DefaultHTTPErrorHandler(true), "a sloppy one": sloppy} {
		b, saw := setUp(t, middleware.Options{}), make(chan seen, 1)
		e, handled := usual(), make(chan error, 2)
		e.HTTPErrorHandler = func(c *echo.Context, err error) {
			handled <- err
			handle(c, err)
		}
		e.GET("/", func(*echo.Context) error {
			t.Error("a handler ran behind a door that refused")
			return nil
		}, watch(saw), latchecho.Require(b.guard, middleware.AllOf("things:write")))
		s := b.serve(e, 1)
		for token, code := range map[string]apikey.Code{"": apikey.MissingKey, b.token: apikey.InsufficientScope} {
			status := code.Info().Status
			res := b.get(s, "/", token)
			body := b.read(res)
			if res.StatusCode != status || res.Header.Get("Content-Type") != "application/problem+json" || strings.Count(body, `"code":`) != 1 || !strings.HasSuffix(body, "}\n") {
				t.Errorf("%s: the client gets one problem with status %d: %d %s", name, status, res.StatusCode, body)
			}
			got := <-saw
			if !errors.Is(got.err, code) || echo.StatusCode(got.err) != status || got.status != status || got.size != int64(len(body)) || !got.request {
				t.Errorf("%s: middleware around the door finds the refusal: %+v", name, got)
			}
			if err := <-handled; !errors.Is(err, code) {
				t.Errorf("%s: echo's error handler gets %v", name, err)
			}
			for len(handled) > 0 { // RequestLogger calls it, too
				<-handled
			}
		}
	}
}

// TestEchoMayAnswerRefusals: where the guard's ErrorHandler writes nothing.
func TestEchoMayAnswerRefusals(t *testing.T) {
	b := setUp(t, middleware.Options{ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ middleware.Outcome) {
		w.Header().Del("Content-Type")
	}})
	e := alone()
	e.GET("/", func(c *echo.Context) error {
		b.revoke()
		return c.String(200, "late")
	}, latchecho.Require(b.guard, middleware.AnyKey()))
	s := b.serve(e, 1)
	for _, token := range []string{"", b.token} {
		res := b.get(s, "/", token)
		if body := b.read(res); res.StatusCode != 401 || !strings.HasPrefix(body, `{"message":"API key `) || res.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("echo's error handler answers: %d %s %v", res.StatusCode, body, res.Header)
		}
	}
}

func TestARequestThatWasCutIsTheErrorOfItsDoor(t *testing.T) {
	b, saw := setUp(t, middleware.Options{}), make(chan seen, 1)
	e := usual()
	e.HTTPErrorHandler = sloppy
	e.GET("/", func(c *echo.Context) error {
		c.Response().Header().Set("X-Secret-Finding", "42")
		b.revoke()
		return echo.ErrForbidden
	}, watch(saw), latchecho.Require(b.guard, middleware.AnyKey()))
	res := b.get(b.serve(e, 1), "/", b.token)
	if body := b.read(res); res.StatusCode != 401 || strings.Count(body, `"code":"revoked_key"`) != 1 || !strings.HasSuffix(body, "}\n") || res.Header.Get("X-Secret-Finding") != "" {
		t.Errorf("the client gets the refusal: %d %s", res.StatusCode, body)
	}
	if got := <-saw; !errors.Is(got.err, apikey.RevokedKey) || got.status != 401 {
		t.Errorf("middleware around the door finds the cause: %+v", got)
	}
}

func TestAStreamIsCut(t *testing.T) {
	for protocol := 1; protocol <= 2; protocol++ {
		b, ended := setUp(t, middleware.Options{}), make(chan error, 1)
		e := usual()
		e.GET("/", func(c *echo.Context) error {
			// What echo.UnwrapResponse finds inside the door is guarded, too.
			w, err := echo.UnwrapResponse(c.Response())
			if err != nil {
				t.Error(err)
			}
			_, _ = w.Write([]byte("data: tick\n\n"))
			w.Flush()
			<-c.Request().Context().Done()
			_, err = w.Write([]byte("data: late\n\n"))
			ended <- err
			return nil
		}, latchecho.Require(b.guard, middleware.AnyKey()))
		in := bufio.NewReader(b.get(b.serve(e, protocol), "/", b.token).Body)
		if line, err := in.ReadString('\n'); err != nil || line != "data: tick\n" {
			t.Fatalf("HTTP/%d: events arrive: %q, %v", protocol, line, err)
		}
		b.revoke()
		if rest, err := io.ReadAll(in); err == nil || strings.Contains(string(rest), "late") {
			t.Errorf("HTTP/%d: a stream that was cut looks whole, or goes on: %q", protocol, rest)
		}
		if err := <-ended; !errors.Is(err, apikey.RevokedKey) {
			t.Errorf("HTTP/%d: writing after the cut returned %v", protocol, err)
		}
	}
}

func TestTheLastUseNamesTheRouteAndItsStatus(t *testing.T) {
	for path, status := range map[string]int{"/v1/things/7": 200, "/v1/gone/7": 410, "/v1/none/7": 204, "/v1/broken/7": 500} {
		b := setUp(t, middleware.Options{})
		e := usual()
		v1 := e.Group("/v1", latchecho.Require(b.guard, middleware.AnyKey()))
		v1.GET("/things/:id", func(c *echo.Context) error { return c.String(200, c.Param("id")) })
		v1.GET("/gone/:id", func(*echo.Context) error { return echo.NewHTTPError(410, "gone") })
		v1.GET("/none/:id", func(c *echo.Context) error { return c.NoContent(204) })
		v1.GET("/broken/:id", func(*echo.Context) error { return errors.New("mine") })
		s := b.serve(e, 1)
		if res := b.get(s, path, b.token); res.StatusCode != status {
			t.Errorf("%s is answered %d, got %d", path, status, res.StatusCode)
		}
		s.Close() // waits for what comes after the answer
		use, err := b.keys.Usage(t.Context(), b.id, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		want, last := "GET "+strings.Replace(path, "7", ":id", 1), use.Last()
		if last.Route != want || last.Status != status {
			t.Errorf("the last use is %q with %d, got %q with %d", want, status, last.Route, last.Status)
		}
	}
}

func TestEchoIsAsBeforeBehindTheDoor(t *testing.T) {
	b, saw, mine := setUp(t, middleware.Options{}), make(chan seen, 1), errors.New("mine")
	e := alone()
	e.HTTPErrorHandler = func(c *echo.Context, err error) { _ = c.String(418, err.Error()) } // a sloppy one
	e.Use(watch(saw), echomw.RecoverWithConfig(echomw.RecoverConfig{DisablePrintStack: true}), latchecho.Require(b.guard, middleware.AnyKey()))
	e.GET("/string", func(c *echo.Context) error { return c.String(201, "seven b") })
	e.GET("/json", func(c *echo.Context) error { return c.JSON(202, 7) })
	e.GET("/error", func(*echo.Context) error { return mine })
	e.GET("/late", func(c *echo.Context) error {
		_ = c.String(200, "fine")
		return mine
	})
	e.GET("/panic", func(*echo.Context) error { panic(mine) })
	s := b.serve(e, 1)
	for path, want := range map[string]struct {
		status int
		body   string
		seen   seen
	}{
		"/string": {201, "seven b", seen{status: 201, size: 7, writer: true}},
		"/json":   {202, "7\n", seen{status: 202, size: 2, writer: true}},
		"/error":  {418, "mine", seen{err: mine, status: 418, size: 4}},
		"/late":   {200, "fine", seen{err: mine, status: 200, size: 4}},
		"/panic":  {418, "mine", seen{err: mine, status: 500, writer: true}}, // recovered around the door, where echo answers it
	} {
		res := b.get(s, path, b.token)
		if body := b.read(res); res.StatusCode != want.status || body != want.body {
			t.Errorf("%s is answered %d %q, got %d %q", path, want.status, want.body, res.StatusCode, body)
		}
		got := <-saw
		if want.seen.request = true; got != want.seen {
			t.Errorf("%s: middleware around the door finds %+v, got %+v", path, want.seen, got)
		}
	}
}

func TestARequestIsDecidedOnceForAGroupAndItsRoute(t *testing.T) {
	var codes []apikey.Code
	b := setUp(t, middleware.Options{OnDecision: func(_ context.Context, o middleware.Outcome) { codes = append(codes, o.Code()) }})
	saw := make(chan seen, 1)
	e := usual()
	e.HTTPErrorHandler = sloppy
	group := e.Group("", watch(saw), latchecho.Require(b.guard, middleware.AnyKey()))
	group.GET("/costly", func(c *echo.Context) error {
		p, ok := latchecho.Principal(c)
		if !ok || p.Owner() != "acme" {
			t.Errorf("the handler finds its principal: %v", p)
		}
		return c.String(200, "fine")
	}, latchecho.Door(b.guard.Door(middleware.Route{Need: middleware.AllOf("things:read"), Cost: 5})))
	group.GET("/refused", func(*echo.Context) error {
		t.Error("admitted")
		return nil
	}, latchecho.Require(b.guard, middleware.AllOf("things:write")))
	s := b.serve(e, 1)
	for _, step := range []struct {
		path, left string
		status     int
		code       apikey.Code
	}{{"/costly", `"minute";r=55;`, 200, apikey.OK}, {"/refused", `"minute";r=55;`, 403, apikey.InsufficientScope}} {
		codes = nil
		res := b.get(s, step.path, b.token)
		if res.StatusCode != step.status || !strings.HasPrefix(res.Header.Get("RateLimit"), step.left) || strings.Contains(b.read(res), "sloppy") {
			t.Errorf("%s is answered %d with RateLimit %s…, got %d with %s", step.path, step.status, step.left, res.StatusCode, res.Header.Get("RateLimit"))
		}
		if got := <-saw; len(codes) != 1 || codes[0] != step.code || (got.err != nil) != (step.status == 403) {
			t.Errorf("%s is one decision, %v: %v, %+v", step.path, step.code, codes, got)
		}
	}
}

// TestGzipAroundTheDoor compresses refusals and answers, and says so.
func TestGzipAroundTheDoor(t *testing.T) {
	b := setUp(t, middleware.Options{})
	e := usual()
	e.Use(echomw.Gzip())
	e.GET("/", func(c *echo.Context) error { return c.String(200, "fine") }, latchecho.Require(b.guard, middleware.AnyKey()))
	s := b.serve(e, 1)
	for token, want := range map[string]string{"": `"code":"missing_key"`, b.token: "fine"} {
		res := b.get(s, "/", token) // the client asks for gzip, and undoes it
		if body := b.read(res); !res.Uncompressed || strings.Count(body, want) != 1 {
			t.Errorf("compressed %t: %s", res.Uncompressed, body)
		}
	}
}

func TestHijackOverHTTP2IsAnError(t *testing.T) {
	b := setUp(t, middleware.Options{})
	e := usual()
	e.GET("/", func(c *echo.Context) error {
		if _, _, err := c.Response().(http.Hijacker).Hijack(); !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("got %v", err)
		}
		return nil
	}, latchecho.Require(b.guard, middleware.AnyKey()))
	if res := b.get(b.serve(e, 2), "/", b.token); res.StatusCode != 200 || res.ProtoMajor != 2 {
		t.Errorf("got %s %d", res.Proto, res.StatusCode)
	}
}

package latchgin_test

import (
	"bufio"
	"bytes"
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

	"github.com/gin-gonic/gin"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/latchkeytest"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/middleware/latchgin"
	"github.com/wontopos/latchkey/storage/memstore"
)

// patience bounds every wait; nothing takes so long.
const patience = 10 * time.Second

var tester = apikey.Actor{ID: "latchgin"}

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
func (b *rig) serve(e *gin.Engine, protocol int) *httptest.Server {
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
	errors          []error
	aborted         bool
	status, size    int
	writer, request bool // are what they were
}

func watch(into chan<- seen) gin.HandlerFunc {
	return func(c *gin.Context) {
		w, r := c.Writer, c.Request
		c.Next()
		s := seen{aborted: c.IsAborted(), status: c.Writer.Status(), size: c.Writer.Size(), writer: c.Writer == w, request: c.Request == r}
		for _, e := range c.Errors {
			s.errors = append(s.errors, e.Err)
		}
		into <- s
	}
}

func TestARefusalIsInGinsErrorsAndEndsItsHandlers(t *testing.T) {
	b, saw := setUp(t, middleware.Options{}), make(chan seen, 1)
	e := usual()
	e.GET("/", watch(saw), latchgin.Require(b.guard, middleware.AllOf("things:write")), func(*gin.Context) {
		t.Error("a handler ran behind a door that refused")
	})
	s := b.serve(e, 1)
	for token, code := range map[string]apikey.Code{"": apikey.MissingKey, b.token: apikey.InsufficientScope} {
		status := code.Info().Status
		res := b.get(s, "/", token)
		body := b.read(res)
		if res.StatusCode != status || strings.Count(body, `"code":`) != 1 {
			t.Errorf("the client gets one problem with status %d: %d %s", status, res.StatusCode, body)
		}
		got := <-saw
		if len(got.errors) != 1 || !errors.Is(got.errors[0], code) || !got.aborted || got.status != status || got.size != len(body) {
			t.Errorf("middleware around the door finds the refusal: %+v", got)
		}
	}
}

func TestARequestThatWasCutIsInGinsErrors(t *testing.T) {
	b, saw := setUp(t, middleware.Options{}), make(chan seen, 1)
	e := usual()
	e.GET("/", watch(saw), latchgin.Require(b.guard, middleware.AnyKey()), func(c *gin.Context) {
		c.Header("X-Secret-Finding", "42")
		c.Status(http.StatusAccepted) // gin sends it later, so the response has not begun
		b.revoke()
	})
	res := b.get(b.serve(e, 1), "/", b.token)
	if body := b.read(res); res.StatusCode != 401 || !strings.Contains(body, `"code":"revoked_key"`) || res.Header.Get("X-Secret-Finding") != "" {
		t.Errorf("the client gets the refusal: %d %s", res.StatusCode, body)
	}
	if got := <-saw; len(got.errors) != 1 || !errors.Is(got.errors[0], apikey.RevokedKey) || got.status != 401 {
		t.Errorf("middleware around the door finds the cause: %+v", got)
	}
}

func TestAStreamIsCut(t *testing.T) {
	for protocol := 1; protocol <= 2; protocol++ {
		b, ended, start := setUp(t, middleware.Options{}), make(chan bool, 1), time.Now()
		e := usual()
		e.GET("/", latchgin.Require(b.guard, middleware.AnyKey()), func(c *gin.Context) {
			ended <- c.Stream(func(io.Writer) bool {
				c.SSEvent("tick", "now")
				return time.Since(start) < patience
			})
		})
		in := bufio.NewReader(b.get(b.serve(e, protocol), "/", b.token).Body)
		if line, err := in.ReadString('\n'); err != nil || line != "event:tick\n" {
			t.Fatalf("HTTP/%d: events arrive: %q, %v", protocol, line, err)
		}
		b.revoke()
		if _, err := io.Copy(io.Discard, in); err == nil {
			t.Errorf("HTTP/%d: a stream that was cut looks whole", protocol)
		}
		if gone := <-ended; !gone {
			t.Errorf("HTTP/%d: Stream went on after the cut", protocol)
		}
	}
}

func TestTheLastUseNamesTheRouteAndItsStatus(t *testing.T) {
	for path, status := range map[string]int{"/v1/things/7": 200, "/v1/gone/7": 410, "/v1/none/7": 204} {
		b := setUp(t, middleware.Options{})
		e := usual()
		v1 := e.Group("/v1", latchgin.Require(b.guard, middleware.AnyKey()))
		v1.GET("/things/:id", func(c *gin.Context) { c.String(200, c.Param("id")) })
		v1.GET("/gone/:id", func(c *gin.Context) { c.Status(404); c.AbortWithStatus(410) })
		v1.GET("/none/:id", func(c *gin.Context) { c.Status(204) })
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

func TestGinIsAsBeforeBehindTheDoor(t *testing.T) {
	b, saw := setUp(t, middleware.Options{}), make(chan seen, 1)
	e := gin.New()
	e.Use(watch(saw), gin.RecoveryWithWriter(io.Discard), latchgin.Require(b.guard, middleware.AnyKey()))
	e.GET("/string", func(c *gin.Context) { c.String(201, "seven b") })
	e.GET("/now", func(c *gin.Context) {
		c.Writer.WriteHeaderNow()
		if !c.Writer.Written() {
			t.Error("the response has not begun")
		}
		c.String(500, "late")
	})
	e.GET("/panic", func(*gin.Context) { panic("mine") })
	s := b.serve(e, 1)
	for path, want := range map[string]seen{"/string": {status: 201, size: 7}, "/now": {status: 200, size: 4}, "/panic": {status: 500, size: 0, aborted: true}} {
		want.writer, want.request = true, true
		if res := b.get(s, path, b.token); res.StatusCode != want.status {
			t.Errorf("%s is answered %d, got %d", path, want.status, res.StatusCode)
		}
		got := <-saw
		if len(got.errors) > 0 || got.status != want.status || got.size != want.size || got.aborted != want.aborted || got.writer != want.writer || got.request != want.request {
			t.Errorf("%s: middleware around the door finds %+v, got %+v", path, want, got)
		}
	}
}

func TestARequestIsDecidedOnceForAGroupAndItsRoute(t *testing.T) {
	var codes []apikey.Code
	b := setUp(t, middleware.Options{OnDecision: func(_ context.Context, o middleware.Outcome) { codes = append(codes, o.Code()) }})
	saw := make(chan seen, 1)
	e := usual()
	group := e.Group("/", watch(saw), latchgin.Require(b.guard, middleware.AnyKey()))
	costly := latchgin.Door(b.guard.Door(middleware.Route{Need: middleware.AllOf("things:read"), Cost: 5}))
	group.GET("/costly", costly, func(c *gin.Context) {
		p, ok := latchgin.Principal(c)
		if !ok || p.Owner() != "acme" {
			t.Errorf("the handler finds its principal: %v", p)
		}
		c.String(200, "fine")
	})
	group.GET("/refused", latchgin.Require(b.guard, middleware.AllOf("things:write")), func(*gin.Context) { t.Error("admitted") })
	s := b.serve(e, 1)
	for _, step := range []struct {
		path, left string
		status     int
		code       apikey.Code
	}{{"/costly", `"minute";r=55;`, 200, apikey.OK}, {"/refused", `"minute";r=55;`, 403, apikey.InsufficientScope}} {
		codes = nil
		res := b.get(s, step.path, b.token)
		if res.StatusCode != step.status || !strings.HasPrefix(res.Header.Get("RateLimit"), step.left) {
			t.Errorf("%s is answered %d with RateLimit %s…, got %d with %s", step.path, step.status, step.left, res.StatusCode, res.Header.Get("RateLimit"))
		}
		if got := <-saw; len(codes) != 1 || codes[0] != step.code || (len(got.errors) > 0) != (step.status == 403) {
			t.Errorf("%s is one decision, %v: %v, %+v", step.path, step.code, codes, got)
		}
	}
}

func TestHijackOverHTTP2IsAnError(t *testing.T) {
	b := setUp(t, middleware.Options{})
	e := usual()
	e.GET("/", latchgin.Require(b.guard, middleware.AnyKey()), func(c *gin.Context) {
		if _, _, err := c.Writer.Hijack(); !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("got %v", err)
		}
		if c.Writer.Pusher() == nil {
			t.Error("the server can push")
		}
	})
	if res := b.get(b.serve(e, 2), "/", b.token); res.StatusCode != 200 || res.ProtoMajor != 2 {
		t.Errorf("got %s %d", res.Proto, res.StatusCode)
	}
}

func TestARecoveryInsideTheDoorLogsNoKey(t *testing.T) {
	b := setUp(t, middleware.Options{Extractors: []middleware.Extractor{middleware.Header("X-Api-Key")}, StripCredential: true})
	var logged bytes.Buffer
	e := gin.New()
	e.Use(latchgin.Require(b.guard, middleware.AnyKey()), gin.RecoveryWithWriter(&logged))
	e.GET("/", func(*gin.Context) { panic(http.ErrAbortHandler) })
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("X-Api-Key", b.token)
	r.Header.Set("X-Other", "shown")
	e.ServeHTTP(httptest.NewRecorder(), r)
	if s := logged.String(); !strings.Contains(s, "shown") || strings.Contains(s, b.token) {
		t.Errorf("gin logs the header without the key: %s", s)
	}
}

func TestRoutesWithoutADoorAreFound(t *testing.T) {
	guard := latchkeytest.NewGuard(t, latchkeytest.Options{})
	e := gin.New()
	group := e.Group("/v1", latchgin.Require(guard, middleware.AllOf("things:read")))
	never := func(*gin.Context) { t.Error("a handler behind a door runs") }
	group.GET("/things/:id", never)
	group.POST("/files/*path", never)
	e.GET("/health", func(*gin.Context) {})
	var routes []string
	for _, r := range e.Routes() {
		routes = append(routes, r.Method+" "+r.Path)
	}
	latchkeytest.CheckRoutes(t, guard, e, routes, "GET /health")
}

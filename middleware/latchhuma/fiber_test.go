package latchhuma_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"
	"github.com/gofiber/fiber/v2"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/latchkeytest"
	"github.com/wontopos/latchkey/middleware/latchhuma"
)

// TestFiberBelievesNoForwardedHost: fiber's Hostname does, whoever sends it, and a
// key of the sandbox would work on the live host.
func TestFiberBelievesNoForwardedHost(t *testing.T) {
	g := latchkeytest.NewGuard(t, latchkeytest.Options{Service: latchkey.Options{
		Environments: apikey.LiveAndTest("https://api.example.com", "https://sandbox.example.com"),
	}})
	app := fiber.New()
	api := latchhuma.New(humafiber.New(app, config()), guards{"key": g})
	huma.Register(api, get("/", security{{"key": nil}}), tell)
	key := latchkeytest.CreateKey(t, g, latchkey.NewKey{Environment: "test"})
	for _, c := range []struct {
		target, host, forwarded string
		want                    int
	}{
		{"/", "sandbox.example.com", "api.example.com", 200},
		{"/", "api.example.com", "sandbox.example.com", 401},
		{"https://api.example.com/", "", "sandbox.example.com", 401}, // which is sent without a field Host
	} {
		r := key.Request("GET", "/", nil)
		r.Host, r.RequestURI = c.host, c.target
		r.Header.Set("X-Forwarded-Host", c.forwarded)
		if res := ask(t, app, r); res.StatusCode != c.want {
			t.Errorf("%+v: %d", c, res.StatusCode)
		}
	}
}

// TestFiberAnswersTheRefusalOfARequestThatWasCut, and nothing of its handler.
func TestFiberAnswersTheRefusalOfARequestThatWasCut(t *testing.T) {
	g := latchkeytest.NewGuard(t, latchkeytest.Options{})
	app := fiber.New()
	api := latchhuma.New(humafiber.New(app, config()), guards{"key": g})
	key := latchkeytest.CreateKey(t, g, latchkey.NewKey{})
	huma.Register(api, get("/", security{{"key": nil}}), func(ctx context.Context, _ *struct{}) (*huma.StreamResponse, error) {
		return &huma.StreamResponse{Body: func(c huma.Context) {
			c.SetHeader("X-Secret-Finding", "42")
			c.SetStatus(http.StatusAccepted)
			_, _ = c.BodyWriter().Write([]byte("begun"))
			key.Revoke()
			<-c.Context().Done()
			if _, err := c.BodyWriter().Write([]byte("more")); err == nil {
				t.Error("writing after the cut succeeds")
			}
		}}, nil
	})
	res := ask(t, app, key.Request("GET", "/", nil))
	body := make([]byte, 4096)
	n, _ := res.Body.Read(body)
	if text := string(body[:n]); res.StatusCode != 401 || res.Header.Get("X-Secret-Finding") != "" || !strings.HasPrefix(text, "{") || !strings.Contains(text, "revoked_key") {
		t.Errorf("the client gets %d %v %s", res.StatusCode, res.Header, text)
	}
	if got := res.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("the refusal is %q", got)
	}
}

// TestAPanicInFiberLeavesNothingInFlight.
func TestAPanicInFiberLeavesNothingInFlight(t *testing.T) {
	g := latchkeytest.NewGuard(t, latchkeytest.Options{})
	app := fiber.New()
	app.Use(func(c *fiber.Ctx) (err error) {
		defer func() {
			if recover() != nil {
				err = fiber.ErrTeapot
			}
		}()
		return c.Next()
	})
	api := latchhuma.New(humafiber.New(app, config()), guards{"key": g})
	key := latchkeytest.CreateKey(t, g, latchkey.NewKey{})
	if _, _, err := g.Keys().Rotate(t.Context(), apikey.Actor{ID: "test"}, key.ID, latchkey.RotateOptions{}); err != nil { // so that Rotation counts its requests
		t.Fatal(err)
	}
	inFlight := func() int {
		r, err := g.Keys().Rotation(context.Background(), key.ID)
		if err != nil {
			t.Error(err)
		}
		return r.InFlight
	}
	during := 0
	huma.Register(api, get("/", security{{"key": nil}}), func(ctx context.Context, _ *struct{}) (*who, error) {
		during = inFlight()
		panic("handler")
	})
	if res := ask(t, app, key.Request("GET", "/", nil)); res.StatusCode != 418 || during != 1 || inFlight() != 0 {
		t.Errorf("%d; in flight during the request %d, after it %d", res.StatusCode, during, inFlight())
	}
}

func ask(t *testing.T, app *fiber.App, r *http.Request) *http.Response {
	t.Helper()
	res, err := app.Test(r, -1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

package latchfiber_test

import (
	"context"
	"fmt"
	"io"
	"net/http/httptest"

	"github.com/gofiber/fiber/v3"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/middleware/latchfiber"
	"github.com/wontopos/latchkey/storage/memstore"
)

func Example() {
	keys, err := latchkey.New(memstore.New(), latchkey.Options{})
	if err != nil {
		panic(err)
	}
	defer keys.Close(context.Background())
	guard, err := middleware.New(keys, middleware.Options{})
	if err != nil {
		panic(err)
	}
	defer guard.Close(context.Background())

	app := fiber.New(fiber.Config{StreamRequestBody: true})
	app.Get("/v1/things/:id", latchfiber.Require(guard, middleware.AllOf("things:read")), func(c fiber.Ctx) error {
		p, _ := latchfiber.Principal(c)
		return c.SendString("thing " + c.Params("id") + " of " + p.Owner())
	})
	report := guard.Door(middleware.Route{Need: middleware.AllOf("things:read"), Cost: 10})
	app.Get("/v1/report", latchfiber.Door(report), func(c fiber.Ctx) error { return c.SendString("a long one") })

	_, token, err := keys.Create(context.Background(), apikey.Actor{ID: "setup"},
		latchkey.NewKey{Name: "production-backend", Owner: "acme", Scopes: []string{"things:read"}})
	if err != nil {
		panic(err)
	}
	for _, path := range []string{"/v1/things/7", "/v1/report"} {
		q := httptest.NewRequest("GET", path, nil)
		q.Header.Set("Authorization", "Bearer "+token.Reveal())
		res, err := app.Test(q)
		if err != nil {
			panic(err)
		}
		body, _ := io.ReadAll(res.Body)
		fmt.Println(res.StatusCode, string(body), res.Header.Get("RateLimit")[:13])
	}
	res, err := app.Test(httptest.NewRequest("GET", "/v1/report", nil))
	if err != nil {
		panic(err)
	}
	fmt.Println(res.StatusCode, res.Header.Get("Content-Type"))
	// Output:
	// 200 thing 7 of acme "minute";r=59
	// 200 a long one "minute";r=49
	// 401 application/problem+json
}

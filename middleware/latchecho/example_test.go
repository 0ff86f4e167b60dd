package latchecho_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/labstack/echo/v5"
	echomw "github.com/labstack/echo/v5/middleware"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/middleware/latchecho"
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

	e := echo.New()
	e.Use(echomw.Recover())
	e.GET("/v1/things/:id", func(c *echo.Context) error {
		p, _ := latchecho.Principal(c)
		return c.String(http.StatusOK, "thing "+c.Param("id")+" of "+p.Owner())
	}, latchecho.Require(guard, middleware.AllOf("things:read")))
	report := guard.Door(middleware.Route{Need: middleware.AllOf("things:read"), Cost: 10})
	e.GET("/v1/report", func(c *echo.Context) error { return c.String(http.StatusOK, "a long one") }, latchecho.Door(report))

	_, token, err := keys.Create(context.Background(), apikey.Actor{ID: "setup"},
		latchkey.NewKey{Name: "production-backend", Owner: "acme", Scopes: []string{"things:read"}})
	if err != nil {
		panic(err)
	}
	for _, path := range []string{"/v1/things/7", "/v1/report"} {
		q := httptest.NewRequest("GET", path, nil)
		q.Header.Set("Authorization", "Bearer "+token.Reveal())
		w := httptest.NewRecorder()
		e.ServeHTTP(w, q)
		fmt.Println(w.Code, w.Body, w.Header().Get("RateLimit")[:13])
	}
	w := httptest.NewRecorder()
	e.ServeHTTP(w, httptest.NewRequest("GET", "/v1/report", nil))
	fmt.Println(w.Code, w.Header().Get("Content-Type"))
	// Output:
	// 200 thing 7 of acme "minute";r=59
	// 200 a long one "minute";r=49
	// 401 application/problem+json
}

package latchgin_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/gin-gonic/gin"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/middleware/latchgin"
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

	r := gin.New()
	r.Use(gin.Recovery())
	r.GET("/v1/things/:id", latchgin.Require(guard, middleware.AllOf("things:read")), func(c *gin.Context) {
		p, _ := latchgin.Principal(c)
		c.String(http.StatusOK, "thing %s of %s", c.Param("id"), p.Owner())
	})
	report := guard.Door(middleware.Route{Need: middleware.AllOf("things:read"), Cost: 10})
	r.GET("/v1/report", latchgin.Door(report), func(c *gin.Context) { c.String(http.StatusOK, "a long one") })

	_, token, err := keys.Create(context.Background(), apikey.Actor{ID: "setup"},
		latchkey.NewKey{Name: "production-backend", Owner: "acme", Scopes: []string{"things:read"}})
	if err != nil {
		panic(err)
	}
	for _, path := range []string{"/v1/things/7", "/v1/report"} {
		q := httptest.NewRequest("GET", path, nil)
		q.Header.Set("Authorization", "Bearer "+token.Reveal())
		w := httptest.NewRecorder()
		r.ServeHTTP(w, q)
		fmt.Println(w.Code, w.Body, w.Header().Get("RateLimit")[:13])
	}
	w := httptest.NewRecorder()
	r.ServeHTTP(w, httptest.NewRequest("GET", "/v1/report", nil))
	fmt.Println(w.Code, w.Header().Get("Content-Type"))
	// Output:
	// 200 thing 7 of acme "minute";r=59
	// 200 a long one "minute";r=49
	// 401 application/problem+json
}

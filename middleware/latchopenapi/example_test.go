package latchopenapi_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/middleware/latchopenapi"
	"github.com/wontopos/latchkey/storage/memstore"
)

// In a program it comes from a file, through embed, or from the generator.
const document = `{
	"openapi": "3.1.0",
	"components": {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
	"security": [{"key": ["things:read"]}],
	"paths": {
		"/things/{id}": {
			"get": {},
			"delete": {"security": [{"key": ["things:read", "things:write"]}, {"key": ["things:admin"]}]}
		},
		"/health": {"get": {"security": []}}
	}
}`

func ExampleNew() {
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

	wrap, err := latchopenapi.New([]byte(document), map[string]*middleware.Guard{"key": guard}, nil)
	if err != nil {
		panic(err)
	}
	thing := wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, _ := middleware.PrincipalFrom(r.Context())
		fmt.Fprintf(w, "thing %s of %s", r.PathValue("id"), p.Owner())
	}))
	mux := http.NewServeMux()
	mux.Handle("GET /things/{id}", thing)
	mux.Handle("DELETE /things/{id}", thing)
	mux.Handle("PUT /things/{id}", thing) // the document does not name it
	mux.Handle("GET /health", wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "fine") })))

	_, token, err := keys.Create(context.Background(), apikey.Actor{ID: "setup"},
		latchkey.NewKey{Name: "production-backend", Owner: "acme", Scopes: []string{"things:read"}})
	if err != nil {
		panic(err)
	}
	for _, method := range []string{"GET", "DELETE", "PUT"} {
		w, r := httptest.NewRecorder(), httptest.NewRequest(method, "/things/7", nil)
		guard.SetCredential(r, token.Reveal())
		mux.ServeHTTP(w, r)
		if w.Code == http.StatusForbidden {
			fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"))
			continue
		}
		fmt.Println(w.Code, w.Body)
	}
	for _, path := range []string{"/things/7", "/health"} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		fmt.Println(w.Code)
	}
	// Output:
	// 200 thing 7 of acme
	// 403 Bearer realm="api", error="insufficient_scope", scope="things:read things:write things:admin"
	// 404 404: the API's document has no such operation
	//
	// 401
	// 200
}

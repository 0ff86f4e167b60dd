package latchhuma_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/middleware/latchhuma"
	"github.com/wontopos/latchkey/storage/memstore"
)

type thing struct {
	Body struct {
		Name string `json:"name"`
	}
}

func getThing(ctx context.Context, in *struct {
	ID string `path:"id"`
},
) (*thing, error) {
	p, _ := middleware.PrincipalFrom(ctx)
	out := new(thing)
	out.Body.Name = fmt.Sprintf("thing %s of %s", in.ID, p.Owner())
	return out, nil
}

func getHealth(context.Context, *struct{}) (*struct{}, error) { return nil, nil }

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

	mux := http.NewServeMux()
	config := huma.DefaultConfig("Things", "1.0.0")
	config.CreateHooks = nil // no $schema in answers
	api := latchhuma.New(humago.New(mux, config), map[string]*middleware.Guard{"key": guard})
	huma.Register(api, huma.Operation{
		Method: http.MethodGet, Path: "/things/{id}",
		Security: []map[string][]string{{"key": {"things:read"}}},
	}, getThing)
	huma.Register(api, huma.Operation{
		Method: http.MethodGet, Path: "/health",
		Security: latchhuma.Public,
	}, getHealth)

	_, token, err := keys.Create(context.Background(), apikey.Actor{ID: "setup"},
		latchkey.NewKey{Name: "production-backend", Owner: "acme", Scopes: []string{"things:read"}})
	if err != nil {
		panic(err)
	}
	w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/things/7", nil)
	guard.SetCredential(r, token.Reveal())
	mux.ServeHTTP(w, r)
	fmt.Print(w.Code, " ", w.Body)
	for _, path := range []string{"/things/7", "/health"} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		fmt.Println(w.Code, w.Header().Get("Content-Type"))
	}
	// Output:
	// 200 {"name":"thing 7 of acme"}
	// 401 application/problem+json
	// 204
}

package openapi

import (
	"context"
	_ "embed"
	"net/http"

	"github.com/wontopos/latchkey/examples/openapi/testdata/stdapi"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/middleware/latchopenapi"
)

//go:embed openapi.json
var document []byte

// newOapiServer is a server that oapi-codegen generated for net/http.
func newOapiServer(guard *middleware.Guard) (http.Handler, error) {
	mux := http.NewServeMux()
	stdapi.HandlerFromMux(stdapi.NewStrictHandler(oapiThings{}, nil), mux)
	wrap, err := latchopenapi.New(document, map[string]*middleware.Guard{"key": guard}, func(r *http.Request) string {
		_, pattern := mux.Handler(r)
		return pattern
	})
	if err != nil {
		return nil, err
	}
	return wrap(mux), nil
}

type oapiThings struct{}

func (oapiThings) ListThings(ctx context.Context, _ stdapi.ListThingsRequestObject) (stdapi.ListThingsResponseObject, error) {
	return stdapi.ListThings200TextResponse("things of " + caller(ctx)), nil
}

func (oapiThings) AddThing(ctx context.Context, _ stdapi.AddThingRequestObject) (stdapi.AddThingResponseObject, error) {
	return stdapi.AddThing200TextResponse("a new thing of " + caller(ctx)), nil
}

func (oapiThings) GetThing(ctx context.Context, r stdapi.GetThingRequestObject) (stdapi.GetThingResponseObject, error) {
	return stdapi.GetThing200TextResponse("thing " + r.Id + " of " + caller(ctx)), nil
}

func (oapiThings) GetPicture(ctx context.Context, r stdapi.GetPictureRequestObject) (stdapi.GetPictureResponseObject, error) {
	return stdapi.GetPicture200TextResponse("picture " + r.Id + " for " + caller(ctx)), nil
}

func (oapiThings) GetHealth(context.Context, stdapi.GetHealthRequestObject) (stdapi.GetHealthResponseObject, error) {
	return stdapi.GetHealth200TextResponse("fine"), nil
}

// caller is who a request acts for.
func caller(ctx context.Context) string {
	if p, ok := middleware.PrincipalFrom(ctx); ok {
		return p.Owner()
	}
	return "nobody"
}

package openapi

import (
	"context"
	"net/http"
	"strings"

	"github.com/wontopos/latchkey/examples/openapi/testdata/ogenapi"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/middleware/latchopenapi"
)

// newOgenServer is a server that ogen generated.
func newOgenServer(guard *middleware.Guard) (http.Handler, error) {
	server, err := ogenapi.NewServer(ogenThings{}, ogenSecurity{})
	if err != nil {
		return nil, err
	}
	wrap, err := latchopenapi.New(document, map[string]*middleware.Guard{"key": guard}, func(r *http.Request) string {
		route, _ := server.FindPath(r.Method, r.URL)
		return route.PathPattern()
	})
	if err != nil {
		return nil, err
	}
	return wrap(server), nil
}

// ogenSecurity hands over what the guard has decided.
type ogenSecurity struct{}

func (ogenSecurity) HandleKey(ctx context.Context, _ ogenapi.OperationName, _ ogenapi.Key) (context.Context, error) {
	return ctx, latchopenapi.Admitted(ctx)
}

type ogenThings struct{}

func (ogenThings) ListThings(ctx context.Context) (ogenapi.Text, error) {
	return text("things of " + caller(ctx))
}

func (ogenThings) AddThing(ctx context.Context) (ogenapi.Text, error) {
	return text("a new thing of " + caller(ctx))
}

func (ogenThings) GetThing(ctx context.Context, p ogenapi.GetThingParams) (ogenapi.Text, error) {
	return text("thing " + p.ID + " of " + caller(ctx))
}

func (ogenThings) GetPicture(ctx context.Context, p ogenapi.GetPictureParams) (ogenapi.Text, error) {
	return text("picture " + p.ID + " for " + caller(ctx))
}

func (ogenThings) GetHealth(context.Context) (ogenapi.Text, error) { return text("fine") }

func text(s string) (ogenapi.Text, error) { return ogenapi.Text{Data: strings.NewReader(s)}, nil }

package openapi

import (
	"context"
	"fmt"
	"net/http"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/middleware/latchopenapi"
)

// newKinServer has its routes from kin-openapi's router, which also validates
// what clients send. Generated code would give the document as JSON with
// [openapi3.T.MarshalJSON].
func newKinServer(guard *middleware.Guard) (http.Handler, error) {
	doc, err := openapi3.NewLoader().LoadFromData(document)
	if err != nil {
		return nil, err
	}
	raw, err := doc.MarshalJSON()
	if err != nil {
		return nil, err
	}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		return nil, err
	}
	wrap, err := latchopenapi.New(raw, map[string]*middleware.Guard{"key": guard}, func(r *http.Request) string {
		route, _, err := router.FindRoute(r)
		if err != nil {
			return ""
		}
		return route.Path
	})
	if err != nil {
		return nil, err
	}
	return wrap(kinServer{router}), nil
}

type kinServer struct{ router routers.Router }

func (s kinServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	route, params, err := s.router.FindRoute(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	err = openapi3filter.ValidateRequest(r.Context(), &openapi3filter.RequestValidationInput{
		Request: r, PathParams: params, Route: route,
		Options: &openapi3filter.Options{
			// It hands over what the guard has decided.
			AuthenticationFunc: func(ctx context.Context, _ *openapi3filter.AuthenticationInput) error {
				return latchopenapi.Admitted(ctx)
			},
		},
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	switch route.Operation.OperationID {
	case "listThings":
		fmt.Fprint(w, "things of "+caller(r.Context()))
	case "addThing":
		fmt.Fprint(w, "a new thing of "+caller(r.Context()))
	case "getThing":
		fmt.Fprint(w, "thing "+params["id"]+" of "+caller(r.Context()))
	case "getPicture":
		fmt.Fprint(w, "picture "+params["id"]+" for "+caller(r.Context()))
	case "getHealth":
		fmt.Fprint(w, "fine")
	}
}

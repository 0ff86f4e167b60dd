package openapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

// Route is a row of admin's table.
type Route struct {
	Method, Path string
	API          bool
}

// Exchange is a request to the API and its answer.
type Exchange struct {
	Method, Path  string // from the mount point, with the query
	RequestHeader http.Header
	RequestBody   string
	Status        int
	Header        http.Header
	Body          string
}

func (x *Exchange) String() string {
	return fmt.Sprintf("%s %s -> %d\n  sent %.300s\n  got  %.600s", x.Method, x.Path, x.Status, x.RequestBody, x.Body)
}

// common are header fields that every answer has, of any address: they are
// secure defaults, and no part of the API.
var common = []string{
	"Cache-Control", "Content-Length", "Content-Security-Policy", "Content-Type", "Cross-Origin-Opener-Policy",
	"Cross-Origin-Resource-Policy", "Referrer-Policy", "X-Content-Type-Options", "X-Frame-Options",
}

func init() {
	text := func(body io.Reader, _ http.Header, _ *openapi3.SchemaRef, _ openapi3filter.EncodingFn) (any, error) {
		raw, err := io.ReadAll(body)
		return string(raw), err
	}
	openapi3filter.RegisterBodyDecoder("application/yaml", text)
	openapi3filter.RegisterBodyDecoder("text/csv", text)
}

// API is a document, ready to check with.
type API struct {
	doc        *openapi3.T
	operations map[string]*openapi3.Operation // by method and path
	router     routers.Router
}

// Load reads a document and checks it by itself, its examples included.
func Load(raw []byte) (*API, error) {
	doc, err := openapi3.NewLoader().LoadFromData(raw)
	if err != nil {
		return nil, err
	}
	if !doc.IsOpenAPI31OrLater() {
		return nil, fmt.Errorf("openapi: %s is not 3.1", doc.OpenAPI)
	}
	if err := doc.Validate(context.Background(), openapi3.EnableExamplesValidation(), openapi3.EnableMultiError()); err != nil {
		return nil, err
	}
	for name, schema := range doc.Components.Schemas { // which Validate does not look at
		for i, example := range schema.Value.Examples {
			if err := doc.ValidateSchemaJSON(schema.Value, example, openapi3.EnableJSONSchema2020()); err != nil {
				return nil, fmt.Errorf("openapi: example %d of schema %s: %w", i, name, err)
			}
		}
	}
	doc.Servers = nil // the paths are those from the mount point
	a := &API{doc: doc, operations: make(map[string]*openapi3.Operation)}
	for at, item := range doc.Paths.Map() {
		for method, operation := range item.Operations() {
			a.operations[method+" "+at] = operation
		}
	}
	a.router, err = gorillamux.NewRouter(doc)
	return a, err
}

// Routes returns where the document and the table of routes differ.
func (a *API) Routes(routes []Route) (faults []string) {
	known := map[string]bool{}
	for _, r := range routes {
		name := r.Method + " " + r.Path
		known[name] = r.API
		if r.API && a.operations[name] == nil {
			faults = append(faults, name+" is a route and not documented")
		}
	}
	for name := range a.operations {
		if !known[name] {
			faults = append(faults, name+" is documented and no route")
		}
	}
	return faults
}

// Unseen returns the documented answers that no exchange has.
func (a *API) Unseen(exchanges []Exchange) (faults []string) {
	seen := map[string]bool{}
	for i := range exchanges {
		x := &exchanges[i]
		if route, _, _, err := a.find(x); err == nil && x.Method != http.MethodHead {
			seen[fmt.Sprint(x.Method, " ", route.Path, " ", x.Status)] = true
		}
	}
	for name, operation := range a.operations {
		for status := range operation.Responses.Map() {
			if !seen[name+" "+status] {
				faults = append(faults, name+": the documented status "+status+" was never seen")
			}
		}
	}
	return faults
}

var errElsewhere = errors.New("not an address of the document")

// find returns the operation of an exchange.
func (a *API) find(x *Exchange) (*routers.Route, map[string]string, *http.Request, error) {
	method := x.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	r, err := http.NewRequest(method, "http://x"+x.Path, strings.NewReader(x.RequestBody))
	if err != nil {
		return nil, nil, nil, err
	}
	r.Header = x.RequestHeader.Clone()
	route, params, err := a.router.FindRoute(r)
	if err != nil || path.Clean(r.URL.Path) != r.URL.Path {
		return nil, nil, nil, errElsewhere
	}
	return route, params, r, nil
}

// Check returns what is wrong with an exchange.
func (a *API) Check(x *Exchange) error {
	route, params, r, err := a.find(x)
	if errors.Is(err, errElsewhere) {
		return x.elsewhere(a.doc)
	} else if err != nil {
		return err
	}
	response := route.Operation.Responses.Status(x.Status)
	if response == nil {
		return fmt.Errorf("the status %d is not documented", x.Status)
	}
	if x.Method == http.MethodHead {
		return nil
	}
	options := &openapi3filter.Options{
		IncludeResponseStatus: true, MultiError: true, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc,
	}
	input := &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route, Options: options}
	if x.Status < 300 {
		r.GetBody = nil // the validator would take that for the body
		r.Body = io.NopCloser(strings.NewReader(inSeconds(x.RequestBody)))
		if err := openapi3filter.ValidateRequest(context.Background(), input); err != nil {
			return fmt.Errorf("a request that succeeded does not fit: %w\nbody: %s", err, x.RequestBody)
		}
		if err := undocumented(route, r.URL.Query()); err != nil {
			return err
		}
	}
	err = openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: x.Status, Header: x.Header, Body: io.NopCloser(strings.NewReader(x.Body)), Options: options,
	})
	if err != nil {
		return fmt.Errorf("the answer does not fit: %w", err)
	}
	if len(response.Value.Content) == 0 && x.Body != "" {
		return errors.New("the answer has a body that is not documented")
	}
	return fields(x.Header, response.Value.Headers)
}

var durationText = regexp.MustCompile(`"(grace|age|window)"\s*:\s*"([^"]*)"`)

// inSeconds writes the durations of a body as the document has them. The handler
// takes texts as well; a type of two forms is more than generators do.
func inSeconds(body string) string {
	return durationText.ReplaceAllStringFunc(body, func(member string) string {
		m := durationText.FindStringSubmatch(member)
		if d, err := time.ParseDuration(m[2]); err == nil {
			return fmt.Sprintf("%q:%d", m[1], int64(d/time.Second))
		}
		if n, err := strconv.Atoi(m[2]); err == nil {
			return fmt.Sprintf("%q:%d", m[1], n)
		}
		return member
	})
}

// undocumented finds query parameters that the document does not have.
func undocumented(route *routers.Route, query url.Values) error {
	for name := range query {
		all := append(slices.Clone(route.Operation.Parameters), route.PathItem.Parameters...)
		if !slices.ContainsFunc(all, func(p *openapi3.ParameterRef) bool { return p.Value.In == "query" && p.Value.Name == name }) {
			return fmt.Errorf("the parameter %q is taken and not documented", name)
		}
	}
	return nil
}

// fields holds the names of header fields against the documented ones.
func fields(got http.Header, want openapi3.Headers) error {
	names := map[string]bool{}
	for name, header := range want {
		names[http.CanonicalHeaderKey(name)] = true
		if header.Value.Required && got.Get(name) == "" {
			return fmt.Errorf("the header field %s is missing", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if !names[name] && !slices.Contains(common, name) {
			return fmt.Errorf("the header field %s is not documented", name)
		}
	}
	return nil
}

// elsewhere checks an answer at an address, or to a method, that the document
// does not have: a redirect to one that it has, or a problem that says so.
func (x *Exchange) elsewhere(doc *openapi3.T) error {
	if x.Status == http.StatusPermanentRedirect && x.Header.Get("Location") != "" {
		return nil
	}
	if !slices.Contains([]int{401, 403, 404, 405}, x.Status) {
		return errors.New("an answer to what is not documented")
	}
	if x.Method == http.MethodHead || x.Status == http.StatusMethodNotAllowed && x.Header.Get("Allow") == "" {
		return nil
	}
	if got := x.Header.Get("Content-Type"); got != "application/problem+json" {
		return fmt.Errorf("a refusal of type %q", got)
	}
	var problem any
	if err := decode(&problem, x.Body); err != nil {
		return err
	}
	return doc.ValidateSchemaJSON(doc.Components.Schemas["Problem"].Value, problem, openapi3.EnableJSONSchema2020())
}

func decode(dst *any, text string) (err error) {
	*dst, err = openapi3filter.RegisteredBodyDecoder("application/json")(bytes.NewReader([]byte(text)), http.Header{}, nil, nil)
	return err
}

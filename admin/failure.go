package admin

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/wontopos/latchkey/apikey"
)

// failure is a refusal. Only detail and fields are sent to the client; err is
// for the log.
type failure struct {
	info   apikey.CodeInfo
	detail string
	fields []fieldError
	header http.Header
	keyID  string // what the refusal is about, if the request did not name it
	signIn string // the address of the application's sign-in, if it is known
	err    error

	overload bool // too many requests came at once, and nothing is broken
}

// fieldError is one fault in the request: at a JSON pointer into the body, or
// at a query parameter.
type fieldError struct {
	Pointer   string `json:"pointer,omitempty"`
	Parameter string `json:"parameter,omitempty"`
	Detail    string `json:"detail"`
}

func (f *failure) Error() string {
	if f.err != nil {
		return f.info.Name + ": " + f.err.Error()
	}
	return f.info.Name + ": " + f.detail
}

func (f *failure) Unwrap() error { return f.err }

// The refusals that only HTTP has; the rest are rows of apikey's table.
var (
	noRoute            = apikey.CodeInfo{Name: "no_such_route", Title: "No such address", Status: http.StatusNotFound}
	methodNotAllowed   = apikey.CodeInfo{Name: "method_not_allowed", Title: "Method not allowed", Status: http.StatusMethodNotAllowed}
	preconditionFailed = apikey.CodeInfo{Name: "precondition_failed", Title: "If-Match does not match", Status: http.StatusPreconditionFailed}
	bodyTooLarge       = apikey.CodeInfo{Name: "body_too_large", Title: "Body too large", Status: http.StatusRequestEntityTooLarge}
	wrongMediaType     = apikey.CodeInfo{Name: "unsupported_media_type", Title: "Unsupported media type", Status: http.StatusUnsupportedMediaType}
	malformedBody      = apikey.CodeInfo{Name: "malformed_body", Title: "Malformed body", Status: http.StatusBadRequest}
)

var (
	errNoRoute       = &failure{info: noRoute, detail: "there is nothing at this address"}
	errAPIKey        = &failure{info: apikey.Forbidden.Info(), detail: "an API key never opens the administration of API keys: take it out of the Authorization header and sign in as a person"}
	errCrossOrigin   = &failure{info: apikey.Forbidden.Info(), detail: "this change was sent by a page of another origin: make it from this application's own page. If this was that page, a proxy in front does not pass on the Host of the request; or list the origin in admin.Options.TrustedOrigins"}
	errReadOnly      = &failure{info: apikey.Forbidden.Info(), detail: "You have read-only access. Ask an administrator."}
	errOperatorsOnly = &failure{info: apikey.Forbidden.Info(), detail: "Only operators may do this."}
)

// invalidFields answers 422 with one entry per fault.
func invalidFields(fields []fieldError) error {
	if len(fields) == 0 {
		return nil
	}
	detail := fields[0].Detail
	if name := fields[0].Pointer + fields[0].Parameter; name != "" {
		detail = strings.TrimPrefix(name, "/") + ": " + detail
	}
	if len(fields) > 1 {
		detail += " (and more: see errors)"
	}
	return &failure{info: apikey.InvalidArgument.Info(), detail: detail, fields: fields}
}

// failureOf maps any error to its answer. It passes text on only if the text is
// written for the client.
func (c *call) failureOf(err error) *failure {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	e, ok := coded(err)
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return unavailable(err)
	case !ok:
		return &failure{info: apikey.Internal.Info(), err: err}
	}
	switch e.Code {
	case apikey.Unavailable, apikey.Closed:
		f := unavailable(err)
		f.info = e.Code.Info()
		return f
	case apikey.InvalidArgument:
		if e.Field == "" {
			return &failure{info: e.Code.Info(), detail: e.Msg, err: err}
		}
		field := fieldError{Detail: e.Msg}
		if c.r.Method == http.MethodGet || c.r.Method == http.MethodHead {
			field.Parameter = e.Field
		} else {
			field.Pointer = pointer(e.Field)
		}
		f, _ := errors.AsType[*failure](invalidFields([]fieldError{field}))
		return f
	case apikey.NotFound:
		return &failure{info: e.Code.Info(), detail: "Key not found."}
	case apikey.Conflict, apikey.InvalidState, apikey.SecretInUse, apikey.Forbidden, apikey.Unauthenticated,
		apikey.AlreadyCreated, apikey.OnceReused:
		return &failure{info: e.Code.Info(), detail: e.Msg}
	}
	return &failure{info: apikey.Internal.Info(), err: err}
}

// coded returns the [apikey.Error] in err; one that says what its code says if err holds a bare [apikey.Code].
func coded(err error) (*apikey.Error, bool) {
	if e, ok := errors.AsType[*apikey.Error](err); ok {
		return e, true
	}
	code, ok := errors.AsType[apikey.Code](err)
	return &apikey.Error{Code: code, Msg: code.Info().Message}, ok
}

func unavailable(err error) *failure {
	return &failure{
		info: apikey.Unavailable.Info(), err: err, header: http.Header{"Retry-After": {"1"}},
		detail: "the keys cannot be read or written right now: try again in a moment. If this was a change, look first whether it was made",
	}
}

// pointer converts a path like "scopes[0]" or "limits[1].N" to a JSON pointer.
func pointer(path string) string {
	return "/" + strings.ToLower(strings.NewReplacer("[", "/", "]", "", ".", "/").Replace(path))
}

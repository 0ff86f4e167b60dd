package admin

import (
	"errors"
	"reflect"
	"strings"

	"github.com/go-playground/validator/v10"

	"github.com/wontopos/latchkey/internal/bounds"
)

// newValidator reads the validate tags of the request types. It finds several
// faults at once and uses the client's names; the service validates again, and
// only its decision counts.
func newValidator(shape *keyShape) *validator.Validate {
	v := validator.New(validator.WithRequiredStructEnabled())
	v.RegisterTagNameFunc(func(f reflect.StructField) string { return f.Tag.Get("json") })
	// A key pasted into a field that is stored and shown would leak there.
	must(v.RegisterValidation("nokey", func(fl validator.FieldLevel) bool { return !shape.in(fl.Field().String()) }))
	must(v.RegisterValidation("text", func(fl validator.FieldLevel) bool { return bounds.Text(fl.Field().String()) }))
	must(v.RegisterValidation("filled", func(fl validator.FieldLevel) bool { return strings.TrimSpace(fl.Field().String()) != "" }))
	return v
}

// must is for registrations that can fail only because of a mistake in this
// file.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// check returns the faults of a request, by its validate tags.
func (h *Handler) check(request any) []fieldError {
	found, _ := errors.AsType[validator.ValidationErrors](h.validate.Struct(request))
	var faults []fieldError
	for _, e := range found {
		if len(faults) == maxFaults {
			break
		}
		_, path, _ := strings.Cut(e.Namespace(), ".")
		at := pointer(path)
		if name, ok := strings.CutPrefix(path, "metadata["); ok { // the client's own names
			at = "/metadata/" + escapePointer(strings.TrimSuffix(name, "]"))
		}
		faults = append(faults, fieldError{Pointer: at, Detail: sentence(e)})
	}
	return faults
}

// sentence says what to do about a fault, without its value.
func sentence(e validator.FieldError) string {
	text := e.Kind() == reflect.String
	switch e.Tag() {
	case "required", "filled":
		return "is required"
	case "required_without_all":
		return "is required: say a window, a period, or that the limit is on concurrent requests"
	case "max":
		switch {
		case text:
			return "may have at most " + e.Param() + " characters"
		case e.Kind() == reflect.Slice:
			return "may have at most " + e.Param() + " entries"
		}
		return "may be at most " + e.Param()
	case "min":
		return "must be at least " + e.Param()
	case "nokey":
		return "looks like an API key: never write one here; if it is real, rotate it now"
	case "text":
		return "must be one line of text, without control characters and without those that turn its direction"
	}
	return "is not valid"
}

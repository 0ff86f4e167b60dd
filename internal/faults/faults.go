// Package faults makes the errors that the service and its parts return.
package faults

import (
	"errors"
	"fmt"
	"strings"

	"github.com/wontopos/latchkey/apikey"
)

// Invalid says what is wrong with the value of a field.
func Invalid(field, format string, args ...any) error {
	return &apikey.Error{Code: apikey.InvalidArgument, Field: field, Msg: fmt.Sprintf(format, args...)}
}

// Unavailable wraps a failure of the store, so that the client learns nothing about it.
func Unavailable(op string, cause error) error {
	return &apikey.Error{Code: apikey.Unavailable, Msg: op, Err: cause}
}

// Renamed returns the error with another name for the field at fault, if its name begins with old.
func Renamed(err error, old, name string) error {
	e, ok := errors.AsType[*apikey.Error](err)
	if !ok || !strings.HasPrefix(e.Field, old) {
		return err
	}
	other := *e
	other.Field = name + strings.TrimPrefix(e.Field, old)
	return &other
}

package latchkey

import (
	"errors"
	"fmt"
	"strings"

	"github.com/wontopos/latchkey/apikey"
)

func invalidf(field, format string, args ...any) error {
	return &apikey.Error{Code: apikey.InvalidArgument, Field: field, Msg: fmt.Sprintf(format, args...)}
}

// unavailable wraps a store failure, so that the client learns nothing about
// it.
func unavailable(op string, cause error) error {
	return &apikey.Error{Code: apikey.Unavailable, Msg: op, Err: cause}
}

// renamed returns the error with another name for the field at fault, if its name begins with old.
func renamed(err error, old, name string) error {
	e, ok := errors.AsType[*apikey.Error](err)
	if !ok || !strings.HasPrefix(e.Field, old) {
		return err
	}
	other := *e
	other.Field = name + strings.TrimPrefix(e.Field, old)
	return &other
}

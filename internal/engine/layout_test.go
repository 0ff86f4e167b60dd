package engine

import (
	"reflect"
	"strconv"
	"testing"
)

// TestLayoutFollowsCacheLines: what every request reads of a key fills two cache
// lines that processors fetch together.
func TestLayoutFollowsCacheLines(t *testing.T) {
	if strconv.IntSize != 64 {
		t.Skip("laid out for 64 bits")
	}
	const line = 64
	offset := func(of reflect.Type, field string) uintptr {
		f, ok := of.FieldByName(field)
		if !ok {
			t.Fatalf("%v has no field %s", of, field)
		}
		return f.Offset
	}
	for what, at := range map[string]struct{ got, want uintptr }{
		"the first secret of an entry":                  {offset(reflect.TypeFor[entry](), "own"), line},
		"what comes after the hot part of a secret":     {offset(reflect.TypeFor[credential](), "snap"), line},
		"memory of an entry, a size of the allocator's": {reflect.TypeFor[entry]().Size(), 4 * line},
		"the next group of the index":                   {reflect.TypeFor[indexGroup]().Size(), line},
	} {
		if at.got != at.want {
			t.Errorf("%s: byte %d, want %d", what, at.got, at.want)
		}
	}
}

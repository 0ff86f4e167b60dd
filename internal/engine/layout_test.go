package engine

import (
	"reflect"
	"strconv"
	"testing"
)

// TestLayoutFollowsCacheLines: what every request reads of a key fills three
// cache lines that lie together.
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
		"what comes after the entry's hot part":      {offset(reflect.TypeFor[entry](), "key"), line},
		"the snapshot in its home":                   {offset(reflect.TypeFor[home](), "snapshot"), 2 * line},
		"the current secret in its snapshot":         {offset(reflect.TypeFor[snapshot](), "current"), line},
		"what comes after the hot part of a secret":  {offset(reflect.TypeFor[credential](), "principal"), line},
		"memory of a key, a size of the allocator's": {reflect.TypeFor[home]().Size(), 12 * line},
		"the next group of the index":                {reflect.TypeFor[indexGroup]().Size(), line},
	} {
		if at.got != at.want {
			t.Errorf("%s: byte %d, want %d", what, at.got, at.want)
		}
	}
}

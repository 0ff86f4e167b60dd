package storage_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// TestLimitsOfEveryKindAreStored: a key's own limits come back as they were, and
// a program that knows only windows does not take another kind for one.
func TestLimitsOfEveryKindAreStored(t *testing.T) {
	window := apikey.PerMinute(5)
	for _, l := range []apikey.Limit{
		{Name: "month", N: 1e15, Period: apikey.Monthly, Zone: "Europe/Berlin"},
		{Name: "tokens", N: 9, Window: time.Minute, Unit: "tokens"},
		{Name: "parallel", N: 2, Concurrent: true},
		{Name: "trial", N: 3, Window: time.Hour, Shadow: true},
	} {
		for _, later := range [][]byte{nil, {1, 0}, {9, 1, 'x'}, {1, 0, 9, 1, 'x'}} { // extensions on either side
			r := sample()
			r.Key.Limits, r.Extensions = []apikey.Limit{window, l}, later
			b := storage.AppendRecord(nil, r)
			got, err := storage.DecodeRecord(b)
			if err != nil {
				t.Fatalf("%+v beside extensions % x: %v", l, later, err)
			}
			if d := cmp.Diff(r, got, sameNetwork); d != "" {
				t.Errorf("a limit comes back as it was (-want +got):\n%s", d)
			}
			if at := bytes.Index(b, []byte{8, byte(4 + 4 + len(l.Period) + len(l.Zone) + len(l.Unit))}); b[1] != 3 || at < 0 {
				t.Errorf("%+v is written in version %d, and extension 8 is at %d: a program without it must not read the key", l, b[1], at)
			}
			bad := bytes.Clone(b)
			bad[len(bad)-5-trailing(later)] |= 4 // a flag that nobody has
			if _, err := storage.DecodeRecord(reseal(bad)); !errors.Is(err, storage.ErrCorrupt) {
				t.Errorf("an unknown flag: error %v, want ErrCorrupt", err)
			}
		}
	}
	plain := storage.Record{Key: apikey.Key{Limits: []apikey.Limit{window}}}
	plain.Extensions = []byte{8, 4, 0, 0, 0, 0}
	if _, err := storage.DecodeRecord(storage.AppendRecord(nil, plain)); !errors.Is(err, storage.ErrCorrupt) {
		t.Errorf("a window in version 3 is a second encoding: error %v, want ErrCorrupt", err)
	}
	none := storage.Record{Extensions: []byte{8, 0}}
	if _, err := storage.DecodeRecord(storage.AppendRecord(nil, none)); err == nil {
		t.Error("the kinds of no limits were read")
	}
}

// trailing is how long the extensions behind the one of limits are.
func trailing(extensions []byte) int {
	if at := bytes.IndexByte(extensions, 9); at >= 0 {
		return len(extensions) - at
	}
	return 0
}

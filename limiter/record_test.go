package limiter

import (
	"encoding/binary"
	"hash/crc32"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/wontopos/latchkey/apikey"
)

func sign(body []byte) []byte {
	return binary.LittleEndian.AppendUint32(body, crc32.ChecksumIEEE(body))
}

func TestRecordHoldsTheExactCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limits := []apikey.Limit{{N: 300, Window: time.Minute}, {N: 100_000, Window: 24 * time.Hour}, {N: 7, Window: 61 * time.Minute}}
		b := newBucket("k", false)
		now := int64(1e18)
		b.adopt(limits, now)
		for range rapid.IntRange(0, 40).Draw(t, "hits") {
			now += rapid.Int64Range(0, int64(time.Hour)).Draw(t, "wait")
			if b.check(1, now, make([]Status, 3)) == 0 {
				b.charge(1, 3)
			}
		}
		rec, err := decodeWindows(b.encode(17))
		if err != nil || rec.reserved != 17 {
			t.Fatalf("decode(encode): reserved %d, %v", rec.reserved, err)
		}
		rec.reserved = 0
		back := newBucket("k", false)
		back.restore(rec, now)
		back.adopt(limits, now)
		for range 50 {
			now += rapid.Int64Range(0, int64(20*time.Minute)).Draw(t, "later")
			var want, got [3]Status
			b.check(1, now, want[:])
			b.report(now, want[:])
			back.check(1, now, got[:])
			back.report(now, got[:])
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("a restored bucket decides as the one that was saved: %s", diff)
			}
		}
	})
}

// The counters of crashes in a row add up past N; they never wrap around.
func TestReservationsSaturate(t *testing.T) {
	rec := record{reserved: 1e9, windows: []savedWindow{{length: time.Minute, newest: 1e9, counts: []savedCount{{0, maxCount - 5}}}}}
	b := newBucket("k", false)
	b.restore(rec, int64(1e18))
	b.adopt([]apikey.Limit{{N: 1e9, Window: time.Minute}}, int64(1e18))
	if got := b.ring(0).total; got != maxCount {
		t.Errorf("a window counts at most %d, got %d", int64(maxCount), got)
	}
	if _, err := decodeWindows(b.encode(0)); err != nil {
		t.Errorf("what is encoded can be decoded: %v", err)
	}
}

func hostileRecords() map[string][]byte {
	head := []byte{recordVersion}
	with := func(tail ...byte) []byte { return sign(append(append([]byte(nil), head...), tail...)) }
	huge := binary.AppendUvarint(nil, 1<<63)
	return map[string][]byte{
		"nothing":            {},
		"short":              {recordVersion},
		"version":            sign(append([]byte{9}, make([]byte, 20)...)),
		"no checksum":        append(head[:1:1], 0, 0, 0, 0, 0, 0),
		"huge reservation":   with(huge...),
		"too many windows":   with(0, 9),
		"windows missing":    with(0, 3),
		"huge window":        with(append([]byte{0, 1}, huge...)...),
		"no window":          with(0, 1, 0, 1, 0),
		"huge newest":        with(append([]byte{0, 1, 60}, huge...)...),
		"too many counters":  with(0, 1, 60, 1, 62),
		"huge count":         with(append([]byte{0, 1, 60, 1, 1, 0}, huge...)...),
		"sum above the most": with(0, 1, 60, 1, 2, 2, 255, 255, 255, 255, 7, 1, 255, 255, 255, 255, 7),
		"count of nothing":   with(0, 1, 60, 1, 1, 3, 0),
		"ages rise":          with(0, 1, 60, 1, 2, 3, 1, 4, 1),
		"behind age zero":    with(0, 1, 60, 1, 2, 0, 1, 0, 1),
		"age beyond":         with(0, 1, 60, 1, 1, 61, 1),
		"window twice":       with(0, 2, 60, 1, 0, 60, 1, 0),
		"left over":          with(0, 0, 0),
		"endless varint":     with(255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255),
	}
}

func TestHostileRecordsAreErrors(t *testing.T) {
	for name, in := range hostileRecords() {
		if rec, err := decodeWindows(in); err == nil {
			t.Errorf("%s: decoded to %+v", name, rec)
		}
	}
}

// FuzzDecodeWindows signs its input, so that the checksum does not hide the
// decoder from it.
func FuzzDecodeWindows(f *testing.F) {
	b := newBucket("k", false)
	b.adopt([]apikey.Limit{{N: 60, Window: time.Minute}, {N: 1000, Window: 24 * time.Hour}}, int64(1e18))
	for i := range int64(5) {
		now := int64(1e18) + i*int64(20*time.Second)
		b.check(1, now, make([]Status, 2))
		b.charge(1, 2)
	}
	for _, in := range hostileRecords() {
		f.Add(in[:max(len(in)-4, 0)])
	}
	f.Add(b.encode(7)[:len(b.encode(7))-4])
	f.Fuzz(func(t *testing.T, body []byte) {
		decodeWindows(body)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		rec, err := decodeWindows(sign(slices.Clone(body)))
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20 {
			t.Errorf("decoding %d bytes allocates %d", len(body), grown)
		}
		if err != nil {
			return
		}
		restored := newBucket("k", false)
		restored.restore(rec, int64(1e18))
		restored.adopt([]apikey.Limit{{N: 60, Window: time.Minute}, {N: 1000, Window: 24 * time.Hour}}, int64(1e18))
		for i := range int64(10) {
			now := int64(1e18) + i*int64(time.Hour)
			if restored.check(1, now, make([]Status, 2)) == 0 {
				restored.charge(1, 2)
			}
		}
		again := restored.encode(0)
		if _, err := decodeWindows(again); err != nil {
			t.Errorf("what is encoded can be decoded: %v", err)
		}
	})
}

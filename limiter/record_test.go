package limiter

import (
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"math"
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

// kept are limits of every kind that a record holds.
var kept = []apikey.Limit{
	{Name: "few", N: 7, Window: 61 * time.Minute},
	{Name: "minute", N: 60, Window: time.Minute},
	{Name: "most", N: 128, Window: apikey.MaxLimitWindow},
	{Name: "many", N: 300, Window: time.Minute},
	{Name: "day", N: 100_000, Window: 24 * time.Hour},
	{Name: "hour", N: 50, Period: apikey.Hourly},
	{Name: "month", N: 1000, Period: apikey.Monthly, Zone: "Europe/Berlin"},
	{Name: "credit", N: 2000, Period: apikey.Ever},
}

// asks charges cost where all limits have room, and returns the statuses.
func (b *bucket) asks(limits []apikey.Limit, cost, now int64) (st [10]Status) {
	room := true
	for i := range limits {
		l := b.ledger(i)
		l.roll(now)
		room = room && l.total+cost <= limits[i].N
	}
	for i := range limits {
		l := b.ledger(i)
		if room {
			l.add(now, cost, limits[i].N)
		}
		l.status(l.shape, now, limits[i].N, &st[i])
	}
	return st
}

func TestRecordHoldsTheExactCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		known, b, now := new(layouts), newBucket("k", false), int64(1e18)
		limits := kept[:rapid.IntRange(1, len(kept)).Draw(t, "limits")]
		if err := b.adopt(known, limits, now); err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(0, 40).Draw(t, "hits") {
			now += rapid.Int64Range(0, int64(time.Hour)).Draw(t, "wait")
			b.asks(limits, rapid.Int64Range(1, 3).Draw(t, "cost"), now)
		}
		reserved := make([]int64, len(limits))
		for i := range reserved {
			reserved[i] = int64(i)
		}
		rec, err := decodeWindows(b.encode(reserved))
		if err != nil {
			t.Fatal(err)
		}
		for i := range rec {
			if rec[i].reserved != int64(i) {
				t.Fatalf("limit %d has %d reserved", i, rec[i].reserved)
			}
			rec[i].reserved = 0
		}
		back := newBucket("k", false)
		back.restore(known, rec, now)
		if at := new([MaxWindows]uint8); !back.index(limits[:min(len(limits), apikey.MaxLimits)], at) {
			t.Fatal("a restored bucket knows the limits of the one that was saved")
		}
		for range 50 {
			now += rapid.Int64Range(0, int64(20*time.Minute)).Draw(t, "later")
			if diff := cmp.Diff(b.asks(limits, 1, now), back.asks(limits, 1, now)); diff != "" {
				t.Fatalf("a restored bucket decides as the one that was saved: %s", diff)
			}
		}
	})
}

// versionOne is a record that the version before wrote, of windows of 60 in a
// minute and of 1,000 in a day, with 49 counted in both and 7 reserved.
const versionOne = "0107023ca8a4a7da061927012602250324012302220320011f021e031c011b021903180116021403120111020f030d010b020903070105020303000180a305c08db701010031ec927f92"

// A count that was stored without a name is that of the first limit of its shape.
func TestRecordsOfTheVersionBeforeAreRead(t *testing.T) {
	state, err := hex.DecodeString(versionOne)
	if err != nil {
		t.Fatal(err)
	}
	rec, err := decodeWindows(state)
	if err != nil {
		t.Fatal(err)
	}
	now := int64(1_800_000_040_000_000_000)
	minute, day := apikey.PerMinute(60), apikey.PerDay(1000)
	other := apikey.Limit{Name: "other", N: 100, Window: time.Minute}
	for name, c := range map[string]struct {
		first, then []apikey.Limit
		left        []int64 // of then
	}{
		"as they were":    {[]apikey.Limit{minute, day}, []apikey.Limit{minute, day}, []int64{60 - 49 - 7, 1000 - 49 - 7}},
		"one at first":    {[]apikey.Limit{day}, []apikey.Limit{minute, day}, []int64{60 - 49 - 7, 1000 - 49 - 7}},
		"a second one":    {[]apikey.Limit{minute, other}, []apikey.Limit{other, minute}, []int64{100, 60 - 49 - 7}},
		"of another name": {[]apikey.Limit{other}, []apikey.Limit{minute, day}, []int64{60, 1000 - 49 - 7}},
	} {
		known, b := new(layouts), newBucket("k", true)
		b.restore(known, rec, now)
		for _, limits := range [][]apikey.Limit{c.first, c.then} {
			var at [MaxWindows]uint8
			if b.index(limits, &at) {
				continue
			}
			if err := b.adopt(known, limits, now); err != nil {
				t.Fatal(err)
			}
		}
		var at [MaxWindows]uint8
		if !b.index(c.then, &at) {
			t.Fatalf("%s: the limits are not known", name)
		}
		for i, left := range c.left {
			var st Status
			l := b.ledger(int(at[i]))
			if l.status(l.shape, now, c.then[i].N, &st); st.Remaining != left {
				t.Errorf("%s: %d of %q are left, want %d", name, st.Remaining, c.then[i].Name, left)
			}
			if gone := now + int64(24*time.Hour+11*time.Minute); !l.empty(gone) {
				t.Errorf("%s: %q is not empty after its window", name, c.then[i].Name)
			}
		}
		if again, err := decodeWindows(b.encode(nil)); err != nil || len(again) != b.counts() {
			t.Errorf("%s: written anew: %+v, %v", name, again, err)
		}
	}
}

// The counters of crashes in a row add up past N; they never wrap around.
func TestReservationsSaturate(t *testing.T) {
	for _, l := range kept {
		s := savedLimit{limit: l, reserved: mostTotal, newest: 1e5, entries: []savedEntry{{0, mostTotal - 5}}, count: mostTotal - 5, end: int64(2e18)}
		if l.Period == apikey.Ever {
			s.end = 0
		}
		known, b := new(layouts), newBucket("k", false)
		b.restore(known, record{s}, 1e14)
		if got := b.ledger(0).total; l.Window > 0 && l.N > mostPairs && got != mostTotal || got > mostTotal || got < 0 {
			t.Errorf("%q counts at most %d, got %d", l.Name, int64(mostTotal), got)
		}
		b.ledger(0).settle(1e14, 1e14, math.MaxInt64, l.N)
		if got := b.ledger(0).total; got > mostTotal || got < 0 {
			t.Errorf("%q counts at most %d, got %d after a settlement", l.Name, int64(mostTotal), got)
		}
		if _, err := decodeWindows(b.encode(nil)); err != nil {
			t.Errorf("%q: what is encoded can be decoded: %v", l.Name, err)
		}
	}
}

func hostileRecords() map[string][]byte {
	with := func(tail ...byte) []byte { return sign(append([]byte{recordVersion}, tail...)) }
	old := func(tail ...byte) []byte { return sign(append([]byte{namelessVersion}, tail...)) }
	// One limit of the name "a", and nothing reserved.
	one := func(kind byte, tail ...byte) []byte { return with(append([]byte{1, kind, 1, 'a', 0}, tail...)...) }
	huge := binary.AppendUvarint(nil, 1<<63)
	hour := []byte{4, 'h', 'o', 'u', 'r'}
	return map[string][]byte{
		"nothing":               {},
		"short":                 {recordVersion},
		"version":               sign(append([]byte{9}, make([]byte, 20)...)),
		"no checksum":           {recordVersion, 0, 0, 0, 0, 0, 0},
		"too many limits":       with(mostCounts + 1),
		"limits missing":        with(3),
		"unknown kind":          one(3),
		"name cut off":          with(1, 0, 9, 'a'),
		"long name":             with(1, 0, 255, 255, 3),
		"huge reservation":      with(append([]byte{1, 0, 1, 'a'}, huge...)...),
		"huge window":           one(0, huge...),
		"no window":             one(0, 0, 1, 0),
		"huge newest":           one(0, append([]byte{60}, huge...)...),
		"too many counters":     one(0, 60, 1, 62),
		"huge count":            one(0, append([]byte{60, 1, 1, 0}, huge...)...),
		"sum above the most":    one(0, append(append([]byte{60, 1, 2, 2}, binary.AppendUvarint(nil, 1<<61+1)...), append([]byte{1}, binary.AppendUvarint(nil, 1<<61)...)...)...),
		"count of nothing":      one(0, 60, 1, 1, 3, 0),
		"ages rise":             one(0, 60, 1, 2, 3, 1, 4, 1),
		"behind age zero":       one(0, 60, 1, 2, 0, 1, 0, 1),
		"age beyond":            one(0, 60, 1, 1, 61, 1),
		"pairs: ages rise":      one(1, 60, 100, 2, 3, 1, 4, 1),
		"pairs: older than all": one(1, append([]byte{1, 0, 1}, append(binary.AppendUvarint(nil, uint64(time.Second)), 1)...)...),
		"pairs: too many":       one(1, 60, 1, 128, 2),
		"quota: no period":      one(2, 1, 'x', 0, 1, 1),
		"quota: huge end":       one(2, append(append(slices.Clone(hour), 0), huge...)...),
		"quota: huge count":     one(2, append(append(slices.Clone(hour), 0, 1), huge...)...),
		"quota: zone cut off":   one(2, append(slices.Clone(hour), 9, 'x')...),
		"credits that end":      one(2, 4, 'e', 'v', 'e', 'r', 0, 1, 1),
		"limit twice":           with(2, 0, 1, 'a', 0, 60, 1, 0, 1, 1, 'a', 0, 60, 1, 0),
		"left over":             with(0, 0),
		"endless varint":        with(255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255),
		"old: huge reservation": old(huge...),
		"old: window twice":     old(0, 2, 60, 1, 0, 60, 1, 0),
		"old: left over":        old(0, 0, 0),
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
	known, b := new(layouts), newBucket("k", false)
	if err := b.adopt(known, kept, int64(1e18)); err != nil {
		f.Fatal(err)
	}
	for i := range int64(5) {
		b.asks(kept, 1+i%2, int64(1e18)+i*int64(20*time.Second))
	}
	for _, in := range hostileRecords() {
		f.Add(in[:max(len(in)-4, 0)])
	}
	whole := b.encode(make([]int64, len(kept)))
	f.Add(whole[:len(whole)-4])
	old, err := hex.DecodeString(versionOne)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(old[:len(old)-4])
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
		known, restored := new(layouts), newBucket("k", false)
		restored.restore(known, rec, int64(1e18))
		if err := restored.adopt(known, kept, int64(1e18)); err != nil {
			return // too many
		}
		for i := range int64(10) {
			restored.asks(kept, 1, int64(1e18)+i*int64(time.Hour))
			restored.ledger(int(i)%len(kept)).settle(int64(1e18)+i*int64(time.Hour), int64(1e18), i-5, 5)
		}
		if _, err := decodeWindows(restored.encode(nil)); err != nil {
			t.Errorf("what is encoded can be decoded: %v", err)
		}
	})
}

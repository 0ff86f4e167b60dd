package storage_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

func TestTermsBeginWhereWordsDo(t *testing.T) {
	for name, want := range map[string][]string{
		"":                            {"id"},
		"backend":                     {"id", "backend"},
		"Production-Backend":          {"id", "production-backend", "backend"},
		"a b":                         {"id", "a b", "b"},
		"  a":                         {"id", "  a", "a"},
		"--":                          {"id", "--"},
		"🔑prod":                       {"id", "🔑prod", "prod"},
		"ÉTÉ_2026":                    {"id", "été_2026", "2026"},
		"v2beta":                      {"id", "v2beta"},
		"日本 語":                        {"id", "日本 語", "語"},
		"x x":                         {"id", "x x", "x"},
		"x/x/x":                       {"id", "x/x/x", "x/x", "x"},
		"id":                          {"id"},
		"a\xffb":                      {"id", "a\ufffdb", "b"},
		"a\x00b":                      {"id", "a\x01b", "b"},
		strings.Repeat("a", 130):      {"id", strings.Repeat("a", 128)},
		strings.Repeat("é", 65):       {"id", strings.Repeat("é", 64)},
		"x" + strings.Repeat("é", 65): {"id", "x" + strings.Repeat("é", 63)}, // no half character
	} {
		if d := cmp.Diff(want, storage.Terms(&apikey.Key{ID: "ID", Name: name})); d != "" {
			t.Errorf("terms of %q (-want +got):\n%s", name, d)
		}
	}
}

// The bound of a row in every store rests on this.
func TestNoLetterGrowsByMoreThanHalf(t *testing.T) {
	for r := range rune(unicode.MaxRune + 1) {
		if small := unicode.ToLower(r); utf8.RuneLen(r) > 0 && utf8.RuneLen(small)*2 > utf8.RuneLen(r)*3 {
			t.Errorf("%U becomes %U, of %d bytes", r, small, utf8.RuneLen(small))
		}
	}
	for _, name := range []string{strings.Repeat("Ⱥ", 200), strings.Repeat("\xff", 200), strings.Repeat("\x00", 200)} {
		if n := len(storage.Fold(name)); n > 192 {
			t.Errorf("%.8q… folds to %d bytes, want at most 192", name, n)
		}
		if n := len(storage.NameKey(name)); n > 322 {
			t.Errorf("the key of %.8q… has %d bytes, want at most 322", name, n)
		}
	}
}

func TestNameKeysHaveTheOrderOfNames(t *testing.T) {
	text := rapid.StringOfN(rapid.SampledFrom([]rune("aAbB é\u0301É\U0001f511\x01\u07ff\u0800ſs")), 0, 6, -1)
	rapid.Check(t, func(t *rapid.T) {
		a, b := text.Draw(t, "a"), text.Draw(t, "b")
		want := strings.Compare(storage.Fold(a), storage.Fold(b))
		if want == 0 {
			want = strings.Compare(a, b)
		}
		x, y := storage.NameKey(a), storage.NameKey(b)
		if got := bytes.Compare(x, y); got != want {
			t.Fatalf("%q against %q: the keys say %d, want %d", a, b, got, want)
		}
		if a != b && bytes.HasPrefix(x, y) {
			t.Fatalf("the key of %q begins with that of %q", a, b)
		}
		if name, rest := storage.SplitNameKey(append(x, b...)); name != a || string(rest) != b {
			t.Fatalf("a key of %q and %q is split into %q and %q", a, b, name, rest)
		}
	})
}

func TestNoKeyOfAnyBytesBeginsWithAnother(t *testing.T) {
	names := rapid.Map(rapid.SliceOfN(rapid.SampledFrom([]byte("a\x00\x01\xef\xbf\xbd\xff")), 0, 8), func(b []byte) string { return string(b) })
	if x, y := storage.NameKey("\xef\xbf\xbd"), storage.NameKey("\xef"); bytes.HasPrefix(x, y) { // both fold to U+FFFD
		t.Errorf("%q begins with %q", x, y)
	}
	rapid.Check(t, func(t *rapid.T) {
		x, y := storage.NameKey(names.Draw(t, "a")), storage.NameKey(names.Draw(t, "b"))
		if !bytes.Equal(x, y) && bytes.HasPrefix(x, y) {
			t.Fatalf("%q begins with %q", x, y)
		}
	})
}

func TestByNameIsATotalOrder(t *testing.T) {
	want := []storage.Position{
		{Name: "", ID: "z"},
		{Name: "Alpha", ID: "a"},
		{Name: "Alpha", ID: "b"},
		{Name: "alpha", ID: "a"},
		{Name: "alpha 2", ID: "a"},
		{Name: "Beta", ID: "0"},
		{Name: "été", ID: "a"},
	}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, func(a, b storage.Position) int { return storage.Compare(storage.ByName, a, b) })
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("by name, then by ID (-want +got):\n%s", d)
	}
}

func TestFilter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	k := apikey.Key{
		ID: "4fGh", Name: "production-backend", Owner: "acme", Environment: "live", Plan: "pro",
		CreatedAt: now.Add(-time.Hour), ExpiresAt: now, Secrets: []apikey.Secret{{CreatedAt: now.Add(-2 * time.Hour)}, {}},
	}
	for _, tc := range []struct {
		rule string
		q    storage.Query
		want bool
	}{
		{"an empty query selects all", storage.Query{}, true},
		{"all conditions hold", storage.Query{Owner: "acme", Environment: "live", Plan: "pro", State: apikey.Expired, Search: "BACK", UnusedSince: now}, true},
		{"another owner", storage.Query{Owner: "acm", Search: "back"}, false},
		{"another environment", storage.Query{Environment: "test"}, false},
		{"another plan", storage.Query{Plan: "free"}, false},
		{"a state is that at the instant asked for", storage.Query{State: apikey.Active}, false},
		{"a word", storage.Query{Search: "Back"}, true},
		{"amid a word", storage.Query{Search: "ack"}, false},
		{"an ID", storage.Query{Search: "4FG"}, true},
		{"amid an ID", storage.Query{Search: "fg"}, false},
		{"longer than the name", storage.Query{Search: "backend2"}, false},
		{"created at that instant is not unused since", storage.Query{UnusedSince: now.Add(-time.Hour)}, false},
		{"created before", storage.Query{UnusedSince: now.Add(-time.Hour + time.Microsecond)}, true},
		{"rotating, but expired", storage.Query{Rotating: true}, false},
		{"expires at that instant, not before", storage.Query{ExpiresBefore: now}, false},
		{"expires before", storage.Query{ExpiresBefore: now.Add(time.Microsecond)}, true},
		{"not revoked", storage.Query{OmitRevoked: true}, true},
		{"a secret of that instant", storage.Query{SecretBefore: now.Add(-2 * time.Hour)}, false},
		{"a secret of before", storage.Query{SecretBefore: now.Add(-2*time.Hour + time.Microsecond)}, true},
	} {
		f := storage.NewFilter(tc.q, now)
		if got := f.Match(&k); got != tc.want {
			t.Errorf("%s: got %v", tc.rule, got)
		}
	}
	f := storage.NewFilter(storage.Query{Rotating: true}, now.Add(-time.Microsecond))
	if !f.Match(&k) || !f.Selective() || f.Match(&apikey.Key{Secrets: make([]apikey.Secret, 1)}) {
		t.Error("a key of which two secrets work is rotating")
	}
	f = storage.NewFilter(storage.Query{ExpiresBefore: now}, now)
	if f.Match(&apikey.Key{}) || !f.Selective() {
		t.Error("a key that never expires does not expire before anything")
	}
	f = storage.NewFilter(storage.Query{OmitRevoked: true}, now)
	if f.Match(&apikey.Key{RevokedAt: now}) || !f.Selective() {
		t.Error("a key that was revoked is left out")
	}
	f = storage.NewFilter(storage.Query{SecretBefore: now}, now)
	if f.Match(&apikey.Key{}) || !f.Selective() {
		t.Error("a key without secrets has none of before")
	}
	f = storage.NewFilter(storage.Query{UnusedSince: now}, now)
	if !f.ByUse() || !f.Unused(time.Time{}) || !f.Unused(now.Add(-time.Microsecond)) || f.Unused(now) {
		t.Error("a key used at that instant or later is not unused, one never used is")
	}
}

package latchkey_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"log/slog"
	"math/big"
	"regexp"
	"strings"
	"testing"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

func liveTest(t testing.TB) latchkey.TokenFormat {
	t.Helper()
	f, err := latchkey.NewTokenFormat("sk", "live", "test")
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// slowParse is the format as its description reads, by other means.
func slowParse(text string) (id, body string, env int, ok bool) {
	m := regexp.MustCompile(`^(sk_(live|test)_(([0-9A-Za-z]{16})_[0-9A-Za-z]{38}))([0-9A-Za-z]{6})$`).FindStringSubmatch(text)
	if m == nil {
		return "", "", 0, false
	}
	sum := new(big.Int)
	for _, c := range m[5] {
		digit := strings.IndexRune("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", c)
		sum.Add(sum.Mul(sum, big.NewInt(62)), big.NewInt(int64(digit)))
	}
	if sum.Cmp(big.NewInt(int64(crc32.ChecksumIEEE([]byte(m[1]))))) != 0 {
		return "", "", 0, false
	}
	if m[2] == "test" {
		env = 1
	}
	return m[4], m[3], env, true
}

func TestTokenHasTheDocumentedForm(t *testing.T) {
	f := liveTest(t)
	scanners := regexp.MustCompile(`sk_live_[A-Za-z0-9]{20,}`)
	for range 500 {
		text := f.Mint(0, "").Reveal()
		if len(text) != 69 || !strings.HasPrefix(text, "sk_live_") {
			t.Fatalf("%q is not 69 characters after sk_live_", text)
		}
		if scanners.MatchString(text) {
			t.Fatalf("%q matches the pattern that secret scanners give to another vendor", text)
		}
		id, body, env, ok := f.Parse(text)
		wantID, wantBody, wantEnv, wantOK := slowParse(text)
		if !ok || !wantOK || id != wantID || body != wantBody || env != wantEnv || len(body) != 55 {
			t.Fatalf("parse(%q) = %q %q %d %v, want %q %q %d", text, id, body, env, ok, wantID, wantBody, wantEnv)
		}
	}
}

func TestTokenRefusesEveryAlteredCharacter(t *testing.T) {
	f := liveTest(t)
	text := f.Mint(1, "").Reveal()
	for i := range len(text) {
		for c := range 256 {
			if byte(c) == text[i] {
				continue
			}
			altered := text[:i] + string([]byte{byte(c)}) + text[i+1:]
			if _, _, _, ok := f.Parse(altered); ok {
				t.Fatalf("%q was accepted, altered at %d", altered, i)
			}
		}
	}
	for i := range len(text) {
		if _, _, _, ok := f.Parse(text[:i]); ok {
			t.Fatalf("a cut of %d characters was accepted", i)
		}
		if _, _, _, ok := f.Parse(text[i:]); i > 0 && ok {
			t.Fatalf("a tail from %d was accepted", i)
		}
	}
}

func TestTokenAlphabetIsCheckedEvenUnderARightChecksum(t *testing.T) {
	f := liveTest(t)
	for _, bad := range []string{"-", "/", " ", "_", "\x00", "é"} {
		head := "sk_live_" + (strings.Repeat("a", 16-len(bad)) + bad) + "_" + strings.Repeat("b", 38)
		if _, _, _, ok := f.Parse(head + sixDigits(crc32.ChecksumIEEE([]byte(head)))); ok {
			t.Errorf("an id with %q was accepted", bad)
		}
		head = "sk_live_" + strings.Repeat("a", 16) + "_" + strings.Repeat("b", 38-len(bad)) + bad
		if _, _, _, ok := f.Parse(head + sixDigits(crc32.ChecksumIEEE([]byte(head)))); ok {
			t.Errorf("a secret with %q was accepted", bad)
		}
	}
}

func sixDigits(n uint32) string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	var b [6]byte
	for i := 5; i >= 0; i-- {
		b[i], n = digits[n%62], n/62
	}
	return string(b[:])
}

func TestTokenPrefixMayHoldUnderscores(t *testing.T) {
	f, err := latchkey.NewTokenFormat("my_app_v2", "live")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, ok := f.Parse(f.Mint(0, "").Reveal()); !ok {
		t.Error("a token with a prefix that holds '_' does not parse")
	}
	for _, bad := range []string{"", "SK", "1sk", "sk_", "s k", strings.Repeat("a", 17)} {
		if _, err := latchkey.NewTokenFormat(bad, "live"); err == nil {
			t.Errorf("prefix %q was accepted", bad)
		}
	}
}

func TestTokenSecretsAreUnbiased(t *testing.T) {
	f := liveTest(t)
	const tokens = 4000
	var seen [256]float64
	for range tokens {
		_, body, _, _ := f.Parse(f.Mint(0, "").Reveal())
		for _, c := range []byte(body[17:]) {
			seen[c]++
		}
	}
	want, chi := float64(tokens*38)/62, 0.0
	for _, c := range "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" {
		chi += (seen[c] - want) * (seen[c] - want) / want
	}
	// 61 degrees of freedom: mean 61, deviation 11. Bytes modulo 62 without
	// drawing again would give about 2,600.
	if chi > 61+10*11 {
		t.Errorf("chi-square of the secret's characters is %.0f: they are not equally likely", chi)
	}
}

func TestTokenRedactsItselfEverywhere(t *testing.T) {
	token := liveTest(t).Mint(0, "")
	secret := token.Reveal()[25:]
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T %v"} {
		args := []any{token}
		if strings.Contains(verb, "%T") {
			args = []any{token, &token}
		}
		leaks(t, verb, fmt.Sprintf(verb, args...), secret)
	}
	leaks(t, "nested", fmt.Sprintf("%+v", struct{ T latchkey.Token }{token}), secret)
	leaks(t, "%x", fmt.Sprintf("%x", token), fmt.Sprintf("%x", secret))
	var buf bytes.Buffer
	slog.New(slog.NewJSONHandler(&buf, nil)).Info("m", "t", token, "s", struct{ T latchkey.Token }{token})
	slog.New(slog.NewTextHandler(&buf, nil)).Info("m", "t", token, "p", &token)
	leaks(t, "slog", buf.String(), secret)
	js, err := json.Marshal(map[string]any{"t": token, "p": &token})
	if err != nil {
		t.Fatal(err)
	}
	leaks(t, "json", string(js), secret)
	if got := fmt.Sprint(token); !strings.HasPrefix(got, token.Reveal()[:24]) || !strings.HasSuffix(got, "[redacted]") {
		t.Errorf("%q does not show the public id", got)
	}
	if got := fmt.Sprint(latchkey.Token{}); got != "[redacted]" {
		t.Errorf("the zero token prints as %q", got)
	}
}

func leaks(t *testing.T, where, text, secret string) {
	t.Helper()
	for n := 8; n <= len(secret); n++ {
		if strings.Contains(text, secret[:n]) || strings.Contains(text, secret[len(secret)-n:]) {
			t.Fatalf("%s shows %d characters of the secret: %s", where, n, text)
		}
	}
}

func TestParseAllocatesNothing(t *testing.T) {
	f := liveTest(t)
	text := f.Mint(0, "").Reveal()
	if n := testing.AllocsPerRun(100, func() { f.Parse(text) }); n != 0 {
		t.Errorf("parse allocates %v times", n)
	}
}

func TestChecksumIsTheStandardCRC32(t *testing.T) {
	data := bytes.Repeat([]byte("The quick brown fox 0123"), 8)
	for n := range data {
		if got, want := latchkey.Checksum(string(data[:n])), crc32.ChecksumIEEE(data[:n]); got != want {
			t.Fatalf("checksum of %d bytes is %08x, want %08x", n, got, want)
		}
	}
}

func FuzzToken(f *testing.F) {
	format := liveTest(f)
	f.Add(format.Mint(0, "").Reveal())
	f.Add(format.Mint(1, "").Reveal())
	f.Add("sk_live_")
	f.Add(strings.Repeat("_", 69))
	f.Fuzz(func(t *testing.T, text string) {
		id, body, env, ok := format.Parse(text)
		wantID, wantBody, wantEnv, wantOK := slowParse(text)
		if ok != wantOK || id != wantID || body != wantBody || env != wantEnv {
			t.Fatalf("parse(%q) = %q %q %d %v, want %q %q %d %v", text, id, body, env, ok, wantID, wantBody, wantEnv, wantOK)
		}
		// The same text under a right checksum reaches the later checks.
		if len(text) >= 6 {
			head := text[:len(text)-6]
			mended := head + sixDigits(crc32.ChecksumIEEE([]byte(head)))
			_, _, _, ok := format.Parse(mended)
			if _, _, _, want := slowParse(mended); ok != want {
				t.Fatalf("parse(%q) = %v, want %v", mended, ok, want)
			}
		}
	})
}

func FuzzCursor(f *testing.F) {
	lists := []storage.Query{{}, {Order: storage.ByName, Owner: "acme"}}
	f.Add("")
	f.Add("AQAAAAAAAAAAYQ")
	for _, q := range lists {
		f.Add(latchkey.FormatCursor(storage.Position{Name: "backend", ID: "0123456789abcdef"}, q))
	}
	f.Fuzz(func(t *testing.T, cursor string) {
		accepted := 0
		for _, q := range lists {
			p, err := latchkey.ParseCursor(cursor, q)
			if err != nil {
				if apikey.CodeOf(err) != apikey.InvalidArgument {
					t.Fatalf("%q: %v is no invalid_argument", cursor, err)
				}
				continue
			}
			if cursor != "" && latchkey.FormatCursor(p, q) != cursor {
				t.Fatalf("%q is accepted beside %q for the same place", cursor, latchkey.FormatCursor(p, q))
			}
			accepted++
		}
		if cursor != "" && accepted > 1 {
			t.Fatalf("%q is accepted for two lists", cursor)
		}
	})
}

package token

import (
	"bytes"
	"hash/crc32"
	"math/big"
	"regexp"
	"strings"
	"testing"

	"github.com/wontopos/latchkey/apikey"
)

func formatOf(t testing.TB, prefix string, environments ...string) *Format {
	t.Helper()
	var all []apikey.Environment
	for _, name := range environments {
		all = append(all, apikey.Environment{Name: name})
	}
	f, err := NewFormat(prefix, all)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func liveTest(t testing.TB) *Format { return formatOf(t, "sk", "live", "test") }

// minted returns a token of a new key.
func minted(f *Format, env int) string {
	text, _ := f.Mint(env, "")
	return text
}

// parsed returns what Parse does, in parts.
func parsed(f *Format, text string) (id, body string, env int, ok bool) {
	p, ok := f.Parse(text)
	return p.ID, p.body, p.Env, ok
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
		text := minted(f, 0)
		if len(text) != 69 || !strings.HasPrefix(text, "sk_live_") {
			t.Fatalf("%q is not 69 characters after sk_live_", text)
		}
		if scanners.MatchString(text) {
			t.Fatalf("%q matches the pattern that secret scanners give to another vendor", text)
		}
		id, body, env, ok := parsed(f, text)
		wantID, wantBody, wantEnv, wantOK := slowParse(text)
		if !ok || !wantOK || id != wantID || body != wantBody || env != wantEnv || len(body) != 55 {
			t.Fatalf("parse(%q) = %q %q %d %v, want %q %q %d", text, id, body, env, ok, wantID, wantBody, wantEnv)
		}
	}
}

func TestTokenRefusesEveryAlteredCharacter(t *testing.T) {
	f := liveTest(t)
	text := minted(f, 1)
	for i := range len(text) {
		for c := range 256 {
			if byte(c) == text[i] {
				continue
			}
			altered := text[:i] + string([]byte{byte(c)}) + text[i+1:]
			if _, _, _, ok := parsed(f, altered); ok {
				t.Fatalf("%q was accepted, altered at %d", altered, i)
			}
		}
	}
	for i := range len(text) {
		if _, _, _, ok := parsed(f, text[:i]); ok {
			t.Fatalf("a cut of %d characters was accepted", i)
		}
		if _, _, _, ok := parsed(f, text[i:]); i > 0 && ok {
			t.Fatalf("a tail from %d was accepted", i)
		}
	}
}

func TestTokenAlphabetIsCheckedEvenUnderARightChecksum(t *testing.T) {
	f := liveTest(t)
	for _, bad := range []string{"-", "/", " ", "_", "\x00", "é"} {
		head := "sk_live_" + (strings.Repeat("a", 16-len(bad)) + bad) + "_" + strings.Repeat("b", 38)
		if _, _, _, ok := parsed(f, head+sixDigits(crc32.ChecksumIEEE([]byte(head)))); ok {
			t.Errorf("an id with %q was accepted", bad)
		}
		head = "sk_live_" + strings.Repeat("a", 16) + "_" + strings.Repeat("b", 38-len(bad)) + bad
		if _, _, _, ok := parsed(f, head+sixDigits(crc32.ChecksumIEEE([]byte(head)))); ok {
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
	f := formatOf(t, "my_app_v2", "live")
	if _, _, _, ok := parsed(f, minted(f, 0)); !ok {
		t.Error("a token with a prefix that holds '_' does not parse")
	}
	for _, bad := range []string{"", "SK", "1sk", "sk_", "s k", strings.Repeat("a", 17)} {
		if _, err := NewFormat(bad, []apikey.Environment{{Name: "live"}}); err == nil {
			t.Errorf("prefix %q was accepted", bad)
		}
	}
}

func TestTokenSecretsAreUnbiased(t *testing.T) {
	f := liveTest(t)
	const tokens = 4000
	var seen [256]float64
	for range tokens {
		_, body, _, _ := parsed(f, minted(f, 0))
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

func TestParseAllocatesNothing(t *testing.T) {
	f := liveTest(t)
	text := minted(f, 0)
	if n := testing.AllocsPerRun(100, func() { f.Parse(text) }); n != 0 {
		t.Errorf("parse allocates %v times", n)
	}
}

func TestChecksumIsTheStandardCRC32(t *testing.T) {
	data := bytes.Repeat([]byte("The quick brown fox 0123"), 8)
	for n := range data {
		if got, want := checksum(string(data[:n])), crc32.ChecksumIEEE(data[:n]); got != want {
			t.Fatalf("checksum of %d bytes is %08x, want %08x", n, got, want)
		}
	}
}

func FuzzToken(f *testing.F) {
	format := liveTest(f)
	f.Add(minted(format, 0))
	f.Add(minted(format, 1))
	f.Add("sk_live_")
	f.Add(strings.Repeat("_", 69))
	f.Fuzz(func(t *testing.T, text string) {
		id, body, env, ok := parsed(format, text)
		wantID, wantBody, wantEnv, wantOK := slowParse(text)
		if ok != wantOK || id != wantID || body != wantBody || env != wantEnv {
			t.Fatalf("parse(%q) = %q %q %d %v, want %q %q %d %v", text, id, body, env, ok, wantID, wantBody, wantEnv, wantOK)
		}
		// The same text under a right checksum reaches the later checks.
		if len(text) >= 6 {
			head := text[:len(text)-6]
			mended := head + sixDigits(crc32.ChecksumIEEE([]byte(head)))
			_, _, _, ok := parsed(format, mended)
			if _, _, _, want := slowParse(mended); ok != want {
				t.Fatalf("parse(%q) = %v, want %v", mended, ok, want)
			}
		}
	})
}

package latchkey_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

func TestTokenRedactsItselfEverywhere(t *testing.T) {
	token := latchkey.Mint("")
	secret := token.Reveal()[25:]
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T %v"} {
		args := []any{token}
		if strings.Contains(verb, "%T") {
			args = []any{token, &token}
		}
		leaks(t, verb, fmt.Sprintf(verb, args...), secret)
	}
	leaks(t, "nested", fmt.Sprintf("%+v", struct{ T latchkey.Token }{token}), secret)
	type private struct {
		t latchkey.Token
		p *latchkey.Token
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X"} { // fmt calls no methods there
		for _, holder := range []any{private{token, &token}, &private{token, &token}, []private{{token, &token}}, map[string]private{"k": {token, &token}}} {
			text := fmt.Sprintf(verb, holder)
			leaks(t, "a private field, "+verb, text, secret)
			leaks(t, "a private field, "+verb, text, fmt.Sprintf("%x", secret))
			leaks(t, "a private field, "+verb, text, fmt.Sprintf("%X", secret))
		}
	}
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

// TestPepperRedactsItselfEverywhere: also as part of the Options, which a program may print when it starts.
func TestPepperRedactsItselfEverywhere(t *testing.T) {
	t.Parallel()
	const secret = "correct-horse-battery-staple-32-bytes"
	pepper := latchkey.Pepper{Number: 7, Key: []byte(secret)}
	o := latchkey.Options{Peppers: []latchkey.Pepper{pepper}}
	var text strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		fmt.Fprintf(&text, verb+" "+verb+" "+verb+" "+verb+"\n", pepper, &pepper, o, &o)
	}
	slog.New(slog.NewJSONHandler(&text, nil)).Info("m", "p", pepper, "o", o.Peppers)
	slog.New(slog.NewTextHandler(&text, nil)).Info("m", "p", &pepper, "o", o.Peppers)
	js, err := json.Marshal(o.Peppers)
	if err != nil {
		t.Fatal(err)
	}
	text.Write(js)
	for _, form := range []string{secret, fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret), base64.StdEncoding.EncodeToString([]byte(secret)), fmt.Sprint([]byte(secret)), "0x63, 0x6f"} {
		leaks(t, "a pepper", text.String(), form[:min(len(form), 12)])
		if strings.Contains(text.String(), form) {
			t.Errorf("a pepper is printed with its key: %s", form)
		}
	}
	if got := fmt.Sprint(pepper); got != "pepper 7 [redacted]" {
		t.Errorf("a pepper prints as %q", got)
	}
	var read latchkey.Pepper
	if err := json.Unmarshal([]byte(`{"Number":7,"Key":"Y29ycmVjdA=="}`), &read); err != nil || read.Number != 7 || string(read.Key) != "correct" {
		t.Errorf("a pepper of a configuration is read as %v with %d bytes, error %v", read, len(read.Key), err)
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

func sixDigits(n uint32) string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	var b [6]byte
	for i := 5; i >= 0; i-- {
		b[i], n = digits[n%62], n/62
	}
	return string(b[:])
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

package latchkey_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/engine"
	"github.com/wontopos/latchkey/storage/memstore"
)

func quietService(t *testing.T, o latchkey.Options) *latchkey.Service {
	t.Helper()
	o.Logger = slog.New(slog.DiscardHandler)
	keys, err := latchkey.New(memstore.New(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keys.Close(context.Background()) })
	return keys
}

// escapeAll percent-encodes every byte.
func escapeAll(s string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, "%%%02x", s[i])
	}
	return b.String()
}

// secretOf returns what follows the last underscore.
func secretOf(token string) string { return token[strings.LastIndexByte(token, '_')+1:] }

// TestRedact: no spelling of a token keeps its secret in a text, and the id stays.
func TestRedact(t *testing.T) {
	t.Parallel()
	for _, prefix := range []string{"sk", "acme_prod"} {
		keys := quietService(t, latchkey.Options{Prefix: prefix, Environments: apikey.LiveAndTest("https://a.example", "https://b.example")})
		var k apikey.Key
		var token latchkey.Token
		for !strings.ContainsAny(secretOf(token.Reveal()), "0OIl") { // 19 of 20 have one
			var err error
			if k, token, err = keys.Create(t.Context(), apikey.Actor{ID: "ann"}, latchkey.NewKey{Name: "n", Owner: "o", Environment: "test"}); err != nil {
				t.Fatal(err)
			}
		}
		whole := token.Reveal()
		body := whole[strings.Index(whole, k.ID):]
		secret := body[len(k.ID)+1:]
		for rule, c := range map[string]struct {
			text, want string // of the token's text; the secret is nowhere in what becomes of it
		}{
			"whole":                             {whole, token.String()},
			"in a sentence":                     {"found \"" + whole + "\", twice: " + whole + ".", "found \"" + token.String() + "\", twice: " + token.String() + "."},
			"cut behind":                        {whole[:len(whole)-40], token.String()},
			"cut behind to one character":       {whole[:len(whole)-43], token.String()},
			"cut in front, prefix":              {whole[2:], token.String()[2:]},
			"cut in front, to the id":           {"curl " + body, "curl " + k.ID + "_[redacted]"},
			"cut in front, within the id":       {body[11:], k.ID[11:] + "_[redacted]"},
			"cut in front, to one character":    {"KEY='" + body[15:] + "'", "KEY='" + k.ID[15:] + "_[redacted]'"},
			"cut in front, to the underscore":   {"_" + secret, "_[redacted]"},
			"cut in front and encoded":          {escapeAll(body[9:]), ""},
			"in capitals":                       {strings.ToUpper(whole), strings.ToUpper(strings.TrimSuffix(token.String(), "[redacted]")) + "[redacted]"},
			"in small letters":                  {strings.ToLower(whole), strings.ToLower(token.String())},
			"percent-encoded underscores":       {strings.ReplaceAll(whole, "_", "%5F"), ""},
			"percent-encoded, all of it":        {escapeAll(whole), ""},
			"percent-encoded twice":             {url.QueryEscape(escapeAll(whole)), ""},
			"in a query":                        {"?search=" + whole + "&x=1", "?search=" + token.String() + "&x=1"},
			"in a path":                         {"GET /v1/" + whole + "/x", "GET /v1/" + token.String() + "/x"},
			"another prefix":                    {"ghk_test_" + body, "ghk_test_" + k.ID + "_[redacted]"},
			"of an environment that is no more": {"sk_old_" + body, "sk_old_" + k.ID + "_[redacted]"},
		} {
			got := keys.Redact(c.text)
			if c.want != "" && got != c.want {
				t.Errorf("%s: %q becomes %q, want %q", rule, c.text, got, c.want)
			}
			plain, _ := url.QueryUnescape(got)
			plain, _ = url.QueryUnescape(plain)
			for _, s := range []string{got, plain} {
				if strings.Contains(strings.ToLower(s), strings.ToLower(secret[:4])) {
					t.Errorf("%s: the secret is in %q", rule, s)
				}
			}
			if again := keys.Redact(got); again != got {
				t.Errorf("%s: once more, %q becomes %q", rule, got, again)
			}
		}
		for _, text := range []string{
			"", "production-backend", "%", "%5", "100%_", k.ID, prefix + "_test_" + k.ID, prefix + "_test_" + k.ID + "_", token.String(),
			"snake_case_0123456789abcdef_words", "GET /v1/apis/{id}", "db_backup_of_20261127", strings.Repeat("_", 99),
			"d41d8cd98f00b204e9800998ecf8427e", "commit_da39a3ee5e6b4b0d3255bfef95601890afd80709", "123e4567-e89b-12d3-a456-426614174000",
			"cache_e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "_47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
			"_" + strings.Repeat("x", 44), "_" + strings.Repeat("1", 44), "_x" + secret, strings.ToLower("_" + secret), "no underscore: " + secret,
			"wallet_7xKXtg2CW87d97TXJSDpbD5jBkheTqA83TZRuJosgAsU",
			"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
		} {
			if got := keys.Redact(text); got != text {
				t.Errorf("%q holds no secret, and becomes %q", text, got)
			}
		}
	}
}

// TestWordsOf44CharactersAreNoSecrets: what people name things after is left alone, although it is as long as a secret.
func TestWordsOf44CharactersAreNoSecrets(t *testing.T) {
	t.Parallel()
	keys := quietService(t, latchkey.Options{})
	for kind, alphabet := range map[string]string{
		"an address in base 58": "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz",
		"hexadecimal":           "0123456789abcdef",
		"capitals and digits":   "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
		"a name in CamelCase":   "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
	} {
		for range 5_000 {
			word := make([]byte, 44)
			for i := range word {
				word[i] = alphabet[rand.IntN(len(alphabet))]
			}
			for _, text := range []string{string(word), "_" + string(word), "sol_" + string(word)} {
				if got := keys.Redact(text); got != text {
					t.Fatalf("%s: %q becomes %q", kind, text, got)
				}
			}
		}
	}
}

// TestNoSecretIsWrittenDown: whatever text a client or a caller puts a token into, its secret is not stored, not
// told, and in no error.
func TestNoSecretIsWrittenDown(t *testing.T) {
	t.Parallel()
	keys := quietService(t, latchkey.Options{})
	ctx, by := t.Context(), apikey.Actor{ID: "ann"}
	k, token, err := keys.Create(ctx, by, latchkey.NewKey{Name: "n", Owner: "o"})
	if err != nil {
		t.Fatal(err)
	}
	text := token.Reveal()
	secret := text[len(text)-44:]
	clean := func(rule string, thing any, err error) {
		t.Helper()
		if s := fmt.Sprintf("%+v %v", thing, err); strings.Contains(s, secret[:8]) {
			t.Errorf("%s: the secret is in %s", rule, s)
		}
	}
	for field, n := range map[string]latchkey.NewKey{
		"name": {Name: text, Owner: "o"}, "owner": {Name: "n", Owner: text}, "plan": {Name: "n", Owner: "o", Plan: text},
		"environment": {Name: "n", Owner: "o", Environment: text}, "scopes[0]": {Name: "n", Owner: "o", Scopes: []string{text}},
		"limits[0].Name": {Name: "n", Owner: "o", Limits: []apikey.Limit{{Name: text}}},
		"metadata":       {Name: "n", Owner: "o", Metadata: map[string]string{"a": text}},
	} {
		_, _, err := keys.Create(ctx, by, n)
		e, _ := err.(*apikey.Error)
		if e == nil || e.Code != apikey.InvalidArgument || e.Field != field {
			t.Errorf("a key's %s that holds a secret is refused, not %v", field, err)
		}
		clean(field, nil, err)
	}
	_, err = keys.Update(ctx, by, k.ID, latchkey.Update{Name: &text})
	clean("a new name", nil, err)
	_, err = keys.List(ctx, latchkey.ListRequest{State: apikey.State(text)})
	clean("a state", nil, err)
	for rule, search := range map[string]string{"whole": text, "in quotes": `"` + text + `"`, "percent-encoded": escapeAll(text), "in capitals": strings.ToUpper(text)} {
		page, err := keys.List(ctx, latchkey.ListRequest{Search: search})
		if err != nil || len(page.Keys) != 1 {
			t.Errorf("search for a token, %s: %d keys, %v", rule, len(page.Keys), err)
		}
	}

	v, err := engine.Of(keys).Verify(ctx, text)
	if err != nil {
		t.Fatal(err)
	}
	v.Count(apikey.OK, 0, &engine.Use{UserAgent: strings.Repeat("x", 90) + " " + text}).Ended("GET", "/things/"+text, 200)
	u, err := keys.Usage(ctx, k.ID, k.CreatedAt)
	clean("a User-Agent and a path", u, err)
	if last := u.Last(); !strings.Contains(last.Route, k.ID) || last.UserAgent == "" {
		t.Errorf("the id and the rest stay: %+v", last)
	}

	leaked := apikey.Actor{ID: "bot " + text, From: text}
	if _, err := keys.Disable(ctx, leaked, k.ID, "found "+text); err != nil {
		t.Errorf("who disables a leaked key is not told to write less: %v", err)
	}
	got, err := keys.Revoke(ctx, leaked, k.ID, "found "+text)
	clean("who revoked and why", got, err)
	if !strings.HasPrefix(got.RevokeReason, "found sk_live_"+k.ID) {
		t.Errorf("the id stays in the reason: %q", got.RevokeReason)
	}
	trail, err := keys.Audit(ctx, apikey.AuditQuery{})
	clean("the audit trail", trail, err)
}

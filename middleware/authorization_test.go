package middleware

import (
	"regexp"
	"strings"
	"testing"

	"github.com/wontopos/latchkey/apikey"
)

// parseBearer is what becomes of an Authorization field in all.
func parseBearer(lines []string) (string, apikey.Code) {
	token, code := bearer(lines)
	if code == apikey.OK && !isB64Token(token) {
		return "", apikey.MalformedRequest
	}
	return token, code
}

func TestBearer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rule  string
		lines []string
		token string
		code  apikey.Code
	}{
		{"nothing sent", nil, "", apikey.MissingKey},
		{"an empty line is nothing", []string{" \t"}, "", apikey.MissingKey},
		{"another scheme", []string{"Basic c2s6"}, "", apikey.MissingKey},
		{"another scheme that begins alike", []string{"Bearerx abc"}, "", apikey.MissingKey},
		{"a key without a scheme", []string{"sk_live_abc"}, "", apikey.MissingKey},
		{"commas within another scheme", []string{`Digest username="a", realm="b"`}, "", apikey.MissingKey},
		{"plain", []string{"Bearer abc"}, "abc", apikey.OK},
		{"any case, several spaces", []string{"bEARER   abc"}, "abc", apikey.OK},
		{"all of b64token", []string{"Bearer aZ09-._~+/=="}, "aZ09-._~+/==", apikey.OK},
		{"space around", []string{" Bearer abc\t"}, "abc", apikey.OK},
		{"two lines", []string{"Bearer abc", "Bearer abc"}, "", apikey.MalformedRequest},
		{"two lines, one of another scheme", []string{"Basic abc", "Bearer abc"}, "", apikey.MalformedRequest},
		{"two lines of other schemes", []string{"Basic abc", "Digest abc"}, "", apikey.MissingKey},
		{"other schemes joined by a comma", []string{"Basic abc, Digest abc"}, "", apikey.MissingKey},
		{"Bearer in a parameter of another scheme", []string{`Digest username="a, Bearer b", realm="\", Bearer c"`}, "", apikey.MissingKey},
		{"Bearer behind a parameter of another scheme", []string{`Digest username="a", Bearer b`}, "", apikey.MalformedRequest},
		{"joined by a comma", []string{"Bearer abc, Bearer def"}, "", apikey.MalformedRequest},
		{"joined by a comma, Bearer second", []string{"Basic abc,bearer def"}, "", apikey.MalformedRequest},
		{"a comma alone", []string{"Bearer abc,"}, "", apikey.MalformedRequest},
		{"no token", []string{"Bearer"}, "", apikey.MalformedRequest},
		{"a tab is no space", []string{"Bearer\tabc"}, "", apikey.MalformedRequest},
		{"two words", []string{"Bearer abc def"}, "", apikey.MalformedRequest},
		{"quotes", []string{`Bearer "abc"`}, "", apikey.MalformedRequest},
		{"= within", []string{"Bearer a=b"}, "", apikey.MalformedRequest},
		{"= alone", []string{"Bearer =="}, "", apikey.MalformedRequest},
		{"no scheme at all", []string{"\"abc\""}, "", apikey.MissingKey},
		{"no scheme, Bearer second", []string{", Bearer abc"}, "", apikey.MalformedRequest},
		{"control characters", []string{"Bearer abc\x00"}, "", apikey.MalformedRequest},
		{"not ASCII", []string{"Bearer abç"}, "", apikey.MalformedRequest},
	} {
		if token, code := parseBearer(c.lines); token != c.token || code != c.code {
			t.Errorf("%s: %q is %q, %v; want %q, %v", c.rule, c.lines, token, code, c.token, c.code)
		}
	}
}

// The oracle says the same in regular expressions.
var (
	quotes       = regexp.MustCompile(`(?s)"(?:\\.|\\$|[^"\\])*(?:"|$)`)
	isBearer     = regexp.MustCompile(`^[ \t]*(?i:bearer) +([-A-Za-z0-9._~+/]+=*)[ \t]*$`)
	saysBearer   = regexp.MustCompile(`^[ \t]*(?i:bearer)(?:$|[^-!#$%&'*+.^_` + "`" + `|~0-9A-Za-z])`)
	bearerJoined = regexp.MustCompile(`(?s),[ \t]*(?i:bearer)[ \t]+[^ \t]`)
)

func oracle(lines []string) (string, apikey.Code) {
	if len(lines) == 1 {
		if m := isBearer.FindStringSubmatch(lines[0]); m != nil {
			return m[1], apikey.OK
		}
	}
	for _, v := range lines {
		if saysBearer.MatchString(v) || bearerJoined.MatchString(quotes.ReplaceAllString(v, `"`)) {
			return "", apikey.MalformedRequest
		}
	}
	return "", apikey.MissingKey
}

// FuzzAuthorization holds the parser against the oracle; a newline parts lines.
func FuzzAuthorization(f *testing.F) {
	for _, s := range []string{
		"", "Bearer abc", "bearer  abc=", "Bearer abc, Bearer def", "Basic abc, Bearer def", "Bearer a\nBearer b",
		"Bearer\tabc", "Bearer", "Digest a=\"b\", c=d", "Basic x, bearer", " Bearer abc \t", "Bearer ,", ",Bearer a",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var lines []string
		if s != "" {
			lines = strings.Split(s, "\n")
		}
		token, code := parseBearer(lines)
		wantToken, wantCode := oracle(lines)
		if token != wantToken || code != wantCode {
			t.Errorf("%q is %q, %v; the oracle says %q, %v", lines, token, code, wantToken, wantCode)
		}
		if code == apikey.OK && strings.ContainsAny(token, " ,\t\"") {
			t.Errorf("%q gives the token %q", lines, token)
		}
	})
}

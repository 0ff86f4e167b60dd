package middleware

import (
	"strings"

	"github.com/wontopos/latchkey/apikey"
)

// bearer reads the key from the lines of an Authorization field: RFC 6750,
// section 2.1, in the grammar of RFC 9110, section 11. Whether it is a b64token
// is left to [Guard.verify]: a good key is one.
//
// Anything that could be understood in two ways is refused, because a proxy
// in front may have understood the other: a second line, and a second
// credential joined on with a comma.
func bearer(lines []string) (token string, code apikey.Code) {
	if len(lines) == 1 && isPlainBearer(lines[0]) {
		return lines[0][len("Bearer "):], apikey.OK
	}
	value, code := oneLine(lines)
	if code != apikey.OK {
		return "", code
	}
	scheme, rest := cutScheme(value)
	if !equalFold(scheme, "bearer") {
		if scheme == "" || joinsBearer(rest) {
			return "", apikey.MalformedRequest
		}
		return "", apikey.MissingKey
	}
	token = strings.TrimLeft(rest, " ")
	if len(token) == len(rest) || token == "" {
		return "", apikey.MalformedRequest
	}
	return token, apikey.OK
}

// isPlainBearer reports whether a line is "Bearer <token>" in the spelling that
// nearly all clients use. What follows it in bearer understands such a line in
// the same way, but takes longer.
func isPlainBearer(line string) bool {
	const start = "Bearer "
	if len(line) <= len(start) || line[:len(start)] != start {
		return false
	}
	first, last := line[len(start)], line[len(line)-1]
	return first != ' ' && last != ' ' && last != '\t'
}

// oneLine returns the value of a field that may stand once.
func oneLine(lines []string) (value string, code apikey.Code) {
	switch len(lines) {
	case 0:
		return "", apikey.MissingKey
	case 1:
		if value = strings.Trim(lines[0], " \t"); value == "" {
			return "", apikey.MissingKey
		}
		return value, apikey.OK
	}
	return "", apikey.MalformedRequest
}

// cutScheme splits a value after its leading token.
func cutScheme(value string) (scheme, rest string) {
	n := 0
	for n < len(value) && is(value[n], tokenChar) {
		n++
	}
	return value[:n], value[n:]
}

// equalFold compares with a lower-case ASCII word.
func equalFold(s, lower string) bool {
	if len(s) != len(lower) {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// joinsBearer reports whether after some comma of another scheme's credential
// a Bearer credential begins: two lines that something has joined.
func joinsBearer(rest string) bool {
	for {
		_, after, found := strings.Cut(rest, ",")
		if !found {
			return false
		}
		rest = strings.TrimLeft(after, " \t")
		if scheme, more := cutScheme(rest); equalFold(scheme, "bearer") && more != "" && (more[0] == ' ' || more[0] == '\t') {
			return true
		}
	}
}

// isB64Token checks 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"=".
func isB64Token(s string) bool {
	s = strings.TrimRight(s, "=")
	if s == "" {
		return false
	}
	all, t, i := uint8(b64Char), &classes, 0
	for ; i+8 <= len(s); i += 8 {
		x := s[i : i+8]
		all &= t[x[0]] & t[x[1]] & t[x[2]] & t[x[3]] & t[x[4]] & t[x[5]] & t[x[6]] & t[x[7]]
	}
	for ; i < len(s); i++ {
		all &= t[s[i]]
	}
	return all != 0
}

const (
	tokenChar = 1 << iota // tchar of RFC 9110
	b64Char               // of a b64token, before the "="
	plainChar             // ASCII that JSON and HTML leave as it is
)

// classes says for each byte which of the sets above it is in.
var classes = func() (t [256]uint8) {
	const alnum = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	for _, c := range []byte(alnum + "!#$%&'*+-.^_`|~") {
		t[c] |= tokenChar
	}
	for _, c := range []byte(alnum + "-._~+/") {
		t[c] |= b64Char
	}
	for c := byte(' '); c < 0x7f; c++ {
		if !strings.ContainsRune(`"\<>&`, rune(c)) {
			t[c] |= plainChar
		}
	}
	return t
}()

func is(c byte, class uint8) bool { return classes[c]&class != 0 }

package middleware

import (
	"strings"

	"github.com/wontopos/latchkey/apikey"
)

// bearer reads the key from the lines of an Authorization field: RFC 6750,
// section 2.1, in the grammar of RFC 9110, section 11. It does not check that
// the key is a b64token; [Guard.verify] does, and every good key is one.
//
// Anything that can be read in two ways is refused, because a proxy in front
// may have read it the other way: a second line, or a second credential joined
// on with a comma. If all the credentials are of other schemes, they are not
// meant for this service, and the key is missing.
func bearer(lines []string) (token string, code apikey.Code) {
	if len(lines) == 1 && isPlainBearer(lines[0]) {
		return lines[0][len("Bearer "):], apikey.OK
	}
	return schemed(lines, "bearer")
}

// schemed reads the credential of a scheme, which is in lower case.
func schemed(lines []string, scheme string) (string, apikey.Code) {
	value, code := authorization(lines, scheme)
	if code != apikey.OK {
		return "", code
	}
	_, rest := cutScheme(value)
	token := strings.TrimLeft(rest, " ")
	if len(token) == len(rest) || token == "" {
		return "", apikey.MalformedRequest
	}
	return token, apikey.OK
}

// alone reads a field that holds a key and nothing else. A credential of some
// scheme is not meant for this service.
func alone(lines []string) (string, apikey.Code) {
	if len(lines) == 1 && strings.Contains(strings.Trim(lines[0], " \t"), " ") {
		return "", apikey.MissingKey
	}
	return oneLine(lines)
}

// authorization returns the single credential in the lines of an Authorization
// field if it is of the given scheme, which is in lower case.
func authorization(lines []string, scheme string) (value string, code apikey.Code) {
	ours := false
	for _, line := range lines {
		s, rest := cutScheme(strings.Trim(line, " \t"))
		ours = ours || equalFold(s, scheme) || joins(rest, scheme)
	}
	if !ours {
		return "", apikey.MissingKey
	}
	if value, code = oneLine(lines); code != apikey.OK {
		return "", code
	}
	if s, _ := cutScheme(value); !equalFold(s, scheme) { // a credential of the scheme is joined on to another
		return "", apikey.MalformedRequest
	}
	return value, apikey.OK
}

// isPlainBearer reports whether a line is "Bearer <token>" in the spelling that
// nearly all clients use. The rest of bearer would read such a line the same
// way, but more slowly.
func isPlainBearer(line string) bool {
	const start = "Bearer "
	if len(line) <= len(start) || line[:len(start)] != start {
		return false
	}
	first, last := line[len(start)], line[len(line)-1]
	return first != ' ' && last != ' ' && last != '\t'
}

// oneLine returns the value of a field that may occur only once.
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

// joins reports whether rest, the credential of another scheme, contains a
// comma followed by a credential of the given scheme: two lines that something
// has joined. Text in quotes is a parameter of the other scheme.
func joins(rest, scheme string) bool {
	quoted := false
	for i := 0; i < len(rest); i++ {
		switch c := rest[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			s, more := cutScheme(strings.TrimLeft(rest[i+1:], " \t"))
			if equalFold(s, scheme) && more != "" && (more[0] == ' ' || more[0] == '\t') {
				return true
			}
		}
	}
	return false
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
	b64Char               // in a b64token, before the "="
	plainChar             // ASCII that needs no escape in JSON or HTML
)

// classes holds, for each byte, which of the sets above contain it.
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

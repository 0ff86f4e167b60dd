// Package redact finds API keys in text from strangers and removes their secrets. It knows the form of a token, not its
// checksum: what is left of a token counts, too.
//
// It is a leaf: it imports nothing of this module, and every package of the root module may import it.
package redact

import (
	"bytes"
	"strconv"
	"strings"
)

// redacted replaces a secret.
const redacted = "[redacted]"

// Loose is how many characters are treated as a secret if no environment precedes the id: more than the 32 digits in
// which foreign names often end.
const Loose = 33

// The lengths of a key's id, a secret and its checksum.
const idLen, secretLen, crcLen = 16, 38, 6

// Text removes the secrets of tokens from text: a token, or what is left of one, becomes its public part and
// "[redacted]". envs are the names of the service's environments. If none of them precedes an id, it treats loose
// characters or more after the id as a secret. A whole secret counts even if the beginning of the id is missing.
func Text(text string, envs []string, loose int) string {
	if len(text) <= idLen || strings.IndexByte(text, '_') < 0 && strings.IndexByte(text, '%') < 0 {
		return text
	}
	var out strings.Builder
	from := 0
	for _, t := range Find(text, envs, loose) {
		out.WriteString(text[from:t.Secret])
		out.WriteString(redacted)
		from = t.End
	}
	if from == 0 {
		return text
	}
	out.WriteString(text[from:])
	return out.String()
}

// Token is a token found in a text: its id, or "" if that is truncated, and where its secret begins and ends.
type Token struct {
	ID          string
	Secret, End int
}

// Find finds "<id>_<secret>", if "<environment>_" precedes it or the secret is long; and "_<secret>" whatever precedes it,
// if the secret is whole, because the beginning of the id may be missing.
func Find(text string, envs []string, loose int) (all []Token) {
	plain, at := unescaped(text)
	for i := 0; i < len(plain); {
		id := i
		for i < len(plain) && isAlnum(plain[i]) {
			i++
		}
		if i == len(plain) || plain[i] != '_' {
			i = max(i, id+1)
			continue
		}
		secret := i + 1
		end := secret
		for end < len(plain) && isAlnum(plain[end]) {
			end++
		}
		n := end - secret
		switch {
		case i-id == idLen && n > 0 && (n >= loose || followsEnvironment(plain[:id], envs)):
			all = append(all, Token{string(plain[id:i]), at[secret], at[end]})
			i = end
		case isWholeSecret(plain[secret:end]):
			all = append(all, Token{"", at[secret], at[end]})
			i = end
		default:
			i = max(i, id+1)
		}
	}
	return all
}

// isWholeSecret reports whether a word can be a secret with its checksum. The checksum covers what is missing before it,
// so it cannot be computed. But it is below 2^32, so the first of its six digits is below 5. Addresses of wallets and
// hashes in base 58 may be as long: they never have a 0, O, I or l, and 19 of 20 secrets have one. Words in hexadecimal,
// or in letters of one case, are no secrets.
func isWholeSecret(word []byte) bool {
	const capitals, small = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz"
	return len(word) == secretLen+crcLen && word[secretLen] < '5' &&
		bytes.ContainsAny(word, "0OIl") && bytes.ContainsAny(word, capitals) && bytes.ContainsAny(word, small)
}

// followsEnvironment reports whether b ends in "<environment>_".
func followsEnvironment(b []byte, envs []string) bool {
	for _, e := range envs {
		n := len(b) - len(e) - 1
		if n >= 0 && b[len(b)-1] == '_' && strings.EqualFold(string(b[n:len(b)-1]), e) && (n == 0 || !isAlnum(b[n-1])) {
			return true
		}
	}
	return false
}

// unescaped undoes percent-encoding, including that of percent signs themselves. at holds the offset in text at which
// each byte of plain begins, followed by the end of the last.
func unescaped(text string) (plain []byte, at []int) {
	plain, at = make([]byte, 0, len(text)), make([]int, 0, len(text)+1)
	for i := 0; i < len(text); {
		at = append(at, i)
		c, n := text[i], 1
		if c == '%' {
			j := i + 1
			for strings.HasPrefix(text[j:], "25") {
				j += 2
			}
			if len(text) >= j+2 {
				if v, err := strconv.ParseUint(text[j:j+2], 16, 8); err == nil {
					c, n = byte(v), j+2-i
				}
			}
		}
		plain = append(plain, c)
		i += n
	}
	return plain, append(at, len(text))
}

func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

// Quoted quotes what a caller sent, for an error's message: truncated, and
// without secrets.
func Quoted(s string) string {
	const most, loose = 128, 8
	if s = Text(s[:min(len(s), 8*most)], nil, loose); len(s) > most {
		return strconv.Quote(s[:most]) + "…"
	}
	return strconv.Quote(s)
}

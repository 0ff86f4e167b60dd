package apikey

import (
	"strconv"
	"strings"
)

// redacted replaces a secret.
const redacted = "[redacted]"

// looseSecret is how many characters are treated as a secret if no environment precedes the id: more than the 32 digits
// in which foreign names often end.
const looseSecret = 33

// Redact removes the secrets of tokens from text, for text from strangers that is stored or displayed: a token, or what
// is left of one, becomes its public part and "[redacted]", as in [Token.String]. It recognizes tokens whole or
// truncated at either end, in any letter case and percent-encoded, whatever their prefix. It admits nothing and looks
// nothing up, and costs nothing for a text without underscores. It may be called concurrently.
func (s *Service) Redact(text string) string { return redact(text, s.envs, looseSecret) }

// redact is [Service.Redact]. If no environment precedes an id, it treats loose characters or more after the id as a
// secret.
func redact(text string, envs []Environment, loose int) string {
	if len(text) <= idLen || strings.IndexByte(text, '_') < 0 && strings.IndexByte(text, '%') < 0 {
		return text
	}
	var out strings.Builder
	from := 0
	for _, t := range findTokens(text, envs, loose) {
		out.WriteString(text[from:t.secret])
		out.WriteString(redacted)
		from = t.end
	}
	if from == 0 {
		return text
	}
	out.WriteString(text[from:])
	return out.String()
}

// foundToken is a token found in a text: its id, and where its secret begins and ends.
type foundToken struct {
	id          string
	secret, end int
}

// findTokens finds "<id>_<secret>", if "<environment>_" precedes it or the
// secret is long.
func findTokens(text string, envs []Environment, loose int) (all []foundToken) {
	plain, at := unescaped(text)
	for i := 0; i < len(plain); {
		id := i
		for i < len(plain) && isAlnum(plain[i]) {
			i++
		}
		if i-id != idLen || i == len(plain) || plain[i] != '_' {
			i = max(i, id+1)
			continue
		}
		secret := i + 1
		end := secret
		for end < len(plain) && isAlnum(plain[end]) {
			end++
		}
		if n := end - secret; n > 0 && (n >= loose || followsEnvironment(plain[:id], envs)) {
			all = append(all, foundToken{string(plain[id:i]), at[secret], at[end]})
			i = end
		}
	}
	return all
}

// followsEnvironment reports whether b ends in "<environment>_".
func followsEnvironment(b []byte, envs []Environment) bool {
	for _, e := range envs {
		n := len(b) - len(e.Name) - 1
		if n >= 0 && b[len(b)-1] == '_' && strings.EqualFold(string(b[n:len(b)-1]), e.Name) && (n == 0 || !isAlnum(b[n-1])) {
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

// quoted quotes what a caller sent, for an error's message: truncated, and
// without secrets.
func quoted(s string) string {
	const most, loose = 128, 8
	if s = redact(s[:min(len(s), 8*most)], nil, loose); len(s) > most {
		return strconv.Quote(s[:most]) + "…"
	}
	return strconv.Quote(s)
}

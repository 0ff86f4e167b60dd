package token

import (
	"cmp"
	"strings"

	"github.com/wontopos/latchkey/internal/redact"
)

// Term returns what to search for. If a token, whole or truncated, is anywhere
// in the pasted text, it is as much of its id as is there; or the text without
// the secret, which finds nothing, if the beginning of the id is not there.
func (f *Format) Term(text string) string {
	if found := redact.Find(text, nil, 1); len(found) > 0 {
		return cmp.Or(found[0].ID, redact.Text(text, nil, 1))
	}
	lower := asciiLower(text)
	for i := range f.stems {
		_, rest, ok := strings.Cut(lower, f.stems[i].text)
		if !ok {
			continue
		}
		id, n := text[len(text)-len(rest):], 0
		for n < min(len(id), IDLen) && strings.IndexByte(base62, id[n]) >= 0 {
			n++
		}
		if n > 0 {
			return strings.Clone(id[:n]) // a substring would keep the secret in memory
		}
	}
	return strings.TrimSpace(text)
}

// asciiLower keeps every byte in its place; strings.ToLower does not.
func asciiLower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

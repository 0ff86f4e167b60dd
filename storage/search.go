package storage

import (
	"slices"
	"strings"
	"unicode"

	"github.com/wontopos/latchkey/apikey"
)

// Fold returns the first [apikey.MaxName] bytes of a name, or of a term that is
// searched for, without the difference between capital and small letters: each
// character by itself is replaced by its small letter (unicode.ToLower, the
// simple mapping of the Unicode data; no normal form, no language's own rules).
// Bytes that are no UTF-8 become U+FFFD, and NUL, which no name has, U+0001. The
// result has at most 192 bytes. Stores keep it: another folding is another layout.
func Fold(s string) string {
	s = clip(s)
	var b strings.Builder
	b.Grow(len(s))
	for _, r := range s {
		if r == 0 {
			r = 1
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return cut(b.String(), maxFolded)
}

// Terms returns what a key is found by: the folded name from the start of each
// word on, and the folded ID. A query that searches for a term selects the keys
// one of whose Terms begins with Fold of it. Each comes once.
func Terms(k *apikey.Key) []string {
	terms := []string{Fold(k.ID)}
	inside := false
	name := Fold(k.Name)
	for i, r := range name {
		letter := unicode.IsLetter(r) || unicode.IsDigit(r)
		if rest := name[i:]; (i == 0 || letter && !inside) && !slices.Contains(terms, rest) {
			terms = append(terms, rest)
		}
		inside = letter
	}
	return terms
}

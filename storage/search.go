package storage

import (
	"slices"
	"strings"
	"unicode"

	"github.com/wontopos/latchkey/apikey"
)

// Fold returns the first [MaxName] bytes of a name, or of a search term,
// with letter case removed: each character by itself is replaced by its
// lower-case form (unicode.ToLower, the simple mapping of the Unicode data; no
// normalization, no rules of any language). Invalid UTF-8 becomes U+FFFD; NUL,
// which no name has, becomes U+0001. The result has at most 192 bytes. Stores
// keep it: another folding needs another layout.
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

// Terms returns the terms by which a key is found: the folded name from the
// start of each word on, and the folded ID. A query with a search term selects
// the keys that have a term beginning with Fold of it. There are no duplicates.
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

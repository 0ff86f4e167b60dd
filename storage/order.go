package storage

import (
	"bytes"
	"cmp"
	"strings"
	"unicode/utf8"

	"github.com/wontopos/latchkey/apikey"
)

// PositionOf returns the place of a key in every order.
func PositionOf(k *apikey.Key) Position {
	return Position{CreatedAt: NormalizeTime(k.CreatedAt), Name: clip(k.Name), ID: k.ID}
}

// Compare is the order of [Store.List]: negative if a comes before b.
func Compare(o Order, a, b Position) int {
	switch o {
	case ByName:
		return cmp.Or(bytes.Compare(NameKey(a.Name), NameKey(b.Name)), strings.Compare(a.ID, b.ID))
	case OldestFirst:
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), strings.Compare(a.ID, b.ID))
	}
	return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), strings.Compare(b.ID, a.ID))
}

// maxFolded is the maximum length of the folded form of [MaxName] bytes
// of UTF-8: no two-byte letter has a lower-case form of more than three bytes.
const maxFolded = MaxName * 3 / 2

// NameKey returns the key for a name in [ByName], for stores that keep
// bytes in order: the folded name, NUL, the name, NUL. What follows the key is
// less significant in the order, and no name's key is a prefix of another's. A
// key has at most 322 bytes.
func NameKey(name string) []byte {
	key := append([]byte(Fold(name)), 0)
	key = append(key, strings.ReplaceAll(clip(name), "\x00", "\x01")...) // a name has no NUL; if one has, the key must not break
	return append(key, 0)
}

// SplitNameKey returns the name from which [NameKey] made a key, truncated as
// there, and what follows the key. If key is not such a key, the name is empty.
func SplitNameKey(key []byte) (name string, rest []byte) {
	_, after, _ := bytes.Cut(key, []byte{0}) // the folded name
	clipped, rest, _ := bytes.Cut(after, []byte{0})
	return string(clipped), rest
}

// clip returns the part of a name that counts: [MaxName] bytes, or fewer
// if a character would be split.
func clip(s string) string { return cut(s, MaxName) }

func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for end := n; end > n-utf8.UTFMax; end-- {
		if utf8.RuneStart(s[end]) {
			return s[:end]
		}
	}
	return s[:n]
}

package engine

import (
	"hash/maphash"
	"strings"
	"sync/atomic"
	"unicode"
)

// texts shares the texts that describe last uses, because they repeat: a
// service has few routes, and its clients few libraries. It is a hint of a fixed
// size. A text displaces the one that was in its place.
//
// It holds nothing that usage would not hold: a text that had to be cleaned is
// not found again. So there is no secret in it, and no memory of a request.
type texts struct {
	seed maphash.Seed
	all  [1024]atomic.Pointer[string]
}

func (t *texts) place(text []byte) *atomic.Pointer[string] {
	return &t.all[maphash.Bytes(t.seed, text)%uint64(len(t.all))]
}

// shared returns text as a string. It is clean.
func (t *texts) shared(text []byte) string {
	at := t.place(text)
	if known := at.Load(); known != nil && *known == string(text) {
		return *known
	}
	s := string(text)
	at.Store(&s)
	return s
}

// longestText is how many bytes of a client's text are kept.
const longestText = 128

// clean makes a client's text safe to store: at most 128 bytes, without secrets.
// A longer text is truncated twice, so that truncating it does not leave an
// unrecognizable start of a secret. The text is what, after the method and a
// space if there is one; without what there is no text.
func (t *texts) clean(method, what string, redact func(string) string) string {
	if what == "" {
		return ""
	}
	var room [4 * longestText]byte
	text := room[:copy(room[:], method)]
	if method != "" && len(text) < len(room) {
		text = append(text, ' ')
	}
	text = room[:len(text)+copy(room[len(text):], what)]
	at := t.place(text)
	if known := at.Load(); known != nil && *known == string(text) {
		return *known
	}
	cleaned := clip(redact(string(text)), longestText)
	if cleaned == string(text) {
		at.Store(&cleaned)
	}
	return cleaned
}

// clip returns a copy of at most n bytes, as UTF-8 without control characters,
// including those that change the direction of a text.
func clip(s string, n int) string {
	s = strings.ToValidUTF8(s[:min(len(s), n)], "")
	return strings.Clone(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return ' '
		}
		return r
	}, s))
}

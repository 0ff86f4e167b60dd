package latchkey

import (
	"fmt"
	"log/slog"

	"github.com/wontopos/latchkey/internal/token"
)

// MaxToken is the length of the longest token, whatever its prefix and
// environment, in bytes.
const MaxToken = token.MaxLen

// Token is a key's full text, as its owner sends it. It redacts itself in fmt,
// slog, JSON and text, also in a field that is not exported; only Reveal shows
// it, once, to the person it is for. The zero Token is no token.
type Token struct {
	// text is a pointer because fmt calls no methods of what it finds in fields
	// that are not exported: it would print a string, and prints an address.
	text *string
}

func newToken(text string) Token { return Token{&text} }

// Reveal returns the full text. Show it once, over TLS, and do not store it.
func (t Token) Reveal() string {
	if t.text == nil {
		return ""
	}
	return *t.text
}

// String returns the public part, for example "sk_live_4fG…_[redacted]".
func (t Token) String() string {
	text := t.Reveal()
	if len(text) <= token.TailLen {
		return "[redacted]"
	}
	return text[:len(text)-token.SecretLen] + "[redacted]"
}

// Format redacts the token for every verb of fmt.
func (t Token) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(t.String())) }

// LogValue redacts the token in slog.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalText redacts the token in JSON, XML and every other text encoding.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// Pepper is a secret key kept outside the store. Its Key is redacted in fmt,
// slog, JSON and text, unless the Pepper is in a field that is not exported.
type Pepper struct {
	// Number identifies the pepper in records: 1 or more, never reused.
	Number uint32
	// Key holds at least 32 random bytes. New derives what it needs and
	// keeps no reference.
	Key []byte
}

// String returns the number alone, "pepper 1 [redacted]".
func (p Pepper) String() string { return fmt.Sprintf("pepper %d [redacted]", p.Number) }

// Format redacts the key for every verb of fmt.
func (p Pepper) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(p.String())) }

// LogValue redacts the key in slog.
func (p Pepper) LogValue() slog.Value { return slog.StringValue(p.String()) }

// MarshalText redacts the key in JSON, XML and every other text encoding.
func (p Pepper) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

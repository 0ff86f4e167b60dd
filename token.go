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
// slog, JSON and text; only Reveal shows it, once, to the person it is for.
// The zero Token is no token.
type Token struct{ text string }

// Reveal returns the full text. Show it once, over TLS, and do not store it.
func (t Token) Reveal() string { return t.text }

// String returns the public part, for example "sk_live_4fG…_[redacted]".
func (t Token) String() string {
	if len(t.text) <= token.TailLen {
		return "[redacted]"
	}
	return t.text[:len(t.text)-token.SecretLen] + "[redacted]"
}

// Format redacts the token for every verb of fmt.
func (t Token) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(t.String())) }

// LogValue redacts the token in slog.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalText redacts the token in JSON, XML and every other text encoding.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// Pepper is a secret key kept outside the store.
type Pepper struct {
	// Number identifies the pepper in records: 1 or more, never reused.
	Number uint32
	// Key holds at least 32 random bytes. New derives what it needs and
	// keeps no reference.
	Key []byte
}

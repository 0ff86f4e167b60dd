package latchkey

import (
	"github.com/wontopos/latchkey/internal/redact"
)

// Redact removes the secrets of tokens from text, for text from strangers that is stored or displayed: a token, or what
// is left of one, becomes its public part and "[redacted]", as in [Token.String]. It recognizes tokens whole or
// truncated at either end, in any letter case and percent-encoded, whatever their prefix. It admits nothing and looks
// nothing up, and costs nothing for a text without underscores. It may be called concurrently.
func (s *Service) Redact(text string) string { return redact.Text(text, s.envNames, redact.Loose) }

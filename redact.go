package latchkey

import (
	"github.com/wontopos/latchkey/internal/redact"
)

// Redact removes the secrets of tokens from text, for text from strangers that is stored or displayed: a token, or what
// is left of one, becomes its public part and "[redacted]", as in [Token.String]. It recognizes tokens whole or
// truncated at either end, in any letter case and percent-encoded, whatever their prefix. Of a token that is cut within
// its id, it recognizes the secret in 19 of 20 cases, if that is whole, in its own letter case, and follows an underscore;
// and it takes one in fourteen of other random words of 44 letters and digits after an underscore for one, but no UUID,
// hexadecimal digest or address in base 58. It admits nothing and looks nothing up, and costs nothing for a text without underscores. It may be called concurrently.
func (s *Service) Redact(text string) string { return redact.Text(text, s.envNames, redact.Loose) }

package token

import (
	"strings"
	"testing"
)

// TestABodyIsReadByItsAlphabet holds the arithmetic on eight bytes against the
// definition, for every byte at every place.
func TestABodyIsReadByItsAlphabet(t *testing.T) {
	for _, fill := range []byte("0Az") {
		good := []byte(strings.Repeat(string(fill), bodyLen))
		good[IDLen] = '_'
		for at := range good {
			for c := range 256 {
				b := []byte(string(good))
				b[at] = byte(c)
				want := c < 0x80 && strings.IndexByte(base62, byte(c)) >= 0
				if at == IDLen {
					want = c == '_'
				}
				if isBody(string(b)) != want {
					t.Fatalf("byte %#x at %d: isBody says %v", c, at, !want)
				}
			}
		}
	}
	if isBody("") || isBody(strings.Repeat("0", bodyLen+1)) {
		t.Error("a body of another length")
	}
}

// Package token is the form of keys as their owners send them, and the digests under which their secrets are stored.
package token

import (
	"crypto/rand"
	"strings"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/faults"
)

// A token is
//
//	sk_live_<id: 16 base62>_<secret: 38 base62><checksum: 6 base62>
//
// 69 characters of [A-Za-z0-9_] with the default prefix. The id is public and
// names the key; the secret has 226 bits from crypto/rand; the checksum is
// CRC-32 (IEEE) over everything before it, so that a mistyped, truncated or
// invented token is refused without a hash, a look-up or I/O. The underscore
// after the id keeps keys from matching the pattern sk_live_[A-Za-z0-9]{20,},
// which secret scanners take for another vendor's.
const (
	IDLen     = 16
	secretLen = 38
	crcLen    = 6
	SecretLen = secretLen + crcLen        // of what follows the public part
	bodyLen   = IDLen + 1 + secretLen     // "<id>_<secret>": what is digested, 55 bytes, one SHA-256 block
	TailLen   = 1 + bodyLen + crcLen      // with the underscore before the id
	MaxLen    = 16 + 1 + 16 + TailLen + 1 // no token is longer, whatever its prefix and environment
)

// Format mints and parses the tokens of one service. It is immutable.
type Format struct {
	stems []stem // one for each environment, in order
}

// stem is the beginning of a token, such as "sk_live_".
type stem struct {
	text string
	crc  uint32 // the checksum's register before its last byte, so that the rest can be added eight bytes at a time
}

// Parsed contains views of the parsed text: it must not outlive the
// request.
type Parsed struct {
	ID   string
	Env  int    // index into the service's environments
	body string // "<id>_<secret>"
}

// NewFormat returns the form of the tokens with a prefix. The environments are
// valid.
func NewFormat(prefix string, envs []apikey.Environment) (*Format, error) {
	if len(prefix) == 0 || len(prefix) > 16 || prefix[0] < 'a' || prefix[0] > 'z' ||
		strings.Trim(prefix, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" || strings.HasSuffix(prefix, "_") {
		return nil, faults.Invalid("Options.Prefix", "%q must be 1 to 16 of a-z, 0-9 and '_', start with a letter and not end in '_'", prefix)
	}
	f := new(Format)
	for _, e := range envs {
		text := prefix + "_" + e.Name + "_"
		f.stems = append(f.stems, stem{text, checksumAfter(^uint32(0), text[:len(text)-1])})
	}
	return f, nil
}

// Parse checks the form, alphabet and checksum of a presented token. It reads
// from the right, because a prefix may contain underscores, and allocates
// nothing.
func (f *Format) Parse(text string) (Parsed, bool) {
	n := len(text) - bodyLen - crcLen
	if n < 2 || len(text) > MaxLen {
		return Parsed{}, false
	}
	for env := range f.stems {
		stem := &f.stems[env]
		if text[:n] != stem.text {
			continue
		}
		body, sum := text[n:n+bodyLen], text[n+bodyLen:]
		if !isBody(body) || !isChecksum(sum, ^checksumAfter(stem.crc, text[n-1:n+bodyLen])) {
			return Parsed{}, false
		}
		return Parsed{ID: body[:IDLen], Env: env, body: body}, true
	}
	return Parsed{}, false
}

// Mint makes the token of a key: with a new id if id is empty, otherwise a new
// secret for that key.
func (f *Format) Mint(env int, id string) (text string, p Parsed) {
	b := make([]byte, 0, MaxLen)
	b = append(b, f.stems[env].text...)
	if id == "" {
		b = appendBase62(b, IDLen, randomBytes)
	} else {
		b = append(b, id...)
	}
	b = append(b, '_')
	b = appendBase62(b, secretLen, randomBytes)
	b = appendChecksum(b, checksum(string(b)))
	text = string(b)
	body := text[len(text)-TailLen+1 : len(text)-crcLen]
	return text, Parsed{ID: body[:IDLen], Env: env, body: body}
}

// randomBytes fills b from crypto/rand.
func randomBytes(b []byte) { _, _ = rand.Read(b) } // never fails: it ends the program instead

// appendBase62 appends n characters made from the bytes that fill supplies. If
// the bytes are uniformly distributed, so are the 62 characters: bytes from 248
// on are skipped, because 256 is not a multiple of 62.
func appendBase62(dst []byte, n int, fill func(b []byte)) []byte {
	var pool [64]byte
	for {
		fill(pool[:])
		for _, c := range pool {
			if n == 0 {
				clear(pool[:])
				return dst
			}
			if c < 248 {
				dst = append(dst, base62[c%62])
				n--
			}
		}
	}
}

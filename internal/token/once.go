package token

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
)

// onceInfo separates the keys of OnceIDs from those of digests.
const onceInfo = "latchkey key id v1"

// OnceIDs returns the ids that a named creation may have; the first is the one
// to create. Each is
//
//	base62 of HMAC-SHA-256(HKDF(pepper, onceInfo), "<block number><name>")
//
// used in place of bytes from crypto/rand. So it is as uniform as any other id,
// and somebody who knows the name can neither predict nor choose it. Without a
// pepper the HMAC's key is public, and the id is as hard to guess as the name.
func (d *Digester) OnceIDs(name string) []string {
	ids := make([]string, len(d.once))
	for i, key := range d.once {
		mac, block := hmac.New(sha256.New, key), uint32(0)
		ids[i] = string(appendBase62(nil, IDLen, func(b []byte) {
			for ; len(b) > 0; b = b[sha256.Size:] {
				mac.Reset()
				mac.Write(binary.BigEndian.AppendUint32(nil, block))
				mac.Write([]byte(name))
				copy(b, mac.Sum(nil))
				block++
			}
		}))
	}
	return ids
}

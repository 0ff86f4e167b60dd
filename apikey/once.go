package apikey

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// A creation that has a name ([NewKey.Once]) is made once, however often it is
// asked for and by whichever process. Nothing is kept for it besides the key
// itself: its id is made of the name, and a store creates an id once. So the
// claim and the key are one write. There is no time between the two to crash
// in, no second table to keep in step and to tidy, and nobody who asks
// meanwhile has to be told to wait.
//
// The id is
//
//	base62 of HMAC-SHA-256(HKDF(newest pepper, onceInfo), "<block number><name>")
//
// taken as from crypto/rand, so that it is as uniform as any other, and cannot
// be told or chosen by who knows the name. Where there is no pepper the HMAC's
// key is public: it is then as hard to tell as the name is.
//
// Ids under older peppers are looked up before one under the newest is made, so
// that a replay is known after a rotation, while the pepper is still there.

// onceInfo separates these keys from those of digests.
const onceInfo = "latchkey key id v1"

// MaxOnce is the length of the longest [NewKey.Once], in bytes.
const MaxOnce = 2048

// onceIDs returns the ids that a named creation may have, the one to make
// first.
func (d *digester) onceIDs(name string) []string {
	ids := make([]string, len(d.once))
	for i, key := range d.once {
		mac, block := hmac.New(sha256.New, key), uint32(0)
		ids[i] = string(appendBase62(nil, idLen, func(b []byte) {
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

// request digests what was asked for, so that a name that comes back with
// another request is seen. It is kept: a new field is added behind the others
// and only when it is set, or requests before and after an upgrade differ.
func (n *NewKey) request() [sha256.Size]byte {
	return sha256.Sum256(fmt.Appendf(nil, "create v1 %q %q %q %q %q %q %q %q %d",
		n.Name, n.Owner, n.Environment, n.Scopes, n.Plan, limitText(n.Limits), n.Networks, n.Metadata, stamp(n.ExpiresAt).UnixMicro()))
}

// replay looks for the key that a named creation has made. A nil error says
// that there is none yet.
func (s *Service) replay(ctx context.Context, ids []string, request [sha256.Size]byte) (Key, error) {
	for _, id := range ids {
		r, err := s.store.Get(ctx, id)
		switch {
		case errors.Is(err, ErrNotFound):
			continue
		case err != nil:
			return Key{}, storeError("get", err)
		case r.Request != request:
			return Key{}, ErrOnceReused
		}
		return r.Key, ErrAlreadyCreated
	}
	return Key{}, nil
}

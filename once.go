package latchkey

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/bounds"
)

// A creation with a name ([NewKey.Once]) happens only once, however often and
// by whichever process it is requested. Nothing is stored for it besides the
// key itself: the key's id is derived from the name, and a store creates an id
// only once. So the claim and the key are one write. There is no moment between
// the two in which to crash, no second table to keep in step and clean up, and
// no concurrent caller that must be told to wait.
//
// Ids under older peppers are looked up before one under the newest is made. So
// a replay is recognized after the pepper was rotated, while the old pepper is
// still there.

// MaxOnce is the maximum length of [NewKey.Once], in bytes.
const MaxOnce = 2048

// request digests what was asked for, to recognize a name that is reused for
// another request. The digest is stored, so append a new field after the others
// and only if it is set; otherwise requests before and after an upgrade differ.
func (n *NewKey) request() [sha256.Size]byte {
	return sha256.Sum256(fmt.Appendf(nil, "create v1 %q %q %q %q %q %q %q %q %d",
		n.Name, n.Owner, n.Environment, n.Scopes, n.Plan, limitText(n.Limits), n.Networks, n.Metadata, bounds.Stamp(n.ExpiresAt).UnixMicro()))
}

// replay looks for the key that a named creation has made. A nil error means
// that there is none yet.
func (s *Service) replay(ctx context.Context, ids []string, request [sha256.Size]byte) (apikey.Key, error) {
	for _, id := range ids {
		r, err := s.store.Get(ctx, id)
		switch {
		case errors.Is(err, apikey.NotFound):
			continue
		case err != nil:
			return apikey.Key{}, storeError("get", err)
		case r.Request != request:
			return apikey.Key{}, apikey.OnceReused
		}
		return r.Key, apikey.AlreadyCreated
	}
	return apikey.Key{}, nil
}

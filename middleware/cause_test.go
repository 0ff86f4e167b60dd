package middleware

import (
	"errors"
	"testing"

	"github.com/wontopos/latchkey/apikey"
)

// A handler is told why it was cut, and the client is answered for that: a
// request of which nobody knows any more what became of its key is not told
// that the key was revoked.
func TestTheCauseOfACutIsKept(t *testing.T) {
	for cause, want := range map[error]apikey.Code{
		apikey.RevokedKey: apikey.RevokedKey, apikey.ExpiredKey: apikey.ExpiredKey,
		apikey.DisabledKey: apikey.DisabledKey, apikey.Unavailable: apikey.Unavailable,
		errors.New("something else"): apikey.RevokedKey,
	} {
		c := new(httpCall)
		c.cutter().Cut(cause)
		if s := c.w.state.Load(); s.code() != want || apikey.CodeOf(s.cause()) != want {
			t.Errorf("cut for %v: code %v, cause %v", cause, s.code(), s.cause())
		}
	}
}

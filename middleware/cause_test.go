package middleware

import (
	"context"
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
		c.w.parent = context.Background()
		c.cutter().Cut(cause)
		// A context that is made between Cut and the end of its parent, which Sever brings, has the parent's cause
		// in some orders of events: in 65 of a million that were tried.
		if c.w.inner.Load() == nil {
			t.Fatal("the request has no context of its own before it is severed")
		}
		if s := c.w.state.Load(); s.code() != want || apikey.CodeOf(s.cause()) != want {
			t.Errorf("cut for %v: code %v, cause %v", cause, s.code(), s.cause())
		}
	}
}

package latchkeytest

import (
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/storage"
)

// Revoke revokes the key: its requests get 401, and those in flight are cut.
func (k *Key) Revoke() {
	k.t.Helper()
	_, err := k.guard.Keys().Revoke(k.t.Context(), by, k.ID, "")
	k.must("revoke", err)
}

// Disable turns the key off, as an administrator does: its requests get 401, and
// those in flight are cut. [latchkey.Service.Enable] turns it on.
func (k *Key) Disable() {
	k.t.Helper()
	_, err := k.guard.Keys().Disable(k.t.Context(), by, k.ID, "")
	k.must("disable", err)
}

// Expire makes the key one that has just expired: its requests get 401, and those
// in flight are cut. In a bubble of testing/synctest you can also create a key
// with ExpiresAt, and sleep.
func (k *Key) Expire() {
	k.t.Helper()
	service, ctx := k.guard.Keys(), k.t.Context()
	r, err := service.Store().Get(ctx, k.ID) // the service sets no expiry in the past
	k.must("expire", err)
	expect, now := r.Key.Revision, time.Now().UTC()
	r.Key.ExpiresAt, r.Key.UpdatedAt = now, now
	_, err = service.Store().Apply(ctx, storage.Change{Record: r, Expect: expect, Entry: apikey.AuditEntry{
		At: now, Actor: by.ID, Action: "update", KeyID: k.ID, Owner: r.Key.Owner,
	}})
	k.must("expire", err)
	_, err = service.Update(ctx, by, k.ID, latchkey.Update{}) // changes nothing, and returns when the change is in force
	k.must("expire", err)
}

// Exhaust uses up the tightest of the key's limits and of its owner's, with one
// request that costs what is left: the next one gets 429, until the window has
// passed. The key's usage counts that request, and Options.OnDecision sees it.
func (k *Key) Exhaust() {
	k.t.Helper()
	var w *httptest.ResponseRecorder
	for range 100 { // unless other requests take something meanwhile, once is enough
		_, o, err := k.guard.Explain(k.t.Context(), latchkey.Question{KeyID: k.ID, Client: k.from, Need: middleware.AnyKey()})
		k.must("read the limits of", err)
		left := int64(-1)
		for _, status := range o.Limits() {
			if left < 0 || status.Remaining < left {
				left = status.Remaining
			}
		}
		switch code := o.Code(); {
		case code == apikey.RateLimited:
			return
		case code != apikey.OK:
			k.t.Fatalf("latchkeytest: the key is refused (%v): call Exhaust while it works", code)
		case left < 0:
			k.t.Fatal("latchkeytest: the key has no limits: create it with a plan that has, or with NewKey.Limits")
		}
		all := k.guard.Door(middleware.Route{Need: middleware.AnyKey(), Cost: left})
		w = httptest.NewRecorder()
		all.Serve(w, k.Request("POST", "/", nil), func(http.ResponseWriter, *http.Request, *apikey.Principal) {})
	}
	k.t.Fatalf("latchkeytest: 100 requests for all that is left, the last answered with %d, have not used up the limits: does the guard's Limiter charge what it admits?", w.Code)
}

// must ends the test if a change of the key failed.
func (k *Key) must(what string, err error) {
	k.t.Helper()
	if err != nil {
		k.t.Fatalf("latchkeytest: cannot %s the key: %v", what, err)
	}
}

package admin_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey/admin"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/memstore"
)

// laggard is a store that several instances share, of which one never keeps up:
// whoever waits for all of them waits for a whole lease.
type laggard struct{ storage.Store }

func (laggard) Poll(context.Context, storage.FeedQuery) (storage.FeedPage, error) {
	return storage.FeedPage{Epoch: "1", Head: 1, Changes: []storage.FeedChange{{Position: 1}}, Alive: 2}, nil
}

func (laggard) Await(context.Context) error { return storage.ErrNoPush }

// TestARequestThatEndsLosesNoToken: a server that shuts down ends its requests
// while they wait for other instances. The secret is made by then.
func TestARequestThatEndsLosesNoToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRigWith(t, laggard{memstore.New()}, signIn, admin.Options{})
		defer func() { _ = g.keys.Close(t.Context()) }()
		k, _ := g.key("acme", "production")
		for i, post := range []struct{ path, media, body string }{
			{"/v1/keys/" + k.ID + "/rotate", "application/json", `{"grace":0,"reason":"moved house"}`},
			{"/keys/" + k.ID + "/rotate", "application/x-www-form-urlencoded", form("secret", "3", "overlap", "none", "reason", " moved house ")},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/settings/keys"+post.path, strings.NewReader(post.body))
			r.Header.Set("Content-Type", post.media)
			r.Header.Set("X-Test-User", "owner")
			w := httptest.NewRecorder()
			g.mount.ServeHTTP(w, r)
			cancel()
			token := regexp.MustCompile(`sk_live_[0-9A-Za-z_]{30,}`).FindString(w.Body.String())
			if id, err := g.keys.Identify(t.Context(), token); w.Code != http.StatusOK || err != nil || id.Secret.Number != uint32(i+2) || !id.Works {
				t.Errorf("%s: status %d, of the token %+v, %v", post.path, w.Code, id.Secret, err)
			}
			trail, err := g.keys.Audit(t.Context(), apikey.AuditQuery{KeyID: k.ID, Limit: 1})
			if err != nil || trail[0].Action != "rotate" || trail[0].Reason != "moved house" {
				t.Errorf("%s: the trail says %+v, error %v", post.path, trail, err)
			}
		}
		g.want(422, "owner", "POST", "/v1/keys/"+k.ID+"/rotate", `{"reason":"`+strings.Repeat("x", 513)+`"}`)
	})
}

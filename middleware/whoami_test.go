package middleware_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
)

func TestWhoAmI(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, middleware.Options{OwnerLimits: []apikey.Limit{apikey.PerDay(500)}})
		start := time.Now()
		id, old := k.key(limits(apikey.PerMinute(5)), func(n *latchkey.NewKey) {
			n.ExpiresAt = start.Add(240 * time.Hour)
			n.Metadata = map[string]string{"crm": "private-note"}
		})
		time.Sleep(time.Hour)
		_, token, err := k.keys.Rotate(t.Context(), ops, id, latchkey.RotateOptions{StartOnFirstUse: true, Grace: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		newer, h := token.Reveal(), k.guard.WhoAmI()
		text := func(at time.Time) string { return at.UTC().Format(time.RFC3339) }
		ask := func(rule, token string, secret map[string]any, left int) {
			t.Helper()
			res := serve(h, get(token))
			raw := body(t, res)
			if res.StatusCode != 200 || res.Header.Get("Content-Type") != "application/json" || res.Header.Get("Cache-Control") != "no-store" {
				t.Fatalf("%s: %d %v\n%s", rule, res.StatusCode, res.Header, raw)
			}
			for _, hidden := range []string{old[len("sk_live_")+17:], newer[len("sk_live_")+17:], "private-note"} {
				if strings.Contains(raw+fmt.Sprint(res.Header), hidden) {
					t.Errorf("%s: the answer holds %q", rule, hidden)
				}
			}
			var got map[string]any
			if err := json.Unmarshal([]byte(raw), &got); err != nil {
				t.Fatal(err)
			}
			limits, _ := got["limits"].([]any)
			if len(limits) != 2 || limits[0].(map[string]any)["remaining"] != float64(left) || limits[1].(map[string]any)["name"] != "owner-day" {
				t.Errorf("%s: limits %v, want %d left", rule, limits, left)
			}
			if want := fmt.Sprintf(`"minute";r=%d;t=`, left); !strings.Contains(res.Header.Get("RateLimit"), want) {
				t.Errorf("%s: RateLimit %q and the body say the same", rule, res.Header.Get("RateLimit"))
			}
			delete(got, "limits")
			want := map[string]any{
				"key_id": id, "name": "production-backend", "environment": "live", "scopes": []any{"things:read"}, "plan": "free",
				"expires_at": text(start.Add(240 * time.Hour)), "secret": secret,
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("%s (-want +got):\n%s", rule, d)
			}
		}
		ask("the old secret, while its end waits", old, map[string]any{"number": 1.0, "newest": false, "created_at": text(start), "grace": 3600.0}, 4)
		ask("the new secret", newer, map[string]any{"number": 2.0, "newest": true, "created_at": text(start.Add(time.Hour))}, 3)
		synctest.Wait()
		ask("the old secret, once the new one was used", old, map[string]any{"number": 1.0, "newest": false, "created_at": text(start), "ends_at": text(start.Add(2 * time.Hour))}, 2)
	})
}

// TestWhoAmIIsARequestLikeAnyOther: it is refused for every reason but scopes,
// with the same answer, and is no way past the limits.
func TestWhoAmIIsARequestLikeAnyOther(t *testing.T) {
	k := newKit(t, middleware.Options{})
	_, good := k.key(limits(apikey.PerMinute(2)), func(n *latchkey.NewKey) { n.Scopes = nil })
	_, test := k.key(func(n *latchkey.NewKey) { n.Environment = "test" })
	_, bound := k.key(func(n *latchkey.NewKey) { n.Networks = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} })
	revokedID, revoked := k.key()
	k.revoke(revokedID)
	h, any := k.guard.WhoAmI(), k.guard.Require(middleware.AnyKey())(noContent)
	for rule, token := range map[string]string{
		"no key": "", "junk": "a b", "an unknown key": strings.Repeat("x", 69), "a mistyped one": good + "x",
		"another environment's": test, "another network's": bound, "a revoked one": revoked,
	} {
		a, b := get(token), get(token)
		a.Header.Set("X-Request-Id", "one")
		b.Header.Set("X-Request-Id", "one")
		got, want := serve(h, a), serve(any, b)
		if got.StatusCode < 400 || got.StatusCode != want.StatusCode || body(t, got) != body(t, want) || got.Header.Get("WWW-Authenticate") != want.Header.Get("WWW-Authenticate") {
			t.Errorf("%s: %d, any other route answers %d", rule, got.StatusCode, want.StatusCode)
		}
	}
	for i, want := range []int{200, 200, 429, 429} {
		if res := serve(h, get(good)); res.StatusCode != want || (want == 429) != (res.Header.Get("Retry-After") != "") {
			t.Errorf("question %d of a key with 2 a minute: %d, want %d", i+1, res.StatusCode, want)
		}
	}
	if res := serve(any, get(good)); res.StatusCode != 429 {
		t.Errorf("questions are requests: %d", res.StatusCode)
	}
	page, _ := k.keys.List(t.Context(), latchkey.ListRequest{})
	for _, key := range page.Keys {
		u, err := k.keys.Usage(t.Context(), key.ID, time.Now().Add(-time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(good, key.ID) && (u.Secrets[0].Counts.Allowed != 2 || u.Secrets[0].Counts.RateLimited != 3) {
			t.Errorf("questions are counted: %v", u.Secrets)
		}
	}
}

func TestWhoAmIPreflight(t *testing.T) {
	k := newKit(t, middleware.Options{PreflightCORS: true})
	r := get("")
	r.Method = "OPTIONS"
	r.Header.Set("Origin", "https://app.example")
	r.Header.Set("Access-Control-Request-Method", "GET")
	if res := serve(k.guard.WhoAmI(), r); res.StatusCode != 204 || body(t, res) != "" {
		t.Errorf("a preflight has no key: %d", res.StatusCode)
	}
}

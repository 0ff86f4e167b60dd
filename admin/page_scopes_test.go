package admin_test

import (
	"context"
	"fmt"
	"html"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/admin"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/engine"
	"github.com/wontopos/latchkey/storage/memstore"
)

// request is an admitted request to a route, with its end.
func (g *rig) request(token latchkey.Token, route string, status int, scopes ...string) {
	g.t.Helper()
	v, err := engine.Of(g.keys).Verify(g.t.Context(), token.Reveal())
	if err != nil {
		g.t.Fatal(err)
	}
	need := apikey.AnyKey()
	if len(scopes) > 0 {
		if need, err = apikey.AllOf(scopes...); err != nil {
			g.t.Fatal(err)
		}
	}
	used, code := v.Permits("api.example.com", netip.Addr{}, &need)
	if code != apikey.OK {
		g.t.Fatal(code)
	}
	v.Count(apikey.OK, used, &engine.Use{Source: netip.MustParseAddr("203.0.113.9"), UserAgent: "curl/8", Route: route}).Ended("", "", status)
}

func (g *rig) scoped(scopes ...string) (apikey.Key, latchkey.Token) {
	g.t.Helper()
	k, token, err := g.keys.Create(g.t.Context(), apikey.Actor{ID: "test"}, latchkey.NewKey{Name: "production", Owner: "acme", Scopes: scopes})
	if err != nil {
		g.t.Fatal(err)
	}
	return k, token
}

// text is what people read of a page.
func text(a answer) string {
	return strings.Join(strings.Fields(html.UnescapeString(tags.ReplaceAllString(a.body, " "))), " ")
}

// TestFirstUseTellsTheRequest: what was asked and how it was answered. An error
// of the API is not green: the key is good, the request was not.
func TestFirstUseTellsTheRequest(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		route       string
		status      int
		state, says string
	}{
		{"GET /v1/marketplace/apis", 200, "received", "Received just now: GET /v1/marketplace/apis → 200 from 203.0.113.0/24, curl/8"},
		{"GET /v1/marketplace/apis", 304, "received", "Received just now: GET /v1/marketplace/apis → 304 from"},
		{"GET /v1/marketplace/apis", 0, "received", "Received just now: GET /v1/marketplace/apis from"},
		{"", 204, "received", "Received just now: answered 204 from"},
		{"", 0, "received", "Received just now from"},
		{"GET /v1/nowhere", 404, "failed", "Received just now: GET /v1/nowhere → 404 The key was accepted; the API answered 404 Not Found. from"},
		{"POST /v1/orders", 500, "failed", "Received just now: POST /v1/orders → 500 The key was accepted; the API answered 500 Internal Server Error. from"},
		{"POST /v1/orders", 599, "failed", "the API answered 599. from"},
	} {
		g := newRig(t)
		k, token := g.key("acme", "production")
		g.request(token, tc.route, tc.status)
		m := g.want(200, "owner", "GET", "/keys/"+k.ID+"/first-use", "", asJSON).members(t)
		if got := m["text"].(string) + " " + m["detail"].(string); m["state"] != tc.state || !strings.Contains(got, tc.says) {
			t.Errorf("%q, %d: %s, %q, want %s, %q", tc.route, tc.status, m["state"], got, tc.state, tc.says)
		}
		if a := g.want(200, "owner", "GET", "/keys/"+k.ID+"/first-use", ""); !strings.Contains(a.body, `data-state="`+tc.state+`"`) || !strings.Contains(text(a), tc.says) {
			t.Errorf("without scripts: want %s, %q:\n%s", tc.state, tc.says, a.body)
		}
	}
}

// TestWhatWasAskedIsNoMarkup: a path comes from whoever holds a key, and is read
// by those who run the service.
func TestWhatWasAskedIsNoMarkup(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	k, token := g.key("acme", "production")
	g.request(token, "GET /\"><script>alert(1)</script>\x00\x1b[31m\u202e\r\nX: '{{.}}", 404)
	for _, page := range []string{"/keys/" + k.ID, "/keys/" + k.ID + "/first-use"} {
		a := g.want(200, "operator", "GET", page, "")
		if !strings.Contains(a.body, "&lt;script&gt;alert(1)&lt;/script&gt;") {
			t.Errorf("%s does not tell what was asked:\n%s", page, a.body)
		}
	}
	if a := g.want(200, "operator", "POST", "/leak", form("text", token.Reveal())); !strings.Contains(a.body, "&lt;script&gt;") {
		t.Errorf("/leak does not tell what was asked:\n%s", a.body)
	}
	if _, _, err := g.keys.Rotate(t.Context(), apikey.Actor{ID: "test"}, k.ID, latchkey.RotateOptions{}); err != nil {
		t.Fatal(err)
	}
	a := g.want(200, "operator", "GET", "/keys/"+k.ID+"/rotation", "", asJSON)
	if old := a.members(t)["old"].(string); !strings.HasSuffix(old, `: GET /"><script>alert(1)</script>  [31m   X: '{{.}} → 404`) {
		t.Errorf("the rotation tells %q", old)
	}
	g.want(200, "operator", "GET", "/keys/"+k.ID, "")
	u := g.want(200, "operator", "GET", "/v1/keys/"+k.ID+"/usage", "").members(t)["secrets"].([]any)[0].(map[string]any)["last"].(map[string]any)
	if u["status"] != 404.0 || !strings.HasPrefix(u["route"].(string), `GET /"><script>`) {
		t.Errorf("the report has %v", u)
	}
	for _, body := range g.bodies {
		if strings.Contains(body, "<script>alert") || strings.ContainsAny(body, "\x00\x1b\u202e") {
			t.Errorf("what was asked reaches the browser as it came:\n%s", body)
		}
	}
}

// TestScopesInUse: for each scope when it was last used; which were not used for
// long, once that is known.
func TestScopesInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRigFlushing(t, memstore.New(), signIn, admin.Options{}, 30*time.Minute)
		k, token := g.scoped("marketplace:read", "marketplace:write", "orders:read")
		page := "/keys/" + k.ID
		says := func(user string, want ...string) answer {
			t.Helper()
			a := g.want(200, user, "GET", page, "")
			for _, w := range want {
				w, not := strings.CutPrefix(w, "!")
				if strings.Contains(text(a), w) == not {
					t.Errorf("want %v of %q:\n%s", !not, w, text(a))
				}
			}
			return a
		}
		says("owner", "marketplace:read never used marketplace:write never used orders:read never used", "!scopes were not used", "!used since")
		g.request(token, "GET /a", 200, "marketplace:read")
		says("owner", "marketplace:read used in the last hour marketplace:write never used")
		time.Sleep(3 * time.Hour)
		says("owner", "marketplace:read last used 3 hours ago marketplace:write never used")

		u := g.want(200, "owner", "GET", "/v1/keys/"+k.ID+"/usage", "").members(t)
		if got, want := fmt.Sprint(u["scopes"], " ", u["scopes_since"]), "[map[last_hour:2000-01-01T00:00:00Z scope:marketplace:read] map[scope:marketplace:write] map[scope:orders:read]] 2000-01-01T00:00:00Z"; got != want {
			t.Errorf("the report has %s, want %s", got, want)
		}

		time.Sleep(89 * 24 * time.Hour)
		says("owner", "!scopes were not used", "!scope was not used")
		g.request(token, "GET /b", 200, "orders:read")
		time.Sleep(24 * time.Hour)
		a := says("owner", "2 of 3 scopes were not used in the last 90 days. Remove them", "marketplace:read last used 1 Jan 2000", "orders:read last used 1 day ago")
		if !strings.Contains(a.body, `<a href="#settings">Remove them</a>`) || !strings.Contains(a.body, `id="settings"`) {
			t.Error("the sentence leads to the settings")
		}
		if grid := a.body[strings.Index(a.body, `class="scope-grid"`):]; strings.Count(grid, "never used") != 1 || strings.Count(grid, "last used 1 day ago") != 1 {
			t.Errorf("the form tells it beside the boxes:\n%s", grid)
		}
		says("owner-reader", "2 of 3 scopes were not used in the last 90 days.", "!Take them away")
		g.request(token, "GET /c", 200, "marketplace:read")
		says("owner", "1 of 3 scopes was not used in the last 90 days.")

		// What was granted a moment ago has had no time to be used.
		scopes := []string{"marketplace:read", "orders:read"}
		if _, err := g.keys.Update(t.Context(), apikey.Actor{ID: "test"}, k.ID, latchkey.Update{Scopes: &scopes}); err != nil {
			t.Fatal(err)
		}
		says("owner", "!not used in the last 90 days")
		scopes = append(scopes, "marketplace:write")
		if _, err := g.keys.Update(t.Context(), apikey.Actor{ID: "test"}, k.ID, latchkey.Update{Scopes: &scopes}); err != nil {
			t.Fatal(err)
		}
		says("owner", "!not used in the last 90 days", "marketplace:write never used")
		for i := range 25 { // so that the page does not see any more when it was granted
			name := fmt.Sprint("production ", i)
			if _, err := g.keys.Update(t.Context(), apikey.Actor{ID: "test"}, k.ID, latchkey.Update{Name: &name}); err != nil {
				t.Fatal(err)
			}
		}
		says("owner", "!not used in the last 90 days", "marketplace:write never used")
		time.Sleep(91 * 24 * time.Hour)
		says("owner", "3 of 3 scopes were not used in the last 90 days.")
		g.want(303, "owner", "POST", page+"/revoke", form("confirm", k.ID, "reason", "over"))
		says("owner", "!not used in the last 90 days")
	})
}

// counting is a store that has counted scopes since then.
type counting struct {
	*memstore.Store
	since time.Time
}

func (c *counting) Usage(ctx context.Context, id string, since time.Time) (apikey.Usage, error) {
	u, err := c.Store.Usage(ctx, id, since)
	if u.ScopesSince = c.since; c.since.IsZero() {
		u.Scopes = nil
	}
	return u, err
}

// TestNothingFalseIsSaidOfOlderKeys: of the time before scopes were counted
// nothing is known.
func TestNothingFalseIsSaidOfOlderKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &counting{Store: memstore.New()}
		g := newRigFlushing(t, store, signIn, admin.Options{}, time.Hour)
		k, token := g.scoped("marketplace:read", "orders:read")
		report := func() map[string]any {
			return g.want(200, "owner", "GET", "/v1/keys/"+k.ID+"/usage", "").members(t)
		}
		time.Sleep(200 * 24 * time.Hour)
		g.request(token, "GET /a", 200, "marketplace:read")
		a := g.want(200, "owner", "GET", "/keys/"+k.ID, "")
		if strings.Contains(text(a), "never used") || strings.Contains(text(a), "not used") || strings.Contains(text(a), "used in the last hour") || !strings.Contains(text(a), "marketplace:read orders:read") {
			t.Errorf("a store that does not count scopes:\n%s", text(a))
		}
		if u := report(); u["scopes_since"] != nil || fmt.Sprint(u["scopes"]) != "[map[scope:marketplace:read] map[scope:orders:read]]" {
			t.Errorf("a store that does not count scopes: %v", u)
		}
		store.since = time.Now().UTC()
		a = g.want(200, "owner", "GET", "/keys/"+k.ID, "")
		if !strings.Contains(text(a), "orders:read not used since 19 July 2000") || strings.Contains(text(a), "never used") || strings.Contains(text(a), "in the last 90 days") {
			t.Errorf("a key that is older than the counting:\n%s", text(a))
		}
		if u := report(); u["scopes_since"] != "2000-07-19T00:00:00Z" {
			t.Errorf("scopes are counted since %v", u["scopes_since"])
		}
		time.Sleep(90 * 24 * time.Hour)
		g.request(token, "GET /a", 200, "marketplace:read")
		a = g.want(200, "owner", "GET", "/keys/"+k.ID, "")
		if !strings.Contains(text(a), "1 of 2 scopes was not used in the last 90 days.") || strings.Contains(text(a), "never used") {
			t.Errorf("90 days later:\n%s", text(a))
		}
	})
}

package admin_test

import (
	"html"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/admin"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/engine"
)

// use is a request with a key, as the middleware counts it.
func (g *rig) use(token latchkey.Token, code apikey.Code) {
	g.t.Helper()
	v, err := engine.Of(g.keys).Verify(g.t.Context(), token.Reveal())
	if err != nil {
		g.t.Fatal(err)
	}
	v.Count(code, 0, &engine.Use{Source: netip.MustParseAddr("203.0.113.9"), UserAgent: "curl/8.9.1 <b>"})
}

var asJSON = header("Accept", "application/json")

// TestFirstUse: the light beside a new secret tells of that secret alone, and
// why a request was refused.
func TestFirstUse(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	k, token := g.key("acme", "production")
	page := "/keys/" + k.ID + "/first-use"
	is := func(query, state, text string) {
		t.Helper()
		a := g.want(200, "owner-reader", "GET", page+query, "", asJSON)
		if m := a.members(t); m["state"] != state || !strings.Contains(m["text"].(string)+" "+m["detail"].(string), text) {
			t.Errorf("want %s, %q: %s", state, text, a.body)
		}
		if a := g.want(200, "owner", "GET", page+query, ""); !strings.Contains(a.body, `data-state="`+state+`"`) || !strings.Contains(html.UnescapeString(tags.ReplaceAllString(a.body, "")), text) || !strings.Contains(a.body, "Check again") {
			t.Errorf("without scripts it is a page, want %s, %q:\n%s", state, text, a.body)
		}
	}
	is("", "waiting", "Send one to https://api.example.com.")
	g.use(token, apikey.EnvironmentMismatch)
	is("", "refused", "Wrong environment: this key's is https://api.example.com")
	g.use(token, apikey.OK)
	is("?secret=1", "received", "Received just now from 203.0.113.0/24, curl/8.9.1 <b>")
	g.use(token, apikey.OK)
	is("", "received", "2 requests received")
	if _, _, err := g.keys.Rotate(t.Context(), apikey.Actor{ID: "test"}, k.ID, latchkey.RotateOptions{}); err != nil {
		t.Fatal(err)
	}
	is("", "waiting", "Waiting") // for the new secret
	is("?secret=2", "waiting", "Waiting")
	is("?secret=1", "received", "2 requests received")
	g.want(404, "owner", "GET", page+"?secret=x", "")
	g.want(404, "stranger", "GET", page, "", asJSON)
}

// TestRotationInWords: one sentence tells whether the old secret can go.
func TestRotationInWords(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	k, old := g.key("acme", "production")
	page := "/keys/" + k.ID
	says := func(state, sentence string) {
		t.Helper()
		a := g.want(200, "owner", "GET", page+"/rotation", "", asJSON)
		if m := a.members(t); m["state"] != state || !strings.HasPrefix(m["sentence"].(string), sentence) {
			t.Errorf("want %s, %q: %s", state, sentence, a.body)
		}
		b := g.want(200, "owner", "GET", page, "")
		if state != "over" && (!strings.Contains(b.body, `data-state="`+state+`"`) || !strings.Contains(html.UnescapeString(b.body), sentence)) {
			t.Errorf("the page says the same, want %s, %q:\n%s", state, sentence, b.body)
		}
		if !strings.Contains(b.body, "Finish rotation") == (state != "over") { // the style sheet shows what fits the state
			t.Errorf("the forms of a rotation are there while there is one: %s", state)
		}
	}
	says("over", "The rotation has ended.")
	_, fresh, err := g.keys.Rotate(t.Context(), apikey.Actor{ID: "test"}, k.ID, latchkey.RotateOptions{StartOnFirstUse: true})
	if err != nil {
		t.Fatal(err)
	}
	says("unsafe", "The new secret has not been used yet.")
	g.use(fresh, apikey.OK)
	says("safe", "The old secret was never used: safe to finish.")
	g.use(old, apikey.OK)
	says("unsafe", "Old secret: 1 request since ")
	a := g.want(200, "owner", "GET", page+"/rotation", "", asJSON)
	if text := a.members(t)["old"].(string); !strings.HasSuffix(text, " UTC, last just now from 203.0.113.0/24, curl/8.9.1 <b>") {
		t.Errorf("what the old secret did is told: %q", text)
	}
	g.want(409, "owner", "POST", page+"/finish-rotation", "")
	g.want(303, "owner", "GET", page+"/rotation", "")
}

// TestLimitsLeft: with the guard at hand, a key's page tells what is left of
// its limits and its owner's, and takes nothing of them.
func TestLimitsLeft(t *testing.T) {
	t.Parallel()
	g, guard := newGuardedRig(t)
	k, token := g.key("acme", "production")
	api := guard.Require(apikey.AnyKey())(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for range 3 {
		r := httptest.NewRequestWithContext(t.Context(), "GET", "https://api.example.com/", nil)
		r.Header.Set("Authorization", "Bearer "+token.Reveal())
		api.ServeHTTP(httptest.NewRecorder(), r)
	}
	for range 2 {
		a := g.want(200, "owner-reader", "GET", "/keys/"+k.ID, "")
		for _, want := range []string{"60 per minute</span><span class=\"quiet\">57 left now", "1,000 per day</span><span class=\"quiet\">997 left now"} {
			if !strings.Contains(a.body, want) {
				t.Errorf("the page lacks %q:\n%s", want, a.body)
			}
		}
	}
}

// TestReach: the sentence after a change promises what the store keeps.
func TestReach(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		took      time.Duration
		instances int
		want      string
	}{
		{4 * time.Millisecond, 3, "Stopped working on all 3 instances within 4 ms, "},
		{3 * time.Second, 2, "Stopped working on all 2 instances within 3,000 ms, "},
		{time.Microsecond, 1, "Stopped working everywhere within 1 ms, "},
		{time.Microsecond, 0, "Stopped working in this process within 1 ms, "},
	} {
		if got := admin.ReachText(tc.took, tc.instances); !strings.HasPrefix(got, tc.want) {
			t.Errorf("%+v: %q", tc, got)
		}
	}
}

// TestLocked: a key that an operator disabled is not offered to be enabled by
// its customer.
func TestLocked(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	k, _ := g.key("acme", "production")
	g.want(303, "operator", "POST", "/keys/"+k.ID+"/disable", "reason=abuse")
	if a := g.want(200, "owner", "GET", "/keys/"+k.ID, ""); strings.Contains(a.body, "/enable\"") || !strings.Contains(a.body, "Only an administrator can enable it") {
		t.Errorf("a customer is told whom to ask:\n%s", a.body)
	}
	g.want(403, "owner", "POST", "/keys/"+k.ID+"/enable", "")
	if a := g.want(200, "operator", "GET", "/keys/"+k.ID, ""); !strings.Contains(a.body, "/enable\"") {
		t.Errorf("an operator enables it:\n%s", a.body)
	}
}

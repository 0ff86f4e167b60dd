package admin_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/wontopos/latchkey/apikey"
)

// TestLeak: a secret that somebody found is named, rotated or revoked in two
// clicks, and told to nobody.
func TestLeak(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	k, token := g.key("acme", "production")
	other, otherToken := g.key("evil", "theirs")
	text := "2026-01-02 ERROR upstream said 401\r\nAPI_KEY=\"" + token.Reveal() + "\"; " + otherToken.Reveal() + "\n" + token.Reveal()

	a := g.want(200, "owner", "POST", "/leak", form("text", text))
	if !strings.Contains(a.body, "production") || !strings.Contains(a.body, "still active") || strings.Count(a.body, ">Revoke now<") != 1 || strings.Contains(a.body, other.ID) || strings.Contains(a.body, "theirs") {
		t.Errorf("a customer finds their own key, once:\n%s", a.body)
	}
	if a := g.want(200, "operator", "POST", "/leak", form("text", text)); strings.Count(a.body, ">Revoke now<") != 2 {
		t.Errorf("an operator finds every key:\n%s", a.body)
	}
	if a := g.want(200, "owner-reader", "POST", "/leak", form("text", text)); strings.Contains(a.body, ">Revoke now<") || !strings.Contains(a.body, "production") {
		t.Errorf("a reader is told whose it is, and offered nothing:\n%s", a.body)
	}
	theirs := g.want(200, "owner", "POST", "/leak", form("text", otherToken.Reveal()))
	wrong := g.want(200, "owner", "POST", "/leak", form("text", strings.Replace(token.Reveal(), "_live_", "_test_", 1)))
	if theirs.body != wrong.body || !strings.Contains(wrong.body, "not one that you manage") {
		t.Errorf("somebody else's key and none are told alike:\n%s\n%s", theirs.body, wrong.body)
	}
	if a := g.want(200, "owner", "POST", "/leak", form("text", "sk_live_short")); !strings.Contains(a.body, "No key found in this text") {
		t.Errorf("what is no key is said so:\n%s", a.body)
	}
	if a := g.want(200, "owner", "GET", "/leak?text="+token.Reveal(), ""); strings.Contains(a.body, "production") {
		t.Error("a secret is not taken from an address")
	}
	g.want(422, "owner", "POST", "/leak", form("text", "x", "token", token.Reveal()))

	// Whoever found it stands in the trail of the key, and nobody else does.
	trail, err := g.keys.Audit(t.Context(), apikey.AuditQuery{KeyID: k.ID})
	if err != nil {
		t.Fatal(err)
	}
	var finders []string
	for _, e := range trail {
		if e.Action == "found" && e.Details["secret"] == "1" {
			finders = append(finders, e.Actor)
		}
	}
	if got := strings.Join(finders, " "); got != "art olga ann" {
		t.Errorf("found, newest first, by %q", got)
	}
	g.want(404, "stranger", "POST", "/v1/identify", `{"token":"`+token.Reveal()+`"}`)
	if now, err := g.keys.Audit(t.Context(), apikey.AuditQuery{KeyID: k.ID}); err != nil || len(now) != len(trail) {
		t.Errorf("one who may not see the key wrote into its trail: %+v", now)
	}
	said := g.want(200, "owner", "POST", "/v1/identify", `{"token":"`+token.Reveal()+`"}`).members(t)["key"].(map[string]any)["revision"]
	if have, _ := g.keys.Get(t.Context(), k.ID); said != float64(have.Revision) {
		t.Errorf("revision %v is told, the key is at %d", said, have.Revision)
	}

	// The first click found it, the second ends it.
	next := secretField.FindStringSubmatch(a.body)
	b := g.want(200, "owner", "POST", "/keys/"+k.ID+"/rotate", form("secret", next[1], "overlap", "none"))
	if fresh := tokenShape.FindString(b.body); fresh == "" || fresh == token.Reveal() {
		t.Errorf("rotating shows a new secret:\n%s", b.body)
	}
	if _, err := g.keys.Verify(t.Context(), token.Reveal()); err == nil {
		t.Error("the secret that leaked works on")
	}
	if a := g.want(200, "owner", "POST", "/leak", form("text", token.Reveal())); !strings.Contains(a.body, "no longer active") || strings.Contains(a.body, ">Rotate now<") {
		t.Errorf("a secret that has ended is known, and not rotated again:\n%s", a.body)
	}
	g.want(303, "owner", "POST", "/keys/"+k.ID+"/revoke", form("confirm", k.ID, "reason", "found in the open"))
	if k, _ := g.keys.Get(t.Context(), k.ID); k.StateAt(k.UpdatedAt) != apikey.Revoked || k.RevokeReason != "found in the open" || k.RevokedBy != "ann" {
		t.Errorf("it is revoked, and the trail says why: %+v", k)
	}

	for _, response := range g.bodies {
		for _, secret := range []string{token.Reveal(), otherToken.Reveal()} {
			if strings.Contains(response, secret[len("sk_live_")+17:]) {
				t.Fatalf("a secret that was pasted is in an answer:\n%s", response)
			}
		}
	}
	if strings.Contains(g.log.String(), token.Reveal()[len("sk_live_")+17:]) {
		t.Error("a secret that was pasted is in the log")
	}
}

// TestLeakOfManyKeys: a text with more keys than are looked for is not said to
// have been checked whole.
func TestLeakOfManyKeys(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	var text strings.Builder
	for i := range 11 {
		const warning = "Only the first 10 keys in the text were checked."
		_, token := g.key("acme", fmt.Sprint("leaked ", i))
		text.WriteString(token.Reveal() + "\n")
		if a := g.want(200, "owner", "POST", "/leak", form("text", text.String())); strings.Contains(a.body, warning) != (i == 10) {
			t.Errorf("%d keys:\n%s", i+1, a.body)
		}
	}
}

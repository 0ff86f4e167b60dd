package admin_test

import (
	"html"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
)

var revisionField = regexp.MustCompile(`name="revision" value="(\d+)"`)

// TestSettings: the form changes what it shows, and nothing that was changed
// while it was open.
func TestSettings(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	k, _, err := g.keys.Create(t.Context(), apikey.Actor{ID: "test"}, latchkey.NewKey{
		Name: "production", Owner: "acme", Plan: "pro", Scopes: []string{"orders:*", "marketplace:read"},
		Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, ExpiresAt: time.Now().AddDate(0, 1, 0),
	})
	if err != nil {
		t.Fatal(err)
	}
	page := "/keys/" + k.ID
	revision := func() string {
		t.Helper()
		a := g.want(200, "owner", "GET", page, "")
		for _, want := range []string{`value="orders:*" checked`, `value="marketplace:read" checked`, "10.0.0.0/8</textarea>", `<option value="keep" selected>`} {
			if !strings.Contains(a.body, want) {
				t.Errorf("the form shows what is: no %q:\n%s", want, a.body)
			}
		}
		return revisionField.FindStringSubmatch(a.body)[1]
	}
	first := revision()
	send := func(status int, user string, pairs ...string) answer {
		t.Helper()
		return g.want(status, user, "POST", page+"/settings", form(pairs...))
	}
	get := func() apikey.Key {
		t.Helper()
		k, err := g.keys.Get(t.Context(), k.ID)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	// As it was sent, unchanged: nothing is lost.
	send(303, "owner", "revision", first, "name", "production", "plan", "pro", "scopes", "orders:*", "scopes", "marketplace:read", "networks", "10.0.0.0/8", "expires", "keep")
	if now := get(); now.Revision != k.Revision || !now.ExpiresAt.Equal(k.ExpiresAt) || len(now.Scopes) != 2 {
		t.Errorf("a form that changes nothing changes nothing: %+v", now)
	}
	send(303, "owner", "revision", first, "name", " renamed ", "plan", "free", "scopes", "orders:*", "scopes", "marketplace:read", "networks", "10.0.0.0/8\n203.0.113.7", "expires", "0")
	if now := get(); now.Name != "renamed" || now.Plan != "free" || len(now.Networks) != 2 || !now.ExpiresAt.IsZero() {
		t.Errorf("the form changes the key: %+v", now)
	}
	if a := g.want(200, "owner", "GET", page+"?done=settings", ""); !strings.Contains(a.body, "Saved.") {
		t.Errorf("it says so:\n%s", a.body)
	}
	// Somebody else was quicker.
	a := send(409, "owner", "revision", first, "name", "mine", "scopes", "orders:read", "expires", "30")
	if now := get(); now.Name != "renamed" || !slices.Contains(now.Scopes, "orders:*") {
		t.Errorf("a form of an older revision changes nothing: %+v", now)
	}
	if !strings.Contains(a.body, "was changed while this form was open") || !strings.Contains(a.body, `value="mine"`) || !strings.Contains(a.body, ">renamed</h1>") || !strings.Contains(a.body, `value="30" selected`) {
		t.Errorf("a conflict shows both, what is and what was typed:\n%s", a.body)
	}
	latest := revisionField.FindStringSubmatch(a.body)[1]
	if latest != strconv.FormatUint(get().Revision, 10) {
		t.Errorf("after a conflict the form can be sent again: revision %s", latest)
	}
	for _, bad := range []string{"", "0", "x"} {
		send(422, "owner", "revision", bad, "name", "x", "expires", "keep")
	}
	a = send(422, "owner", "revision", latest, "name", " ", "networks", "nonsense", "expires", "5000000000")
	if strings.Count(a.body, `<p class="fault">`) != 3 || !strings.Contains(a.body, "nonsense</textarea>") {
		t.Errorf("faults stand beside their fields, and what was typed stays:\n%s", a.body)
	}
	send(422, "owner", "revision", latest, "name", "x", "plan", "enterprise", "expires", "keep")
	send(403, "owner-reader", "revision", latest, "name", "x", "expires", "keep")
	if now := get(); now.Name != "renamed" || now.Plan != "free" {
		t.Errorf("what is refused changes nothing: %+v", now)
	}
	send(303, "owner", "revision", latest, "name", "renamed", "expires", "90")
	if now := get(); len(now.Scopes)+len(now.Networks) != 0 || time.Until(now.ExpiresAt).Round(24*time.Hour) != 90*24*time.Hour {
		t.Errorf("what is not ticked is taken away: %+v", now)
	}
	if a := g.want(200, "owner-reader", "GET", page, ""); strings.Contains(a.body, `name="revision"`) {
		t.Error("a reader has no form")
	}
}

// TestCreateLikeThisOne: the form is filled in from a key, but for its secret.
func TestCreateLikeThisOne(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	k, token, err := g.keys.Create(t.Context(), apikey.Actor{ID: "test"}, latchkey.NewKey{
		Name: "production", Owner: "acme", Environment: "test", Plan: "pro", Scopes: []string{"orders:*", "marketplace:read"}, Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
	})
	if err != nil {
		t.Fatal(err)
	}
	a := g.want(200, "owner", "GET", "/keys/"+k.ID+"/copy", "")
	for _, want := range []string{`value="production"`, `value="test" checked`, `value="pro" checked`, `value="orders:*" checked`, `value="marketplace:read" checked`, "10.0.0.0/8</textarea>", `action="../../new"`} {
		if !strings.Contains(a.body, want) {
			t.Errorf("the form lacks %q:\n%s", want, a.body)
		}
	}
	if strings.Contains(a.body, token.Reveal()[20:]) {
		t.Error("the form holds a secret")
	}
	g.want(200, "owner", "POST", "/new", form("form", formField.FindStringSubmatch(a.body)[1], "name", "production", "environment", "test", "plan", "pro", "scopes", "orders:*", "scopes", "marketplace:read"))
	g.want(404, "stranger", "GET", "/keys/"+k.ID+"/copy", "")
	if a := g.want(200, "owner", "GET", "/keys/"+k.ID+"/secret", ""); tokenShape.MatchString(html.UnescapeString(a.body)) || !strings.Contains(a.body, "cannot be shown again") {
		t.Errorf("the address that a secret leaves behind says that it is gone:\n%s", a.body)
	}
}

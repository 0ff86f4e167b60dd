package admin_test

import (
	"html"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey/admin"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage/memstore"
)

// TestOutcomeOnAnotherInstance: whichever instance is asked for the page that a
// change leads to says what the change came to, for a minute and no more.
func TestOutcomeOnAnotherInstance(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mem := memstore.New()
		here, there := newRigWith(t, mem, signIn, admin.Options{}), newRigWith(t, mem, signIn, admin.Options{})
		k, _ := here.key("acme", "production")
		page := "/keys/" + k.ID
		for _, step := range []struct{ path, body, says string }{
			{"/settings", form("revision", "1", "name", "production", "expires", "keep"), "Saved. "}, // as it was
			{"/disable", "", "Disabled. Stopped working everywhere within 1 ms, "},
			{"/enable", "", "Enabled. "},
			{"/revoke", form("confirm", k.ID), "Revoked. Stopped working everywhere within 1 ms, "},
		} {
			to := strings.TrimPrefix(here.want(303, "owner", "POST", page+step.path, step.body).header.Get("Location"), "../"+k.ID)
			for _, g := range []*rig{here, there} {
				if a := g.want(200, "owner", "GET", page+to, ""); !strings.Contains(a.body, `autofocus>`+step.says) {
					t.Errorf("%s says %q:\n%s", to, step.says, a.body)
				}
			}
			if a := here.want(200, "owner", "GET", page, ""); strings.Contains(a.body, step.says) {
				t.Errorf("the key's own address says nothing of %s", step.path)
			}
			if step.path == "/revoke" {
				time.Sleep(time.Minute + time.Second)
				if a := here.want(200, "owner", "GET", page+to, ""); strings.Contains(a.body, step.says) {
					t.Error("an old address says nothing of a change")
				}
			}
		}
	})
}

// TestOutcomesThatAreNone: an address makes the page say nothing that is not so.
func TestOutcomesThatAreNone(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	k, _ := g.key("acme", "production")
	says := func(query string) string {
		t.Helper()
		_, after, found := strings.Cut(g.want(200, "owner", "GET", "/keys/"+k.ID+query, "").body, `class="notice good"`)
		if !found {
			return ""
		}
		_, after, _ = strings.Cut(after, ">")
		text, _, _ := strings.Cut(after, "</div>")
		return html.UnescapeString(text)
	}
	for _, action := range []string{"disable", "revoke", "finish", "cancel", "rotate", "", "<b>"} {
		if got := says("?" + form("done", action, "ms", "4", "on", "3")); got != "" {
			t.Errorf("done=%s of an active key: %q", action, got)
		}
	}
	if _, err := g.keys.Disable(t.Context(), apikey.Actor{ID: "test"}, k.ID, ""); err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]string{
		"?done=enable":                             "",
		"?done=revoke":                             "",
		"?done=disable&ms=4&on=3":                  "Disabled. Stopped working on all 3 instances within 4 ms, ",
		"?done=disable&ms=-4&on=-3":                "Disabled. Stopped working in this process within 1 ms, ",
		"?done=disable&ms=<b>&on=<b>":              "Disabled. Stopped working in this process within 1 ms, ",
		"?done=disable&ms=99999999999&on=99999999": "Disabled. Stopped working on all 10,000 instances within 3,600,000 ms, ",
	} {
		if got := says(query); got != want && (want == "" || !strings.HasPrefix(got, want)) {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
}

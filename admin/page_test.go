package admin_test

import (
	"html"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/engine"
)

var tokenShape = regexp.MustCompile(`sk_(?:live|test)_[0-9A-Za-z]{16}_[0-9A-Za-z]{44}`)

var tags = regexp.MustCompile(`<span class="mask".*?</span>|<[^>]*>`)

// keysOf counts the keys of all owners.
func (g *rig) keysOf() int {
	g.t.Helper()
	page, err := g.keys.List(g.t.Context(), latchkey.ListRequest{Limit: 1000})
	if err != nil {
		g.t.Fatal(err)
	}
	return len(page.Keys)
}

// TestCreateOnThePage: the form makes one key, however often it is sent.
func TestCreateOnThePage(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	body := form("form", g.form("owner", "/new"), "name", "production-backend", "environment", "test", "plan", "pro",
		"scopes", "orders:read", "scopes", "marketplace:read", "expires", "90", "networks", "10.0.0.0/8\r\n203.0.113.7")
	a := g.want(200, "owner", "POST", "/new", body)
	token := tokenShape.FindString(a.body)
	if token == "" || !strings.Contains(a.body, "never shown again") {
		t.Fatalf("the page shows the secret and says that it does so once:\n%s", a.body)
	}
	shown := tags.ReplaceAllString(a.body, "")
	for _, snippet := range []string{"curl 'https://sandbox.example.com/'", "fetch(\"https://sandbox.example.com/\"", "requests.get(\n    \"https://sandbox.example.com/\"", "API_KEY=" + token, "http.NewRequest(http.MethodGet, \"https://sandbox.example.com/\"", "API_BASE_URL=https://sandbox.example.com"} {
		if !strings.Contains(html.UnescapeString(shown), snippet) {
			t.Errorf("no snippet %q for the key's environment:\n%s", snippet, a.body)
		}
	}
	v, err := engine.Of(g.keys).Verify(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	k, err := g.keys.Get(t.Context(), v.Principal().KeyID())
	if err != nil {
		t.Fatal(err)
	}
	if k.Owner != "acme" || k.Name != "production-backend" || k.Plan != "pro" || k.Environment != "test" || len(k.Scopes) != 2 || len(k.Networks) != 2 || k.ExpiresAt.IsZero() || k.CreatedBy != "ann" {
		t.Errorf("the key is what the form said: %+v", k)
	}

	a = g.want(409, "owner", "POST", "/new", body)
	if tokenShape.MatchString(a.body) || !strings.Contains(a.body, "cannot be shown again") || !strings.Contains(a.body, `href="./keys/`+k.ID+`"`) {
		t.Errorf("a reload says that the secret cannot be shown again, and leads to the key:\n%s", a.body)
	}
	if n := g.keysOf(); n != 1 {
		t.Errorf("a reload made a second key: %d", n)
	}
}

// TestFaultsOnThePage: what is wrong stands beside its field, what was typed
// stays, and the form can be sent again.
func TestFaultsOnThePage(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	a := g.want(422, "owner", "POST", "/new", form("form", g.form("owner", "/new"), "name", "  ", "networks", "10.0.0.0/8 nonsense", "scopes", "orders:read", "expires", "30"))
	for _, want := range []string{`<div id="name-fault"><p class="fault">This field is required.</p></div>`, `<p class="fault">Line 1, &#34;nonsense&#34;: must be a network like`, "10.0.0.0/8 nonsense", `value="orders:read" checked`, `value="30" checked`} {
		if !strings.Contains(a.body, want) {
			t.Errorf("the form lacks %q:\n%s", want, a.body)
		}
	}
	m := formField.FindStringSubmatch(a.body)
	g.want(200, "owner", "POST", "/new", form("form", m[1], "name", "x"))
	a = g.want(422, "owner", "POST", "/new", form("form", g.form("owner", "/new"), "name", "x", "plan", "enterprise"))
	if !strings.Contains(a.body, "our account may use: free, pro") {
		t.Errorf("a customer's plan is theirs:\n%s", a.body)
	}
	if a := g.want(200, "owner", "GET", "/new", ""); strings.Contains(a.body, "enterprise") || strings.Contains(a.body, `name="owner"`) {
		t.Error("a customer is not shown plans and owners that are not theirs")
	}
	if a := g.want(200, "operator", "GET", "/new", ""); !strings.Contains(a.body, "6,000 per minute</span><span class=\"quiet\">no daily limit") || !strings.Contains(a.body, `name="owner"`) {
		t.Errorf("an operator sees every plan with its numbers:\n%s", a.body)
	}
	g.want(422, "operator", "POST", "/new", form("form", g.form("operator", "/new"), "name", "x", "owner", ""))
	if n := g.keysOf(); n != 1 {
		t.Errorf("%d keys, want 1", n)
	}
}

// TestKeyPage drives a key through its life by the page.
func TestKeyPage(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	k, old := g.key("acme", "production backend")
	page := "/keys/" + k.ID
	came := "" // what the address says of a change
	shows := func(rule, text string) {
		t.Helper()
		a := g.want(200, "owner", "GET", page+came, "")
		if came = ""; !strings.Contains(html.UnescapeString(a.body), text) {
			t.Errorf("%s: no %q on the page:\n%s", rule, text, a.body)
		}
	}
	done := func(path, body string) {
		t.Helper()
		to, ok := strings.CutPrefix(g.want(303, "owner", "POST", page+path, body).header.Get("Location"), "../"+k.ID)
		if !ok {
			t.Errorf("%s leads back to the key: %q", path, to)
		}
		came = to
	}
	shows("its id, and no more", "sk_live_"+k.ID+"</code>")
	done("/disable", form("reason", "pause"))
	shows("the audit trail", "pause")
	if _, err := g.keys.Verify(t.Context(), old.Reveal()); apikey.CodeOf(err) != apikey.DisabledKey {
		t.Errorf("disabled on the page: %v", err)
	}
	done("/enable", "")
	shows("what it came to", "Enabled.")
	if a := g.want(200, "owner", "GET", page, ""); strings.Contains(a.body, "Enabled.") {
		t.Error("what a change came to is said once")
	}

	rotate := form("secret", g.next("owner", page), "overlap", "first-use")
	a := g.want(200, "owner", "POST", page+"/rotate", rotate)
	fresh := tokenShape.FindString(a.body)
	if fresh == "" || !strings.Contains(a.body, "1 day after this one is first used") {
		t.Errorf("a rotation shows the new secret and says when the old one ends:\n%s", a.body)
	}
	a = g.want(409, "owner", "POST", page+"/rotate", rotate)
	if tokenShape.MatchString(a.body) || !strings.Contains(a.body, `href="../../keys/`+k.ID+`"`) {
		t.Errorf("a rotation is not repeated by a reload:\n%s", a.body)
	}
	shows("how far it is", "The new secret has not been used yet.")
	a = g.want(409, "owner", "POST", page+"/finish-rotation", "")
	if !strings.Contains(a.body, "wait until it has gone quiet, or force") || !strings.Contains(a.body, "Finish anyway") {
		t.Errorf("finishing is refused in words:\n%s", a.body)
	}
	a = g.want(422, "owner", "POST", page+"/finish-rotation", form("confirm", "production"))
	if !strings.Contains(a.body, "Nothing was changed") {
		t.Errorf("forcing asks for the name:\n%s", a.body)
	}
	if v, _ := g.keys.Get(t.Context(), k.ID); !v.RotatingAt(time.Now()) {
		t.Fatal("a rotation is finished by force only with the key's name")
	}
	done("/finish-rotation", form("confirm", " production backend "))
	shows("what it came to", "Rotation finished: the old secret has ended. Stopped working everywhere within ")
	if _, err := g.keys.Verify(t.Context(), old.Reveal()); apikey.CodeOf(err) != apikey.ExpiredKey {
		t.Errorf("the old secret after finishing: %v", err)
	}
	immediately := form("secret", g.next("owner", page), "overlap", "none")
	g.want(200, "owner", "POST", page+"/rotate", immediately)
	g.want(409, "owner", "POST", page+"/rotate", immediately)
	if k, _ := g.keys.Get(t.Context(), k.ID); k.Secrets[0].Number != 3 {
		t.Errorf("a reload rotated again: secret %d", k.Secrets[0].Number)
	}

	for _, confirm := range []string{"", "production", "PRODUCTION BACKEND"} {
		a := g.want(422, "owner", "POST", page+"/revoke", form("confirm", confirm))
		if !strings.Contains(a.body, "Nothing was revoked") {
			t.Errorf("revoking asks for the name:\n%s", a.body)
		}
	}
	shows("still there", ">active<")
	done("/revoke", form("confirm", " production backend ", "reason", "leaked"))
	shows("how far it reached", "Revoked. Stopped working everywhere within ")
	shows("revoked", "leaked")
	if _, err := g.keys.Verify(t.Context(), fresh); apikey.CodeOf(err) != apikey.RevokedKey && apikey.CodeOf(err) != apikey.InvalidKey {
		t.Errorf("revoked on the page: %v", err)
	}
	if a := g.want(200, "owner", "GET", page, ""); strings.Contains(a.body, `<form method="post"`) || strings.Contains(a.body, `method="post" action="`) {
		t.Error("nothing can be done to a revoked key")
	}
	if a := g.want(303, "owner", "GET", page+"/revoke", ""); a.header.Get("Location") != "../"+k.ID {
		t.Error("the address of a form leads to its key")
	}
	if a := g.want(404, "stranger", "GET", page, ""); !strings.Contains(a.body, "Key not found.") {
		t.Errorf("a page says what is wrong:\n%s", a.body)
	}
}

// TestFactsFirst: what would fail is told beside the button that would make it
// fail, and a limit that lies above the chart is told below it.
func TestFactsFirst(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	k, token := g.key("acme", "production")
	for range 3 {
		g.use(token, apikey.OK)
	}
	g.use(token, apikey.InsufficientScope) // failed already
	a := g.want(200, "owner", "GET", "/keys/"+k.ID+"?period=24h", "")
	for _, want := range []string{"Last used just now from 203.0.113.0/24, curl/8.9.1 <b>. 3 requests in the last 24 hours would have failed.", "Limit 1,000/day (off scale)"} {
		if !strings.Contains(html.UnescapeString(tags.ReplaceAllString(a.body, "")), want) {
			t.Errorf("no %q on the page:\n%s", want, a.body)
		}
	}
}

// TestReader: somebody who may only read is offered nothing that changes
// something, on any page.
func TestReader(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	k, _ := g.key("acme", "production")
	if _, _, err := g.keys.Rotate(t.Context(), apikey.Actor{ID: "test"}, k.ID, latchkey.RotateOptions{}); err != nil {
		t.Fatal(err)
	}
	offered := regexp.MustCompile(`method="post" action="[^"]*(?:keys/|new)|href="[^"]*(?:new|/copy|#rotate)"`)
	for _, path := range []string{"/", "/keys/" + k.ID, "/leak", "/keys/" + k.ID + "/first-use", "/keys/" + k.ID + "/secret"} {
		for _, user := range []string{"owner-reader", "op-reader"} {
			if m := offered.FindString(g.want(200, user, "GET", path, "").body); m != "" {
				t.Errorf("%s offers %s %q", path, user, m)
			}
		}
		if path == "/" || path == "/keys/"+k.ID {
			if !offered.MatchString(g.want(200, "owner", "GET", path, "").body) {
				t.Errorf("%s offers an owner nothing: this test looks for the wrong things", path)
			}
		}
	}
}

// TestList: filters, paging and what an empty list teaches.
func TestList(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	if a := g.want(200, "owner", "GET", "/", ""); !strings.Contains(a.body, "three steps") {
		t.Errorf("an empty list teaches:\n%s", a.body)
	}
	for range 26 {
		g.key("acme", "mine")
	}
	g.key("evil", "foreign")
	a := g.want(200, "owner", "GET", "/", "")
	if strings.Count(a.body, ">mine</a>") != 25 || strings.Contains(a.body, "foreign") || strings.Contains(a.body, `name="owner"`) {
		t.Errorf("a customer sees their own keys:\n%s", a.body)
	}
	next := regexp.MustCompile(`href="\./(\?[^"]+)" rel="next"`).FindStringSubmatch(a.body)
	if next == nil {
		t.Fatalf("no next page:\n%s", a.body)
	}
	if a := g.want(200, "owner", "GET", "/"+html.UnescapeString(next[1]), ""); strings.Count(a.body, ">mine</a>") != 1 || !strings.Contains(a.body, "First page") {
		t.Errorf("the next page goes on:\n%s", a.body)
	}
	if a := g.want(200, "owner", "GET", "/?owner=evil&environment=live", ""); strings.Contains(a.body, "foreign") {
		t.Error("a customer's owner is not taken from the query")
	}
	if a := g.want(200, "owner", "GET", "/?environment=test", ""); !strings.Contains(a.body, "No key matches") {
		t.Errorf("an environment filters:\n%s", a.body)
	}
	if a := g.want(200, "operator", "GET", "/?owner=evil", ""); !strings.Contains(a.body, "foreign") || strings.Contains(a.body, ">mine<") {
		t.Errorf("an owner filters for operators:\n%s", a.body)
	}
	if a := g.want(200, "owner-reader", "GET", "/", ""); strings.Contains(a.body, `href="new"`) {
		t.Error("a reader is not offered to create")
	}
	g.want(422, "owner", "GET", "/?cursor=broken", "")
}

// TestHostileNames: whatever people write stays text.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	names := []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onmouseover='alert(1)`, `{{.Token}}{{template "main"}}`,
		`javascript:alert(1)`, `</title><svg/onload=alert(1)>`, `=HYPERLINK("http://evil")`, `&lt;b&gt;`, `%3Cscript%3E`,
	}
	raw := regexp.MustCompile(`(?i)<script>|<img|<svg/|<b>|onerror=alert\(1\)>|onmouseover='`)
	for _, name := range names {
		g := newRig(t)
		a := g.want(200, "operator", "POST", "/new", form("form", g.form("operator", "/new"), "name", name, "owner", name))
		id := regexp.MustCompile(`action="\./keys/([0-9A-Za-z]{16})"`).FindStringSubmatch(a.body)[1]
		v, err := g.keys.Get(t.Context(), id)
		if err != nil || v.Name != name {
			t.Fatalf("the name is kept as it is: %q, %v", v.Name, err)
		}
		g.want(303, "operator", "POST", "/keys/"+id+"/disable", form("reason", name))
		pages := []answer{
			a, g.want(200, "operator", "GET", "/", ""), g.want(200, "operator", "GET", "/keys/"+id, ""),
			g.want(422, "operator", "POST", "/new", form("form", g.form("operator", "/new"), "name", name, "owner", name, "plan", name, "networks", name, "scopes", name)),
			g.want(200, "operator", "GET", "/?"+form("owner", name, "environment", name), ""),
			g.want(422, "operator", "POST", "/new", form("form", "x", "name", "x", name, "y")),
			g.do("operator", "GET", "/"+strings.NewReplacer("%", "%25", " ", "%20", "?", "%3F", "#", "%23", "\"", "%22", "<", "%3C", ">", "%3E").Replace(name), ""),
		}
		for i, p := range pages {
			if m := raw.FindString(p.body); m != "" {
				t.Errorf("page %d with the name %q holds %q:\n%s", i, name, m, p.body)
			}
			if i < 3 && !strings.Contains(html.UnescapeString(p.body), name) {
				t.Errorf("page %d does not show the name %q", i, name)
			}
		}
		g.want(303, "operator", "POST", "/keys/"+id+"/revoke", form("confirm", name))
	}
}

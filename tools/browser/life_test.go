package browser_test

import (
	"strings"
	"testing"

	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/tools/browser"
)

const (
	secretText = `document.querySelector("#secret .whole").textContent`
	keyName    = "production-backend"
)

// TestLifeOfAKey walks from the first key to its end, as somebody does who has
// a browser with scripts.
func TestLifeOfAKey(t *testing.T) {
	t.Parallel()
	b := open(t, start(t))
	b.clipboard(cdpbrowser.PermissionSettingGranted)

	b.goTo("/visitor/")
	b.shows("in three steps")
	b.until("the module runs", `document.documentElement.classList.contains("js")`)
	b.do(press("c"), chromedp.WaitVisible("#name"))
	b.do(chromedp.SendKeys("#name", keyName), chromedp.Click(`input[value="marketplace:read"]`), chromedp.Click(`input[value="orders:write"]`))
	b.shows("2 scopes, 1 with write access: marketplace:read, orders:write")
	b.do(chromedp.Click(`.actions .primary`), chromedp.WaitVisible("#reveal"))
	b.until("Copy has the focus", `document.activeElement.dataset.copy === "secret"`)

	token := eval[string](b, secretText)
	if text := eval[string](b, `document.querySelector("#reveal").innerText`); strings.Contains(text, token) || !strings.Contains(text, "••••") {
		t.Errorf("the secret is masked until somebody wants to see it:\n%s", text)
	}
	done := `document.querySelector("#done").disabled`
	if !eval[bool](b, done) {
		t.Error("Done waits until the key was copied")
	}
	b.do(chromedp.KeyEvent("\r")) // on Copy
	b.until("Copied is said", `document.querySelector("[data-copy=secret] .label").textContent === "Copied"`)
	if got := eval[string](b, "navigator.clipboard.readText()"); got != token {
		t.Errorf("the clipboard has the key when Copied is said, and not %q", got)
	}
	b.until("it is said to those who listen", `document.querySelector("#say").textContent === "Copied"`)
	if eval[bool](b, done) {
		t.Error("Done is ready once the key was copied")
	}
	b.do(chromedp.Click(".snippet:nth-child(2) summary"), chromedp.Click(`[data-copy="snippet-1"]`))
	b.until("a snippet is copied", `document.querySelector('[data-copy="snippet-1"] .label').textContent === "Copied"`)
	if got, want := eval[string](b, "navigator.clipboard.readText()"), "curl '"+browser.BaseURL+"/v1/marketplace/apis' \\\n  -H 'Authorization: Bearer "+token+"'"; got != want {
		t.Errorf("the snippet is ready to run: %q, want %q", got, want)
	}

	b.call(200, token)
	b.until("the light comes on", `document.querySelector(".light").dataset.state === "received"`)
	b.shows("Received just now: GET /v1/marketplace/apis → 200", "from 127.0.0.0/24, curl/8.9.1")

	// Whoever reloads or goes back finds that it is gone, and makes nothing.
	gone := func(how string) {
		t.Helper()
		b.until(how, `document.readyState === "complete" && document.body.innerText.includes("cannot be shown again")`)
		if html := eval[string](b, "document.documentElement.outerHTML"); strings.Contains(html, token) {
			t.Errorf("%s shows the secret again", how)
		}
		if n := len(b.keys("initech")); n != 1 {
			t.Fatalf("%s made a second key: %d", how, n)
		}
	}
	b.do(chromedp.Reload())
	gone("a reload")
	b.do(chromedp.Click(".actions .primary"), chromedp.WaitVisible("#usage-title"), goBack)
	gone("Back")
	b.goTo("/visitor/keys/" + b.keys("initech")[0].ID)

	// Rotate.
	b.do(chromedp.Click(`a[href="#rotate"]`), chromedp.WaitVisible("#rotate .primary"), chromedp.Click("#rotate .primary"), chromedp.WaitVisible("#reveal"))
	fresh := eval[string](b, secretText)
	b.shows("The old secret works until 1 day after this one is first used.")
	b.do(chromedp.Click("#saved"), chromedp.WaitEnabled("#done"), chromedp.Click("#done"), chromedp.WaitVisible(".rotation"))
	b.shows("The new secret has not been used yet.", "Finish anyway")
	b.do(chromedp.Click(".rotation .more summary"), chromedp.WaitVisible("#force"), chromedp.SendKeys("#force", "production"))
	if !eval[bool](b, `document.querySelector(".rotation .danger").disabled`) {
		t.Error("finishing anyway waits for the whole name")
	}
	b.call(200, fresh)
	b.until("the sentence turns green", `document.querySelector(".rotation").dataset.state === "safe"`)
	if got := eval[string](b, `document.querySelector("#force").value`); got != "production" {
		t.Errorf("what somebody is typing stays: %q", got)
	}
	b.do(chromedp.Evaluate[chromedp.Void](`document.querySelector("#force").value = ""`))
	b.until("the page turns to safe by itself", `document.querySelector(".rotation")?.dataset.state === "safe" && document.querySelector(".rotation .primary")`)
	b.shows("safe to finish")
	b.do(chromedp.Click(".rotation .primary"), chromedp.WaitVisible(".notice.good"))
	b.shows("Rotation finished: the old secret has ended. Stopped working everywhere within ")
	b.call(401, token)
	b.call(200, fresh)

	// Revoke.
	b.do(chromedp.Click("details:has(#confirm) summary"), chromedp.WaitVisible("#confirm"))
	revoke := `document.querySelector("#confirm").form.querySelector("button").disabled`
	if !eval[bool](b, revoke) {
		t.Error("revoking waits for the name")
	}
	b.do(chromedp.SendKeys("#confirm", keyName))
	if eval[bool](b, revoke) {
		t.Error("with the name typed, it can be revoked")
	}
	b.do(chromedp.KeyEvent("\r"))
	b.until("what it came to is said", `document.body.innerText.includes("Revoked. Stopped working everywhere within ")`)
	b.shows("including requests in progress")
	if got := eval[string](b, "location.search"); got != "" {
		t.Errorf("the address that says so is not kept: %q", got)
	}
	b.call(401, fresh)
	if keys := b.keys("initech"); len(keys) != 1 || keys[0].RevokedAt.IsZero() {
		t.Errorf("one key was made, and it is revoked: %+v", keys)
	}
}

// TestLifeOfAKeyWithoutScripts is the same walk in a browser that runs none.
func TestLifeOfAKeyWithoutScripts(t *testing.T) {
	t.Parallel()
	b := open(t, start(t))
	b.mayFault = true // a form that is sent again is answered with 409
	b.withoutScripts()

	b.goTo("/visitor/")
	b.do(chromedp.Click(".head .primary"), chromedp.WaitVisible("#name"))
	b.do(chromedp.SendKeys("#name", keyName), chromedp.Click(`input[value="marketplace:read"]`), chromedp.Click(".actions .primary"), chromedp.WaitVisible("#reveal"))
	token := eval[string](b, secretText)
	visible := `document.querySelector("#secret").innerText`
	if strings.Contains(eval[string](b, visible), token) {
		t.Error("the secret is masked")
	}
	b.do(chromedp.Click(`label[for="show"]`))
	if got := eval[string](b, visible); got != token {
		t.Errorf("it is shown to who asks: %q", got)
	}
	if eval[bool](b, `[...document.querySelectorAll(".js-only")].some((e) => e.checkVisibility())`) {
		t.Error("what needs scripts is not shown")
	}
	b.do(chromedp.Click("#done"))
	if at := b.path(); at != "/visitor/new" {
		t.Errorf("Done asks whether it was saved: %s", at)
	}

	// A reload sends the form again.
	b.do(chromedp.Reload())
	b.shows("cannot be shown again", "Nothing was done twice")
	keys := b.keys("initech")
	if len(keys) != 1 {
		t.Fatalf("a reload made a second key: %d", len(keys))
	}
	page := "/visitor/keys/" + keys[0].ID
	b.goTo(page + "/first-use")
	b.shows("Waiting for its first request")
	b.call(200, token)
	b.do(chromedp.Click(".actions .primary"), chromedp.WaitVisible(`[data-state="received"]`))
	b.shows("Received just now: GET /v1/marketplace/apis → 200", "from 127.0.0.0/24, curl/8.9.1")

	b.goTo(page)
	b.do(chromedp.Click("details:has(#rotate) summary"), chromedp.WaitVisible("#rotate .primary"), chromedp.Click("#rotate .primary"), chromedp.WaitVisible("#reveal"))
	fresh := eval[string](b, secretText)
	b.do(chromedp.Click("#saved"), chromedp.Click("#done"), chromedp.WaitVisible(".rotation"))
	b.shows("The new secret has not been used yet.")
	b.call(200, fresh)
	b.do(chromedp.Click(".rotation .no-js"), chromedp.WaitVisible(`.rotation[data-state="safe"] .primary`))
	b.shows("safe to finish")
	b.do(chromedp.Click(".rotation .primary"), chromedp.WaitVisible(".notice.good"))
	b.call(401, token)
	b.call(200, fresh)

	b.do(chromedp.Click("details:has(#confirm) summary"), chromedp.WaitVisible("#confirm"), chromedp.SendKeys("#confirm", "something else\r"), chromedp.WaitVisible(".notice.bad"))
	b.shows("Nothing was revoked")
	b.call(200, fresh)
	b.do(chromedp.SendKeys("#confirm", keyName+"\r"))
	b.until("what it came to is said", `document.body.innerText.includes("Revoked. Stopped working everywhere within ")`)
	b.call(401, fresh)
	if keys := b.keys("initech"); len(keys) != 1 || keys[0].StateAt(keys[0].UpdatedAt) != apikey.Revoked {
		t.Errorf("one key was made, and it is revoked: %+v", keys)
	}
}

// TestCopyWithoutClipboard: where the browser gives no clipboard, nothing says
// Copied; the text is selected instead, and copying it by hand counts.
func TestCopyWithoutClipboard(t *testing.T) {
	t.Parallel()
	b := open(t, start(t))
	b.clipboard(cdpbrowser.PermissionSettingDenied)
	b.goTo("/visitor/new")
	b.do(chromedp.SendKeys("#name", keyName), chromedp.Click(".actions .primary"), chromedp.WaitVisible("#reveal"))
	token := eval[string](b, secretText)
	b.do(chromedp.Click(`[data-copy="secret"]`))
	b.until("what to do is said", `/^Press (Ctrl\+|⌘)C to copy$/.test(document.querySelector("[data-copy=secret] .label").textContent)`)
	if got := strings.TrimSpace(eval[string](b, "String(getSelection())")); got != token {
		t.Errorf("the key is selected: %q", got)
	}
	if !eval[bool](b, `document.querySelector("#done").disabled`) {
		t.Error("the key has not been copied yet")
	}
	b.do(chromedp.Evaluate[chromedp.Void](`document.dispatchEvent(new ClipboardEvent("copy", { bubbles: true }))`))
	if eval[bool](b, `document.querySelector("#done").disabled`) {
		t.Error("a key that was copied by hand is copied")
	}
}

// TestLeak: two clicks from a pasted secret to its end.
func TestLeak(t *testing.T) {
	t.Parallel()
	b := open(t, start(t))
	_, token, err := b.site.Keys.Create(b.ctx, apikey.Actor{ID: "test"}, latchkey.NewKey{Name: "leaky", Owner: "initech", Scopes: []string{"marketplace:read"}})
	if err != nil {
		t.Fatal(err)
	}
	b.call(200, token.Reveal())
	b.goTo("/visitor/leak")
	b.do(chromedp.SendKeys("#text", "found in a log: "+token.Reveal()), chromedp.Click("form .primary"), chromedp.WaitVisible(".notice.good"))
	b.shows("leaky", "still active", "initech")
	if strings.Contains(eval[string](b, "document.documentElement.outerHTML + location.href"), token.Reveal()) {
		t.Error("a secret that was pasted is not shown again")
	}
	b.do(chromedp.Click(".choose .danger"))
	b.until("what it came to is said", `document.readyState === "complete" && document.body.innerText.includes("Revoked. Stopped working everywhere within ")`)
	b.shows("found in the open")
	b.call(401, token.Reveal())
}

// TestKeyboard: / searches, c creates, ? explains, and all of it can be
// switched off.
func TestKeyboard(t *testing.T) {
	t.Parallel()
	s := start(t)
	ids, err := s.Seed(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b := open(t, s)
	b.clipboard(cdpbrowser.PermissionSettingGranted)
	b.goTo("/customer/")
	b.do(chromedp.WaitReady("html.js"), chromedp.Click(".keys tr:first-child .copy"))
	b.until("a key's start is copied", `document.querySelector("#say").textContent === "Copied"`)
	if got, want := eval[string](b, "navigator.clipboard.readText()"), "sk_test_"+ids["laptop-ann"]; got != want {
		t.Errorf("the clipboard has %q, want %q", got, want)
	}
	focus := `document.activeElement.name`
	b.do(chromedp.WaitReady("html.js"), press("/"))
	if got := eval[string](b, focus); got != "search" {
		t.Errorf("/ goes to the search: %q", got)
	}
	b.do(chromedp.KeyEvent("c?/"), chromedp.KeyEvent("\r"), chromedp.WaitVisible(".empty"))
	b.shows("No key matches")
	if got := eval[string](b, "new URL(location).searchParams.get('search')"); got != "c?/" {
		t.Errorf("what is typed into a field is text: %q", got)
	}
	b.do(press("?"), chromedp.WaitVisible("#help[open]"), press("c"))
	if !eval[bool](b, `document.querySelector("#help").open`) {
		t.Error("a dialog has the keyboard for itself")
	}
	b.do(chromedp.Click("#single"), chromedp.KeyEvent("\x1b"))
	b.until("Escape closes the help", `!document.querySelector("#help").open`)
	b.goTo("/customer/")
	b.do(chromedp.WaitReady("html.js"), press("/"))
	if got := eval[bool](b, `document.activeElement === document.body`); !got {
		t.Error("keys that were switched off do nothing, on every page")
	}
	b.do(chromedp.Click("#open-help"), chromedp.WaitVisible("#help[open]"), chromedp.Click("#single"), chromedp.Click("#help form button"))
	b.do(press("c"), chromedp.WaitVisible("#name"), chromedp.Evaluate[chromedp.Void](`document.activeElement.blur()`), press("/"))
	b.hasFocus("/ goes to the search from every page", "input[name=search]")
}

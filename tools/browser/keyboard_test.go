package browser_test

import (
	"strings"
	"testing"

	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"

	"github.com/wontopos/latchkey/apikey"
)

// tabTo presses Tab until an element has the focus, as people do, and fails when
// the focus is not to be seen on the way or never comes there.
func (b *tab) tabTo(selector string) {
	b.Helper()
	var way []string
	for range 80 {
		b.do(chromedp.KeyEvent("\t"))
		if eval[bool](b, `document.activeElement === document.body`) {
			way = append(way, "(round)") // past the end of the page
			continue
		}
		if fault := eval[string](b, ring); fault != "" {
			b.Errorf("on the way to %s the focus is not seen on %s", selector, fault)
		}
		way = append(way, eval[string](b, `document.activeElement.outerHTML.slice(0, 60)`))
		if eval[bool](b, "document.activeElement.matches(`"+selector+"`)") {
			return
		}
	}
	b.Fatalf("Tab never comes to %s:\n%s", selector, strings.Join(way, "\n"))
}

// hasFocus waits until an element has the focus.
func (b *tab) hasFocus(rule, selector string) {
	b.Helper()
	b.until(rule, "document.readyState === 'complete' && document.activeElement.matches(`"+selector+"`)")
}

// named fails unless everything that takes the focus, or is a region, has a name
// to be read out, and nothing but the page's own order says what comes next.
func (b *tab) named(page string) {
	b.Helper()
	nameless := eval[[]string](b, `[...document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, summary, dialog, section, nav, fieldset, [tabindex='0'], svg[role=img]")].filter((e) => {
		const by = (ids) => (ids ?? "").split(" ").filter(Boolean).map((id) => document.getElementById(id)?.textContent ?? "").join("");
		const text = e.getAttribute("aria-label") || by(e.getAttribute("aria-labelledby")) || [...(e.labels ?? [])].map((l) => l.textContent).join("") ||
			(e.matches("a, button, summary") && e.textContent) || (e.matches("fieldset") && e.querySelector("legend")?.textContent) || (e.matches("svg") && e.querySelector("title")?.textContent) || "";
		return !text.trim() && !e.matches("section:not([aria-labelledby])") || e.tabIndex > 0;
	}).map((e) => e.outerHTML.slice(0, 120))`)
	for _, e := range nameless {
		b.Errorf("%s: an element has no name to be read out, or a place of its own in the order: %s", page, e)
	}
	missing := eval[[]string](b, `["aria-labelledby", "aria-describedby"].flatMap((name) => [...document.querySelectorAll("[" + name + "]")].flatMap((e) => e.getAttribute(name).split(" ").filter((id) => !document.getElementById(id))))`)
	if len(missing) > 0 {
		b.Errorf("%s: names point at nothing: %v", page, missing)
	}
}

const (
	enter  = "\r"
	space  = " "
	escape = "\x1b"
)

// TestLifeOfAKeyByKeyboard walks from the first key to its end without a mouse.
// After each step the focus is where the news is, and never lost.
func TestLifeOfAKeyByKeyboard(t *testing.T) {
	t.Parallel()
	b := open(t, start(t))
	b.mayFault = true // one of the forms is sent with a fault
	b.clipboard(cdpbrowser.PermissionSettingGranted)
	say := func(rule, text string) {
		t.Helper()
		b.until(rule, "document.querySelector(`#say[role=status]`).textContent === `"+text+"`")
	}

	// The first Tab offers to skip what is on every page.
	b.goTo("/visitor/")
	b.do(chromedp.WaitReady("html.js"), chromedp.KeyEvent("\t"))
	if !eval[bool](b, `document.activeElement.matches(".skip") && document.activeElement.getBoundingClientRect().left >= 0`) {
		t.Error("the first Tab shows the way past the navigation")
	}
	b.do(chromedp.KeyEvent(enter))
	b.hasFocus("the skip link leads to the content", "#main")
	b.named("list")

	// Help, and back to where one was.
	b.tabTo("main .button.primary")
	b.do(press("?"), chromedp.WaitVisible("#help[open]"))
	b.hasFocus("the dialog has the focus", "#help *")
	for range 4 {
		b.do(chromedp.KeyEvent("\t"))
		if !eval[bool](b, `document.activeElement === document.body || document.activeElement.closest("#help") !== null`) {
			t.Error("a dialog keeps the focus")
		}
	}
	b.do(chromedp.KeyEvent(escape))
	b.hasFocus("Escape leads back to where one was", "main .button.primary")

	// Create: a fault first.
	b.do(press("c"))
	b.hasFocus("the first field is ready to be typed into", "#name")
	b.named("create")
	b.do(chromedp.KeyEvent(keyName))
	b.tabTo(`input[value="marketplace:read"]`)
	b.do(chromedp.KeyEvent(space))
	if got := eval[string](b, `document.querySelector("#scopes-summary[aria-live=polite]").textContent`); got != "1 scope, read-only: marketplace:read" {
		t.Errorf("what is ticked is summed up, for those who listen too: %q", got)
	}
	b.tabTo("summary")
	b.do(chromedp.KeyEvent(enter))
	b.tabTo("#networks")
	b.do(chromedp.KeyEvent("nonsense"))
	b.tabTo("button.primary")
	b.do(chromedp.KeyEvent(enter))
	b.hasFocus("the fault is what has the focus", ".notice.bad[role=alert]")
	b.tabTo("#networks[aria-invalid=true]")
	if got := eval[string](b, `document.activeElement.getAttribute("aria-describedby").split(" ").map((id) => document.getElementById(id).textContent).join(" ")`); !strings.Contains(got, "must be a network") {
		t.Errorf("what is wrong with a field is said with it: %q", got)
	}
	b.do(chromedp.Evaluate[chromedp.Void](`document.activeElement.select()`), chromedp.KeyEvent("\b"))
	b.tabTo("button.primary")
	b.do(chromedp.KeyEvent(enter))

	// The secret.
	b.hasFocus("Copy has the focus", "[data-copy=secret]")
	b.named("secret")
	token := eval[string](b, secretText)
	b.do(chromedp.KeyEvent(enter))
	say("Copied is said", "Copied")
	b.tabTo("#show")
	b.do(chromedp.KeyEvent(space))
	if got := eval[string](b, `document.querySelector("#secret").innerText`); got != token {
		t.Errorf("Space shows the secret: %q", got)
	}
	b.call(200, token)
	say("the first request is said", "The first request has been received")
	b.tabTo("#done")
	b.do(chromedp.KeyEvent(enter), chromedp.WaitVisible("#usage-title"))

	// Rotate.
	b.named("key")
	b.tabTo(`a[href="#rotate"]`)
	b.do(chromedp.KeyEvent(enter), chromedp.WaitVisible("#rotate .primary"))
	b.do(chromedp.KeyEvent("\t"))
	if !eval[bool](b, `document.activeElement.matches("#rotate [name=overlap]:checked")`) {
		t.Errorf("the link leads into the form: %s", eval[string](b, `document.activeElement.outerHTML`))
	}
	b.tabTo("#rotate .primary")
	b.do(chromedp.KeyEvent(enter))
	b.hasFocus("Copy has the focus", "[data-copy=secret]")
	fresh := eval[string](b, secretText)
	b.tabTo("#saved")
	b.do(chromedp.KeyEvent(space))
	b.tabTo("#done")
	b.do(chromedp.KeyEvent(enter), chromedp.WaitVisible(".rotation"))

	// The sentence turns green while somebody is inside: nothing is taken away.
	if eval[bool](b, `document.querySelector(".when-safe").checkVisibility()`) {
		t.Error("finishing without typing is offered only when it is safe")
	}
	b.tabTo(".rotation summary")
	b.do(chromedp.KeyEvent(enter))
	b.tabTo("#force")
	b.call(200, fresh)
	b.until("the sentence turns green", `document.querySelector(".rotation").dataset.state === "safe"`)
	b.until("it is said", `document.querySelector("#say").textContent.endsWith("safe to finish.")`)
	if !eval[bool](b, `document.activeElement.matches("#force") && document.activeElement.checkVisibility()`) {
		t.Error("the focus stays where it is when the news changes")
	}
	b.tabTo(".when-safe .primary")
	b.until("what no longer fits goes when it is left", `!document.querySelector(".when-unsafe").checkVisibility()`)
	b.do(chromedp.KeyEvent(enter))
	b.hasFocus("what it came to has the focus", ".notice.good[role=status]")
	b.shows("Rotation finished")
	b.call(401, token)

	// Disable, enable, revoke.
	b.tabTo("details:has(#confirm) > summary")
	b.do(chromedp.KeyEvent(enter))
	b.tabTo("#disable-reason")
	b.do(chromedp.KeyEvent("a pause" + enter))
	b.hasFocus("what it came to has the focus", ".notice.good[role=status]")
	b.shows("Disabled. Stopped working everywhere within ")
	b.tabTo(`form[action$="/enable"] button`)
	b.do(chromedp.KeyEvent(enter))
	b.hasFocus("what it came to has the focus", ".notice.good[role=status]")
	b.call(200, fresh)
	b.tabTo("details:has(#confirm) > summary")
	b.do(chromedp.KeyEvent(enter))
	b.tabTo("#confirm")
	b.do(chromedp.KeyEvent(keyName + enter))
	b.hasFocus("what it came to has the focus", ".notice.good[role=status]")
	b.shows("Revoked. Stopped working everywhere within ")
	b.call(401, fresh)
	b.named("key, revoked")
}

// TestRotationEndsElsewhere: a page whose rotation somebody else has ended says
// so, offers nothing that is over, and starts anew only when nobody is on it.
func TestRotationEndsElsewhere(t *testing.T) {
	t.Parallel()
	s := start(t)
	ids, err := s.Seed(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b := open(t, s)
	b.goTo("/customer/keys/" + ids["mobile-gateway"])
	b.do(chromedp.WaitReady("html.js"))
	b.tabTo(".ways a")
	if _, err := s.Keys.FinishRotation(b.ctx, apikey.Actor{ID: "test"}, ids["mobile-gateway"], true); err != nil {
		t.Fatal(err)
	}
	b.until("it is said", `document.querySelector("#say").textContent === "The rotation has ended."`)
	if !eval[bool](b, `document.activeElement.matches(".ways a")`) {
		t.Error("the page starts anew under somebody who is on it")
	}
	if eval[bool](b, `[...document.querySelectorAll(".when-safe, .when-unsafe")].some((e) => e.checkVisibility())`) {
		t.Error("what is over is not offered")
	}
	b.do(chromedp.Evaluate[chromedp.Void](`document.activeElement.blur()`))
	b.until("the page starts anew by itself", `!document.querySelector(".rotation")`)
}

// TestDoubleClickInTheBrowser: the second click of a double click does not take
// the answer to the first one away, which has the secret.
func TestDoubleClickInTheBrowser(t *testing.T) {
	t.Parallel()
	b := open(t, start(t))
	b.goTo("/visitor/new")
	b.do(chromedp.WaitReady("html.js"), chromedp.SendKeys("#name", keyName))
	if sent := eval[int](b, `(() => {
		const button = document.querySelector(".actions .primary");
		let sent = 0;
		button.form.addEventListener("submit", (leave) => { sent += leave.defaultPrevented ? 0 : 1; leave.preventDefault(); });
		button.click();
		button.click();
		return sent;
	})()`); sent != 1 {
		t.Errorf("a double click sends a form %d times", sent)
	}
}

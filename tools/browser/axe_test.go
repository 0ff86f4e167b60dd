package browser_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/tools/browser"
)

// state is a page as somebody meets it.
type state struct {
	name   string
	path   string
	before []chromedp.Action[chromedp.Void]
	ready  string // selector
}

// states are the pages of a site as people meet them. They fill the site with
// keys.
func states(t *testing.T, s *browser.Site) []state {
	t.Helper()
	ids, err := s.Seed(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, leaked, err := s.Keys.Create(t.Context(), apikey.Actor{ID: "test"}, latchkey.NewKey{Name: "leaky", Owner: "acme", Scopes: []string{"marketplace:read"}})
	if err != nil {
		t.Fatal(err)
	}
	type steps = []chromedp.Action[chromedp.Void]
	key := "/customer/keys/" + ids["production-backend"]
	return []state{
		{"list", "/customer/", nil, ".keys"},
		{"list of an operator", "/operator/?owner=acme&order=name", nil, ".keys"},
		{"nothing found", "/customer/?search=nothing+of+that+kind", nil, ".empty"},
		{"no keys yet", "/newcomer/", nil, ".steps"},
		{"create", "/operator/new", nil, "#name"},
		{"create, with faults", "/visitor/new", steps{
			chromedp.Click(".more summary"), chromedp.SendKeys("#name", "x"), chromedp.SendKeys("#networks", "nonsense"), chromedp.Click(".actions .primary"),
		}, ".fault"},
		{"secret", "/visitor/new", steps{chromedp.SendKeys("#name", "x"), chromedp.Click(".actions .primary")}, "#reveal"},
		{"secret, gone", key + "/secret", nil, ".actions"},
		{"key", key + "?period=30d", steps{openAll}, "#audit-title"},
		{"key with scopes that are not used", "/customer/keys/" + ids["reporting"], steps{openAll}, ".idle"},
		{"key of a reader", "/reader/keys/" + ids["contractor"], nil, "#audit-title"},
		{"rotation", "/customer/keys/" + ids["mobile-gateway"], steps{openAll}, ".rotation"},
		{"leak", "/customer/leak", steps{chromedp.SendKeys("#text", leaked.Reveal()), chromedp.Click("form .primary")}, ".choose"},
		{"routes", "/operator/routes", nil, "table"},
		{"help", "/customer/", steps{chromedp.WaitReady("html.js"), chromedp.Click("#open-help")}, "#help[open]"},
		{"refused", "/reader/new", nil, "h1"},
	}
}

// visit goes to a state.
func (b *tab) visit(st state) {
	b.Helper()
	b.goTo(st.path)
	b.do(st.before...)
	b.do(chromedp.WaitVisible(st.ready))
}

// leave lets the page go: leaving a secret that was not saved asks first.
func (b *tab) leave() {
	b.Helper()
	b.do(chromedp.Evaluate[chromedp.Void](`document.querySelector("#saved")?.click()`))
}

// axeSource is axe-core, or the end of the test.
func axeSource(t *testing.T) string {
	t.Helper()
	axe, err := browser.Axe(t.Context())
	if err != nil {
		t.Skip("missing component: axe-core: npm (apt-get install npm) and the npm registry, once: " + strings.ReplaceAll(err.Error(), "\n", " "))
	}
	return axe
}

// TestAccessible: axe-core finds nothing on any state of the page, in either
// scheme of colours, on a desk or on phones, of which none has to be scrolled
// sideways.
func TestAccessible(t *testing.T) {
	t.Parallel()
	s := start(t)
	axe := axeSource(t)
	all := states(t, s)
	for _, scheme := range []string{"light", "dark"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			b := open(t, s)
			b.mayFault = true // some of the states are refusals
			b.media(map[string]string{"prefers-color-scheme": scheme, "prefers-reduced-motion": "reduce"})
			for _, st := range all {
				b.visit(st)
				if got := eval[string](b, `getComputedStyle(document.documentElement).getPropertyValue("--bg").trim()`); (got == "#f7f8fa") != (scheme == "light") {
					t.Fatalf("the page is not %s: %s", scheme, got)
				}
				for _, width := range []int64{1280, 800, 390, 360, 320} {
					b.do(chromedp.EmulateViewport(width, 900))
					b.fits(st.name, width)
					if width == 1280 || width == 320 {
						b.examine(st.name, axe)
					}
				}
				b.leave()
			}
		})
	}
}

// fits fails when the page has to be scrolled sideways, or hides something
// beyond its right edge.
func (b *tab) fits(name string, width int64) {
	b.Helper()
	over := eval[[]string](b, `(() => {
		const root = document.documentElement, far = [];
		if (root.scrollWidth > root.clientWidth) far.push("the page: " + (root.scrollWidth - root.clientWidth) + " px");
		for (const e of document.body.querySelectorAll("*")) {
			const box = e.getBoundingClientRect();
			if (e.checkVisibility() && box.width > 1 && box.right > root.clientWidth + .5 && !e.closest("thead, pre, .clip, .mask, .grid-scroll")) far.push(e.outerHTML.slice(0, 120));
		}
		return far.slice(0, 5);
	})()`)
	for _, what := range over {
		b.Errorf("%s: at %d px something is beyond the edge: %s", name, width, what)
	}
}

// openAll opens what is folded.
var openAll = chromedp.Evaluate[chromedp.Void](`document.querySelectorAll("details").forEach((d) => { d.open = true; })`)

// examine runs axe-core on the page as it is.
func (b *tab) examine(name, axe string) {
	b.Helper()
	if !eval[bool](b, `"axe" in window`) {
		b.do(chromedp.Evaluate[chromedp.Void](axe))
	}
	var found []struct {
		ID, Help string
		Nodes    []struct{ HTML, FailureSummary string }
	}
	report := eval[string](b, `axe.run(document, { resultTypes: ["violations"] }).then((r) => JSON.stringify(r.violations))`)
	if err := json.Unmarshal([]byte(report), &found); err != nil {
		b.Fatal(err)
	}
	for _, v := range found {
		for _, n := range v.Nodes {
			b.Errorf("%s: %s (%s)\n%s\n%s", name, v.Help, v.ID, n.HTML, n.FailureSummary)
		}
	}
}

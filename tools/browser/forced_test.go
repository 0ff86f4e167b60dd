package browser_test

import (
	"testing"

	"github.com/chromedp/chromedp"
)

// seen looks at a page with the eyes of somebody whose system has colours of its
// own for all pages, and returns what it cannot tell apart there. Backgrounds
// and shadows are gone: what is left are edges, shapes and the system's colours.
const seen = `(() => {
	const faults = [], shown = (selector) => [...document.querySelectorAll(selector)].filter((e) => e.checkVisibility({ opacityProperty: true }));
	const probe = document.body.appendChild(document.createElement("i"));
	const system = (name) => { probe.style.color = name; return getComputedStyle(probe).color; };
	const [canvas, text, highlight, gray] = ["Canvas", "CanvasText", "Highlight", "GrayText"].map(system);
	probe.remove();
	const rule = (ok, what, e) => { if (!ok) faults.push(what + ": " + e.outerHTML.slice(0, 120)); };
	for (const e of shown(".chip, .env, .notice, .card, .choice, .lamp, .tabs a[aria-current], dialog[open], button:not(.plain), .button, input:not([type=checkbox], [type=radio]), select, textarea")) {
		const style = getComputedStyle(e);
		rule(["Top", "Right", "Bottom", "Left"].every((side) => style["border" + side + "Style"] === "solid" && parseFloat(style["border" + side + "Width"]) >= 1 && style["border" + side + "Color"] !== canvas), "has no edge", e);
	}
	for (const e of shown(".chip.good, .chip.warn, .chip.bad, .chip.info")) rule(getComputedStyle(e, "::before").backgroundColor === text, "has no dot", e);
	for (const e of shown(".lamp")) {
		const on = e.closest("[data-state=received], [data-state=safe]");
		rule(getComputedStyle(e).backgroundColor === (on ? text : canvas), "does not tell on from off", e);
	}
	for (const e of shown(".primary:not(:disabled)")) rule(getComputedStyle(e).backgroundColor === highlight, "looks like every other button", e);
	for (const e of shown("button:disabled")) rule(getComputedStyle(e).color === gray && getComputedStyle(e).borderColor === gray, "looks as if it could be pressed", e);
	for (const e of shown(".choice:has(input:checked)")) rule(parseFloat(getComputedStyle(e).borderTopWidth) === 2, "does not look chosen", e);
	for (const e of shown(".tabs a[aria-current]")) rule(parseFloat(getComputedStyle(e).borderTopWidth) === 2, "does not look current", e);
	for (const e of shown("[aria-invalid=true]")) rule(parseFloat(getComputedStyle(e).borderTopWidth) === 2 && document.getElementById(e.getAttribute("aria-describedby").split(" ").pop()).innerText, "does not look wrong", e);
	for (const e of shown(".notice.bad")) rule(parseFloat(getComputedStyle(e).borderLeftWidth) > 2, "looks like good news", e);
	for (const e of shown(":is(.spark, .chart) .admitted, .fill")) rule(getComputedStyle(e).fill === text, "is not drawn", e);
	for (const e of shown(":is(.spark, .chart) .refused, .track")) rule(getComputedStyle(e).fill === canvas && getComputedStyle(e).stroke === text, "is not an outline", e);
	for (const e of shown(":is(.spark, .chart) .limit")) rule(getComputedStyle(e).stroke === text, "is not drawn", e);
	return [...new Set(faults)].slice(0, 8);
})()`

// ring returns what is wrong with the mark of the element that has the focus:
// "" when all is well.
const ring = `(() => {
	const e = document.activeElement;
	const marked = [e, e.closest(".choice"), e.id === "show" && document.querySelector("label[for=show]")].filter(Boolean).some((e) => {
		const style = getComputedStyle(e);
		return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2 && style.outlineColor !== "rgba(0, 0, 0, 0)" && e.checkVisibility();
	});
	return marked ? "" : e.outerHTML.slice(0, 120);
})()`

// TestForcedColours: with the colours of the system nothing vanishes on any
// state of the page, states look different from each other, and axe-core finds
// nothing.
func TestForcedColours(t *testing.T) {
	t.Parallel()
	s := start(t)
	axe := axeSource(t)
	all := states(t, s)
	for _, scheme := range []string{"light", "dark"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			b := open(t, s)
			b.mayFault = true
			b.media(map[string]string{"forced-colors": "active", "prefers-color-scheme": scheme, "prefers-reduced-motion": "reduce"})
			drawn := map[string]bool{}
			for _, st := range all {
				b.visit(st)
				if !eval[bool](b, `matchMedia("(forced-colors: active)").matches`) {
					t.Fatal("the browser does not force colours: this test looks at nothing")
				}
				for _, fault := range eval[[]string](b, seen) {
					t.Errorf("%s: with forced colours an element %s", st.name, fault)
				}
				for _, mark := range []string{".spark .refused", ".chart .limit", ".track", ".chip.bad", ".notice.bad", "button:disabled", "[aria-invalid=true]", ".lamp"} {
					drawn[mark] = drawn[mark] || eval[bool](b, `document.querySelector("`+mark+`") !== null`)
				}
				b.examine(st.name, axe)
				b.do(chromedp.KeyEvent("\t"))
				if fault := eval[string](b, ring); fault != "" {
					t.Errorf("%s: with forced colours the focus is not seen on %s", st.name, fault)
				}
				b.leave()
			}
			for mark, ok := range drawn {
				if !ok {
					t.Errorf("no state has %s: this test has not seen one", mark)
				}
			}
		})
	}
}

// TestReducedMotion: nothing moves on the page for people who asked for that,
// and something does for others.
func TestReducedMotion(t *testing.T) {
	t.Parallel()
	s := start(t)
	all := states(t, s)
	b := open(t, s)
	b.mayFault = true
	const moving = `[...document.querySelectorAll("*")].filter((e) => [null, "::before", "::after"].some((part) => {
		const style = getComputedStyle(e, part);
		return style.animationName !== "none" || style.transitionDuration.split(", ").some((d) => parseFloat(d) > 0) || style.scrollBehavior === "smooth";
	})).length`
	for motion, moves := range map[string]bool{"reduce": false, "no-preference": true} {
		b.media(map[string]string{"prefers-reduced-motion": motion})
		for _, st := range all {
			b.visit(st)
			if n := eval[int](b, moving); n > 0 != moves {
				t.Errorf("%s: with prefers-reduced-motion: %s, %d elements move", st.name, motion, n)
			}
			if eval[bool](b, `document.querySelector("[data-state=waiting] .lamp") !== null`) {
				if got := eval[string](b, `getComputedStyle(document.querySelector(".lamp")).animationName`); (got == "wait") != moves {
					t.Errorf("%s: the light that waits: animation %q with %s", st.name, got, motion)
				}
			}
			b.leave()
		}
	}
}

package browser_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/tools/browser"
)

// patience bounds one test, and wait one wait in it. Nothing waits for them when
// all is well.
const (
	patience = 2 * time.Minute
	wait     = 30 * time.Second
)

var chromium struct {
	ctx  context.Context
	stop context.CancelFunc
}

// TestMain keeps one browser for all tests: each has tabs of its own.
func TestMain(m *testing.M) {
	if path := browser.Chromium(); path != "" {
		chromium.ctx, chromium.stop = browser.Launch(context.Background(), path)
		if err := chromedp.Do(chromium.ctx); err != nil {
			fmt.Fprintln(os.Stderr, "chromium does not start:", err)
			os.Exit(1)
		}
	}
	code := m.Run()
	if chromium.stop != nil {
		chromium.stop()
	}
	os.Exit(code)
}

// start starts a site for one test.
func start(t *testing.T) *browser.Site {
	t.Helper()
	if chromium.ctx == nil {
		t.Skip("missing component: chromium: apt-get install chromium")
	}
	s, err := browser.Start("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// tab is one tab of the browser, and somebody who looks at it. It fails the
// test when the page breaks its own policy or a script throws.
type tab struct {
	*testing.T
	site *browser.Site
	ctx  context.Context

	mu       sync.Mutex
	mishaps  []string
	mayFault bool // answers with an error status are part of the test
}

func open(t *testing.T, s *browser.Site) *tab {
	t.Helper()
	ctx, closeTab := chromedp.NewContext(chromium.ctx)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	b := &tab{T: t, site: s, ctx: ctx}
	if err := chromedp.Listen(ctx, b.hear); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, mishap := range b.mishaps {
			t.Errorf("the console of the page is empty, but: %s", mishap)
		}
		cancel()
		closeTab()
	})
	return b
}

// hear collects what a page says on its console: nothing, when all is well.
func (b *tab) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *log.EventEntryAdded:
		if b.mayFault && e.Entry.Source == log.EntrySourceNetwork {
			return
		}
		if strings.Contains(e.Entry.Text, "Cross-Origin-Opener-Policy header has been ignored") && strings.Contains(e.Entry.URL, ".example") {
			return // on plain HTTP there is none; the header is on every answer
		}
		b.mishaps = append(b.mishaps, fmt.Sprintf("%s: %s (%s)", e.Entry.Source, e.Entry.Text, e.Entry.URL))
	case *runtime.EventExceptionThrown:
		b.mishaps = append(b.mishaps, e.ExceptionDetails.Text)
	case *runtime.EventConsoleAPICalled:
		b.mishaps = append(b.mishaps, fmt.Sprint(e.Type))
	}
}

// do takes steps, and says where the page was when one fails.
func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	for i, step := range steps {
		if err := chromedp.Do(b.ctx, step); err != nil {
			at, _ := chromedp.Run(b.ctx, chromedp.Location())
			b.Fatalf("step %d at %s: %v", i+1, at, err)
		}
	}
}

// eval returns the value of an expression.
func eval[T any](b *tab, expression string) T {
	b.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.Fatalf("%s: %v", expression, err)
	}
	return v
}

// until waits for an expression to become true.
func (b *tab) until(rule, expression string) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, wait)
	defer cancel()
	for {
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("Boolean("+expression+")"))
		switch {
		case ok:
			return
		case ctx.Err() != nil:
			b.Fatalf("%s: waited in vain for %s: %v", rule, expression, err)
		}
		time.Sleep(20 * time.Millisecond) // between two looks; errors are pages that change
	}
}

// press presses a key that writes a character. Unlike chromedp.KeyEvent it
// leaves the character out when the page has taken the key, as keyboards do.
func press(key string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		for _, kind := range []input.DispatchKeyEventType{input.DispatchKeyEventTypeKeyDown, input.DispatchKeyEventTypeKeyUp} {
			e := input.DispatchKeyEventParams{Type: kind, Key: key}
			if kind == input.DispatchKeyEventTypeKeyDown {
				e.Text = key
			}
			if _, err := cdp.Call(ctx, t, input.DispatchKeyEvent, e); err != nil {
				return err
			}
		}
		return nil
	})
}

// goBack is the Back button. The page may come out of the cache for that.
var goBack = chromedp.Evaluate[chromedp.Void](`history.back()`)

// goTo opens an address of the settings page.
func (b *tab) goTo(path string) {
	b.Helper()
	b.do(chromedp.Navigate(b.site.Pages.URL + path))
}

// shows fails unless the text of the page holds all of these.
func (b *tab) shows(texts ...string) {
	b.Helper()
	page := eval[string](b, "document.body.innerText")
	for _, text := range texts {
		if !strings.Contains(page, text) {
			b.Errorf("the page does not show %q:\n%s", text, page)
		}
	}
}

// path is where the page is, from its mount point.
func (b *tab) path() string {
	b.Helper()
	at, err := chromedp.Run(b.ctx, chromedp.Location())
	if err != nil {
		b.Fatal(err)
	}
	u, err := url.Parse(at)
	if err != nil {
		b.Fatal(err)
	}
	return u.Path
}

// withoutScripts switches scripts off in this tab.
func (b *tab) withoutScripts() {
	b.Helper()
	if _, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		b.Fatal(err)
	}
}

// media sets what a style sheet may ask for.
func (b *tab) media(features map[string]string) {
	b.Helper()
	var all []*emulation.MediaFeature
	for name, value := range features {
		all = append(all, &emulation.MediaFeature{Name: name, Value: value})
	}
	if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: all}); err != nil {
		b.Fatal(err)
	}
}

// clipboard grants or denies the site the clipboard.
func (b *tab) clipboard(setting cdpbrowser.PermissionSetting) {
	b.Helper()
	for _, name := range []string{"clipboard-write", "clipboard-read"} {
		if _, err := chromedp.CallBrowser(b.ctx, cdpbrowser.SetPermission, cdpbrowser.SetPermissionParams{
			Permission: &cdpbrowser.PermissionDescriptor{Name: name}, Setting: setting, Origin: b.site.Pages.URL,
		}); err != nil {
			b.Fatal(err)
		}
	}
}

// call sends a request with a key to the API, and wants a status.
func (b *tab) call(status int, token string) {
	b.Helper()
	got, err := b.site.Call(b.ctx, token)
	if err != nil || got != status {
		b.Fatalf("a request with the key: status %d, want %d, %v", got, status, err)
	}
}

// keys are those of an owner.
func (b *tab) keys(owner string) []apikey.Key {
	b.Helper()
	page, err := b.site.Keys.List(b.ctx, latchkey.ListRequest{Owner: owner})
	if err != nil {
		b.Fatal(err)
	}
	return page.Keys
}

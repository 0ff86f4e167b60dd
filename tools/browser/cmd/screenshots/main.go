// Command screenshots writes pictures of the settings page, with made-up keys,
// into a directory:
//
//	go run ./cmd/screenshots ../../docs/images
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/wontopos/latchkey/tools/browser"
)

// shot is one picture.
type shot struct {
	name          string
	path          string // of the page
	width, height int64
	dark          bool
	before        []chromedp.Action[chromedp.Void] // after the page has loaded
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	dir, only := ".", "."
	if len(os.Args) > 1 {
		dir = os.Args[1]
	}
	if len(os.Args) > 2 {
		only = os.Args[2]
	}
	if err := run(ctx, dir, only); err != nil {
		log.Fatal("screenshots: ", err)
	}
}

// style sets the font, so that the pictures do not depend on what a machine
// happens to have: apt-get install fonts-inter.
const style = `:root { --sans: Inter, system-ui, sans-serif; }`

func run(ctx context.Context, dir, only string) (err error) {
	path := browser.Chromium()
	if path == "" {
		return errors.New("there is no chromium here: apt-get install chromium fonts-inter")
	}
	wanted, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	site, err := browser.Start(style)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, site.Close()) }()
	ids, err := site.Seed(ctx)
	if err != nil {
		return err
	}
	ctx, end := browser.Launch(ctx, path)
	defer end()
	if err := chromedp.Do(ctx); err != nil { // the browser, before its first tab
		return err
	}
	type steps = []chromedp.Action[chromedp.Void]
	key := "/customer/keys/" + ids["production-backend"]
	create := steps{
		chromedp.SetValue("#name", "production-backend"),
		chromedp.Click(`input[value="pro"]`), chromedp.Click(`input[value="marketplace:read"]`),
		chromedp.Click(`input[value="orders:read"]`), chromedp.Click(`input[value="orders:write"]`), chromedp.Click(`input[name="expires"][value="90"]`),
	}
	reveal := append(create[:len(create):len(create)], chromedp.Submit("#name"), chromedp.WaitVisible("#reveal"))
	create = append(create, chromedp.Evaluate[chromedp.Void](`document.activeElement.blur(); scrollTo(0, 0)`))
	for _, s := range []shot{
		{"list", "/customer/", 1280, 860, false, nil},
		{"list-dark", "/customer/", 1280, 860, true, nil},
		{"list-phone", "/customer/", 390, 844, false, nil},
		{"create", "/visitor/new", 1280, 1080, false, create},
		{"create-phone", "/visitor/new", 390, 844, true, create},
		{"reveal", "/visitor/new", 1280, 820, false, reveal},
		{"reveal-phone", "/visitor/new", 390, 844, false, reveal},
		{"key", key + "?period=30d", 1280, 1000, false, nil},
		{"key-dark", key + "?period=24h", 1280, 1000, true, nil},
		{"key-phone", key + "?period=7d", 390, 844, false, nil},
		{"rotation", "/customer/keys/" + ids["mobile-gateway"], 1280, 620, false, nil},
		{"revoke", key + "#confirm", 1280, 900, false, nil},
		{"settings", key + "#networks", 1280, 1000, false, nil},
		{"empty", "/newcomer/", 1280, 640, false, nil},
		{"leak", "/operator/leak", 1280, 640, false, nil},
		{"operator", "/operator/", 1280, 900, false, nil},
		{"routes", "/operator/routes", 1280, 760, false, nil},
		{"key-operator", "/operator/keys/" + ids["production-backend"], 1280, 1300, false, nil},
		{"routes-scope", "/operator/routes?scope=orders:write", 1280, 500, false, nil},
		{"routes-phone", "/operator/routes", 390, 844, true, nil},
		{"help", "/customer/", 1280, 800, true, steps{chromedp.KeyEvent("?")}},
	} {
		if !wanted.MatchString(s.name) {
			continue
		}
		if err := take(ctx, site, s, filepath.Join(dir, s.name+".png")); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

func take(ctx context.Context, site *browser.Site, s shot, file string) error {
	tab, closeTab := chromedp.NewContext(ctx)
	defer closeTab()
	if err := chromedp.Do(tab); err != nil {
		return err
	}
	tab, cancel := context.WithTimeout(tab, 30*time.Second)
	defer cancel()
	scheme := "light"
	if s.dark {
		scheme = "dark"
	}
	if _, err := chromedp.Call(tab, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: s.width, Height: s.height, DeviceScaleFactor: 1, Mobile: s.width < 500,
	}); err != nil {
		return err
	}
	if _, err := chromedp.Call(tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
	}}); err != nil {
		return err
	}
	steps := append([]chromedp.Action[chromedp.Void]{chromedp.Navigate(site.Pages.URL + s.path), chromedp.WaitReady("html.js")}, s.before...)
	if err := chromedp.Do(tab, steps...); err != nil {
		return err
	}
	png, err := chromedp.Run(tab, chromedp.CaptureScreenshot())
	if err != nil {
		return err
	}
	return os.WriteFile(file, png, 0o644)
}

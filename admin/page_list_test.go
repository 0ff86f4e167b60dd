package admin_test

import (
	"bytes"
	"context"
	"html"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/admin"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/memstore"
)

// aged makes a key of the past, with a month of use: the store's, because the
// service writes the present.
func aged(t *testing.T, store storage.Store, k apikey.Key, age time.Duration, daily uint64) {
	t.Helper()
	at := time.Now().UTC().Truncate(time.Microsecond).Add(-age)
	k.CreatedAt, k.UpdatedAt, k.CreatedBy = at, at, "test"
	k.Secrets = []apikey.Secret{{Number: 1, CreatedAt: at}}
	if _, err := store.Apply(t.Context(), storage.Change{
		Record: storage.Record{Key: k, Digests: make([]storage.Digest, 1)},
		Entry:  apikey.AuditEntry{At: at, Actor: "test", Action: "create", KeyID: k.ID, Owner: k.Owner},
	}); err != nil {
		t.Fatal(err)
	}
	var batch []storage.UsageDelta
	now := time.Now().UTC()
	for day := range 30 {
		if daily == 0 {
			break
		}
		u := storage.UsageDelta{KeyID: k.ID, Secret: 1, Hour: now.AddDate(0, 0, -day).Truncate(time.Hour), Last: apikey.LastUse{At: now.AddDate(0, 0, -day)}}
		u.Counts.Allowed, u.Counts.RateLimited = daily-uint64(day*7), uint64(day*3)
		batch = append(batch, u)
	}
	if err := store.AddUsage(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
}

func keyID(n int) string { return ("AAAAAAAAAAAAAAAA" + strconv.Itoa(n))[len(strconv.Itoa(n)):] }

// TestWeight: a page of 25 busy keys is at most 40 KB, before compression.
func TestWeight(t *testing.T) {
	t.Parallel()
	store := memstore.New()
	g := newRigWith(t, store, signIn, admin.Options{})
	for i := range 30 {
		aged(t, store, apikey.Key{
			ID: keyID(i), Name: "production-backend-eu-" + strconv.Itoa(i), Owner: "acme-international-" + strconv.Itoa(i), Environment: "live", Plan: "enterprise",
			Scopes: []string{"marketplace:read", "marketplace:write", "orders:read"}, ExpiresAt: time.Now().UTC().AddDate(0, 0, 5),
		}, 100*24*time.Hour, 48_000)
	}
	a := g.want(200, "operator", "GET", "/", "")
	if n := strings.Count(a.body, "<tr>"); n != 26 {
		t.Fatalf("%d rows, want a head and 25", n)
	}
	if len(a.body) > 40<<10 {
		t.Errorf("the page has %d bytes, more than 40 KiB", len(a.body))
	}
	t.Logf("%d bytes", len(a.body))
}

// TestAssets: one style sheet and one module, small, and nothing from
// elsewhere.
func TestAssets(t *testing.T) {
	t.Parallel()
	module, err := os.ReadFile("assets/admin.js")
	if err != nil {
		t.Fatal(err)
	}
	if len(module) > 10<<10 {
		t.Errorf("the module has %d bytes, more than 10 KiB", len(module))
	}
	for _, sink := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", "import(", "import ", "://"} {
		if bytes.Contains(module, []byte(sink)) {
			t.Errorf("the module has %q", sink)
		}
	}
	style, err := os.ReadFile("assets/admin.css")
	if err != nil {
		t.Fatal(err)
	}
	for _, load := range []string{"url(", "@import", "://"} {
		if bytes.Contains(style, []byte(load)) {
			t.Errorf("the style sheet has %q", load)
		}
	}
	g := newRigWith(t, memstore.New(), signIn, admin.Options{Style: ":root { --accent: #0a7d5a; }"})
	k, _ := g.key("acme", "production")
	foreign := regexp.MustCompile(`(?:src|href|action|data-from|data-gone)="[^"]*//|\sstyle=|\son[a-z]+=|<style`)
	for _, path := range []string{"/", "/new", "/leak", "/keys/" + k.ID, "/keys/" + k.ID + "/copy", "/nowhere"} {
		if m := foreign.FindString(g.do("owner", "GET", path, "").body); m != "" {
			t.Errorf("%s holds %q", path, m)
		}
	}
	m := regexp.MustCompile(`href="\./(assets/admin\.css\?v=[^"]+)"`).FindStringSubmatch(g.want(200, "owner", "GET", "/", "").body)
	if a := g.want(200, "", "GET", "/"+m[1], ""); !strings.HasSuffix(a.body, "--accent: #0a7d5a; }") || !strings.Contains(a.header.Get("Cache-Control"), "immutable") {
		t.Error("a theme comes after the page's own style, in the same file")
	}
}

// TestFilters: what the address says is what is shown, and a page further on
// keeps it.
func TestFilters(t *testing.T) {
	t.Parallel()
	store := memstore.New()
	g := newRigWith(t, store, signIn, admin.Options{})
	for i := range 30 {
		aged(t, store, apikey.Key{ID: keyID(i), Name: "batch " + strconv.Itoa(i), Owner: "acme", Environment: "live", Plan: "free"}, time.Duration(i+1)*time.Hour, 0)
	}
	aged(t, store, apikey.Key{ID: keyID(40), Name: "website", Owner: "acme", Environment: "test", Plan: "pro"}, 95*24*time.Hour, 500)
	aged(t, store, apikey.Key{ID: keyID(41), Name: "forgotten", Owner: "acme", Environment: "live", Plan: "pro"}, 200*24*time.Hour, 0)
	aged(t, store, apikey.Key{ID: keyID(42), Name: "batch of somebody else", Owner: "evil", Environment: "live", Plan: "pro"}, time.Hour, 0)
	aged(t, store, apikey.Key{ID: keyID(43), Name: "short", Owner: "acme", Environment: "live", Plan: "free", ExpiresAt: time.Now().UTC().AddDate(0, 0, 13)}, time.Hour, 0)
	aged(t, store, apikey.Key{ID: keyID(44), Name: "long", Owner: "acme", Environment: "live", Plan: "free", ExpiresAt: time.Now().UTC().AddDate(0, 0, 15)}, time.Hour, 0)
	aged(t, store, apikey.Key{ID: keyID(45), Name: "gone", Owner: "acme", Environment: "live", Plan: "free", ExpiresAt: time.Now().UTC().Add(-time.Hour)}, 2*time.Hour, 0)
	if _, err := g.keys.Disable(t.Context(), apikey.Actor{ID: "test"}, keyID(3), ""); err != nil {
		t.Fatal(err)
	}
	if _, _, err := g.keys.Rotate(t.Context(), apikey.Actor{ID: "test"}, keyID(40), latchkey.RotateOptions{}); err != nil {
		t.Fatal(err)
	}
	rows := func(query string) []string {
		t.Helper()
		a := g.want(200, "owner", "GET", "/"+query, "")
		var names []string
		for _, m := range regexp.MustCompile(`class="name"><a href="keys/[^"]+">([^<]*)</a>`).FindAllStringSubmatch(a.body, -1) {
			names = append(names, m[1])
		}
		return names
	}
	for query, want := range map[string]string{
		"?search=web":                   "website",
		"?search=" + keyID(40):          "website",
		"?status=disabled":              "batch 3",
		"?status=rotating":              "website",
		"?status=expiring":              "short",
		"?status=expired":               "gone",
		"?plan=pro":                     "website,forgotten",
		"?plan=pro&order=oldest":        "forgotten,website",
		"?plan=pro&order=name":          "forgotten,website",
		"?unused=90":                    "forgotten",
		"?environment=test":             "website",
		"?search=somebody":              "",
		"?owner=evil&plan=pro":          "website,forgotten",
		"?search=nothing+of+that+kind":  "",
		"?environment=test&search=fo":   "",
		"?status=nonsense&search=forgo": "forgotten",
	} {
		if got := strings.Join(rows(query), ","); got != want {
			t.Errorf("%s shows %q, want %q", query, got, want)
		}
	}
	a := g.want(200, "owner", "GET", "/?search=batch&order=name&status=active", "")
	next := regexp.MustCompile(`href="\./(\?[^"]+)" rel="next"`).FindStringSubmatch(a.body)
	if next == nil {
		t.Fatalf("no next page:\n%s", a.body)
	}
	if got := rows(html.UnescapeString(next[1])); len(got) != 4 || got[3] != "batch 9" {
		t.Errorf("the next page goes on with the same filters: %q", got)
	}
	if a := g.want(200, "owner", "GET", "/?status=nonsense&order=nonsense&environment=nonsense", ""); strings.Contains(a.body, "nonsense") {
		t.Errorf("what an address says beyond the filters is on the page:\n%s", a.body)
	}
	for _, chosen := range []string{`value="batch"`, `<option value="name" selected>`, `<option value="active" selected>`} {
		if !strings.Contains(a.body, chosen) {
			t.Errorf("the form shows the filters: no %s", chosen)
		}
	}
}

// TestSparklines: each row shows the use of its own key.
func TestSparklines(t *testing.T) {
	t.Parallel()
	store := memstore.New()
	g := newRigWith(t, store, signIn, admin.Options{})
	for i, daily := range []uint64{500, 0, 500, 0} {
		aged(t, store, apikey.Key{ID: keyID(i), Name: "batch", Owner: "acme", Environment: "live", Plan: "free"}, time.Duration(i+1)*time.Hour, daily)
	}
	if n := strings.Count(g.want(200, "owner", "GET", "/", "").body, `class="spark"`); n != 2 {
		t.Errorf("%d of four keys have a sparkline, two were used", n)
	}
}

// TestBanners: what wants to be done stands above the list, until it is done.
func TestBanners(t *testing.T) {
	t.Parallel()
	store := memstore.New()
	g := newRigWith(t, store, signIn, admin.Options{})
	if a := g.want(200, "owner", "GET", "/", ""); strings.Contains(a.body, "banners") {
		t.Error("nothing is to be done where there is nothing")
	}
	aged(t, store, apikey.Key{ID: keyID(1), Name: "old-but-used", Owner: "acme", Environment: "live", Plan: "free"}, 95*24*time.Hour, 500)
	aged(t, store, apikey.Key{ID: keyID(2), Name: "forgotten", Owner: "acme", Environment: "live", Plan: "free"}, 200*24*time.Hour, 0)
	aged(t, store, apikey.Key{ID: keyID(3), Name: "short", Owner: "acme", Environment: "live", Plan: "free", ExpiresAt: time.Now().UTC().AddDate(0, 0, 3)}, time.Hour, 0)
	aged(t, store, apikey.Key{ID: keyID(4), Name: "theirs", Owner: "evil", Environment: "live", Plan: "free"}, 200*24*time.Hour, 0)
	g.want(303, "owner", "POST", "/keys/"+keyID(1)+"/enable", "") // any change: what was found before is looked for again
	banners := func(user string) string {
		t.Helper()
		m := regexp.MustCompile(`(?s)<div class="notice warn banners">(.*?)</div>`).FindStringSubmatch(g.want(200, user, "GET", "/", "").body)
		if m == nil {
			return ""
		}
		return html.UnescapeString(regexp.MustCompile(`<[^>]+>`).ReplaceAllString(m[1], ""))
	}
	text := banners("owner")
	for _, want := range []string{"A key expires soon: short (in 3 days)", "2 keys are due for rotation, after 90 days: forgotten, old-but-used", "A key has not been used for 90 days: forgotten"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %q", want, text)
		}
	}
	for i := range 4 {
		aged(t, store, apikey.Key{ID: keyID(10 + i), Name: "short too", Owner: "acme", Environment: "live", Plan: "free", ExpiresAt: time.Now().UTC().AddDate(0, 0, 4)}, time.Hour, 0)
	}
	g.want(303, "owner", "POST", "/keys/"+keyID(1)+"/enable", "")
	if a := g.want(200, "owner", "GET", "/", ""); !strings.Contains(a.body, `and 2 more. <a href="./?order=oldest&amp;status=expiring">Show them</a>`) {
		t.Errorf("a banner leads to all of its keys: %q", banners("owner"))
	}
	if strings.Contains(text, "theirs") || !strings.Contains(banners("operator"), "theirs") {
		t.Error("banners tell of the actor's keys alone")
	}
	g.want(303, "owner", "POST", "/keys/"+keyID(2)+"/revoke", form("confirm", "forgotten"))
	if text := banners("owner"); strings.Contains(text, "forgotten") {
		t.Errorf("what has been done is not asked for again: %q", text)
	}
	if a := g.want(200, "owner", "GET", "/?search=short", ""); strings.Contains(a.body, "banners") {
		t.Error("a search is not about banners")
	}
}

// TestBannersCountAll: however many keys there are, and whichever order they come
// in, the banners count those that want something, and lead to them.
func TestBannersCountAll(t *testing.T) {
	t.Parallel()
	store := memstore.New()
	g := newRigWith(t, store, signIn, admin.Options{})
	at := time.Now().UTC().Truncate(time.Microsecond)
	put := func(n int, k apikey.Key, age time.Duration) {
		t.Helper()
		k.ID, k.Owner, k.Environment, k.Plan, k.CreatedAt = keyID(n), "acme", "live", "free", at.Add(-age)
		if k.Secrets == nil {
			k.Secrets = []apikey.Secret{{Number: 1, CreatedAt: k.CreatedAt}}
		}
		k.UpdatedAt = k.CreatedAt
		if _, err := store.Apply(t.Context(), storage.Change{Record: storage.Record{Key: k, Digests: make([]storage.Digest, 1)}, Entry: apikey.AuditEntry{At: at, Actor: "x", Action: "create", KeyID: k.ID, Owner: k.Owner}}); err != nil {
			t.Fatal(err)
		}
	}
	const many = 2500
	for i := range many {
		put(i, apikey.Key{Name: "plain"}, 10*24*time.Hour)
	}
	put(many, apikey.Key{Name: "tomorrow", ExpiresAt: at.Add(24 * time.Hour)}, time.Hour)
	for i := range 40 {
		put(many+1+i, apikey.Key{Name: "next week", ExpiresAt: at.AddDate(0, 0, 7)}, 2*time.Hour)
	}
	for i := range 30 {
		put(many+100+i, apikey.Key{Name: "old secret"}, 100*24*time.Hour)
	}
	put(many+200, apikey.Key{Name: "rotated", Secrets: []apikey.Secret{{Number: 2, CreatedAt: at}}}, 300*24*time.Hour)
	body := g.want(200, "owner", "GET", "/", "").body
	text := html.UnescapeString(regexp.MustCompile(`<[^>]+>`).ReplaceAllString(body, ""))
	for _, want := range []string{
		"41 keys expire soon: tomorrow (in 1 day), next week (in 7 days), next week (in 7 days) and 38 more.",
		"30 keys are due for rotation, after 90 days: old secret, old secret, old secret and 27 more.",
		"31 keys have not been used for 90 days: rotated, old secret, old secret and 28 more.",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q above the list:\n%s", want, text[:min(len(text), 3000)])
		}
	}
	// Each banner leads to a list of as many.
	links := regexp.MustCompile(`<strong>([\d,]+) keys[^<]*</strong>[^\n]*?<a href="\./(\?[^"]+)">Show them`).FindAllStringSubmatch(body, -1)
	if len(links) != 3 {
		t.Fatalf("%d banners have links", len(links))
	}
	for _, m := range links {
		n := 0
		for at := html.UnescapeString(m[2]); at != ""; {
			list := g.want(200, "owner", "GET", "/"+at, "").body
			n += strings.Count(list, `class="name"`)
			next := regexp.MustCompile(`href="\./(\?[^"]+)" rel="next"`).FindStringSubmatch(list)
			if at = ""; next != nil {
				at = html.UnescapeString(next[1])
			}
		}
		if strconv.Itoa(n) != m[1] {
			t.Errorf("a banner of %s keys leads to %d: %s", m[1], n, m[2])
		}
	}
}

// slowLists is a store that takes a while for each list.
type slowLists struct {
	storage.Store
	lists atomic.Int64
}

func (s *slowLists) Unwrap() storage.Store { return s.Store }
func (s *slowLists) List(ctx context.Context, q storage.Query) (storage.Listing, error) {
	if q.Order == storage.OldestFirst {
		s.lists.Add(1)
		select {
		case <-time.After(400 * time.Millisecond):
		case <-ctx.Done():
			return storage.Listing{}, ctx.Err()
		}
	}
	return s.Store.List(ctx, q)
}

// TestBannersOfAHugeList: a view counts for about a second and says "at least"; the
// next one goes on, and what was counted is kept for as long as it is worth.
func TestBannersOfAHugeList(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mem := memstore.New()
		store := &slowLists{Store: mem}
		g := newRigWith(t, store, signIn, admin.Options{})
		for i := range 7500 {
			at := time.Now().UTC().Add(-time.Hour)
			k := apikey.Key{ID: keyID(i), Name: "short", Owner: "acme", Environment: "live", Plan: "free", CreatedAt: at, UpdatedAt: at, ExpiresAt: at.Add(48 * time.Hour), Secrets: []apikey.Secret{{Number: 1, CreatedAt: at}}}
			if _, err := mem.Apply(t.Context(), storage.Change{Record: storage.Record{Key: k, Digests: make([]storage.Digest, 1)}, Entry: apikey.AuditEntry{At: at, Actor: "x", Action: "create", KeyID: k.ID, Owner: k.Owner}}); err != nil {
				t.Fatal(err)
			}
		}
		view := func(want string) {
			t.Helper()
			began := time.Now()
			body := g.want(200, "owner", "GET", "/", "").body
			if m := regexp.MustCompile(`<strong>([^<]* expire soon:)`).FindStringSubmatch(body); m == nil || m[1] != want {
				t.Errorf("the banner says %q, want %q", m, want)
			}
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("a view counted for %v", took)
			}
		}
		view("At least 3,000 keys expire soon:")
		view("At least 6,000 keys expire soon:")
		view("7,500 keys expire soon:")
		n := store.lists.Load()
		time.Sleep(30 * time.Second) // longer than what was counted quickly is shown
		view("7,500 keys expire soon:")
		if store.lists.Load() != n {
			t.Error("what took seconds to count is counted again after 30 seconds")
		}
		g.want(303, "owner", "POST", "/keys/"+keyID(1)+"/revoke", form("confirm", "short"))
		time.Sleep(30 * time.Second)
		for range 2 { // counted again, three times a second
			var both sync.WaitGroup
			for range 2 { // one of them finds the other one counting
				both.Go(func() { view("7,500 keys expire soon:") })
			}
			both.Wait()
		}
		view("7,499 keys expire soon:")
	})
}

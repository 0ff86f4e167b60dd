package admin_test

import (
	"fmt"
	"html"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/admin"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/memstore"
)

// page reads what a person reads on a page.
type pageText struct {
	t    *testing.T
	body string
}

// numbers are the numbers in the first groups of all matches.
func (p pageText) numbers(pattern string) (all []uint64) {
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(p.body, -1) {
		n, err := strconv.ParseUint(strings.ReplaceAll(m[1], ",", ""), 10, 64)
		if err != nil {
			p.t.Fatalf("%s: %v", pattern, err)
		}
		all = append(all, n)
	}
	return all
}

func (p pageText) number(pattern string) uint64 {
	all := p.numbers(pattern)
	if len(all) != 1 {
		p.t.Fatalf("%s stands %d times on the page:\n%s", pattern, len(all), p.body)
	}
	return all[0]
}

func sum(all []uint64) (n uint64) {
	for _, v := range all {
		n += v
	}
	return n
}

// TestNumbersOfThePage: from one store of random use, no number, time or word of
// the list, of a key's page, of its rotation and of its first use contradicts
// another one, or the API.
func TestNumbersOfThePage(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 0))
	store := memstore.New()
	g := newRigWith(t, store, signIn, admin.Options{})
	now := time.Now().UTC()
	type total struct{ day, ever apikey.Counts }
	totals := map[string]*total{}
	for i := range 12 {
		k := apikey.Key{ID: keyID(i), Name: fmt.Sprint("key ", i), Owner: "acme", Environment: "live", Plan: "free"}
		aged(t, store, k, time.Duration(1+r.IntN(20*24*60))*time.Minute, 0)
		if r.IntN(3) == 0 {
			if _, _, err := g.keys.Rotate(t.Context(), apikey.Actor{ID: "test"}, k.ID, latchkey.RotateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		v, err := g.keys.Get(t.Context(), k.ID)
		if err != nil {
			t.Fatal(err)
		}
		sums := new(total)
		totals[k.ID] = sums
		kind := i % 6 // 0: never used, 1: refused only, 2: counts without a time, else all
		for range map[bool]int{true: 0, false: 1 + r.IntN(8)}[kind == 0] {
			secret := v.Secrets[r.IntN(len(v.Secrets))]
			hour := now.Add(-time.Duration(r.Int64N(max(1, int64(now.Sub(secret.CreatedAt)))))).Truncate(time.Hour)
			d := storage.UsageDelta{KeyID: k.ID, Secret: secret.Number, Hour: hour}
			for _, n := range d.Counts.Fields() {
				if r.IntN(3) == 0 {
					*n = uint64(r.IntN(5000))
				}
			}
			if kind == 1 {
				d.Counts.Allowed, d.Counts.Cut = 0, 0
			}
			if n := d.Counts.Allowed; d.Counts.Cut > n {
				d.Counts.Cut = n // those cut were admitted
			}
			if kind > 2 && d.Counts.Allowed > 0 {
				d.Last = apikey.LastUse{At: later(hour, secret.CreatedAt), Network: "192.0.2.0/24"}
			}
			if err := store.AddUsage(t.Context(), []storage.UsageDelta{d}); err != nil {
				t.Fatal(err)
			}
			sums.ever.Add(d.Counts)
			if hour.After(now.Truncate(time.Hour).Add(-24 * time.Hour)) {
				sums.day.Add(d.Counts)
			}
		}
	}
	list := g.want(200, "owner", "GET", "/", "").body
	for id, want := range totals {
		m := regexp.MustCompile(`(?s)<tr>\s*<td class="name"><a href="keys/` + id + `">.*?</tr>`).FindString(list)
		row := pageText{t, html.UnescapeString(tags.ReplaceAllString(regexp.MustCompile(`(?s)<title>.*?</title>`).ReplaceAllString(m, ""), " "))}
		spark := regexp.MustCompile(`<title>([\d,]+) requests? in 30 days`).FindStringSubmatch(m)
		seen := want.ever.Total()
		if shown := strings.Contains(row.body, grouped(seen)); seen > 0 && (!shown || spark == nil || spark[1] != grouped(seen)) {
			t.Errorf("seed %d: the row does not show %s requests: %s", seen, grouped(seen), m)
		}
		if never := strings.Contains(row.body, "never used"); never != (seen == 0) {
			t.Errorf("seed %d: a key of %d requests: %q", seed, seen, row.body)
		}
		for _, period := range []string{"24h", "7d", "30d"} {
			a := g.want(200, "owner", "GET", "/keys/"+id+"?period="+period, "")
			p := pageText{t, html.UnescapeString(a.body)}
			refused := p.number(`<span class="big[^"]*">([\d,]+)</span> refused`)
			admitted := p.number(`<span class="big">([\d,]+)</span> admitted`)
			if got := sum(p.numbers(`<span class="number">([\d,]+) <span class="quiet">[^<]* %</span>`)); got != refused {
				t.Errorf("seed %d, %s: the reasons add up to %d, refused are %d", seed, period, got, refused)
			}
			if percent := p.numbers(`<span class="quiet">(\d+) %</span>`); sum(percent) > 100+uint64(len(percent)) {
				t.Errorf("seed %d, %s: %d %% of all are refused", seed, period, sum(percent))
			}
			table := regexp.MustCompile(`<tr><th scope="row">[^<]*</th><td class="number">([\d,]+)</td><td class="number">([\d,]+)</td></tr>`)
			var in, out uint64
			for _, m := range table.FindAllStringSubmatch(p.body, -1) {
				in, out = in+number(t, m[1]), out+number(t, m[2])
			}
			if in != admitted || out != refused {
				t.Errorf("seed %d, %s: the table adds up to %d and %d, above stand %d and %d", seed, period, in, out, admitted, refused)
			}
			in, out = 0, 0
			bars := regexp.MustCompile(`<title>[^<]*: ([\d,]+) admitted(?:, ([\d,]+) refused)?</title>`)
			for _, m := range bars.FindAllStringSubmatch(p.body, -1) {
				in += number(t, m[1])
				if m[2] != "" {
					out += number(t, m[2])
				}
			}
			if admitted+refused > 0 && (in != admitted || out != refused) {
				t.Errorf("seed %d, %s: the bars add up to %d and %d, above stand %d and %d", seed, period, in, out, admitted, refused)
			}
			if strings.Contains(p.body, "No request in") != (admitted+refused == 0) {
				t.Errorf("seed %d, %s: %d requests, and the page says there are none", seed, period, admitted+refused)
			}
			if cut := p.numbers(`([\d,]+) admitted, then interrupted by revocation`); sum(cut) > admitted {
				t.Errorf("seed %d, %s: %d of %d admitted were interrupted", seed, period, cut, admitted)
			}
			secrets := regexp.MustCompile(`data-label="Admitted" class="number">([\d,]+)</td>\s*<td data-label="Refused" class="number">([\d,]+)`)
			in, out = 0, 0
			for _, m := range secrets.FindAllStringSubmatch(p.body, -1) {
				in, out = in+number(t, m[1]), out+number(t, m[2])
			}
			if in != want.ever.Allowed || out != seen-in || in < admitted || out < refused {
				t.Errorf("seed %d, %s: the secrets have %d and %d, the period %d and %d, the store %v", seed, period, in, out, admitted, refused, want.ever)
			}
			if would := p.number(`<strong>([\d,]+) requests?</strong> in the last 24 hours would have failed`); would != want.day.Allowed || period == "24h" && would != admitted {
				t.Errorf("seed %d, %s: %d would have failed in a day that admitted %d", seed, period, would, admitted)
			}
			if period == "30d" && (admitted != want.ever.Allowed || refused != seen-admitted) {
				t.Errorf("seed %d: the month has %d and %d, the store %v", seed, admitted, refused, want.ever)
			}
			// Of a key in use a secret may never have been: the new one, or the old one of a rotation at once.
			if never := strings.Contains(strings.ReplaceAll(p.body, "The old secret was never used", ""), "never used"); never != (seen == 0) {
				t.Errorf("seed %d, %s: a key of %d requests: never used is %v", seed, period, seen, never)
			}
			last := regexp.MustCompile(`(?s)<div><span class="big">(.*?)</span> last used`).FindStringSubmatch(p.body)
			if last == nil || strings.Contains(last[1], "never") != (seen == 0) {
				t.Errorf("seed %d, %s: last used %q with %d requests", seed, period, last, seen)
			}
		}
		v, err := g.keys.Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range v.Secrets {
			a := g.want(200, "owner", "GET", fmt.Sprint("/keys/", id, "/first-use?secret=", s.Number), "", asJSON)
			use, err := g.keys.Usage(t.Context(), id, now)
			if err != nil {
				t.Fatal(err)
			}
			counts := use.Of(s.Number).Counts
			state := a.members(t)["state"]
			if want := map[bool]any{true: "received", false: map[bool]any{true: "refused", false: "waiting"}[counts.Total() > 0]}[counts.Allowed > 0]; state != want {
				t.Errorf("seed %d: the light is %v for %v", seed, state, counts)
			}
			if strings.Contains(a.body, `refused: "`) || strings.Contains(a.body, "last never") || strings.Contains(a.body, "Received never") {
				t.Errorf("seed %d: %s", seed, a.body)
			}
		}
		if v.RotatingAt(time.Now()) {
			use, err := g.keys.Usage(t.Context(), id, now)
			if err != nil {
				t.Fatal(err)
			}
			page := g.want(200, "owner", "GET", "/keys/"+id, "").body
			if old := use.Of(v.Secrets[1].Number).Counts; old.Total() > 0 && strings.Contains(page, "The old secret was never used") {
				t.Errorf("seed %d: the old secret was never used, and has %v", seed, old)
			}
			told := g.want(200, "owner", "GET", "/keys/"+id+"/rotation", "", asJSON)
			for side, s := range map[string]apikey.Secret{"old": v.Secrets[1], "new": v.Secrets[0]} {
				text, _ := told.members(t)[side].(string)
				m := regexp.MustCompile(`since (\d\d:\d\d) UTC`).FindStringSubmatch(text)
				if m == nil {
					continue
				}
				if early := later(now.Truncate(time.Hour).Add(-time.Hour), s.CreatedAt).Format("15:04"); m[1] != early {
					t.Errorf("seed %d: the %s secret was made at %v, and is counted since %s", seed, side, s.CreatedAt, m[1])
				}
			}
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func number(t *testing.T, text string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(strings.ReplaceAll(text, ",", ""), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func grouped(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// TestOfARotatedKeySinceItWasMade: a secret that was made at 04:24 is not
// counted since 03:00.
func TestOfARotatedKeySinceItWasMade(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	k, token := g.key("acme", "production")
	g.use(token, apikey.OK)
	if _, _, err := g.keys.Rotate(t.Context(), apikey.Actor{ID: "test"}, k.ID, latchkey.RotateOptions{}); err != nil {
		t.Fatal(err)
	}
	want := "1 request since " + k.CreatedAt.UTC().Format("15:04") + " UTC"
	if a := g.want(200, "owner", "GET", "/keys/"+k.ID, ""); !strings.Contains(a.body, want) {
		t.Errorf("no %q on the page:\n%s", want, a.body)
	}
}

// TestSecretsOfADeadKey: no secret of a key that admits nothing works.
func TestSecretsOfADeadKey(t *testing.T) {
	t.Parallel()
	store := memstore.New()
	g := newRigWith(t, store, signIn, admin.Options{})
	aged(t, store, apikey.Key{ID: keyID(1), Name: "gone", Owner: "acme", Environment: "live", Plan: "free", ExpiresAt: time.Now().Add(-time.Hour).UTC().Truncate(time.Microsecond)}, 48*time.Hour, 0)
	disabled, _ := g.key("acme", "off")
	revoked, _ := g.key("acme", "dead")
	for _, k := range []apikey.Key{disabled, revoked} {
		if _, _, err := g.keys.Rotate(t.Context(), apikey.Actor{ID: "test"}, k.ID, latchkey.RotateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := g.keys.Disable(t.Context(), apikey.Actor{ID: "test"}, disabled.ID, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := g.keys.Revoke(t.Context(), apikey.Actor{ID: "test"}, revoked.ID, ""); err != nil {
		t.Fatal(err)
	}
	for id, state := range map[string]string{keyID(1): "expired", disabled.ID: "disabled", revoked.ID: "revoked"} {
		a := g.want(200, "owner", "GET", "/keys/"+id, "")
		for _, m := range regexp.MustCompile(`(?s)data-label="Works">(.*?)</td>`).FindAllStringSubmatch(a.body, -1) {
			if text := tags.ReplaceAllString(m[1], ""); text != "no, the key is "+state && !strings.HasPrefix(text, "ended ") {
				t.Errorf("a secret of a key that is %s works: %q", state, text)
			}
		}
	}
}

// TestTrailInWords: the page writes durations, times and limits of a change out;
// exports keep them as they are.
func TestTrailInWords(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	k, _ := g.key("acme", "24h0m0s")
	page := "/keys/" + k.ID
	expires := time.Now().UTC().Add(90 * 24 * time.Hour).Truncate(time.Second)
	g.want(200, "operator", "PATCH", "/v1"+page, `{"limits":[{"name":"minute","n":1200,"window":60}],"expires_at":"`+expires.Format(time.RFC3339)+`","scopes":["orders:read"]}`)
	g.want(200, "operator", "PATCH", "/v1"+page, `{"limits":null}`)
	g.want(200, "owner", "POST", "/v1"+page+"/rotate", `{"grace":"36h","start_on_first_use":true}`)
	for range 20 {
		g.want(200, "owner", "POST", "/v1"+page+"/disable", "{}")
		g.want(200, "owner", "POST", "/v1"+page+"/enable", "{}")
	}
	body := g.want(200, "owner", "GET", page, "").body
	if n := strings.Count(body, `data-label="When"`); n != 20 || !strings.Contains(body, "The newest 20 changes. The CSV export has all of them.") || !strings.Contains(body, "JSON (newest 1,000)") {
		t.Errorf("a trail that is cut says so: %d rows", n)
	}
	g = newRig(t)
	k, _ = g.key("acme", "24h0m0s")
	page = "/keys/" + k.ID
	g.want(200, "operator", "PATCH", "/v1"+page, `{"limits":[{"name":"minute","n":1200,"window":60}],"expires_at":"`+expires.Format(time.RFC3339)+`","scopes":["orders:read"]}`)
	g.want(200, "operator", "PATCH", "/v1"+page, `{"limits":null}`)
	g.want(200, "owner", "POST", "/v1"+page+"/rotate", `{"grace":"36h","start_on_first_use":true}`)
	body = g.want(200, "owner", "GET", page, "").body
	_, trail, _ := strings.Cut(body, `id="audit-title"`)
	text := html.UnescapeString(tags.ReplaceAllString(trail, ""))
	for _, want := range []string{
		"limits the plan's → 1,200 per minute", "limits 1,200 per minute → the plan's", "expires at never → " + expires.Format("2 January 2006, 15:04 UTC"),
		"scopes none → orders:read", "old secret ends 1 day 12 hours after the new secret is first used", "name 24h0m0s",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in the trail:\n%s", want, text)
		}
	}
	if strings.Contains(trail, "newest 20") {
		t.Error("a trail that is whole does not say that it is cut")
	}
	if raw := g.want(200, "owner", "GET", "/v1"+page+"/audit", "").body; !strings.Contains(raw, "36h0m0s after") || !strings.Contains(raw, "minute=1200/1m0s") {
		t.Errorf("the API keeps what was written: %s", raw)
	}
}

// TestNetworkFaultNamesItsLine: of many networks the wrong one is named, and no
// key that was pasted there is shown.
func TestNetworkFaultNamesItsLine(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	k, token := g.key("acme", "production")
	for _, path := range []string{"/new", "/keys/" + k.ID + "/settings"} {
		body := form("form", g.form("owner", "/new"), "name", "x", "networks", "10.0.0.0/8\r\n\r\n2001:db8::/32, 192.0.2.300\r\n10.0.0.1/40")
		if path != "/new" {
			body = form("revision", "1", "name", "x", "expires", "keep", "networks", "10.0.0.0/8\r\n\r\n2001:db8::/32, 192.0.2.300\r\n10.0.0.1/40")
		}
		a := g.want(422, "owner", "POST", path, body)
		if !strings.Contains(html.UnescapeString(a.body), `Line 3, "192.0.2.300": must be a network like "10.0.0.0/8" or "2001:db8::/32", or one address (and 1 more fault).`) {
			t.Errorf("%s: the fault names its line:\n%s", path, a.body)
		}
		if a := g.do("owner", "POST", path, strings.Replace(body, "192.0.2.300", token.Reveal(), 1)); strings.Contains(a.body, token.Reveal()) || a.status != 422 {
			t.Errorf("%s: a key in the wrong field is not shown: %d", path, a.status)
		}
	}
}

// TestRevokedKeysAreHidden: a list begins without keys that were revoked, and
// says how to see them; the API lists all.
func TestRevokedKeysAreHidden(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	dead, _ := g.key("acme", "dead-one")
	g.want(303, "owner", "POST", "/keys/"+dead.ID+"/revoke", form("confirm", "dead-one"))
	if a := g.want(200, "owner", "GET", "/", ""); strings.Contains(a.body, "dead-one") || !strings.Contains(a.body, `href="./?status=all">Show revoked keys too`) || strings.Contains(a.body, "three steps") {
		t.Errorf("where all are revoked the list leads to them:\n%s", a.body)
	}
	for i := range 60 {
		k, _ := g.key("acme", fmt.Sprint("dead ", i))
		if _, err := g.keys.Revoke(t.Context(), apikey.Actor{ID: "test"}, k.ID, ""); err != nil {
			t.Fatal(err)
		}
	}
	g.key("acme", "living")
	for query, want := range map[string]string{"": "living", "?search=dead-one": "", "?status=all&search=dead-one": "dead-one", "?status=revoked&search=dead-one": "dead-one", "?status=active": "living"} {
		a := g.want(200, "owner", "GET", "/"+query, "")
		if rows := strings.Count(a.body, `class="name"`); rows != min(1, len(want)) || !strings.Contains(a.body, want) {
			t.Errorf("%q lists %d keys, want %q:\n%s", query, rows, want, a.body)
		}
	}
	if a := g.want(200, "owner", "GET", "/?search=dead-one&plan=free", ""); !strings.Contains(a.body, `?plan=free&amp;search=dead-one&amp;status=all`) {
		t.Errorf("what was looked for and is revoked is one link away:\n%s", a.body)
	}
	if got := g.want(200, "owner", "GET", "/v1/keys?limit=1000", "").body; strings.Count(got, `"hint"`) != 62 {
		t.Errorf("the API lists all: %s", got)
	}
}

package admin_test

import (
	"context"
	"encoding/json"
	"fmt"
	"html"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/wontopos/latchkey/admin"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
)

// anyJSON draws values, most of them at the edge of what a field takes.
func anyJSON(likely ...string) *rapid.Generator[string] {
	odd := []string{
		`null`, `""`, `" "`, `0`, `-1`, `1.0`, `1e3`, `1e400`, `9223372036854775808`, `true`, `[]`, `{}`, `"\ud800"`, `"\udc00\ud800"`, `"😀"`, `"\u0000"`, `"a\u2028b"`, `"\u202ex"`,
		`"0001-01-01T00:00:00Z"`, `"9999-12-31T23:59:59-05:00"`, `"9999-12-31T23:59:59.999999999Z"`, `"10000-01-01T00:00:00Z"`, `"0000-01-01T00:00:00Z"`, `"2030-01-01T00:00:00.123456789+14:00"`,
		`["10.1.2.3","::ffff:10.0.0.0/104","::ffff:10.0.0.0/90","fe80::1%a"]`, `["::/0","10.1.2.3/8"]`, `[{"name":"x","n":1e3,"window":60.0}]`, `[{"name":"x","n":1,"window":"1ns"}]`, `[{"name":"x","n":9e15,"window":1}]`,
		`{"a":"b","c":"\ud800"}`, `{"":"x"}`, `{"é":"\u0000"}`, `{"a":"x\ny"}`, `["*"]`, `["marketplace:read","marketplace:read"]`, `"` + strings.Repeat("é", 128) + `"`, `"` + strings.Repeat("😀", 256) + `"`,
	}
	return rapid.OneOf(rapid.SampledFrom(likely), rapid.SampledFrom(odd), rapid.Map(rapid.String(), func(s string) string {
		text, _ := json.Marshal(s)
		return string(text)
	}))
}

func anyBody(t *rapid.T, needed map[string]string, optional ...string) string {
	members := map[string]string{}
	for name, value := range needed {
		members[name] = anyJSON(value, value, value).Draw(t, name)
	}
	for _, name := range optional {
		if rapid.IntRange(0, 3).Draw(t, "with "+name) == 0 {
			members[name] = anyJSON("null").Draw(t, name)
		}
	}
	var parts []string
	for name, value := range members {
		parts = append(parts, `"`+name+`":`+value)
	}
	slices.Sort(parts)
	return "{" + strings.Join(parts, ",") + "}"
}

// TestEveryAcceptedBodyReadsBack: whatever is sent, what is accepted is what is read, no answer is 500, nothing that a
// client sends is an error in the log, and nobody's list, page or DELETE suffers.
func TestEveryAcceptedBodyReadsBack(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	rapid.Check(t, func(rt *rapid.T) {
		send := func(method, path, body string) answer {
			a := g.do("operator", method, path, body)
			if a.status >= 500 {
				rt.Fatalf("%s %s %s: %d\n%s", method, path, body, a.status, a.body)
			}
			return a
		}
		body := anyBody(rt, map[string]string{"name": `"x"`, "owner": `"acme"`}, "environment", "scopes", "plan", "limits", "networks", "metadata", "expires_at")
		a := send("POST", "/v1/keys", body)
		if a.status == 201 {
			made, _ := a.members(t)["key"].(map[string]any)
			path := "/v1/keys/" + made["id"].(string)
			same := func(want map[string]any) {
				if d := cmp.Diff(want, send("GET", path, "").members(t)); d != "" {
					rt.Fatalf("%s reads back as (-accepted +read)\n%s", body, d)
				}
			}
			same(made)
			update := anyBody(rt, nil, "name", "scopes", "plan", "limits", "networks", "metadata", "expires_at")
			if a := send("PATCH", path, update); a.status == 200 {
				same(a.members(t))
			}
			send("POST", path+"/rotate", anyBody(rt, nil, "grace", "immediately", "start_on_first_use", "reason"))
			send("POST", path+"/explain", anyBody(rt, nil, "host", "environment", "from", "scopes", "any_scope", "secret"))
			send("POST", path+"/disable", anyBody(rt, nil, "reason"))
			query := url.Values{}
			for _, name := range []string{"since", "before", "limit", "cursor", "ahead", "owner", "search", "unused_since", "expires_before", "activity_since", "key", "state"} {
				if rapid.IntRange(0, 3).Draw(rt, "with "+name) == 0 {
					query.Set(name, strings.Trim(anyJSON("7", "24h", "2026-01-01T00:00:00Z").Draw(rt, name), `"`))
				}
			}
			of := rapid.SampledFrom([]string{"/v1/keys", path + "/usage", path + "/audit", "/v1/audit", "/v1/due", "/"}).Draw(rt, "of")
			send("GET", of+"?"+query.Encode(), "")
			defer func() {
				if a := send("DELETE", path, ""); a.status != 200 {
					rt.Fatalf("a key that was made can be deleted: %d", a.status)
				}
			}()
			for _, p := range []string{"/keys/" + made["id"].(string), path + "/audit.csv"} {
				if a := send("GET", p, ""); a.status != 200 {
					rt.Fatalf("%s: %d", p, a.status)
				}
			}
		}
		send("POST", "/v1/purge", anyBody(rt, map[string]string{"age": `"24h"`}))
		for _, p := range []string{"/v1/keys", "/", rapid.SampledFrom([]string{"/v1/audit", "/v1/due?ahead=9999h"}).Draw(rt, "and")} {
			if a := send("GET", p, ""); a.status != 200 {
				rt.Fatalf("%s, after %s: %d\n%s", p, body, a.status, a.body)
			}
		}
	})
	if log := g.log.String(); strings.Contains(log, "level=ERROR") {
		t.Errorf("nothing that a client sends is an error in the log:\n%s", log[strings.Index(log, "level=ERROR"):])
	}
}

// TestNoTokenIsEchoed: a token that somebody sends where none belongs is in no answer and no log; its id may be.
func TestNoTokenIsEchoed(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	k, token := g.key("acme", "mine")
	text := token.Reveal()
	secret := text[len(text)-44:]
	encoded := strings.ReplaceAll(text, "_", "%255F")
	for _, c := range []struct {
		path   string
		status int
	}{
		{"/?search=" + text, 200},
		{"/?search=" + strings.ToUpper(text), 200},
		{"/?search=" + text[:40], 200},
		{"/?search=" + encoded, 200},
		{"/?search=found+" + text + "&plan=" + text + "&owner=" + text, 200},
		{"/new?" + text, 200},
		{"/keys/" + k.ID + "/?x=" + text, 308},
		{"/keys/" + text + "/", 308},
		{"/keys/" + text, 404},
		{"/" + text, 404},
		{"/v1/keys?search=" + text, 422},
		{"/v1/keys?" + text + "=1", 422},
		{"/v1/audit?key=" + text, 200},
	} {
		for _, user := range []string{"owner", "operator"} {
			a := g.want(c.status, user, "GET", c.path, "", header("X-Request-Id", text))
			if all := fmt.Sprint(a.header, html.UnescapeString(a.body)); strings.Contains(strings.ToLower(all), strings.ToLower(secret[:8])) {
				t.Errorf("%s as %s: the secret is in the answer:\n%s", c.path, user, all)
			}
		}
	}
	if a := g.want(200, "owner", "GET", "/?search="+encoded, ""); !strings.Contains(a.body, ">mine</a>") {
		t.Errorf("a percent-encoded token is looked up by its id:\n%s", a.body)
	}
	if a := g.want(200, "owner", "GET", "/?search="+text, ""); !strings.Contains(a.body, ">mine</a>") || !strings.Contains(a.body, "search="+k.ID) {
		t.Errorf("a token is looked up by its id, and that is in the links:\n%s", a.body)
	}
	if strings.Contains(g.log.String(), secret[:8]) {
		t.Error("the secret is in the log")
	}
}

// TestFromIsTheClient: the audit trail tells the address that the guard would.
func TestFromIsTheClient(t *testing.T) {
	t.Parallel()
	plain := newRig(t)
	g, err := middleware.New(plain.keys, middleware.Options{TrustUnixSocket: true, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("::ffff:10.0.0.0/104")}})
	if err != nil {
		t.Fatal(err)
	}
	guarded, err := admin.New(plain.keys, signIn, admin.Options{Guard: g})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ peer, plain, guarded string }{
		{"203.0.113.7:80", "203.0.113.7", "203.0.113.7"},
		{"203.0.113.7", "203.0.113.7", "203.0.113.7"},
		{"[2001:db8::1%eth0]:80", "2001:db8::1", "2001:db8::1"},
		{"[::ffff:203.0.113.7]:80", "203.0.113.7", "203.0.113.7"},
		{"10.0.0.1:80", "10.0.0.1", "192.0.2.9"},
		{"@", "unix socket", "192.0.2.9"},
		{"nonsense\x00", "", ""},
	} {
		for _, h := range []*admin.Handler{plain.h, guarded} {
			k, _ := plain.key("acme", "n")
			r := httptest.NewRequest("POST", "/v1/keys/"+k.ID+"/disable", nil)
			r.RemoteAddr = c.peer
			r.Header.Set("X-Test-User", "owner")
			r.Header.Set("X-Forwarded-For", "192.0.2.9")
			h.ServeHTTP(httptest.NewRecorder(), r)
			want := c.plain
			if h == guarded {
				want = c.guarded
			}
			trail, err := plain.keys.Audit(t.Context(), apikey.AuditQuery{KeyID: k.ID, Limit: 1})
			if err != nil || trail[0].Action != "disable" || trail[0].From != want {
				t.Errorf("peer %q: %s from %q, want a disable from %q; %v", c.peer, trail[0].Action, trail[0].From, want, err)
			}
		}
	}
}

// TestACustomerWhoGoesAwayIsNoError: neither a read nor a change that its client has left is an error in the log.
func TestACustomerWhoGoesAwayIsNoError(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	k, _ := g.key("acme", "n")
	for _, path := range []string{"/v1/keys", "/v1/keys/" + k.ID, "/", "/v1/audit.csv"} {
		r := httptest.NewRequest("GET", path, nil)
		ctx, cancel := context.WithCancel(r.Context())
		r = r.WithContext(ctx)
		cancel()
		r.Header.Set("X-Test-User", "owner")
		g.h.ServeHTTP(httptest.NewRecorder(), r)
	}
	if log := g.log.String(); strings.Contains(log, "level=ERROR") {
		t.Errorf("a client that goes away is no error:\n%s", log)
	}
}

package admin_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/engine"
)

// TestFaults: each fault is named with a pointer to it, and nothing is made.
func TestFaults(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	k, token := g.key("acme", "production")
	create, update, rotate := "/v1/keys", "/v1/keys/"+k.ID, "/v1/keys/"+k.ID+"/rotate"
	for _, tc := range []struct {
		rule, user, method, path, body string
		want                           []string // pointers and parameters, in order
	}{
		{"a name is required", "owner", "POST", create, `{}`, []string{"/name"}},
		{"a name is not blank", "owner", "POST", create, `{"name":" \t"}`, []string{"/name"}},
		{"a name is a string", "owner", "POST", create, `{"name":7}`, []string{"/name"}},
		{"a name is not null", "owner", "POST", create, `{"name":null}`, []string{"/name"}},
		{"a name is short", "owner", "POST", create, `{"name":"` + strings.Repeat("é", 129) + `"}`, []string{"/name"}},
		{"a name turns no direction", "owner", "POST", create, `{"name":"a\u202eb"}`, []string{"/name"}},
		{"a name is one line", "owner", "POST", create, `{"name":"a\u2028b"}`, []string{"/name"}},
		{"an expiry can be told in every zone", "owner", "POST", create, `{"name":"x","expires_at":"9999-12-31T23:59:59-05:00"}`, []string{"/expires_at"}},
		{"no time is not never", "owner", "POST", create, `{"name":"x","expires_at":"0001-01-01T00:00:00Z"}`, []string{"/expires_at"}},
		{"nor is it in an update", "owner", "PATCH", update, `{"expires_at":"0001-01-01T00:00:00Z"}`, []string{"/expires_at"}},
		{"a network of IPv4 has IPv4's form", "owner", "POST", create, `{"name":"x","networks":["::ffff:10.0.0.0/90"]}`, []string{"/networks/0"}},
		{"a network has no zone", "owner", "POST", create, `{"name":"x","networks":["fe80::1%eth0"]}`, []string{"/networks/0"}},
		{"a grace is whole seconds", "owner", "POST", rotate, `{"grace":"1500ms"}`, []string{"/grace"}},
		{"since is an instant that can be told", "owner", "GET", "/v1/keys/" + k.ID + "/usage?since=9999-12-31T23:59:59-05:00", "", []string{"since"}},
		{"before has a last number", "owner", "GET", "/v1/audit?before=18446744073709551616", "", []string{"before"}},
		{"a parameter is text", "operator", "GET", "/v1/keys?owner=%00", "", []string{"owner"}},
		{"a parameter is short", "operator", "GET", "/v1/keys?plan=" + strings.Repeat("x", 2000), "", []string{"plan"}},
		{"a name has no control characters", "owner", "POST", create, `{"name":"a\u0000b"}`, []string{"/name"}},
		{"several faults at once", "owner", "POST", create, `{"name":"","scopes":["marketplace:read",5,null],"networks":["10.0.0.0/8","x"],"expires_at":"soon"}`, []string{"/scopes/1", "/scopes/2", "/networks/1", "/expires_at"}},
		{"a scope is one of the catalogue", "owner", "POST", create, `{"name":"x","scopes":["marketplace:read","nope:read"]}`, []string{"/scopes/1"}},
		{"a scope is well-formed", "owner", "POST", create, `{"name":"x","scopes":["Marketplace"]}`, []string{"/scopes/0"}},
		{"scopes are an array", "owner", "POST", create, `{"name":"x","scopes":"marketplace:read"}`, []string{"/scopes"}},
		{"an environment is one there is", "owner", "POST", create, `{"name":"x","environment":"prod"}`, []string{"/environment"}},
		{"an expiry is ahead", "owner", "POST", create, `{"name":"x","expires_at":"2001-01-01T00:00:00Z"}`, []string{"/expires_at"}},
		{"an expiry has a zone", "owner", "POST", create, `{"name":"x","expires_at":"2031-01-01T00:00:00"}`, []string{"/expires_at"}},
		{"a name stands once", "owner", "POST", create, `{"name":"x","name":"y"}`, []string{"/name"}},
		{"names are exact", "owner", "POST", create, `{"name":"x","Name":"y"}`, []string{"/Name"}},
		{"pointers are escaped", "owner", "POST", create, `{"name":"x","a/b~c":1}`, []string{"/a~1b~0c"}},
		{"nothing unknown", "operator", "POST", create, `{"name":"x","owner":"acme","limits":[{"name":"minute","n":5,"window":"1m","burst":9}]}`, []string{"/limits/0/burst"}},
		{"a limit is whole", "operator", "POST", create, `{"name":"x","owner":"acme","limits":[{"name":"minute","n":0,"window":60},{"name":"day","n":1.5,"window":"1d"}]}`, []string{"/limits/1/n", "/limits/1/window"}},
		{"a limit is in bounds", "operator", "POST", create, `{"name":"x","owner":"acme","limits":[{"name":"minute","n":0,"window":60},{"n":5}]}`, []string{"/limits/0/n", "/limits/1/name", "/limits/1/window"}},
		{"the service has the last word on a limit", "operator", "POST", create, `{"name":"x","owner":"acme","limits":[{"name":"minute","n":1,"window":"1500ms"}]}`, []string{"/limits/0/window"}},
		{"an operator names an owner", "operator", "POST", create, `{"name":"x"}`, []string{"/owner"}},
		{"a customer does not", "owner", "POST", create, `{"name":"x","owner":"acme"}`, []string{"/owner"}},
		{"a customer's plan is theirs", "owner", "POST", create, `{"name":"x","plan":"enterprise"}`, []string{"/plan"}},
		{"a customer without plans has the default", "stranger", "POST", create, `{"name":"x","plan":"pro"}`, []string{"/plan"}},
		{"a body's route takes no parameters", "operator", "POST", create + "?owner=evil", `{"name":"x","owner":"acme"}`, []string{"owner"}},
		{"a customer sets no limits", "owner", "POST", create, `{"name":"x","limits":[{"name":"minute","n":1000000,"window":60}]}`, []string{"/limits"}},
		{"a customer sets no metadata", "owner", "POST", create, `{"name":"x","metadata":{"tier":"gold"}}`, []string{"/metadata"}},
		{"metadata are strings", "operator", "POST", create, `{"name":"x","owner":"acme","metadata":{"a":1,"b":"c"}}`, []string{"/metadata/a"}},
		{"metadata hold no key", "operator", "POST", create, `{"name":"x","owner":"acme","metadata":{"A.b/c[0]":"see ` + token.Reveal() + `"}}`, []string{"/metadata/A.b~1c[0]"}},
		{"metadata are not named like a key", "operator", "PATCH", update, `{"metadata":{"` + token.Reveal() + `":"x"}}`, []string{"/metadata/" + token.String()}},
		{"an update is a customer's, too: plan", "owner", "PATCH", update, `{"plan":"enterprise"}`, []string{"/plan"}},
		{"an update is a customer's, too: limits", "owner", "PATCH", update, `{"limits":[]}`, []string{"/limits"}},
		{"an update is a customer's, too: metadata", "owner", "PATCH", update, `{"metadata":null}`, []string{"/metadata"}},
		{"a key keeps its owner", "operator", "PATCH", update, `{"owner":"evil"}`, []string{"/owner"}},
		{"a key keeps its environment", "operator", "PATCH", update, `{"environment":"test"}`, []string{"/environment"}},
		{"a name cannot be emptied", "owner", "PATCH", update, `{"name":null}`, []string{"/name"}},
		{"a grace is a duration", "owner", "POST", rotate, `{"grace":"soon"}`, []string{"/grace"}},
		{"a grace has bounds", "owner", "POST", rotate, `{"grace":"2400h"}`, []string{"/grace"}},
		{"a grace at the first use has a length", "owner", "POST", rotate, `{"grace":0,"start_on_first_use":true}`, []string{"/grace"}},
		{"immediately has no grace", "owner", "POST", rotate, `{"grace":60,"immediately":true}`, []string{"/grace"}},
		{"true is not a string", "owner", "POST", rotate, `{"immediately":"yes"}`, []string{"/immediately"}},
		{"a purge keeps the young", "operator", "POST", "/v1/purge", `{"age":"1h"}`, []string{"/age"}},
		{"a purge says how old", "operator", "POST", "/v1/purge", `{}`, []string{"/age"}},
		{"a token is one of ours", "owner", "POST", "/v1/identify", `{"token":"hello"}`, []string{"/token"}},
		{"a filter is not mistyped", "operator", "GET", "/v1/keys?onwer=acme", "", []string{"onwer"}},
		{"a customer does not choose an owner", "owner", "GET", "/v1/keys?owner=evil", "", []string{"owner"}},
		{"a parameter stands once", "operator", "GET", "/v1/keys?owner=a&owner=b", "", []string{"owner"}},
		{"a limit is in bounds", "owner", "GET", "/v1/keys?limit=1001", "", []string{"limit"}},
		{"a cursor is ours", "owner", "GET", "/v1/keys?cursor=abc", "", []string{"cursor"}},
		{"an environment filter is one there is", "owner", "GET", "/v1/keys?environment=prod", "", []string{"environment"}},
		{"since is a time", "owner", "GET", "/v1/keys/" + k.ID + "/usage?since=yesterday", "", []string{"since"}},
		{"ahead is not negative", "owner", "GET", "/v1/due?ahead=-1h", "", []string{"ahead"}},
		{"audit has an owner", "owner", "GET", "/v1/audit?owner=evil", "", []string{"owner"}},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			p := g.want(422, tc.user, tc.method, tc.path, tc.body).problem(t)
			var got []string
			for _, e := range p.Errors {
				got = append(got, e.Pointer+e.Parameter)
				if e.Detail == "" {
					t.Error("a fault says what to do")
				}
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("%s: faults (-want +got):\n%s", tc.rule, d)
			}
		})
	}
	if page, _ := g.keys.List(t.Context(), latchkey.ListRequest{}); len(page.Keys) != 1 {
		t.Errorf("faulty requests made %d keys", len(page.Keys)-1)
	}
}

func TestBodies(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	for _, tc := range []struct {
		rule, body, contentType string
		want                    int
		code                    string
	}{
		{"JSON is announced", `{"name":"x"}`, "text/plain", 415, "unsupported_media_type"},
		{"a form is no JSON", `name=x`, "application/x-www-form-urlencoded", 415, "unsupported_media_type"},
		{"a charset is fine", `{"name":"x"}`, "application/json; charset=utf-8", 201, ""},
		{"the body is bounded", `{"name":"` + strings.Repeat("x", 256<<10) + `"}`, "application/json", 413, "body_too_large"},
		{"the body is JSON", `{"name":`, "application/json", 400, "malformed_body"},
		{"one value alone", `{"name":"x"}{}`, "application/json", 400, "malformed_body"},
		{"half a surrogate pair is no character", `{"name":"x\ud83d"}`, "application/json", 400, "malformed_body"},
		{"nor is the other half", `{"name":"\ude00"}`, "application/json", 400, "malformed_body"},
		{"a whole one is", `{"name":"\ud83d\ude00 \\ud83d"}`, "application/json", 201, ""},
		{"the body is UTF-8", "{\"name\":\"\xff\"}", "application/json", 400, "malformed_body"},
		{"the body is an object", `["x"]`, "application/json", 422, "invalid_argument"},
		{"null is no object", `null`, "application/json", 422, "invalid_argument"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			a := g.want(tc.want, "owner", "POST", "/v1/keys", tc.body, header("Content-Type", tc.contentType))
			if tc.code != "" && a.problem(t).Code != tc.code {
				t.Errorf("code %q, want %q", a.problem(t).Code, tc.code)
			}
		})
	}
}

// TestUpdate: what is absent stays, null empties, and If-Match guards.
func TestUpdate(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	a := g.want(201, "operator", "POST", "/v1/keys", `{"name":"x","owner":"acme","scopes":["orders:read"],"networks":["10.1.2.3","192.168.7.9/16"],
		"limits":[{"name":"minute","n":7,"window":"1m"}],"metadata":{"a":"b"},"expires_at":"2040-01-02T03:04:05+01:00"}`)
	id := a.members(t)["key"].(map[string]any)["id"].(string)
	if want := "keys/" + id; a.header.Get("Location") != want {
		t.Errorf("Location %q, want %q", a.header.Get("Location"), want)
	}
	path := "/v1/keys/" + id
	a = g.want(200, "operator", "GET", path, "")
	got := a.members(t)
	want := map[string]any{
		"name": "x", "owner": "acme", "environment": "live", "plan": "free", "state": "active", "hint": "sk_live_" + id,
		"scopes": []any{"orders:read"}, "networks": []any{"10.1.2.3/32", "192.168.0.0/16"},
		"limits": []any{map[string]any{"name": "minute", "n": 7.0, "window": 60.0}}, "expires_at": "2040-01-02T02:04:05Z",
		"metadata": map[string]any{"a": "b"},
	}
	for field, v := range want {
		if d := cmp.Diff(v, got[field]); d != "" {
			t.Errorf("%s (-want +got):\n%s", field, d)
		}
	}
	if m := g.want(200, "owner", "GET", path, "").members(t); m["metadata"] != nil {
		t.Error("metadata is the application's, a customer does not see it")
	}

	tag := a.header.Get("ETag")
	if p := g.want(412, "owner", "PATCH", path, `{"name":"y"}`, header("If-Match", `"99"`)).problem(t); p.Code != "precondition_failed" {
		t.Errorf("code %q", p.Code)
	}
	g.want(412, "owner", "PATCH", path, `{"name":"y"}`, header("If-Match", "W/"+tag))
	g.want(412, "owner", "POST", path+"/revoke", `{}`, header("If-Match", `"99"`))
	a = g.want(200, "owner", "PATCH", path, `{"name":"y"}`, header("If-Match", `"99", `+tag))
	if a.header.Get("ETag") == tag {
		t.Error("a change moves the ETag on")
	}
	g.want(412, "owner", "PATCH", path, `{"name":"z"}`, header("If-Match", tag))
	g.want(200, "owner", "PATCH", path, `{}`, header("If-Match", "*"))

	got = g.want(200, "operator", "PATCH", path, `{"scopes":null,"networks":null,"limits":null,"metadata":null,"expires_at":null,"plan":null}`).members(t)
	for field, v := range map[string]any{"name": "y", "scopes": []any{}, "networks": []any{}, "limits": []any{}, "metadata": map[string]any{}, "plan": "free", "expires_at": nil} {
		if d := cmp.Diff(v, got[field]); d != "" {
			t.Errorf("after emptying, %s (-want +got):\n%s", field, d)
		}
	}
}

// TestPaging walks lists with their cursors.
func TestPaging(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	for i := range 7 {
		g.key("acme", fmt.Sprint("key ", i))
		g.key("evil", fmt.Sprint("other ", i))
	}
	seen := map[string]bool{}
	cursor := ""
	for pages := 0; ; pages++ {
		m := g.want(200, "owner", "GET", "/v1/keys?limit=3&cursor="+cursor, "").members(t)
		for _, k := range m["keys"].([]any) {
			k := k.(map[string]any)
			if k["owner"] != "acme" || seen[k["id"].(string)] {
				t.Errorf("a page repeats a key or shows another owner's: %v", k)
			}
			seen[k["id"].(string)] = true
		}
		if cursor, _ = m["next"].(string); cursor == "" || pages > 9 {
			break
		}
	}
	if len(seen) != 7 {
		t.Errorf("paging found %d of 7 keys", len(seen))
	}
	if m := g.want(200, "operator", "GET", "/v1/keys?owner=evil&limit=1000", "").members(t); len(m["keys"].([]any)) != 7 {
		t.Error("an operator chooses the owner")
	}
	entries, before := 0, ""
	for {
		m := g.want(200, "owner", "GET", "/v1/audit?limit=4"+before, "").members(t)
		for _, e := range m["entries"].([]any) {
			entries++
			if e.(map[string]any)["owner"] != "acme" {
				t.Errorf("a customer sees their own trail: %v", e)
			}
		}
		next, ok := m["next"].(float64)
		if !ok {
			break
		}
		before = fmt.Sprintf("&before=%.0f", next)
	}
	if entries != 7 {
		t.Errorf("the trail has %d entries, want 7", entries)
	}
}

// TestIdentify: a customer finds their own keys by a token, and no others.
func TestIdentify(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	mine, token := g.key("acme", "mine")
	_, foreign := g.key("evil", "foreign")
	m := g.want(200, "owner", "POST", "/v1/identify", `{"token":"`+token.Reveal()+`"}`).members(t)
	if m["works"] != true || m["key"].(map[string]any)["id"] != mine.ID {
		t.Errorf("identify: %v", m)
	}
	wrong := token.Reveal()[:len("sk_live_")+16] + foreign.Reveal()[len("sk_live_")+16:]
	for rule, text := range map[string]string{"another owner's token": foreign.Reveal(), "a token with another's secret": wrong} {
		a := g.do("owner", "POST", "/v1/identify", `{"token":"`+text+`"}`)
		if (a.status != 404 && a.status != 422) || strings.Contains(a.body, text) || strings.Contains(a.body, "foreign") {
			t.Errorf("%s: status %d: %s", rule, a.status, a.body)
		}
	}
	g.want(200, "operator", "POST", "/v1/identify", `{"token":"`+foreign.Reveal()+`"}`)
}

// TestDue: for one owner the answer is the service's own, narrowed.
func TestDue(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	k, _ := g.key("acme", "mine")
	g.key("evil", "foreign")
	for user, want := range map[string]int{"owner": 1, "operator": 2} {
		if m := g.want(200, user, "GET", "/v1/due?ahead=2160h", "").members(t); len(m["keys"].([]any)) != want {
			t.Errorf("%s: %v", user, m)
		}
		if m := g.want(200, user, "GET", "/v1/due?ahead=2159h", "").members(t); len(m["keys"].([]any)) != 0 {
			t.Errorf("%s: a young key is not due: %v", user, m)
		}
	}
	g.want(200, "owner", "POST", "/v1/keys/"+k.ID+"/disable", "")
	if m := g.want(200, "owner", "GET", "/v1/due?ahead=2160h", "").members(t); len(m["keys"].([]any)) != 0 {
		t.Error("a disabled key is not due")
	}
}

// TestLifecycle drives a key through its life by the API.
func TestLifecycle(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	m := g.want(201, "owner", "POST", "/v1/keys", `{"name":"production-backend","scopes":["marketplace:read"]}`).members(t)
	first := m["token"].(string)
	path := "/v1/keys/" + m["key"].(map[string]any)["id"].(string)
	verify := func(token string) string {
		v, err := engine.Of(g.keys).Verify(t.Context(), token)
		if err == nil && v.Principal().Owner() != "acme" {
			t.Errorf("the owner is the actor's, got %q", v.Principal().Owner())
		}
		return apikey.CodeOf(err).String()
	}
	is := func(rule, token, want string) {
		t.Helper()
		if got := verify(token); got != want {
			t.Errorf("%s: %s, want %s", rule, got, want)
		}
	}
	is("a new key works", first, "ok")
	g.want(200, "owner", "POST", path+"/disable", `{"reason":"pause"}`)
	is("a disabled key does not", first, "disabled_key")
	g.want(200, "owner", "POST", path+"/enable", "")
	is("an enabled one does again", first, "ok")

	second := g.want(200, "owner", "POST", path+"/rotate", `{"start_on_first_use":true,"grace":3600}`).members(t)["token"].(string)
	is("the old secret works on", first, "ok")
	if p := g.want(409, "owner", "POST", path+"/rotate", "").problem(t); p.Code != "invalid_state" {
		t.Errorf("code %q", p.Code)
	}
	if p := g.want(409, "owner", "POST", path+"/finish-rotation", "").problem(t); p.Code != "secret_in_use" || !strings.Contains(p.Detail, "has not been used yet") {
		t.Errorf("finishing says why not: %+v", p)
	}
	if m := g.want(200, "owner", "GET", path+"/rotation", "").members(t); m["safe"] != false || m["old"].(map[string]any)["secret"].(map[string]any)["grace"] != 3600.0 {
		t.Errorf("rotation: %v", m)
	}
	g.want(200, "owner", "POST", path+"/cancel-rotation", "")
	is("a cancelled secret has ended", second, "expired_key")
	third := g.want(200, "owner", "POST", path+"/rotate", `{"grace":0}`).members(t)["token"].(string)
	is("a grace of 0 ends the old secret now", first, "expired_key")
	is("and the new one works", third, "ok")
	if p := g.want(409, "owner", "GET", path+"/rotation", "").problem(t); p.Code != "invalid_state" {
		t.Errorf("code %q", p.Code)
	}

	m = g.want(200, "owner", "DELETE", path, "").members(t)
	if m["state"] != "revoked" {
		t.Errorf("a deleted key is revoked, not gone: %v", m)
	}
	is("a revoked key does not work", third, "revoked_key")
	g.want(200, "owner", "DELETE", path, "")
	g.want(200, "owner", "POST", path+"/revoke", `{"reason":"again"}`)
	g.want(409, "owner", "POST", path+"/enable", "")
	if m := g.want(200, "owner", "GET", path+"/audit?limit=2", "").members(t); len(m["entries"].([]any)) != 2 || m["next"] == nil {
		t.Errorf("audit: %v", m)
	}
	if m := g.want(200, "operator", "POST", "/v1/purge", `{"age":86400}`).members(t); m["purged"] != 0.0 {
		t.Errorf("a young revocation is not purged: %v", m)
	}
	g.want(200, "owner", "GET", path, "")
}

// TestRefusalsInWords: wrong addresses and methods are problems, too.
func TestRefusalsInWords(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	k, _ := g.key("acme", "production")
	for _, path := range []string{"/v1", "/v1/nothing", "/v1/keys/" + k.ID + "/explode", "/v1//keys", "/v1/../v1/keys", "/v1/keys/.."} {
		if p := g.want(404, "operator", "GET", path, "").problem(t); p.Code != "no_such_route" {
			t.Errorf("%s: code %q", path, p.Code)
		}
	}
	a := g.want(405, "operator", "PUT", "/v1/keys/"+k.ID, `{}`)
	if allow := a.header.Get("Allow"); a.problem(t).Code != "method_not_allowed" || allow != "DELETE, GET, HEAD, PATCH" {
		t.Errorf("405 says what is allowed: %q", allow)
	}
	if a := g.do("operator", "HEAD", "/v1/keys", ""); a.status != 200 {
		t.Errorf("HEAD: %d", a.status)
	}
	a = g.want(401, "", "GET", "/v1/keys", "")
	if a.header.Get("WWW-Authenticate") == "" {
		t.Error("a 401 has a challenge")
	}
	a = g.want(401, "", "GET", "/", "")
	if !strings.Contains(a.body, "Sign in to manage API keys.") || !strings.HasPrefix(a.header.Get("Content-Type"), "text/html") {
		t.Errorf("the page says to sign in:\n%s", a.body)
	}
}

// TestOperatorsDisableHolds: what an operator disabled, a customer does not
// enable, by the API or by the page.
func TestOperatorsDisableHolds(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	k, token := g.key("acme", "production")
	path := "/v1/keys/" + k.ID
	if m := g.want(200, "operator", "POST", path+"/disable", `{"reason":"abuse"}`).members(t); m["locked"] != true {
		t.Errorf("a key says that it is locked: %v", m)
	}
	if p := g.want(403, "owner", "POST", path+"/enable", "").problem(t); p.Code != "forbidden" || !strings.Contains(p.Detail, "only an administrator can enable it") {
		t.Errorf("the refusal says what to do: %+v", p)
	}
	g.want(403, "owner", "POST", "/keys/"+k.ID+"/enable", "")
	if _, err := g.keys.Verify(t.Context(), token.Reveal()); apikey.CodeOf(err) != apikey.DisabledKey {
		t.Errorf("a locked key: %v", err)
	}
	if m := g.want(200, "operator", "POST", path+"/enable", "").members(t); m["locked"] != nil || m["state"] != "active" {
		t.Errorf("an operator enables it: %v", m)
	}
	g.want(200, "owner", "POST", path+"/disable", "")
	g.want(200, "owner", "POST", path+"/enable", "")
}

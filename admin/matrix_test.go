package admin_test

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"github.com/wontopos/latchkey/admin"
)

// exchange is a sound request to each route, by "METHOD path". A route without
// one fails TestMatrix.
var exchange = map[string]struct {
	body    string // FORM, TOKEN, ID and OWNER are filled in
	want    int    // for somebody who may
	prepare func(g *rig, id string)
}{
	"GET /v1/whoami":                     {"", 200, nil},
	"GET /v1/environments":               {"", 200, nil},
	"GET /v1/plans":                      {"", 200, nil},
	"GET /v1/scopes":                     {"", 200, nil},
	"GET /v1/keys":                       {"", 200, nil},
	"POST /v1/keys":                      {`{"name":"new"OWNER}`, 201, nil},
	"GET /v1/keys/{id}":                  {"", 200, nil},
	"PATCH /v1/keys/{id}":                {`{"name":"renamed"}`, 200, nil},
	"DELETE /v1/keys/{id}":               {"", 200, nil},
	"POST /v1/keys/{id}/disable":         {`{"reason":"test"}`, 200, nil},
	"POST /v1/keys/{id}/enable":          {`{}`, 200, nil},
	"POST /v1/keys/{id}/revoke":          {`{"reason":"test"}`, 200, nil},
	"POST /v1/keys/{id}/rotate":          {`{"grace":"24h"}`, 200, nil},
	"GET /v1/keys/{id}/rotation":         {"", 200, rotateBefore},
	"POST /v1/keys/{id}/finish-rotation": {`{"force":true}`, 200, rotateBefore},
	"POST /v1/keys/{id}/cancel-rotation": {`{}`, 200, rotateBefore},
	"GET /v1/keys/{id}/usage":            {"", 200, nil},
	"GET /v1/keys/{id}/audit":            {"", 200, nil},
	"GET /v1/keys/{id}/audit.csv":        {"", 200, nil},
	"POST /v1/keys/{id}/explain":         {`{"scopes":["orders:read"],"from":"10.0.0.4"}`, 200, nil},
	"GET /v1/audit":                      {"", 200, nil},
	"GET /v1/audit.csv":                  {"", 200, nil},
	"GET /v1/due":                        {"", 200, nil},
	"POST /v1/identify":                  {`{"token":"TOKEN"}`, 200, nil},
	"POST /v1/explain":                   {`{"token":"TOKEN","environment":"live"}`, 200, nil},
	"GET /v1/pepper-use":                 {"", 200, nil},
	"GET /v1/health":                     {"", 200, nil},
	"POST /v1/refresh-plans":             {`{}`, 204, nil},
	"GET /v1/openapi.yaml":               {"", 200, nil},
	"POST /v1/purge":                     {`{"age":"48h"}`, 200, nil},
	"GET /{$}":                           {"", 200, nil},
	"GET /new":                           {"", 200, nil},
	"POST /new":                          {"form=FORM&name=new&plan=free&environment=testOWNER", 200, nil},
	"GET /keys/{id}":                     {"", 200, nil},
	"POST /keys/{id}/disable":            {"reason=test", 303, nil},
	"POST /keys/{id}/enable":             {"", 303, nil},
	"POST /keys/{id}/revoke":             {"confirm=ID&reason=test", 303, nil},
	"POST /keys/{id}/rotate":             {"secret=2&overlap=day", 200, nil},
	"POST /keys/{id}/finish-rotation":    {"confirm=ID", 303, rotateBefore},
	"POST /keys/{id}/cancel-rotation":    {"", 303, rotateBefore},
	"GET /keys/{id}/{action}":            {"", 303, nil},
	"GET /leak":                          {"", 200, nil},
	"POST /leak":                         {"text=TOKEN", 200, nil},
	"GET /routes":                        {"", 200, nil},
	"GET /keys/{id}/copy":                {"", 200, nil},
	"GET /keys/{id}/secret":              {"", 200, nil},
	"GET /keys/{id}/first-use":           {"", 200, nil},
	"GET /keys/{id}/rotation":            {"", 303, nil},
	"POST /keys/{id}/settings":           {"revision=1&name=renamed&expires=keep", 303, nil},
	"GET /assets/admin.css":              {"", 200, nil},
	"GET /assets/admin.js":               {"", 200, nil},
}

func rotateBefore(g *rig, id string) {
	g.want(200, "operator", "POST", "/v1/keys/"+id+"/rotate", "{}")
}

// scene is a fresh rig with a key of acme and a sound request to one route.
type scene struct {
	*rig
	id, token    string
	method, path string
	bodyOf       func(user string) string
	wantSound    int
}

func newScene(t *testing.T, method, pattern string) *scene {
	t.Helper()
	e, ok := exchange[method+" "+pattern]
	if !ok {
		t.Fatalf("the route %s %s has no row in this test: add what everybody may get of it", method, pattern)
	}
	g := newRig(t)
	k, token := g.key("acme", "production")
	g.key("acme", "staging")
	s := &scene{rig: g, id: k.ID, token: token.Reveal(), method: method, wantSound: e.want}
	if e.prepare != nil {
		e.prepare(g, k.ID)
	}
	s.path = strings.NewReplacer("{$}", "", "{id}", k.ID, "{action}", "disable").Replace(pattern)
	s.bodyOf = func(user string) string {
		body := strings.NewReplacer("TOKEN", s.token, "ID", k.ID).Replace(e.body)
		owner := ""
		if strings.Contains(body, "OWNER") && people[user].Owner == "" {
			owner = `,"owner":"acme"`
			if !strings.HasPrefix(body, "{") {
				owner = "&owner=acme"
			}
		}
		body = strings.ReplaceAll(body, "OWNER", owner)
		if strings.Contains(body, "FORM") && people[user].ID != "" && !people[user].ReadOnly {
			body = strings.ReplaceAll(body, "FORM", g.form(user, "/new"))
		}
		return body
	}
	return s
}

func (s *scene) send(user string, edit ...func(*http.Request)) answer {
	s.t.Helper()
	return s.do(user, s.method, s.path, s.bodyOf(user), edit...)
}

// unchanged fails when the key or the number of keys is not as it was.
func (s *scene) unchanged(before string) {
	s.t.Helper()
	if after := s.snapshot(); after != before {
		s.t.Errorf("a refused request changes nothing\nbefore %s\nafter  %s", before, after)
	}
}

func (s *scene) snapshot() string {
	s.t.Helper()
	return s.want(200, "operator", "GET", "/v1/keys", "").body + s.want(200, "operator", "GET", "/v1/audit", "").body
}

// refusal is a caller whom a route refuses.
type refusal struct {
	rule, user string
	status     int
	edit       []func(*http.Request)
}

// TestMatrix walks the table of routes: every route, every kind of caller.
func TestMatrix(t *testing.T) {
	t.Parallel()
	for _, rt := range admin.Routes() {
		t.Run(rt.Method+strings.ReplaceAll(rt.Path, "/", "_"), func(t *testing.T) {
			t.Parallel()
			if rt.Nobody {
				t.Fatal("a route says who may use it")
			}
			if rt.Everybody {
				if a := newScene(t, rt.Method, rt.Path).send(""); a.status != 200 || rt.Path != "/assets/admin.css" && rt.Path != "/assets/admin.js" {
					t.Fatalf("the style sheet and the module alone are for everybody; status %d", a.status)
				}
				return
			}
			refusals := []refusal{
				{"nobody is signed in: 401", "", 401, nil},
				{"an API key opens nothing, whoever is signed in: 403", "operator", 403, []func(*http.Request){bearer}},
				{"an API key as a Basic user name opens nothing: 403", "operator", 403, []func(*http.Request){basic}},
			}
			if rt.Writes {
				for _, user := range []string{"op-reader", "owner-reader"} {
					refusals = append(refusals, refusal{"a reader changes nothing: 403", user, 403, nil})
				}
			}
			if rt.Operators {
				refusals = append(refusals, refusal{"a customer does no operator's work: 403", "owner", 403, nil})
			}
			if rt.Method != "GET" {
				for _, site := range []string{"cross-site", "same-site"} {
					refusals = append(refusals, refusal{"a page of another origin changes nothing: 403", "operator", 403, []func(*http.Request){header("Sec-Fetch-Site", site)}})
				}
			}
			for _, ref := range refusals {
				s := newScene(t, rt.Method, rt.Path)
				before := s.snapshot()
				a := s.send(ref.user, append(ref.edit, func(r *http.Request) {
					if v := r.Header.Get("Authorization"); v != "" {
						r.Header.Set("Authorization", strings.ReplaceAll(v, "KEY", s.token))
						if scheme, key, _ := strings.Cut(v, " "); scheme == "Basic" {
							r.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(strings.ReplaceAll(key, "KEY", s.token)+":")))
						}
					}
				})...)
				if a.status != ref.status {
					t.Errorf("%s; got %d:\n%s", ref.rule, a.status, a.body)
				}
				if rt.API {
					a.problem(t)
				}
				s.unchanged(before)
			}
			for _, user := range []string{"operator", "owner"} {
				if rt.Operators && user == "owner" {
					continue
				}
				s := newScene(t, rt.Method, rt.Path)
				if a := s.send(user); a.status != s.wantSound {
					t.Errorf("%s may: status %d, want %d:\n%s", user, a.status, s.wantSound, a.body)
				}
			}
			if !rt.Writes {
				for _, user := range []string{"op-reader", "owner-reader"} {
					if rt.Operators && user == "owner-reader" {
						continue
					}
					s := newScene(t, rt.Method, rt.Path)
					if a := s.send(user); a.status != s.wantSound {
						t.Errorf("%s may read: status %d, want %d:\n%s", user, a.status, s.wantSound, a.body)
					}
				}
			}
			t.Run("stranger", func(t *testing.T) { stranger(t, rt.Method, rt.Path, rt.NamesKey, rt.API) })
			if rt.Method != "GET" {
				t.Run("extra_fields", func(t *testing.T) { extraFields(t, rt.Method, rt.Path, rt.Operators) })
			}
		})
	}
}

func bearer(r *http.Request) { r.Header.Set("Authorization", "Bearer KEY") }
func basic(r *http.Request)  { r.Header.Set("Authorization", "Basic KEY") }

// stranger is a customer of another owner: a key of acme is to them as one
// that never was, and nothing of acme is in any answer.
func stranger(t *testing.T, method, pattern string, namesKey, api bool) {
	s := newScene(t, method, pattern)
	before := s.snapshot()
	body := s.bodyOf("stranger")
	foreign := s.do("stranger", method, s.path, body, header("X-Request-Id", "same-request-id"))
	for _, secret := range []string{"production", "staging", "private-note", `"acme"`, ">acme<"} {
		if strings.Contains(foreign.body, secret) && pattern != "/new" && pattern != "/{$}" { // whose forms say "production-backend"
			t.Errorf("an answer to a stranger holds %q of acme:\n%s", secret, foreign.body)
		}
	}
	if strings.Contains(foreign.body, s.id) {
		t.Errorf("an answer to a stranger holds the id of acme's key:\n%s", foreign.body)
	}
	if !namesKey {
		return
	}
	if foreign.status != 404 {
		t.Errorf("a key of another owner is not there: 404; got %d:\n%s", foreign.status, foreign.body)
	}
	s.unchanged(before)
	missing := s.do("stranger", method, strings.ReplaceAll(s.path, s.id, "AAAAAAAAAAAAAAAA"), body, header("X-Request-Id", "same-request-id"))
	if foreign.status != missing.status || foreign.body != missing.body || headerText(foreign) != headerText(missing) {
		t.Errorf("another owner's key and a missing one answer alike\nforeign %d %v %s\nmissing %d %v %s",
			foreign.status, foreign.header, foreign.body, missing.status, missing.header, missing.body)
	}
	if api {
		foreign.problem(t)
	}
}

func headerText(a answer) string {
	var b strings.Builder
	_ = a.header.Write(&b)
	return b.String()
}

// extraFields: whatever a body says besides is refused, and whose a key is
// never comes from it.
func extraFields(t *testing.T, method, pattern string, operators bool) {
	for _, extra := range []struct{ json, form, rule string }{
		{`"owner":"evil"`, "owner=evil", "owner never comes from a customer's body"},
		{`"id":"AAAAAAAAAAAAAAAA"`, "id=AAAAAAAAAAAAAAAA", "an unknown field is refused"},
		{`"role":"operator"`, "role=operator", "an unknown field is refused"},
		{`"Name":"x"`, "Name=x", "names are exact"},
	} {
		s, user := newScene(t, method, pattern), "owner"
		if operators {
			user = "operator"
		}
		before := s.snapshot()
		body := s.bodyOf(user)
		switch {
		case strings.HasPrefix(pattern, "/v1/") && len(body) > 2:
			body = strings.TrimSuffix(body, "}") + "," + extra.json + "}"
		case strings.HasPrefix(pattern, "/v1/"):
			body = "{" + extra.json + "}"
		default:
			body += "&" + extra.form
		}
		if a := s.do(user, method, s.path, body); a.status != 422 {
			t.Errorf("%s: status %d, want 422:\n%s", extra.rule, a.status, a.body)
		}
		s.unchanged(before)
	}
}

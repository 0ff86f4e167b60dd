package admin_test

import (
	"strings"
	"testing"
)

// TestSecretOnce: a secret is in the one response to the request that made it,
// and in no other, in no header and in no log.
func TestSecretOnce(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	var secrets []string
	add := func(a answer) string {
		t.Helper()
		token := tokenShape.FindString(a.body)
		if token == "" {
			t.Fatalf("no secret in the response that made one:\n%s", a.body)
		}
		secrets = append(secrets, token)
		return token
	}
	m := g.want(201, "owner", "POST", "/v1/keys", `{"name":"by the API"}`)
	token := add(m)
	path := "/v1/keys/" + m.members(t)["key"].(map[string]any)["id"].(string)
	add(g.want(200, "owner", "POST", path+"/rotate", `{"immediately":true}`))
	body := form("form", g.form("owner", "/new"), "name", "by the page")
	a := g.want(200, "owner", "POST", "/new", body)
	id := strings.Split(add(a), "_")[2]
	g.want(409, "owner", "POST", "/new", body)
	rotate := form("secret", g.next("owner", "/keys/"+id), "overlap", "week")
	add(g.want(200, "owner", "POST", "/keys/"+id+"/rotate", rotate))
	g.want(409, "owner", "POST", "/keys/"+id+"/rotate", rotate)

	// Everything that reads.
	for _, p := range []string{"/", "/new", "/leak", "/keys/" + id, "/keys/" + id + "/copy", "/keys/" + id + "/secret", "/keys/" + id + "/first-use", "/v1/keys", path, "/v1/keys/" + id, "/v1/keys/" + id + "/rotation", path + "/usage", path + "/audit", path + "/audit.csv", "/v1/audit", "/v1/audit.csv", "/v1/due?ahead=9999h", "/v1/openapi.yaml"} {
		g.want(200, "owner", "GET", p, "")
	}
	for _, token := range secrets {
		g.want(200, "operator", "POST", "/v1/identify", `{"token":"`+token+`"}`)
		g.want(200, "operator", "POST", "/v1/explain", `{"token":"`+token+`"}`)
	}
	for _, token := range secrets {
		g.want(200, "owner", "POST", "/leak", form("text", "found: "+token))
	}
	// A key in every place where none belongs.
	for _, tc := range []struct{ method, path, body string }{
		{"POST", "/v1/keys", `{"name":"TOKEN"}`},
		{"POST", "/v1/keys", `{"name":"x","plan":"TOKEN"}`},
		{"POST", "/v1/keys", `{"name":"x","environment":"TOKEN"}`},
		{"POST", "/v1/keys", `{"name":"x","scopes":["TOKEN"]}`},
		{"POST", "/v1/keys", `{"name":"x","TOKEN":1}`},
		{"POST", "/v1/keys", `{"name":"x","expires_at":"TOKEN"}`},
		{"POST", "/v1/keys", `{"TOKEN`},
		{"PATCH", path, `{"name":"TOKEN"}`},
		{"POST", path + "/disable", `{"reason":"my key TOKEN leaked"}`},
		{"POST", path + "/revoke", `{"reason":"TOKEN"}`},
		{"POST", "/v1/identify", `{"token":"TOKENx"}`},
		{"POST", "/v1/identify", `{"token":["TOKEN"]}`},
		{"POST", "/v1/identify", `{"TOKEN":"x"}`},
		{"POST", "/v1/explain", `{"token":"TOKEN","host":"TOKEN"}`},
		{"POST", "/v1/explain", `{"token":"TOKEN","TOKEN":1}`},
		{"POST", path + "/explain", `{"token":"TOKEN"}`},
		{"GET", "/v1/keys?search=TOKEN", ""},
		{"GET", "/v1/keys?TOKEN=1", ""},
		{"GET", "/v1/keys?cursor=TOKEN", ""},
		{"GET", "/v1/keys?environment=TOKEN", ""},
		{"GET", "/v1/keys/TOKEN", ""},
		{"GET", "/v1/TOKEN", ""},
		{"GET", "/TOKEN", ""},
		{"POST", "/keys/" + id + "/disable", "reason=TOKEN"},
		{"POST", "/keys/" + id + "/revoke", "confirm=TOKEN"},
		{"POST", "/keys/" + id + "/disable", "TOKEN=x"},
		{"POST", "/keys/" + id + "/finish-rotation", "confirm=TOKEN"},
		{"POST", "/keys/" + id + "/settings", "revision=1&name=TOKEN&expires=keep"},
		{"POST", "/leak", "TOKEN=x"},
		{"POST", "/new", "form=x&name=TOKEN&networks=TOKEN&scopes=TOKEN"},
	} {
		r := strings.NewReplacer("TOKEN", token)
		if a := g.do("owner", tc.method, r.Replace(tc.path), r.Replace(tc.body), header("X-Request-Id", token)); a.status < 400 {
			t.Errorf("%s %s %s: a key where none belongs is refused: %d", tc.method, tc.path, tc.body, a.status)
		}
	}
	g.want(403, "owner", "GET", "/v1/keys", "", header("Authorization", "Bearer "+token))
	if v, _ := g.keys.Get(t.Context(), id); !v.DisabledAt.IsZero() {
		t.Error("a refused reason disables nothing")
	}

	for _, token := range secrets {
		secret := token[len("sk_live_")+17:]
		seen := 0
		for _, response := range g.bodies {
			if strings.Contains(response, secret) {
				seen++
				if !strings.Contains(response, "Cache-Control: no-store") {
					t.Error("a secret is not stored by caches")
				}
			}
		}
		if seen != 1 {
			t.Errorf("a secret is in exactly one response, not in %d", seen)
		}
		if strings.Contains(g.log.String(), secret) {
			t.Errorf("a secret is in the log:\n%s", g.log.String())
		}
	}
	if !strings.Contains(g.log.String(), "admin request refused") {
		t.Error("this test reads the log")
	}
}

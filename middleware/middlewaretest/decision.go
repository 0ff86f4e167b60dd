package middlewaretest

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
)

var plain = middleware.Options{}

func (r *rig) me(a answer) whoami {
	r.Helper()
	if a.StatusCode != http.StatusOK {
		r.Fatalf("the request is served, got %d: %s", a.StatusCode, a.body)
	}
	var me whoami
	if err := json.Unmarshal([]byte(a.body), &me); err != nil {
		r.Fatalf("%v in %q", err, a.body)
	}
	return me
}

// decisionRules are about which requests are served and which are not.
func decisionRules() []rule {
	return []rule{
		{"an admitted handler gets the principal, as an argument and in the context", nil, func(t *testing.T, h Harness) {
			r := newRig(t, h, plain)
			id, token := r.key()
			if me := r.me(r.get("/read", token)); me != (whoami{id, "acme", "live", true}) {
				t.Errorf("got %+v", me)
			}
		}},
		{"the scheme may be written in any case, with several spaces", nil, func(t *testing.T, h Harness) {
			r := newRig(t, h, plain)
			_, token := r.key()
			for _, value := range []string{"bearer " + token, "BEARER   " + token} {
				req := r.request("GET", "/read", "", nil)
				req.Header.Set("Authorization", value)
				r.me(r.do(req))
			}
		}},
		{"answers carry RateLimit-Policy and RateLimit", nil, func(t *testing.T, h Harness) {
			r := newRig(t, h, plain)
			_, token := r.key()
			a := r.get("/read", token)
			if got := a.Header.Get("RateLimit-Policy"); got != `"minute";q=60;w=60, "day";q=1000;w=86400` {
				t.Errorf("RateLimit-Policy: %s", got)
			}
			if got := a.Header.Get("RateLimit"); !regexp.MustCompile(`^"minute";r=59;t=6[01], "day";r=999;t=8[67]\d\d\d$`).MatchString(got) {
				t.Errorf("RateLimit: %s", got)
			}
			if got := r.get("/read", token).Header.Get("RateLimit"); !strings.HasPrefix(got, `"minute";r=58;`) {
				t.Errorf("RateLimit of the second request: %s", got)
			}
		}},
		{"a request costs what its route says", nil, func(t *testing.T, h Harness) {
			r := newRig(t, h, plain)
			_, token := r.key()
			if got := r.get("/costly", token).Header.Get("RateLimit"); !strings.HasPrefix(got, `"minute";r=50;`) {
				t.Errorf("RateLimit after a request of cost 10: %s", got)
			}
		}},
		{"a refused request is not charged", nil, func(t *testing.T, h Harness) {
			r := newRig(t, h, plain)
			_, token := r.key(limited(apikey.PerMinute(2)))
			for range 3 {
				r.refused(r.do(r.request("POST", "/write", token, nil)), apikey.InsufficientScope, token)
				wrong := r.request("GET", "/read", token, nil)
				wrong.Host = sandboxHost
				r.refused(r.do(wrong), apikey.EnvironmentMismatch, token)
			}
			for range 2 {
				r.me(r.get("/read", token))
			}
			r.refused(r.get("/read", token), apikey.RateLimited, token)
		}},
		{"one of several scopes is enough where the route says so", nil, func(t *testing.T, h Harness) {
			r := newRig(t, h, plain)
			_, token := r.key()
			r.me(r.get("/either", token))
			_, none := r.key(func(n *latchkey.NewKey) { n.Scopes = nil })
			r.refused(r.get("/either", none), apikey.InsufficientScope, none)
			r.me(r.get("/any", none))
		}},
		{"an optional key may be absent but not bad", nil, func(t *testing.T, h Harness) {
			r := newRig(t, h, plain)
			id, token := r.key()
			if me := r.me(r.get("/optional", "")); me.Key != "" {
				t.Errorf("without a key there is no principal, got %+v", me)
			}
			if me := r.me(r.get("/optional", token)); me.Key != id {
				t.Errorf("with a key there is its principal, got %+v", me)
			}
			r.refused(r.get("/optional", token+"x"), apikey.InvalidKey, token)
			r.revoke(id)
			r.refused(r.get("/optional", token), apikey.RevokedKey, token)
		}},
		{"a public route looks at no key", nil, func(t *testing.T, h Harness) {
			r := newRig(t, h, plain)
			r.me(r.get("/public", ""))
			r.me(r.get("/public", "nonsense"))
		}},
		{"a key in the query string is not taken", nil, func(t *testing.T, h Harness) {
			r := newRig(t, h, plain)
			_, token := r.key()
			for _, name := range []string{"access_token", "api_key", "key", "token"} {
				r.refused(r.get("/read?"+name+"="+token, ""), apikey.MissingKey, token)
			}
		}},
		{"owner-wide limits bind all keys of an owner", nil, func(t *testing.T, h Harness) {
			r := newRig(t, h, middleware.Options{OwnerLimits: []apikey.Limit{apikey.PerMinute(2)}})
			_, one := r.key()
			_, two := r.key()
			_, other := r.key(func(n *latchkey.NewKey) { n.Owner = "globex" })
			if got := r.get("/read", one).Header.Get("RateLimit-Policy"); !strings.HasSuffix(got, `, "owner-minute";q=2;w=60`) {
				t.Errorf("RateLimit-Policy: %s", got)
			}
			r.me(r.get("/read", two))
			problem := r.refused(r.get("/read", one), apikey.RateLimited, one)
			if got := problem["violated-policies"]; len(got.([]any)) != 1 || got.([]any)[0] != "owner-minute" {
				t.Errorf("violated-policies: %v", got)
			}
			r.me(r.get("/read", other))
		}},
		{"after revocation the next request is refused", nil, func(t *testing.T, h Harness) {
			r := newRig(t, h, plain)
			id, token := r.key()
			r.me(r.get("/read", token))
			r.revoke(id)
			r.refused(r.get("/read", token), apikey.RevokedKey, token)
		}},
	}
}

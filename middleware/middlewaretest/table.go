package middlewaretest

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
)

// tableRules go through the response table.
func tableRules() []rule {
	const challenge = `Bearer realm="api"`
	return []rule{
		{"table: no key", nil, func(t *testing.T, h Harness) {
			r := newRig(t, h, plain)
			r.challenged(r.get("/read", ""), apikey.MissingKey, "", challenge)
			for _, other := range []string{"Basic c2s6", "Digest username=\"a\", realm=\"b\"", "sk_live_raw"} {
				r.challenged(r.authorized(other), apikey.MissingKey, "", challenge)
			}
		}},
		{"table: malformed or two credentials", nil, func(t *testing.T, h Harness) {
			r := newRig(t, h, plain)
			_, token := r.key()
			_, second := r.key()
			want := challenge + `, error="invalid_request"`
			for _, lines := range [][]string{
				{"Bearer " + token, "Bearer " + token},
				{"Bearer " + token, "Basic c2s6"},
				{"Bearer " + token + ", Bearer " + second},
				{"Basic c2s6, Bearer " + token},
				{"Bearer " + token + " " + second},
				{"Bearer \"" + token + "\""},
				{"Bearer"},
			} {
				r.challenged(r.authorized(lines...), apikey.MalformedRequest, token, want)
			}
		}},
		{"table: not a key", nil, func(t *testing.T, h Harness) {
			r := newRig(t, h, plain)
			_, token := r.key()
			_, other := r.key()
			mixed := other[:len(other)-44] + token[len(token)-44:] // another key's secret and checksum
			for _, bad := range []string{"nonsense", token[:len(token)-1], token + "0", mixed} {
				r.challenged(r.get("/read", bad), apikey.InvalidKey, token, challenge+`, error="invalid_token"`)
			}
		}},
		{"table: expired, disabled, revoked", nil, func(t *testing.T, h Harness) {
			r := newRig(t, h, plain)
			want := challenge + `, error="invalid_token"`
			_, expired := r.key(func(n *latchkey.NewKey) {
				n.ExpiresAt = time.Now().Add(20 * time.Millisecond)
				limited(apikey.PerMinute(apikey.MaxLimitN))(n)
			})
			disabled, disabledToken := r.key()
			if _, err := r.keys.Disable(context.Background(), suite, disabled, ""); err != nil {
				t.Fatal(err)
			}
			revoked, revokedToken := r.key()
			r.revoke(revoked)
			r.challenged(r.get("/read", disabledToken), apikey.DisabledKey, disabledToken, want)
			r.challenged(r.get("/read", revokedToken), apikey.RevokedKey, revokedToken, want)
			for deadline := time.Now().Add(patience); ; {
				a := r.get("/read", expired)
				if a.StatusCode != http.StatusOK || time.Now().After(deadline) {
					r.challenged(a, apikey.ExpiredKey, expired, want)
					break
				}
			}
		}},
		{"table: a key of another environment", nil, func(t *testing.T, h Harness) {
			r := newRig(t, h, plain)
			_, test := r.key(in("test"))
			problem := r.challenged(r.get("/read", test), apikey.EnvironmentMismatch, test, challenge+`, error="invalid_token"`)
			if problem["base_url"] != "https://"+sandboxHost || !strings.Contains(problem["detail"].(string), "https://"+sandboxHost) {
				t.Errorf("the problem names the right base URL: %v", problem)
			}
		}},
		{"table: network", nil, func(t *testing.T, h Harness) {
			r := newRig(t, h, plain)
			_, token := r.key(bound("192.0.2.0/24"))
			req := r.request("GET", "/read", token, nil)
			req.Header.Set("X-Forwarded-For", "192.0.2.1") // from a peer that is not trusted
			r.challenged(r.do(req), apikey.NetworkNotAllowed, token, "")
			_, local := r.key(bound("127.0.0.0/8", "::1/128"))
			r.me(r.get("/read", local))
		}},
		{"table: scope", nil, func(t *testing.T, h Harness) {
			r := newRig(t, h, plain)
			_, token := r.key()
			problem := r.challenged(r.do(r.request("POST", "/write", token, nil)), apikey.InsufficientScope, token,
				challenge+`, error="insufficient_scope", scope="things:read things:write"`)
			if missing := problem["missing_scopes"].([]any); len(missing) != 1 || missing[0] != "things:write" {
				t.Errorf("missing_scopes: %v", missing)
			}
		}},
		{"table: over a limit", nil, func(t *testing.T, h Harness) {
			r := newRig(t, h, plain)
			_, token := r.key(limited(apikey.PerMinute(1), apikey.PerDay(100)))
			r.me(r.get("/read", token))
			a := r.get("/read", token)
			problem := r.challenged(a, apikey.RateLimited, token, "")
			if got := problem["violated-policies"].([]any); len(got) != 1 || got[0] != "minute" {
				t.Errorf("violated-policies: %v", got)
			}
			after := a.Header.Get("Retry-After")
			if after != "60" && after != "61" && after != "59" {
				t.Errorf("Retry-After: %q", after)
			}
			if got := a.Header.Get("RateLimit"); !strings.HasPrefix(got, `"minute";r=0;t=`+after+`, "day";r=99;`) {
				t.Errorf("RateLimit agrees with Retry-After %s: %s", after, got)
			}
			if a.Header.Get("RateLimit-Policy") != `"minute";q=1;w=60, "day";q=100;w=86400` {
				t.Errorf("RateLimit-Policy: %s", a.Header.Get("RateLimit-Policy"))
			}
		}},
		{"table: the store cannot confirm", nil, func(t *testing.T, h Harness) {
			r := newRig(t, h, plain)
			_, token := r.key()
			r.store.down.Store(true)
			a := r.get("/read", token)
			r.challenged(a, apikey.Unavailable, token, "")
			if a.Header.Get("Retry-After") != "1" {
				t.Errorf("Retry-After: %q", a.Header.Get("Retry-After"))
			}
			r.store.down.Store(false)
			r.me(r.get("/read", token))
		}},
	}
}

func (r *rig) authorized(lines ...string) answer {
	r.Helper()
	req := r.request("GET", "/read", "", nil)
	req.Header["Authorization"] = lines
	return r.do(req)
}

func (r *rig) challenged(a answer, code apikey.Code, token, challenge string) map[string]any {
	r.Helper()
	problem := r.refused(a, code, token)
	if got := strings.Join(a.Header.Values("WWW-Authenticate"), "; "); got != challenge {
		r.Errorf("%v has WWW-Authenticate %q, got %q", code, challenge, got)
	}
	return problem
}

package middleware_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/middleware"
)

// TestEveryCodeHasItsResponse walks the closed table: whoever adds a code of a
// request has to say here how it comes about.
func TestEveryCodeHasItsResponse(t *testing.T) {
	fields := map[string]string{} // what adapters of other transports are told to set
	onDecision := func(_ context.Context, o middleware.Outcome) {
		clear(fields)
		for name, value := range o.ResponseFields() {
			fields[http.CanonicalHeaderKey(name)] = value
		}
	}
	k := newKit(t, middleware.Options{LegacyHeaders: true, OnDecision: onDecision})
	_, good := k.key(limits(apikey.PerMinute(1)))
	_, test := k.key(func(n *latchkey.NewKey) { n.Environment = "test" })
	_, bound := k.key(func(n *latchkey.NewKey) { n.Networks = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} })
	disabledID, disabled := k.key()
	if _, err := k.keys.Disable(t.Context(), ops, disabledID, ""); err != nil {
		t.Fatal(err)
	}
	revokedID, revoked := k.key()
	k.revoke(revokedID)
	expiredID, expired := k.key()
	if _, _, err := k.keys.Rotate(t.Context(), ops, expiredID, latchkey.RotateOptions{Immediately: true}); err != nil {
		t.Fatal(err)
	}
	down := newKit(t, middleware.Options{OnDecision: onDecision, Limiter: &recorder{take: func(limiter.Request) (limiter.Decision, error) {
		return limiter.Decision{}, errors.New("down")
	}}})
	_, unlucky := down.key()
	read := k.guard.Require(middleware.AllOf("things:read"))(noContent)

	const bearer = `Bearer realm="api"`
	for _, code := range apikey.Codes() {
		if code == apikey.OK || code >= apikey.NotFound {
			continue // of no request
		}
		h, token, challenge, retry := read, "", bearer+`, error="invalid_token"`, false
		switch code {
		case apikey.MissingKey:
			challenge = bearer
		case apikey.MalformedRequest:
			token, challenge = "a b", bearer+`, error="invalid_request"`
		case apikey.InvalidKey:
			token = "nonsense"
		case apikey.ExpiredKey:
			token = expired
		case apikey.DisabledKey:
			token = disabled
		case apikey.RevokedKey:
			token = revoked
		case apikey.EnvironmentMismatch:
			token = test
		case apikey.NetworkNotAllowed:
			token, challenge = bound, ""
		case apikey.InsufficientScope:
			h, token = k.guard.Require(middleware.AnyOf("things:write", "things:admin"))(noContent), good
			challenge = bearer + `, error="insufficient_scope", scope="things:write things:admin"`
		case apikey.RateLimited:
			serve(read, get(good))
			token, challenge, retry = good, "", true
		case apikey.Unavailable:
			h, token, challenge, retry = down.guard.Require(middleware.AnyKey())(noContent), unlucky, "", true
		default:
			t.Errorf("%v has no case: give it one, and a response", code)
			continue
		}
		res := serve(h, get(token))
		if res.StatusCode != code.Info().Status {
			t.Errorf("%v: status %d, want %d", code, res.StatusCode, code.Info().Status)
		}
		if got := res.Header.Get("WWW-Authenticate"); got != challenge {
			t.Errorf("%v: WWW-Authenticate %q, want %q", code, got, challenge)
		}
		if got := res.Header.Get("Retry-After"); (got != "") != retry {
			t.Errorf("%v: Retry-After %q", code, got)
		}
		sent := map[string]string{}
		for name, values := range res.Header {
			sent[name] = strings.Join(values, " and ")
		}
		if diff := cmp.Diff(fields, sent); diff != "" {
			t.Errorf("%v: the fields are not those of EachField (-want +got):\n%s", code, diff)
		}
		text := body(t, res)
		var p struct {
			Type, Title, Detail, Code string
			Status                    int
			RequestID                 string `json:"request_id"`
		}
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			t.Fatalf("%v: %v", code, err)
		}
		if p.Code != code.String() || p.Type != middleware.ProblemTypeBase+p.Code || p.Status != res.StatusCode || p.Title == "" || p.RequestID == "" {
			t.Errorf("%v: %s", code, text)
		}
		if !strings.Contains(strings.TrimSuffix(p.Detail, "."), ". ") {
			t.Errorf("%v: the detail says what to do next: %q", code, p.Detail)
		}
		if len(token) > 40 && strings.Contains(text, token[len(token)-40:]) {
			t.Errorf("%v: the key is in the body", code)
		}
	}
}

// TestRetryAfter: whole seconds, rounded up, at least one.
func TestRetryAfter(t *testing.T) {
	for wait, want := range map[time.Duration]string{
		0: "1", time.Millisecond: "1", time.Second: "1", time.Second + 1: "2", 59*time.Second + time.Millisecond: "60",
		24 * time.Hour: "86400", -1: "",
	} {
		d := limiter.Decision{RetryAfter: wait, N: 2}
		d.Windows[0] = limiter.Status{Reset: wait, Violated: true}
		d.Windows[1] = limiter.Status{Remaining: 1234, Reset: time.Hour}
		k := newKit(t, middleware.Options{Limiter: &recorder{take: func(limiter.Request) (limiter.Decision, error) { return d, nil }}})
		_, token := k.key()
		res := serve(k.guard.Require(middleware.AnyKey())(noContent), get(token))
		if got := res.Header.Get("Retry-After"); got != want {
			t.Errorf("%v: Retry-After %q, want %q", wait, got, want)
		}
		text := body(t, res)
		say := map[time.Duration]string{
			0: "The limit of 60 per minute is reached. Try again in 1 s.", 24 * time.Hour: "The limit of 60 per minute is reached. Try again in 24 h.",
			-1: "This request costs more than the limit of 60 per minute allows. Waiting does not help: use a plan with a higher limit.",
		}[wait]
		if !strings.Contains(text, say) || strings.Contains(text, "Waiting does not help") != (wait < 0) {
			t.Errorf("%v: %s", wait, text)
		}
		if !strings.Contains(text, `"violated-policies":["minute"]`) {
			t.Error(text)
		}
		if got := res.Header.Get("RateLimit"); !strings.HasSuffix(got, `, "day";r=1234;t=3600`) {
			t.Error(got)
		}
	}
}

func TestRequestID(t *testing.T) {
	k := newKit(t, middleware.Options{})
	id := func(sent string, o *kit) string {
		r := get("")
		if sent != "" {
			r.Header["X-Request-Id"] = strings.Split(sent, "\n")
		}
		var p struct {
			RequestID string `json:"request_id"`
		}
		if err := json.Unmarshal([]byte(body(t, serve(o.guard.Require(middleware.AnyKey())(noContent), r))), &p); err != nil {
			t.Fatal(err)
		}
		return p.RequestID
	}
	if got := id("abc-123", k); got != "abc-123" {
		t.Errorf("a valid X-Request-Id is taken, got %q", got)
	}
	for _, bad := range []string{"", "a b", "a\nb", "\"><script>", strings.Repeat("a", 129)} {
		if got := id(bad, k); len(got) < 20 || got == bad || strings.ContainsAny(got, " \"<\n") {
			t.Errorf("%q gives %q", bad, got)
		}
	}
	own := newKit(t, middleware.Options{RequestID: func(context.Context, middleware.Fields) string { return "<own>\x01\xff" }})
	if got := id("", own); got != "<own>\x01�" {
		t.Errorf("got %q", got)
	}
}

// TestOutcomeKeepsNoStrings: a framework may reuse the memory of a request
// while its answer is being made.
func TestOutcomeKeepsNoStrings(t *testing.T) {
	k := newKit(t, middleware.Options{})
	_, token := k.key()
	for name, h := range map[string]http.Header{
		"refused":  {"Authorization": {"Bearer " + token}, "X-Request-Id": {"abc"}},
		"bad":      {"Authorization": {"Bearer nonsense"}},
		"no store": {"Authorization": {"Bearer " + token}},
	} {
		need := middleware.AllOf("things:write")
		o := decide(k.guard, need, middleware.Request{Fields: h, Host: "api.example.com"})
		fields := 0
		for range o.ResponseFields() {
			fields++
		}
		if text := string(o.AppendProblem(nil, "id")); strings.Contains(text, "nonsense") || fields < 3 || !json.Valid([]byte(text)) {
			t.Errorf("%s: %s", name, text)
		}
	}
}

// TestAProblemIsTheSameForEveryRequest: what is prepared for a code is what
// would be written for it, with nothing of the key.
func TestAProblemIsTheSameForEveryRequest(t *testing.T) {
	k := newKit(t, middleware.Options{RequestID: func(context.Context, middleware.Fields) string { return `a"<b` }})
	res := serve(k.guard.Require(middleware.AnyKey())(noContent), get("nonsense"))
	const want = `{"type":"https://github.com/wontopos/latchkey/blob/main/docs/errors.md#invalid_key","title":"API key not valid","status":401,` +
		`"detail":"This API key is not valid. Check that it was copied whole; if it was, create a new one.","code":"invalid_key","request_id":"a\"\u003cb"}` + "\n"
	if got := body(t, res); got != want {
		t.Errorf("the problem is\n%s\nwant\n%s", got, want)
	}
}

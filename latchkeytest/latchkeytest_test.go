package latchkeytest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/latchkeytest"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/memstore"
)

var reads = latchkey.NewKey{Scopes: []string{"things:read"}}

// status is how the API answers the key.
func status(guard *middleware.Guard, r *http.Request) int {
	w := httptest.NewRecorder()
	newAPI(guard).ServeHTTP(w, r)
	return w.Code
}

// TestAnEndedKeyIsRefusedAtOnce: from the next request on, with the code of its end, and requests in flight are cut.
func TestAnEndedKeyIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		name string
		end  func(*latchkeytest.Key)
		want apikey.Code
	}{
		{"revoked", (*latchkeytest.Key).Revoke, apikey.RevokedKey},
		{"disabled", (*latchkeytest.Key).Disable, apikey.DisabledKey},
		{"expired", (*latchkeytest.Key).Expire, apikey.ExpiredKey},
	} {
		test := func(t *testing.T) {
			guard := latchkeytest.NewGuard(t, latchkeytest.Options{})
			key, other := latchkeytest.CreateKey(t, guard, reads), latchkeytest.CreateKey(t, guard, reads)
			var cause error
			serve := guard.Require(middleware.AnyKey())(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				x.end(key)
				cause = context.Cause(r.Context())
			}))
			serve.ServeHTTP(httptest.NewRecorder(), key.Request("GET", "/", nil))
			if !errors.Is(cause, x.want) {
				t.Errorf("the request in flight ends with %v, want %v", cause, x.want)
			}
			if _, err := guard.Keys().Verify(t.Context(), key.Token.Reveal()); !errors.Is(err, x.want) {
				t.Errorf("the next request gets %v, want %v", err, x.want)
			}
			if got := status(guard, other.Request("GET", "/v1/things", nil)); got != http.StatusOK {
				t.Errorf("another key gets %d", got)
			}
		}
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
		t.Run(x.name+" in a bubble", func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, test)
		})
	}
}

// TestAnExhaustedKeyIsLimitedUntilItsWindowHasPassed.
func TestAnExhaustedKeyIsLimitedUntilItsWindowHasPassed(t *testing.T) {
	t.Parallel()
	plans := []apikey.Plan{{Name: "large", Limits: []apikey.Limit{{Name: "hour", N: apikey.MaxLimitN, Window: time.Hour}}}}
	owner := middleware.Options{OwnerLimits: []apikey.Limit{apikey.PerMinute(5)}}
	for _, x := range []struct {
		name    string
		options latchkeytest.Options
		before  int // requests
		window  time.Duration
	}{
		{"a standard plan", latchkeytest.Options{}, 0, time.Minute},
		{"a limit that nobody reaches by requests", latchkeytest.Options{Service: latchkey.Options{Plans: plans}}, 3, time.Hour},
		{"the limit of the owner", latchkeytest.Options{Guard: owner}, 2, time.Minute},
		{"the limit of the owner, used up", latchkeytest.Options{Guard: owner}, 5, time.Minute},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				guard := latchkeytest.NewGuard(t, x.options)
				key := latchkeytest.CreateKey(t, guard, reads)
				request := func() int { return status(guard, key.Request("GET", "/v1/things", nil)) }
				for range x.before {
					if got := request(); got != http.StatusOK {
						t.Fatalf("a request before gets %d", got)
					}
				}
				for range 2 { // the second finds nothing left
					key.Exhaust()
					if got := request(); got != http.StatusTooManyRequests {
						t.Errorf("the next request gets %d, want 429", got)
					}
				}
				time.Sleep(x.window + x.window/60)
				if got := request(); got != http.StatusOK {
					t.Errorf("after the window a request gets %d, want 200", got)
				}
			})
		})
	}
}

// TestARequestIsAdmittedWhereverItsKeyIsBound: to hosts, to networks, to a place in the request.
func TestARequestIsAdmittedWhereverItsKeyIsBound(t *testing.T) {
	t.Parallel()
	options := latchkeytest.Options{Service: latchkey.Options{Environments: apikey.LiveAndTest("https://api.example.com", "http://localhost:8081")}}
	n := reads
	n.Networks = []netip.Prefix{netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("10.0.0.0/8")}
	for _, n.Environment = range []string{"live", "test"} {
		for _, e := range []middleware.Extractor{middleware.Bearer(), middleware.Header("X-API-Key"), middleware.Cookie("key"), middleware.BasicUser(), middleware.InsecureQuery("key")} {
			options.Guard.Extractors = []middleware.Extractor{e}
			guard := latchkeytest.NewGuard(t, options)
			key := latchkeytest.CreateKey(t, guard, n)
			if got := status(guard, key.Request("GET", "/v1/things?page=2", nil)); got != http.StatusOK {
				t.Errorf("%s, %v: %d, want 200", n.Environment, e, got)
			}
			if key.Exhaust(); status(guard, key.Request("GET", "/v1/things", nil)) != http.StatusTooManyRequests {
				t.Errorf("%s, %v: not limited", n.Environment, e)
			}
			if got := status(guard, key.Request("GET", "http://elsewhere.example/v1/things", nil)); got != http.StatusUnauthorized {
				t.Errorf("%s, %v: %d on a host that the test names, want 401", n.Environment, e, got)
			}
		}
	}
}

// TestAKeyIsForAnyGuard: also one that the program under test has made.
func TestAKeyIsForAnyGuard(t *testing.T) {
	t.Parallel()
	secretive := struct{ storage.Store }{memstore.New()} // it reports no changes
	service, err := latchkey.New(secretive, latchkey.Options{MaxStale: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer service.Close(context.Background())
	guard, err := middleware.New(service, middleware.Options{})
	if err != nil {
		t.Fatal(err)
	}
	key := latchkeytest.CreateKey(t, guard, reads)
	if got := status(guard, key.Request("GET", "/v1/things", nil)); got != http.StatusOK {
		t.Errorf("%d, want 200", got)
	}
	key.Expire()
	if got := status(guard, key.Request("GET", "/v1/things", nil)); got != http.StatusUnauthorized {
		t.Errorf("expired: %d, want 401", got)
	}
}

// TestAPrincipalIsThatOfSuchAKey: with all that a handler can ask of one, in any environment and plan.
func TestAPrincipalIsThatOfSuchAKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := latchkeytest.Principal(t, latchkey.NewKey{
			Name: "ci", Owner: "acme", Scopes: []string{"b:write", "a:*"}, Plan: "gold", Environment: "staging", Metadata: map[string]string{"team": "core"},
		})
		got := fmt.Sprint(p.Name(), p.Owner(), p.Scopes(), p.Plan(), p.Environment(), p.Metadata("team"), p.Has("a:read"), p.Has("b:read"), p.Secret(), p.KeyID() != "")
		if want := "ciacme[a:* b:write]goldstagingcoretruefalse1true"; strings.ReplaceAll(got, " ", "") != strings.ReplaceAll(want, " ", "") {
			t.Errorf("%s, want %s", got, want)
		}
		p = latchkeytest.Principal(t, latchkey.NewKey{})
		if got := fmt.Sprint(p.Name(), " ", p.Owner(), " ", p.Plan(), " ", p.Environment()); got != "test test free live" {
			t.Errorf("of nothing: %s", got)
		}
	})
}

// TestAGuardEndsWithItsTest: nothing of it is left, and it admits nobody.
func TestAGuardEndsWithItsTest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var guard *middleware.Guard
		var r *http.Request
		failures := run(func(t testing.TB) {
			guard = latchkeytest.NewGuard(t, latchkeytest.Options{})
			r = latchkeytest.CreateKey(t, guard, reads).Request("GET", "/v1/things", nil)
		})
		if got := status(guard, r); got != http.StatusServiceUnavailable || len(failures) > 0 {
			t.Errorf("%d, want 503; failures %q", got, failures)
		}
	}) // which panics if a goroutine is left
}

// TestMistakesEndTheTest: and say what to do.
func TestMistakesEndTheTest(t *testing.T) {
	t.Parallel()
	with := func(n latchkey.NewKey, then func(*latchkeytest.Key)) func(testing.TB) {
		return func(t testing.TB) {
			then(latchkeytest.CreateKey(t, latchkeytest.NewGuard(t, latchkeytest.Options{}), n))
		}
	}
	for _, x := range []struct {
		name string
		test func(t testing.TB)
		want string
	}{
		{"options of the service", func(t testing.TB) {
			latchkeytest.NewGuard(t, latchkeytest.Options{Service: latchkey.Options{Prefix: "-"}})
		}, "correct Options.Service: "},
		{"options of the guard", func(t testing.TB) {
			latchkeytest.NewGuard(t, latchkeytest.Options{Guard: middleware.Options{Realm: "é"}})
		}, "correct Options.Guard: "},
		{"a scope without an action", with(latchkey.NewKey{Scopes: []string{"things"}}, func(*latchkeytest.Key) {}), "correct the NewKey, or the options of the service: "},
		{"a principal with such a scope", func(t testing.TB) { latchkeytest.Principal(t, latchkey.NewKey{Scopes: []string{"things"}}) }, "correct the NewKey"},
		{"limits of a key that has ended", with(reads, func(k *latchkeytest.Key) { k.Revoke(); k.Exhaust() }), "call Exhaust while it works"},
		{"an expiry of a key that has ended", with(reads, func(k *latchkeytest.Key) { k.Revoke(); k.Expire() }), "cannot expire the key: "},
		{"no limits", func(t testing.TB) {
			o := latchkeytest.Options{Service: latchkey.Options{Plans: []apikey.Plan{{Name: "all", Unlimited: true}}}}
			latchkeytest.CreateKey(t, latchkeytest.NewGuard(t, o), reads).Exhaust()
		}, "create it with a plan that has"},
		{"a limiter that counts nothing", func(t testing.TB) {
			o := latchkeytest.Options{Guard: middleware.Options{Limiter: generous{}}}
			latchkeytest.CreateKey(t, latchkeytest.NewGuard(t, o), reads).Exhaust()
		}, "does the guard's Limiter charge what it admits?"},
	} {
		failures := run(func(t testing.TB) { x.test(t); t.Fatal("it went on") })
		if len(failures) != 1 || !strings.Contains(failures[0], x.want) || !strings.HasPrefix(failures[0], "latchkeytest: ") {
			t.Errorf("%s: %q, want %q", x.name, failures, x.want)
		}
	}
}

// TestNothingIsLogged: not even by a guard whose limiter fails, or a service whose callback panics. It changes the default logger, and so runs
// beside no other test.
func TestNothingIsLogged(t *testing.T) {
	var out bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})))
	defer func() {
		slog.SetDefault(before)
		log.SetOutput(os.Stderr) // which SetDefault has changed, and does not change back
	}()
	run(func(t testing.TB) {
		guard := latchkeytest.NewGuard(t, latchkeytest.Options{
			Service: latchkey.Options{PlanSource: &leavingPlans{}, DefaultPlan: "free"},
			Guard:   middleware.Options{Limiter: failing{}},
		})
		key := latchkeytest.CreateKey(t, guard, latchkey.NewKey{Scopes: reads.Scopes, Limits: []apikey.Limit{apikey.PerMinute(1)}})
		status(guard, key.Request("GET", "/v1/things", nil))
		status(guard, latchkeytest.CreateKey(t, guard, reads).Request("GET", "/v1/things", nil))
	})
	if out.Len() > 0 {
		t.Errorf("logged: %s", &out)
	}
}

// TestAKeyPrintsNoSecret.
func TestAKeyPrintsNoSecret(t *testing.T) {
	t.Parallel()
	key := latchkeytest.CreateKey(t, latchkeytest.NewGuard(t, latchkeytest.Options{}), reads)
	token := key.Token.Reveal()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		for _, x := range []any{key, *key} {
			if text := fmt.Sprintf(verb, x); strings.Contains(text, token[len(token)-20:]) {
				t.Errorf("%s prints the secret", verb)
			}
		}
	}
}

package admin_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey/admin"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/storage/memstore"
)

// slowly is an authorizer for olga whose hashes take a tenth of a second each.
func slowly(t *testing.T) (g *rig, hashed *atomic.Int32) {
	t.Helper()
	hashed = new(atomic.Int32)
	authorize, err := admin.BasicAuthHashing(func(hash func()) {
		hashed.Add(1)
		time.Sleep(100 * time.Millisecond)
		hash()
	}, admin.Account{Name: "olga", Hash: admin.CheapHash("correct horse battery"), Actor: admin.Actor{Role: admin.Operator}})
	if err != nil {
		t.Fatal(err)
	}
	g = newRigFlushing(t, memstore.New(), authorize, admin.Options{}, time.Hour)
	guard, err := middleware.New(g.keys, middleware.Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { guard.Close(context.Background()) })
	if g.h, err = admin.New(g.keys, authorize, admin.Options{Guard: guard, Logger: slog.New(slog.NewTextHandler(g.log, nil))}); err != nil {
		t.Fatal(err)
	}
	g.mount = http.StripPrefix("/settings/keys", g.h)
	return g, hashed
}

func fromAddress(addr string) func(*http.Request) {
	return func(r *http.Request) { r.RemoteAddr = addr }
}

// viaProxy is a request through a proxy that the guard trusts.
func viaProxy(addr string) func(*http.Request) {
	return func(r *http.Request) {
		r.RemoteAddr = "192.0.2.1:7"
		r.Header.Set("X-Forwarded-For", addr)
	}
}

// flood is strangers who guess without a pause until the test ends, with so many
// requests at a time. From says where the n-th guess of a stranger comes from.
func flood(t *testing.T, g *rig, strangers, streams int, from func(i, n int) func(*http.Request)) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	t.Cleanup(func() { stop(); all.Wait() })
	for i := range strangers * streams {
		all.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				a := g.do("", "GET", "/v1/whoami", "", basicAs("olga", fmt.Sprint("a guess that is wrong ", i, n)), from(i%strangers, n), func(r *http.Request) { *r = *r.WithContext(ctx) })
				if a.status == 503 {
					if a.header.Get("Retry-After") != "1" {
						t.Error("whoever is turned away is told when to come again")
					}
					time.Sleep(time.Second)
				} else if a.status != 401 {
					t.Errorf("a guess is answered with %d", a.status)
				}
			}
		})
	}
	time.Sleep(3 * time.Second) // every stranger has guessed wrong
}

// TestStrangersKeepNoOperatorOut: whoever signs in for the first time among
// strangers who keep guessing is in within the time that BasicAuth states.
func TestStrangersKeepNoOperatorOut(t *testing.T) {
	t.Parallel()
	address := func(format string) func(i, _ int) func(*http.Request) {
		return func(i, _ int) func(*http.Request) { return fromAddress(fmt.Sprintf(format, i)) }
	}
	for _, tc := range []struct {
		rule               string
		strangers, streams int
		from               func(i, n int) func(*http.Request)
		olga               func(*http.Request)
		within             time.Duration
	}{
		{"24 strangers behind a proxy that tells nobody apart", 24, 1, func(int, int) func(*http.Request) { return fromAddress("192.0.2.1:4") }, fromAddress("192.0.2.1:5"), 2600 * time.Millisecond},
		{"24 strangers at addresses of their own", 24, 1, address("198.51.100.%d:80"), fromAddress("192.0.2.1:5"), 300 * time.Millisecond},
		{"200 strangers in networks of their own", 200, 1, address("10.0.%d.1:80"), fromAddress("192.0.2.1:5"), 300 * time.Millisecond},
		{"200 strangers behind the operator's own proxy", 200, 1, func(i, _ int) func(*http.Request) { return viaProxy(fmt.Sprintf("10.0.%d.1", i)) }, viaProxy("203.0.113.5"), 300 * time.Millisecond},
		{"a stranger with 200 requests at a time", 1, 200, address("198.51.100.%d:80"), fromAddress("192.0.2.1:5"), 300 * time.Millisecond},
		{"a stranger with all addresses of an IPv6 network", 50, 4, func(i, n int) func(*http.Request) {
			return fromAddress(fmt.Sprintf("[2001:db8:7:%x::%x]:80", (n*200+i)%65536, i))
		}, fromAddress("[2001:db8:1::1]:80"), 300 * time.Millisecond},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g, _ := slowly(t)
				flood(t, g, tc.strangers, tc.streams, tc.from)
				time.Sleep(30 * time.Second)
				began := time.Now()
				g.want(200, "", "GET", "/v1/whoami", "", basicAs("olga", "correct horse battery"), tc.olga)
				if took := time.Since(began); took > tc.within {
					t.Errorf("the first sign-in took %v, more than %v", took, tc.within)
				}
				// Who mistyped once comes in their turn, too.
				began = time.Now()
				g.want(401, "", "GET", "/v1/whoami", "", basicAs("olga", "correct horse batterz"), fromAddress("203.0.113.9:80"))
				if took := time.Since(began); took > 26*100*time.Millisecond {
					t.Errorf("a first try took %v", took)
				}
				// And who is in waits for nobody.
				for range 76 {
					began := time.Now()
					g.want(200, "", "GET", "/v1/whoami", "", basicAs("olga", "correct horse battery"), fromAddress("203.0.113.7:1"))
					if time.Since(began) > 0 {
						t.Fatal("who is signed in waits")
					}
					time.Sleep(50 * time.Millisecond)
				}
			})
		})
	}
}

// TestSignInsTakeTurns: an operator who looks like one of the strangers gets
// their turn, too.
func TestSignInsTakeTurns(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		rule      string
		strangers int
		from      func(i, n int) func(*http.Request)
		mistyped  bool
	}{
		{"having mistyped once, among 200 who did", 200, func(i, _ int) func(*http.Request) { return fromAddress(fmt.Sprintf("10.0.%d.1:80", i)) }, true},
		{"among 140 who come from another network each time", 140, func(i, n int) func(*http.Request) {
			return fromAddress(fmt.Sprintf("10.%d.%d.1:80", i, n%256))
		}, false},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g, _ := slowly(t)
				flood(t, g, tc.strangers, 1, tc.from)
				time.Sleep(30*time.Second + 50*time.Millisecond) // between two turns
				olga := fromAddress("203.0.113.9:80")
				if tc.mistyped {
					g.want(401, "", "GET", "/v1/whoami", "", basicAs("olga", "correct horse batterz"), olga)
				}
				began := time.Now()
				for g.do("", "GET", "/v1/whoami", "", basicAs("olga", "correct horse battery"), olga).status != 200 {
					if took := time.Since(began); took > 5*time.Minute {
						t.Fatalf("not in after %v", took)
					}
					time.Sleep(time.Second)
				}
			})
		})
	}
}

// TestSignedInStaysIn: a password that was right is known until twelve hours
// after its last use.
func TestSignedInStaysIn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, hashed := slowly(t)
		ask := func(hashes int32) {
			t.Helper()
			g.want(200, "", "GET", "/v1/whoami", "", basicAs("olga", "correct horse battery"))
			if n := hashed.Load(); n != hashes {
				t.Errorf("%d passwords were hashed, want %d", n, hashes)
			}
		}
		ask(1)
		for range 3 {
			time.Sleep(11 * time.Hour)
			ask(1)
		}
		time.Sleep(12 * time.Hour)
		ask(2)
		g.want(401, "", "GET", "/v1/whoami", "", basicAs("olga", "correct horse batterz"))
		ask(3) // a guess takes nothing from who is in
	})
}

// TestNobodyWaitsForAPasswordForever: who gives up, or waits too long, leaves
// their place, and the turn goes on.
func TestNobodyWaitsForAPasswordForever(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, hashed := slowly(t)
		ctx, giveUp := context.WithTimeout(t.Context(), 250*time.Millisecond)
		defer giveUp()
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() {
				g.do("", "GET", "/v1/whoami", "", basicAs("olga", fmt.Sprint("a guess that is wrong ", i)), func(r *http.Request) { *r = *r.WithContext(ctx) })
			})
		}
		all.Wait()
		if n := hashed.Load(); n > 4 {
			t.Errorf("%d passwords were hashed of those that gave up after the third", n)
		}
		g.want(200, "", "GET", "/v1/whoami", "", basicAs("olga", "correct horse battery"))
	})
}

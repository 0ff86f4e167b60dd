package admin_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey/admin"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage/memstore"
)

func basicAs(name, password string) func(*http.Request) {
	return func(r *http.Request) { r.SetBasicAuth(name, password) }
}

func TestHashPassword(t *testing.T) {
	t.Parallel()
	hash, err := admin.HashPassword("correct horse battery")
	if err != nil || !strings.HasPrefix(hash, "$argon2id$v=19$m=65536,t=3,p=1$") {
		t.Fatalf("%q, %v", hash, err)
	}
	if again, _ := admin.HashPassword("correct horse battery"); again == hash {
		t.Error("each hash has its own salt")
	}
	if !admin.PasswordMatches(hash, "correct horse battery") || admin.PasswordMatches(hash, "correct horse batterz") {
		t.Error("a password is known by its hash, and no other")
	}
	for _, password := range []string{"", "short", strings.Repeat("x", 1025)} {
		if _, err := admin.HashPassword(password); apikey.CodeOf(err) != apikey.InvalidArgument {
			t.Errorf("a password of %d bytes is refused: %v", len(password), err)
		}
	}
	// The vector of RFC 9106 has a secret and associated data, which no
	// library's simple form takes; this one is the reference program's.
	if !admin.PasswordMatches("$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "password") {
		t.Error("hashes of the reference program are known")
	}
}

func TestBasicAuthRefusesAccounts(t *testing.T) {
	t.Parallel()
	good := admin.Account{Name: "olga", Hash: admin.CheapHash("correct horse battery"), Actor: admin.Actor{Role: admin.Operator}}
	for rule, edit := range map[string]func(*admin.Account){
		"a name":                       func(a *admin.Account) { a.Name = "" },
		"a name without a colon":       func(a *admin.Account) { a.Name = "a:b" },
		"a hash":                       func(a *admin.Account) { a.Hash = "" },
		"a hash, not a password":       func(a *admin.Account) { a.Hash = "correct horse battery" },
		"argon2id":                     func(a *admin.Account) { a.Hash = strings.Replace(a.Hash, "argon2id", "argon2i", 1) },
		"its version":                  func(a *admin.Account) { a.Hash = strings.Replace(a.Hash, "v=19", "v=16", 1) },
		"bounded memory":               func(a *admin.Account) { a.Hash = strings.Replace(a.Hash, "m=64", "m=262145", 1) },
		"bounded time":                 func(a *admin.Account) { a.Hash = strings.Replace(a.Hash, "t=1", "t=17", 1) },
		"some time":                    func(a *admin.Account) { a.Hash = strings.Replace(a.Hash, "t=1", "t=0", 1) },
		"some lanes":                   func(a *admin.Account) { a.Hash = strings.Replace(a.Hash, "p=1", "p=0", 1) },
		"lanes in a byte":              func(a *admin.Account) { a.Hash = strings.Replace(a.Hash, "p=1", "p=257", 1) },
		"a whole hash":                 func(a *admin.Account) { a.Hash = a.Hash[:strings.LastIndex(a.Hash, "$")+1] },
		"exact parameters":             func(a *admin.Account) { a.Hash = strings.Replace(a.Hash, "p=1", "p=1,x=2", 1) },
		"an actor":                     func(a *admin.Account) { a.Actor = admin.Actor{} },
		"a customer with their owner":  func(a *admin.Account) { a.Actor = admin.Actor{Role: admin.Customer} },
		"an operator without an owner": func(a *admin.Account) { a.Actor.Owner = "acme" },
	} {
		bad := good
		bad.Name = "somebody else"
		if _, err := admin.BasicAuth(good, bad); err != nil {
			t.Fatal(err)
		}
		edit(&bad)
		if _, err := admin.BasicAuth(good, bad); apikey.CodeOf(err) != apikey.InvalidArgument {
			t.Errorf("an account has %s: %v", rule, err)
		}
	}
	if _, err := admin.BasicAuth(); err == nil {
		t.Error("nobody could sign in")
	}
	if _, err := admin.BasicAuth(good, good); err == nil {
		t.Error("a name stands once")
	}
}

// TestBasicAuth: the right name with the right password, and nothing else.
func TestBasicAuth(t *testing.T) {
	t.Parallel()
	authorize, err := admin.BasicAuth(
		admin.Account{Name: "olga", Hash: admin.CheapHash("correct horse battery"), Actor: admin.Actor{Role: admin.Operator}},
		admin.Account{Name: "ann", Hash: admin.CheapHash("another good password"), Actor: admin.Actor{ID: "ann@acme", Role: admin.Customer, Owner: "acme"}},
	)
	if err != nil {
		t.Fatal(err)
	}
	g := newRigWith(t, memstore.New(), authorize, admin.Options{})
	k, token := g.key("acme", "production")
	g.key("evil", "theirs")
	for range 2 { // the second time by the digest of what was right
		if a := g.want(200, "", "GET", "/v1/whoami", "", basicAs("olga", "correct horse battery")); !strings.Contains(a.body, `"operator"`) {
			t.Errorf("olga is an operator: %s", a.body)
		}
		if a := g.want(200, "", "GET", "/", "", basicAs("ann", "another good password")); !strings.Contains(a.body, "production") || strings.Contains(a.body, "theirs") || !strings.Contains(a.body, "ann@acme") {
			t.Errorf("ann is a customer of acme:\n%s", a.body)
		}
		for rule, edit := range map[string]func(*http.Request){
			"nothing":                  func(*http.Request) {},
			"a wrong password":         basicAs("olga", "correct horse batterz"),
			"no password":              basicAs("olga", ""),
			"somebody else's password": basicAs("ann", "correct horse battery"),
			"an unknown name":          basicAs("nobody", "correct horse battery"),
			"a name in other letters":  basicAs("Olga", "correct horse battery"),
			"a password without end":   basicAs("olga", strings.Repeat("x", 1<<12)),
			"another scheme":           header("Authorization", "Digest username=olga"),
		} {
			a := g.want(401, "", "GET", "/v1/keys/"+k.ID, "", edit)
			if a.header.Get("WWW-Authenticate") != `Basic realm="API key administration", charset="UTF-8"` || a.problem(t).Detail != "the name or the password is wrong" {
				t.Errorf("%s is answered with a challenge: %v %s", rule, a.header, a.body)
			}
		}
		g.want(403, "", "GET", "/v1/keys", "", basicAs(token.Reveal(), "")) // an API key opens nothing
	}
	if strings.Contains(g.log.String(), "horse") {
		t.Error("a password is in the log")
	}
}

// TestBasicAuthHashesForEveryName: an unknown name takes the time of a known
// one.
func TestBasicAuthHashesForEveryName(t *testing.T) {
	t.Parallel()
	hashed := 0
	authorize, err := admin.BasicAuthHashing(func(hash func()) { hashed++; hash() },
		admin.Account{Name: "olga", Hash: admin.CheapHash("correct horse battery"), Actor: admin.Actor{Role: admin.Operator}})
	if err != nil {
		t.Fatal(err)
	}
	g := newRigWith(t, memstore.New(), authorize, admin.Options{})
	for i, name := range []string{"olga", "nobody", ""} {
		if g.want(401, "", "GET", "/v1/whoami", "", basicAs(name, "a guess that is wrong")); hashed != i+1 {
			t.Errorf("a password for the name %q is hashed: %d of %d", name, hashed, i+1)
		}
	}
}

// TestBasicAuthIsBounded: guesses are hashed one at a time, few wait, and the
// one who was signed in waits for nobody.
func TestBasicAuthIsBounded(t *testing.T) {
	t.Parallel()
	var busy, most atomic.Int32
	var held atomic.Bool
	release := make(chan struct{})
	authorize, err := admin.BasicAuthHashing(func(hash func()) {
		most.Store(max(most.Load(), busy.Add(1)))
		if held.Load() {
			<-release
		}
		hash()
		busy.Add(-1)
	}, admin.Account{Name: "olga", Hash: admin.CheapHash("correct horse battery"), Actor: admin.Actor{Role: admin.Operator}})
	if err != nil {
		t.Fatal(err)
	}
	g := newRigWith(t, memstore.New(), authorize, admin.Options{})
	g.want(200, "", "GET", "/v1/whoami", "", basicAs("olga", "correct horse battery"))
	held.Store(true)
	const guesses = 4 * admin.MaxWaiting
	statuses := make(chan int, guesses)
	for range guesses {
		go func() {
			statuses <- g.do("", "GET", "/v1/whoami", "", basicAs("olga", "a guess that is wrong")).status
		}()
	}
	for range guesses - admin.MaxWaiting {
		select {
		case status := <-statuses:
			if status != 503 {
				t.Errorf("of more than %d one is turned away: %d", admin.MaxWaiting, status)
			}
		case <-time.After(10 * time.Second): // only when they wait for ever
			close(release)
			t.Fatalf("more than %d wait", admin.MaxWaiting)
		}
	}
	g.want(200, "", "GET", "/v1/whoami", "", basicAs("olga", "correct horse battery"))
	close(release)
	for range admin.MaxWaiting {
		if status := <-statuses; status != 401 {
			t.Errorf("those that waited are answered: %d", status)
		}
	}
	if n := most.Load(); n != 1 {
		t.Errorf("%d passwords were hashed at once, want 1", n)
	}
}

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
	return newRigWith(t, memstore.New(), authorize, admin.Options{}), hashed
}

func fromAddress(addr string) func(*http.Request) {
	return func(r *http.Request) { r.RemoteAddr = addr }
}

// flood is strangers who guess without a pause, each from an address, until the
// test ends, and with so many requests at a time.
func flood(t *testing.T, g *rig, strangers, streams int, address func(i int) string) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	t.Cleanup(func() { stop(); all.Wait() })
	for i := range strangers * streams {
		all.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				a := g.do("", "GET", "/v1/whoami", "", basicAs("olga", fmt.Sprint("a guess that is wrong ", i, n)), fromAddress(address(i%strangers)), func(r *http.Request) { *r = *r.WithContext(ctx) })
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
	for _, tc := range []struct {
		rule               string
		strangers, streams int
		address            func(i int) string
		olga               string
		within             time.Duration
	}{
		{"24 strangers behind the operator's own proxy", 24, 1, func(int) string { return "192.0.2.1:4" }, "192.0.2.1:5", 2600 * time.Millisecond},
		{"24 strangers at addresses of their own", 24, 1, func(i int) string { return fmt.Sprint("198.51.100.", i, ":80") }, "192.0.2.1:5", 300 * time.Millisecond},
		{"a stranger with 200 requests at a time", 1, 200, func(int) string { return "198.51.100.1:80" }, "192.0.2.1:5", 300 * time.Millisecond},
		{"a stranger with all addresses of an IPv6 network", 50, 4, func(i int) string { return fmt.Sprintf("[2001:db8::%x]:80", i) }, "[2001:db8:1::1]:80", 300 * time.Millisecond},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g, _ := slowly(t)
				flood(t, g, tc.strangers, tc.streams, tc.address)
				began := time.Now()
				g.want(200, "", "GET", "/v1/whoami", "", basicAs("olga", "correct horse battery"), fromAddress(tc.olga))
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
		for range 10 {
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

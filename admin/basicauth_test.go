package admin_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
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

package admin

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/bounds"
)

// Account is somebody who signs in with a name and a password; see
// [BasicAuth].
type Account struct {
	// Name is what the person types: 1 to 256 bytes without a colon.
	Name string
	// Hash is the password's, as [HashPassword] or the argon2 program writes
	// it: $argon2id$v=19$m=…,t=…,p=…$salt$hash.
	Hash string
	// Actor is who they are; its ID is Name if it is empty.
	Actor Actor
}

const (
	// signedInFor is how long after its last use a password that was right is
	// known again without the cost of its hash.
	signedInFor = 12 * time.Hour
)

// BasicAuth returns an Authorizer for a handful of people without a sign-in of
// your own: HTTP Basic authentication, over TLS, with passwords that are kept
// as argon2id hashes.
//
// One password is hashed at a time, so that guesses cost memory and time once,
// whatever their number, and come slowly: some ten in a second. At most 128 wait
// for their turn, for 15 seconds; others are answered with 503 and Retry-After.
// Addresses that sent a wrong password wait for those that did not, and lose their
// places first. Whoever signs in for the first time while 24 strangers keep
// guessing is in after 25 hashes at most, two or three seconds; or at once, from
// an address of their own. A password that was right is recognised, by a keyed
// digest, until twelve hours after its last use: who is signed in waits for
// nobody. An unknown name costs as much as a wrong password and is answered alike.
//
// A mistake in the accounts is an error that names the field. To sign somebody
// out, restart with other accounts: a browser keeps sending what it knows.
func BasicAuth(accounts ...Account) (Authorizer, error) {
	b, err := newBasicAuth(accounts)
	if err != nil {
		return nil, err
	}
	return b.authorize, nil
}

func newBasicAuth(accounts []Account) (*basicAuth, error) {
	if len(accounts) == 0 {
		return nil, invalid("BasicAuth", "needs at least one account")
	}
	b := &basicAuth{
		accounts: make(map[string]*basicAccount), matches: (*passwordHash).matches,
	}
	_, _ = rand.Read(b.key[:]) // never fails: it ends the program instead
	for i, a := range accounts {
		field := fmt.Sprintf("accounts[%d]", i)
		if a.Name == "" || len(a.Name) > 256 || strings.Contains(a.Name, ":") || !bounds.Text(a.Name) {
			return nil, invalid(field+".Name", "must be 1 to 256 bytes without a colon")
		}
		if b.accounts[a.Name] != nil {
			return nil, invalid(field+".Name", strconv.Quote(a.Name)+" stands twice")
		}
		hash, err := parsePasswordHash(a.Hash)
		if err != nil {
			return nil, invalid(field+".Hash", err.Error())
		}
		if a.Actor.ID == "" {
			a.Actor.ID = a.Name
		}
		if err := a.Actor.validate(); err != nil {
			return nil, invalid(field+".Actor", err.Error())
		}
		b.accounts[a.Name] = &basicAccount{actor: a.Actor, hash: hash}
		if b.nobody == nil || hash.costs(b.nobody) {
			b.nobody = hash.decoy()
		}
	}
	return b, nil
}

type basicAuth struct {
	key      [32]byte // of the digests of passwords that were right
	turns    turns
	accounts map[string]*basicAccount // by name; read only
	nobody   *passwordHash            // that unknown names are checked against
	matches  func(h *passwordHash, password string) bool
}

type basicAccount struct {
	actor Actor
	hash  *passwordHash

	mu    sync.Mutex
	right [sha256.Size]byte // digest of the password that was right last
	until time.Time
}

var errPassword = &failure{
	info: apikey.Unauthenticated.Info(), detail: "the name or the password is wrong",
	header: http.Header{"Www-Authenticate": {`Basic realm="API key administration", charset="UTF-8"`}},
}

func (b *basicAuth) authorize(r *http.Request) (Actor, error) {
	name, password, ok := r.BasicAuth()
	if !ok || len(password) > maxPassword {
		return Actor{}, errPassword
	}
	account := b.accounts[name]
	digest := b.digest(name, password)
	if account != nil && account.remembers(&digest, time.Now()) {
		return account.actor, nil
	}
	from, right := networkOf(r), false
	if !b.turns.take(r.Context(), from) {
		return Actor{}, apikey.ErrUnavailable
	}
	defer func() { b.turns.give(from, right) }()
	if account != nil && account.remembers(&digest, time.Now()) { // meanwhile, by another request
		right = true
		return account.actor, nil
	}
	hash := b.nobody
	if account != nil {
		hash = account.hash
	}
	if !b.matches(hash, password) || account == nil {
		return Actor{}, errPassword
	}
	right = true
	account.remember(&digest, time.Now())
	return account.actor, nil
}

// digest is of a name and a password, under a key of this process alone.
func (b *basicAuth) digest(name, password string) (digest [sha256.Size]byte) {
	mac := hmac.New(sha256.New, b.key[:])
	mac.Write([]byte(name + "\x00" + password))
	mac.Sum(digest[:0])
	return digest
}

// remembers reports whether the password was right before, and remembers it for
// longer then.
func (a *basicAccount) remembers(digest *[sha256.Size]byte, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if subtle.ConstantTimeCompare(digest[:], a.right[:]) != 1 || !now.Before(a.until) {
		return false
	}
	a.until = now.Add(signedInFor)
	return true
}

func (a *basicAccount) remember(digest *[sha256.Size]byte, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.right, a.until = *digest, now.Add(signedInFor)
}

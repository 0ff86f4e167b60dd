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
	// Hash is the hash of the password, as [HashPassword] or the argon2 program
	// writes it: $argon2id$v=19$m=…,t=…,p=…$salt$hash.
	Hash string
	// Actor is who they are; an empty ID means Name.
	Actor Actor
}

const (
	// signedInFor is how long after its last use a correct password is recognised
	// without the cost of hashing it.
	signedInFor = 12 * time.Hour
)

// BasicAuth returns an Authorizer for a handful of people without a sign-in of
// your own: HTTP Basic authentication, over TLS, with passwords that are stored
// as argon2id hashes.
//
// Only one password is hashed at a time, so that guesses, whatever their
// number, cost the memory and time of one hash and are slow: some ten per
// second. At most 128 requests wait for their turn, for 15 seconds; others are
// answered with 503 and Retry-After. Networks that sent a wrong password (the
// /24 of an IPv4 address, the /48 of an IPv6 address) wait behind those that did
// not, and lose their places first. So somebody who signs in for the first time
// is admitted at once from a network of their own, and after at most 25 hashes,
// two or three seconds, from one where 24 strangers keep guessing. Only guesses
// that keep coming from new networks, thousands of them, can keep somebody out.
// A correct password is recognised, by a keyed digest, until twelve hours after
// its last use: people who are signed in do not wait. An unknown name takes as
// long as a wrong password and gets the same answer.
//
// Behind a proxy, set [Options.Guard] to a guard whose TrustedProxies name it:
// otherwise everybody comes from the network of the proxy.
//
// A mistake in the accounts is an error that names the field. To sign somebody
// out, restart with other accounts: a browser keeps sending the password that
// it has.
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
			return nil, invalid(field+".Name", strconv.Quote(a.Name)+" is duplicated")
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
	key      [32]byte // for the digests of correct passwords
	turns    turns
	accounts map[string]*basicAccount // by name; read-only
	nobody   *passwordHash            // used to check unknown names
	matches  func(h *passwordHash, password string) bool
}

type basicAccount struct {
	actor Actor
	hash  *passwordHash

	mu    sync.Mutex
	right [sha256.Size]byte // digest of the last correct password
	until time.Time
}

var errPassword = &failure{
	info: apikey.Unauthenticated.Info(), detail: "the name or the password is wrong",
	header: http.Header{"Www-Authenticate": {`Basic realm="API key administration", charset="UTF-8"`}},
}

// errNoTurn answers a sign-in that waited too long, or lost its place.
var errNoTurn = &failure{
	info: apikey.Unavailable.Info(), detail: unconfirmed, header: http.Header{"Retry-After": {"1"}},
	err: apikey.Unavailable, overload: true,
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
		return Actor{}, errNoTurn
	}
	defer func() { b.turns.give(from, right) }()
	if account != nil && account.remembers(&digest, time.Now()) { // another request has checked it meanwhile
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

// digest returns the digest of a name and a password, under a key that only
// this process has.
func (b *basicAuth) digest(name, password string) (digest [sha256.Size]byte) {
	mac := hmac.New(sha256.New, b.key[:])
	mac.Write([]byte(name + "\x00" + password))
	mac.Sum(digest[:0])
	return digest
}

// remembers reports whether the password was correct before, and if so extends
// how long it is remembered.
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

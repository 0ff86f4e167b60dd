package admin

import (
	"encoding/base64"
	"reflect"
	"sync"

	"github.com/wontopos/latchkey/storage/memstore"

	"github.com/wontopos/latchkey"
)

// Routes lists the table for tests that walk it: method, path and whether it
// is open to operators only, changes something, or needs nobody at all.
func Routes() []RouteInfo {
	var all []RouteInfo
	for _, rt := range table() {
		all = append(all, RouteInfo{
			Method: rt.method, Path: rt.path, API: rt.api(), NamesKey: rt.namesKey(),
			Operators: rt.access == operatorRead || rt.access == operatorOnly,
			Writes:    rt.access == writes || rt.access == operatorOnly,
			Everybody: rt.access == everybody, Nobody: rt.access == nobody,
		})
	}
	return all
}

// RouteInfo is one row.
type RouteInfo struct {
	Method, Path                                        string
	API, NamesKey, Operators, Writes, Everybody, Nobody bool
}

// NewForm names a form that was made at an instant; FormLife is how long it may
// be sent.
var NewForm = newForm

const FormLife = formLife

var bindShape = sync.OnceValue(func() *keyShape {
	keys, err := latchkey.New(memstore.New(), latchkey.Options{})
	if err != nil {
		panic(err)
	}
	return newKeyShape(keys)
})

// Bind reads a body as each of the request types and returns the pointers to
// its faults; ok reports whether it is JSON at all.
func Bind(raw []byte) (pointers []string, ok bool) {
	if wellFormed(raw) != nil {
		return nil, false
	}
	h := &Handler{validate: newValidator(bindShape())}
	for _, dst := range []any{new(createRequest), new(updateRequest), new(rotateRequest), new(identifyRequest), new(explainRequest)} {
		b := new(binder)
		b.value(raw, reflect.ValueOf(dst).Elem(), "")
		for _, f := range append(b.faults, h.check(dst)...) {
			pointers = append(pointers, f.Pointer)
		}
	}
	return pointers, true
}

// Sparkline draws days of admitted and refused requests, oldest first: the
// paths of what was admitted, of all, and of the limit, and the words.
func Sparkline(days [][2]uint64, limit uint64) (admitted, all, line, text string) {
	spans := make([]span, len(days))
	for i, d := range days {
		spans[i].Counts.Allowed, spans[i].Counts.RateLimited = d[0], d[1]
	}
	s := spark(spans, limit)
	return s.Admitted, s.All, s.Limit, s.Text
}

// BoundOf is the most that limits admit in a length of time.
var BoundOf = boundOf

// SparkHeight and SparkStep are the units of a sparkline.
const (
	SparkHeight = sparkHeight
	SparkStep   = sparkStep
)

// ReachText is what is said of a change.
var ReachText = reachText

// PasswordMatches checks a password against the text of a hash.
func PasswordMatches(hash, password string) bool {
	h, err := parsePasswordHash(hash)
	return err == nil && h.matches(password)
}

// CheapHash is a hash that costs next to nothing.
func CheapHash(password string) string {
	h := passwordHash{memory: 64, time: 1, lanes: 1, salt: []byte("saltsaltsalt"), sum: make([]byte, 32)}
	encode := base64.RawStdEncoding.EncodeToString
	return "$argon2id$v=19$m=64,t=1,p=1$" + encode(h.salt) + "$" + encode(h.of(password))
}

// MaxWaiting is how many requests at most wait for a password to be hashed, the
// one whose turn it is included.
const MaxWaiting = maxWaiting + 1

// BasicAuthHashing is BasicAuth with a function that is called around each
// hash.
func BasicAuthHashing(hashing func(hash func()), accounts ...Account) (Authorizer, error) {
	b, err := newBasicAuth(accounts)
	if err != nil {
		return nil, err
	}
	b.matches = func(h *passwordHash, password string) (ok bool) {
		hashing(func() { ok = h.matches(password) })
		return ok
	}
	return b.authorize, nil
}

// ServiceMethods are the names of what a service can do.
func ServiceMethods() (names []string) {
	service := reflect.TypeFor[*latchkey.Service]()
	for i := range service.NumMethod() {
		names = append(names, service.Method(i).Name)
	}
	return names
}

// Inert is a cell of an export.
func Inert(cell string) string { return inert(cell) }

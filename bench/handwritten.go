package main

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"strings"
	"sync"

	"golang.org/x/time/rate"
)

// This file is what people write who take no library: it verifies a key, sends no
// RateLimit headers and cuts nobody off. Scopes are checked beside frameworks alone.

type accountKey struct{}

// served is the handler under the hand-written middleware.
func served(w http.ResponseWriter, r *http.Request) {
	if _, ok := r.Context().Value(accountKey{}).(*account); !ok {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	answer(w)
}

// typicalKeys is the usual key table: a map by the hex digest behind an
// RWMutex.
type typicalKeys struct {
	mu   sync.RWMutex
	keys map[string]*account
}

func newTypicalKeys(k *keyset) *typicalKeys {
	t := &typicalKeys{keys: make(map[string]*account, k.n)}
	for _, a := range k.accounts() {
		t.keys[a.hexDigest] = a
	}
	return t
}

func (t *typicalKeys) find(token string) (*account, bool) {
	sum := sha256.Sum256([]byte(token))
	digest := hex.EncodeToString(sum[:])
	t.mu.RLock()
	a, ok := t.keys[digest]
	t.mu.RUnlock()
	if !ok || subtle.ConstantTimeCompare([]byte(a.hexDigest), []byte(digest)) != 1 {
		return nil, false
	}
	return a, true
}

// carefulKeys is the same without the detour over text.
type carefulKeys struct {
	mu   sync.RWMutex
	keys map[[32]byte]*account
}

func newCarefulKeys(k *keyset) *carefulKeys {
	t := &carefulKeys{keys: make(map[[32]byte]*account, k.n)}
	for _, a := range k.accounts() {
		t.keys[a.digest] = a
	}
	return t
}

func (t *carefulKeys) find(token string) (*account, bool) {
	sum := sha256.Sum256([]byte(token))
	t.mu.RLock()
	a, ok := t.keys[sum]
	t.mu.RUnlock()
	if !ok || subtle.ConstantTimeCompare(a.digest[:], sum[:]) != 1 {
		return nil, false
	}
	return a, true
}

// admit returns who a request acts for, or the status of its refusal.
func (t *carefulKeys) admit(authorization string) (*account, int) {
	token, ok := strings.CutPrefix(authorization, "Bearer ")
	if !ok {
		return nil, http.StatusUnauthorized
	}
	a, ok := t.find(token)
	switch {
	case !ok:
		return nil, http.StatusUnauthorized
	case !a.may(need):
		return nil, http.StatusForbidden
	}
	return a, http.StatusOK
}

// handWritten is the middleware over either table.
func handWritten(find func(token string) (*account, bool), allow func(*account) bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok {
			http.Error(w, "missing API key", http.StatusUnauthorized)
			return
		}
		a, ok := find(token)
		if !ok {
			http.Error(w, "invalid API key", http.StatusUnauthorized)
			return
		}
		if allow != nil && !allow(a) {
			http.Error(w, "rate limit exceeded", http.StatusTooManyRequests)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), accountKey{}, a)))
	})
}

const (
	noLimits   = ""
	rateLimits = "+2rate"
)

func newRates(b budget) (minute, day *rate.Limiter) {
	return rate.NewLimiter(rate.Limit(float64(b.minute)/60), int(b.minute)),
		rate.NewLimiter(rate.Limit(float64(b.day)/(24*60*60)), int(b.day))
}

// visitors is the usual recipe for a limiter of each client: a map of
// golang.org/x/time/rate limiters behind a mutex.
type visitors struct {
	mu    sync.Mutex
	rates map[string]*visitor
	b     budget
}

type visitor struct{ minute, day *rate.Limiter }

func newVisitors(b budget) *visitors { return &visitors{rates: map[string]*visitor{}, b: b} }

func (v *visitors) allow(a *account) bool {
	v.mu.Lock()
	of, ok := v.rates[a.id]
	if !ok {
		of = new(visitor)
		of.minute, of.day = newRates(v.b)
		v.rates[a.id] = of
	}
	v.mu.Unlock()
	return of.minute.Allow() && of.day.Allow()
}

func handTypical(limits string) peer {
	p := peer{name: "hand-typical" + limits, how: "hex string map key of SHA-256, RWMutex, constant-time compare, context value", does: verifyOnly}
	if limits == rateLimits {
		p.does, p.module, p.how = verifyAndLimit, "golang.org/x/time", p.how+"; two x/time/rate limiters a key in a map behind a mutex"
	}
	p.open = func(k *keyset) (func() op, func(), error) {
		var allow func(*account) bool
		if limits == rateLimits {
			allow = newVisitors(k.budget).allow
		}
		return httpOps(handWritten(newTypicalKeys(k).find, allow, http.HandlerFunc(served)), k), nothing, nil
	}
	return p
}

func handCareful(limits string) peer {
	p := peer{name: "hand-careful" + limits, how: "the same with a [32]byte map key", does: verifyOnly}
	if limits == rateLimits {
		p.does, p.module, p.how = verifyAndLimit, "golang.org/x/time", p.how+"; two x/time/rate limiters found with the key's own record, no second look-up"
	}
	p.open = func(k *keyset) (func() op, func(), error) {
		keys := newCarefulKeys(k)
		var allow func(*account) bool
		if limits == rateLimits {
			for _, a := range keys.keys {
				a.rates.minute, a.rates.day = newRates(k.budget)
			}
			allow = func(a *account) bool { return a.rates.minute.Allow() && a.rates.day.Allow() }
		}
		return httpOps(handWritten(keys.find, allow, http.HandlerFunc(served)), k), nothing, nil
	}
	return p
}

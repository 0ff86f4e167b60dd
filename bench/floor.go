package main

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// This file is the floor: the whole job in the simplest way that we know, for a
// handler that nobody should run. Its windows admit up to twice their limit, it
// checks no checksum and no grammar, and what it keeps of a request in flight
// could cut nothing.

// floorKey is all that the floor knows about a key, in one piece of memory.
type floorKey struct {
	digest      [sha256.Size]byte
	host        string
	scopes      uint64
	allowed     atomic.Uint64
	mu          sync.Mutex // guards what follows
	first       *floorCall // requests in flight
	minute, day floorWindow
}

type floorWindow struct{ start, length, n, most int64 }

func (w *floorWindow) take(now int64) bool {
	if now-w.start >= w.length {
		w.start, w.n = now-now%w.length, 0
	}
	if w.n >= w.most {
		return false
	}
	w.n++
	return true
}

// floorCall is one request: its context, its place in flight, and its copy.
type floorCall struct {
	context.Context
	key        *floorKey
	next, prev *floorCall
	field      [1]string
	request    http.Request
}

func (c *floorCall) Value(key any) any {
	if _, ok := key.(accountKey); ok {
		return c.key
	}
	return c.Context.Value(key)
}

func (c *floorCall) enter(now int64) (minute, day int64, ok bool) {
	k := c.key
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.minute.take(now) || !k.day.take(now) {
		return 0, 0, false
	}
	if c.next = k.first; c.next != nil {
		c.next.prev = c
	}
	k.first = c
	return k.minute.most - k.minute.n, k.day.most - k.day.n, true
}

func (c *floorCall) leave() {
	k := c.key
	k.mu.Lock()
	defer k.mu.Unlock()
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		k.first = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	}
}

// floorToken is what the floor digests of a token: "<id>_<secret>", which begins
// with the id.
func floorToken(token string) (body string, ok bool) {
	const checksum, length = 6, 55
	if len(token) < checksum+length {
		return "", false
	}
	return token[len(token)-checksum-length : len(token)-checksum], true
}

func floorPeer() peer {
	return peer{
		name: "floor", how: "the whole job as simply as possible, not for use: a map by id, one hash, scope and host, two approximate windows, a place in flight, one field",
		open: func(k *keyset) (func() op, func(), error) { return httpOps(floor(k), k), nothing, nil },
	}
}

func floor(k *keyset) http.Handler {
	var mu sync.RWMutex
	keys := make(map[[16]byte]*floorKey, k.n)
	for _, auth := range k.auth[:k.n] {
		body, _ := floorToken(auth)
		keys[[16]byte([]byte(body))] = &floorKey{
			digest: sha256.Sum256([]byte(body)), host: "api.example.com", scopes: 1,
			minute: floorWindow{length: int64(time.Minute), most: k.budget.minute},
			day:    floorWindow{length: int64(24 * time.Hour), most: k.budget.day},
		}
	}
	began := time.Now()
	policy := []string{`"minute";q=60;w=60, "day";q=1000;w=86400`}
	refuse := func(w http.ResponseWriter, status int) { http.Error(w, http.StatusText(status), status) }
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		lines := r.Header["Authorization"]
		if len(lines) != 1 || !strings.HasPrefix(lines[0], "Bearer ") {
			refuse(w, http.StatusUnauthorized)
			return
		}
		body, ok := floorToken(lines[0][len("Bearer "):])
		if !ok {
			refuse(w, http.StatusUnauthorized)
			return
		}
		mu.RLock()
		key := keys[[16]byte([]byte(body))]
		mu.RUnlock()
		if key == nil {
			refuse(w, http.StatusUnauthorized)
			return
		}
		sum := sha256.Sum256([]byte(body))
		if subtle.ConstantTimeCompare(sum[:], key.digest[:]) != 1 {
			refuse(w, http.StatusUnauthorized)
			return
		}
		if key.scopes&1 == 0 || key.host != r.Host {
			refuse(w, http.StatusForbidden)
			return
		}
		c := &floorCall{Context: r.Context(), key: key}
		minute, day, ok := c.enter(int64(time.Since(began)))
		if !ok {
			refuse(w, http.StatusTooManyRequests)
			return
		}
		defer c.leave()
		key.allowed.Add(1)
		var room [64]byte
		b := strconv.AppendInt(append(room[:0], `"minute";r=`...), minute, 10)
		b = strconv.AppendInt(append(b, `;t=30, "day";r=`...), day, 10)
		c.field[0] = string(append(b, `;t=3000`...))
		h := w.Header()
		h["Ratelimit-Policy"], h["Ratelimit"] = policy, c.field[:]
		c.request = *r.WithContext(c)
		if _, ok := c.request.Context().Value(accountKey{}).(*floorKey); !ok {
			refuse(w, http.StatusInternalServerError)
			return
		}
		answer(w)
	})
}

package middlewaretest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
)

// cases are what every adapter does alike, whatever its transport.
var cases = []struct {
	name  string
	needs []Ability
	check func(*stage)
}{
	{"good", nil, func(s *stage) {
		id, token := s.key()
		s.served(s.do(s.ask("who", token)), id)
	}},
	{"missing", nil, func(s *stage) { s.refused(s.ask("who", ""), apikey.MissingKey) }},
	{"malformed", nil, func(s *stage) {
		_, token := s.key()
		twice := s.ask("who", token)
		twice.Fields["Authorization"] = []string{"Bearer " + token, "Bearer " + token}
		s.refused(twice, apikey.MalformedRequest)
		s.refused(s.ask("who", token+" "+token), apikey.MalformedRequest)
	}},
	{"unknown", nil, func(s *stage) {
		_, token := s.key()
		_, other := s.key()
		s.refused(s.ask("who", other[:len(other)-44]+token[len(token)-44:]), apikey.InvalidKey) // another key's secret and checksum
		s.refused(s.ask("who", "nonsense"), apikey.InvalidKey)
	}},
	{"revoked", nil, func(s *stage) {
		id, token := s.key()
		s.served(s.do(s.ask("who", token)), id)
		s.revoke(id)
		s.refused(s.ask("who", token), apikey.RevokedKey)
	}},
	{"wrong environment", nil, func(s *stage) {
		_, token := s.key()
		elsewhere := s.ask("who", token)
		elsewhere.Host = sandboxHost
		s.refused(elsewhere, apikey.EnvironmentMismatch)
	}},
	{"wrong network", nil, func(s *stage) {
		_, token := s.key(bound("192.0.2.0/24"))
		s.refused(s.ask("who", token), apikey.NetworkNotAllowed)
		id, local := s.key(bound("127.0.0.0/8", "::1/128"))
		s.served(s.do(s.ask("who", local)), id)
	}},
	{"wrong scope", nil, func(s *stage) { // it is not charged
		id, token := s.key(limited(apikey.PerMinute(1)))
		s.refused(s.ask("write", token), apikey.InsufficientScope)
		s.served(s.do(s.ask("who", token)), id)
	}},
	{"limited", nil, func(s *stage) {
		id, token := s.key(limited(apikey.PerMinute(1), apikey.PerDay(100)))
		s.served(s.do(s.ask("who", token)), id)
		s.refused(s.ask("who", token), apikey.RateLimited)
	}},
	{"in progress", nil, func(s *stage) { // a request has its place until it ends, and also if it panics
		id, token := s.key(limited(apikey.Limit{Name: "parallel", N: 1, Concurrent: true}))
		done := s.later(s.ask("deaf", token))
		wait(s.T, "the handler begins", s.started)
		s.refused(s.ask("who", token), apikey.RateLimited)
		close(s.release)
		wait(s.T, "the handler ends", s.ended)
		wait(s.T, "the reply", done)
		wait(s.T, "the decision", s.decided)
		s.servedSoon(s.ask("who", token), id)
		if _, _, err := s.keys.Rotate(context.Background(), suite, id, latchkey.RotateOptions{}); err != nil { // the script counts what is in flight
			s.Fatal(err)
		}
		s.do(s.ask("panic", token))
		wait(s.T, "the decision", s.decided)
		s.servedSoon(s.ask("who", token), id)
	}},
	{"store down", nil, func(s *stage) {
		id, token := s.key()
		s.store.down.Store(true)
		s.refused(s.ask("who", token), apikey.Unavailable)
		s.store.down.Store(false)
		s.served(s.do(s.ask("who", token)), id)
	}},
	{"streaming", []Ability{Streaming}, func(s *stage) { // a part arrives before the next one is made
		_, token := s.key()
		arrived := make(chan string, 10)
		a := s.ask("stream", token)
		a.OnPart = func(part []byte) { arrived <- string(part) }
		done := s.later(a)
		if part := wait(s.T, "the first part", arrived); part != "one" {
			s.Errorf("the first part is %q", part)
		}
		close(s.release)
		if r := wait(s.T, "the end", done); r.Err != nil || r.Code != apikey.OK || string(r.Body) != "one late" {
			s.Errorf("a stream that nobody cuts is whole: %s", describe(r))
		}
	}},
	{"cut", []Ability{Cut}, func(s *stage) { // before the answer has begun, the client gets the refusal
		for _, script := range []string{"wait", "deaf"} {
			id, token := s.key()
			done := s.later(s.ask(script, token))
			wait(s.T, "the handler begins", s.started)
			s.revoke(id)
			if script == "deaf" {
				close(s.release)
			}
			s.cutWas(wait(s.T, "the reply", done))
		}
	}},
	{"cut stream", []Ability{Cut, Streaming}, func(s *stage) { // never looks whole
		id, token := s.key()
		arrived := make(chan string, 10)
		a := s.ask("stream", token)
		a.OnPart = func(part []byte) { arrived <- string(part) }
		done := s.later(a)
		wait(s.T, "the first part", arrived)
		wait(s.T, "the handler waits", s.started)
		s.revoke(id)
		if cause := wait(s.T, "the context ends", s.ended); !errors.Is(cause, apikey.RevokedKey) {
			s.Errorf("the context ends with the cause %v, got %v", apikey.RevokedKey, cause)
		}
		if r := wait(s.T, "the reply", done); r.Err == nil || string(r.Body) != "one" || r.Code != apikey.OK && r.Code != apikey.RevokedKey {
			s.Errorf("a stream that was cut is broken off: %s", describe(r))
		}
		wait(s.T, "OnCut", s.wasCut)
	}},
	{"cut upload", []Ability{Cut, Uploads}, func(s *stage) { // a handler that waits for its client is woken
		id, token := s.key()
		parts := make(chan []byte, 1)
		defer close(parts)
		parts <- []byte("first") // and then nothing
		a := s.ask("upload", token)
		a.Parts = parts
		done := s.later(a)
		wait(s.T, "the handler waits", s.started)
		s.revoke(id)
		if err := wait(s.T, "Receive returns", s.ended); errors.Is(err, io.EOF) {
			s.Error("an upload that was cut has no good end")
		}
		r := wait(s.T, "the reply", done)
		o := wait(s.T, "OnCut", s.wasCut)
		s.told(r, apikey.RevokedKey, &o)
	}},
	{"panic", nil, func(s *stage) { // leaves nothing in flight, and the server goes on
		id, token := s.key(limited(apikey.PerMinute(100)))
		if _, _, err := s.keys.Rotate(context.Background(), suite, id, latchkey.RotateOptions{}); err != nil { // what is in flight is counted from now on
			s.Fatal(err)
		}
		r := s.do(s.ask("panic", token))
		if n := wait(s.T, "the handler begins", s.started); n != 1 {
			s.Errorf("during the call 1 request is in flight, got %d", n)
		}
		if r.Err == nil && (r.Status == s.transport.status(apikey.OK) || r.Code != apikey.OK) {
			s.Errorf("a handler that panics has not answered: %s", describe(r))
		}
		wait(s.T, "the decision", s.decided)
		s.served(s.do(s.ask("who", token)), id)
		for start := time.Now(); s.inFlight(id) != 0; time.Sleep(time.Millisecond) { // a call may end after its client has left
			if time.Since(start) > patience {
				s.Fatal("the request of a handler that panicked is in flight for ever")
			}
		}
	}},
	{"crossing", nil, func(s *stage) { // 1,000 requests at once, with two keys
		var ids, tokens, policies [2]string
		for i := range ids {
			ids[i], tokens[i] = s.key(limited(apikey.PerMinute(int64(i+1) * 1_000_000)))
			policies[i] = fmt.Sprintf(`"minute";q=%d;w=60`, (i+1)*1_000_000)
		}
		var calls sync.WaitGroup
		for i := range 1000 {
			calls.Go(func() {
				r := s.doWithin(6*patience, s.ask("who", tokens[i%2])) // with the race detector, on a busy machine
				if got := values(r, "RateLimit-Policy"); string(r.Body) != ids[i%2] || len(got) != 1 || got[0] != policies[i%2] {
					s.Errorf("a request of the key %s, limited to %s, got %s, limited to %s", ids[i%2], policies[i%2], describe(r), got)
				}
			})
		}
		calls.Wait()
		if n := s.played.Load(); n != 1000 {
			s.Errorf("1000 requests reach the handler, got %d", n)
		}
	}},
}

// servedSoon checks that the script who answers for a key, once the call before
// this one has ended: that may be after its client has left.
func (s *stage) servedSoon(a Ask, id string) {
	s.Helper()
	r, start := s.do(a), time.Now()
	for ; r.Code == apikey.RateLimited && time.Since(start) < patience; r = s.do(a) {
		wait(s.T, "the decision", s.decided)
	}
	s.served(r, id)
}

// cutWas checks that a script has learnt why it was cut, and so has its client.
func (s *stage) cutWas(r Reply) {
	s.Helper()
	if cause := wait(s.T, "the handler ends", s.ended); !errors.Is(cause, apikey.RevokedKey) {
		s.Errorf("the context ends with the cause %v, got %v", apikey.RevokedKey, cause)
	}
	o := wait(s.T, "OnCut", s.wasCut)
	s.told(r, apikey.RevokedKey, &o)
}

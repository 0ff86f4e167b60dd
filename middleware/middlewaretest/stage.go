package middlewaretest

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
)

// stage is one server on a transport, with the scripts, keys and its guard's
// decisions.
type stage struct {
	*kit
	transport Transport
	call      func(context.Context, Ask) Reply
	decided   chan middleware.Outcome // by the guard
	wasCut    chan middleware.Outcome
	played    atomic.Int64 // scripts that have begun
	started   chan int     // scripts that wait; that of panic counts its key's requests in flight
	ended     chan error   // why each of them ended
	release   chan struct{}
	over      chan struct{} // closed when the test is
}

func newStage(t *testing.T, tr Transport) *stage {
	t.Helper()
	s := &stage{
		transport: tr, decided: make(chan middleware.Outcome, 2000), wasCut: make(chan middleware.Outcome, 10),
		started: make(chan int, 10), ended: make(chan error, 10), release: make(chan struct{}), over: make(chan struct{}),
	}
	k, guard := newKit(t, middleware.Options{
		OnDecision: func(_ context.Context, o middleware.Outcome) { s.decided <- o },
		OnCut:      func(_ context.Context, o middleware.Outcome) { s.wasCut <- o },
	})
	s.kit = k
	s.call = tr.Start(t, guard, s.scripts())
	t.Cleanup(func() { close(s.over) }) // before the server stops
	return s
}

func (s *stage) scripts() []Script {
	needs := func(scopes ...string) middleware.Route { return middleware.Route{Need: middleware.AllOf(scopes...)} }
	scripts := []Script{
		// who: answers with the key's id, from both places where it is found.
		{Name: "who", Route: needs("things:read"), Play: s.who},
		{Name: "write", Route: needs("things:read", "things:write"), Play: s.who},
		// wait: says nothing until its context ends, then tries to answer.
		{Name: "wait", Route: needs("things:read"), Play: s.wait},
		// deaf: ignores everything until the test lets it go, then tries to answer.
		{Name: "deaf", Route: needs("things:read"), Play: s.deaf},
		// stream: sends a part, and another one when the test lets it go.
		{Name: "stream", Route: needs("things:read"), Streams: true, Play: s.stream},
		// upload: receives to the end, then tries to answer.
		{Name: "upload", Route: needs("things:read"), Streams: true, Play: s.upload},
		// panic: panics.
		{Name: "panic", Route: needs("things:read"), Play: s.panic},
	}
	for i, script := range scripts {
		scripts[i].Play = func(ctx context.Context, p *apikey.Principal, x Exchange) error {
			s.played.Add(1)
			return script.Play(ctx, p, x)
		}
	}
	return scripts
}

func (s *stage) who(ctx context.Context, p *apikey.Principal, x Exchange) error {
	if from, _ := middleware.PrincipalFrom(ctx); p == nil || from != p {
		return fmt.Errorf("the principal is %v, and %v in the context", p, from)
	}
	return x.Send([]byte(p.KeyID()))
}

func (s *stage) wait(ctx context.Context, _ *apikey.Principal, x Exchange) error {
	s.started <- 0
	s.until(ctx)
	s.ended <- context.Cause(ctx)
	return x.Send([]byte("late"))
}

func (s *stage) deaf(ctx context.Context, _ *apikey.Principal, x Exchange) error {
	s.started <- 0
	<-s.release
	s.ended <- context.Cause(ctx)
	return x.Send([]byte("late"))
}

func (s *stage) stream(ctx context.Context, _ *apikey.Principal, x Exchange) error {
	if err := x.Send([]byte("one")); err != nil {
		return err
	}
	s.started <- 0
	s.until(ctx)
	s.ended <- context.Cause(ctx)
	return x.Send([]byte(" late"))
}

func (s *stage) upload(_ context.Context, _ *apikey.Principal, x Exchange) error {
	_, err := x.Receive()
	s.started <- 0
	for err == nil {
		_, err = x.Receive()
	}
	s.ended <- err
	return x.Send([]byte("late"))
}

func (s *stage) panic(_ context.Context, p *apikey.Principal, _ Exchange) error {
	s.started <- s.inFlight(p.KeyID())
	panic("the suite's own")
}

// inFlight counts the requests of a key that is being rotated.
func (s *stage) inFlight(id string) int {
	r, err := s.keys.Rotation(context.Background(), id)
	if err != nil {
		s.Error(err)
	}
	return r.InFlight
}

// until waits for the context of a script, its release or the end of the test.
func (s *stage) until(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-s.release:
	case <-s.over:
	}
}

// ask is a request to the live host, with a bearer token unless it is empty.
func (s *stage) ask(script, token string) Ask {
	a := Ask{Script: script, Host: liveHost, Fields: map[string][]string{}}
	if token != "" {
		a.Fields["Authorization"] = []string{"Bearer " + token}
	}
	return a
}

func (s *stage) do(a Ask) Reply { return s.doWithin(patience, a) }

func (s *stage) doWithin(d time.Duration, a Ask) Reply {
	s.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return s.call(ctx, a)
}

// later makes a request whose reply is received elsewhere.
func (s *stage) later(a Ask) <-chan Reply {
	done := make(chan Reply, 1)
	go func() { done <- s.do(a) }()
	return done
}

// served checks that the script who has answered for a key, as the guard decided.
func (s *stage) served(r Reply, id string) {
	s.Helper()
	if r.Code != apikey.OK || r.Status != s.transport.status(apikey.OK) || r.Err != nil || string(r.Body) != id {
		s.Errorf("the request of the key %s is served, with the status %s: got %s", id, s.transport.status(apikey.OK), describe(r))
	}
	o := wait(s.T, "the decision", s.decided)
	s.asDecided(r, &o)
	s.note(r)
}

// refused checks that no script has run, and that the client was told what the
// guard decided.
func (s *stage) refused(a Ask, code apikey.Code) {
	s.Helper()
	before := s.played.Load()
	r := s.do(a)
	if n := s.played.Load() - before; n != 0 {
		s.Errorf("no handler runs for a request that is refused as %s, %d did", code, n)
	}
	o := wait(s.T, "the decision", s.decided)
	s.told(r, code, &o)
	s.asDecided(r, &o)
	for _, line := range a.Fields["Authorization"] {
		if said := fmt.Sprint(r); len(line) > 50 && strings.Contains(said, line[len(line)-30:]) {
			s.Errorf("an answer never holds the key: %s", said)
		}
	}
	s.note(r)
}

// told checks that a client knows why it was refused.
func (s *stage) told(r Reply, code apikey.Code, o *middleware.Outcome) {
	s.Helper()
	switch {
	case o.Code() != code:
		s.Errorf("the guard decides %s, got %s", code, o.Code())
	case r.Code != code || r.Status != s.transport.status(code) || r.Err != nil || len(r.Body) > 0:
		s.Errorf("the client is told %s with the status %s, and nothing else: got %s", code, s.transport.status(code), describe(r))
	case r.Detail != o.Detail():
		s.Errorf("the detail is %q, got %q", o.Detail(), r.Detail)
	}
}

// compared are the fields by which a client goes.
var compared = []string{"RateLimit-Policy", "RateLimit", "WWW-Authenticate", "Retry-After"}

// asDecided compares what a client got with what the guard decided.
func (s *stage) asDecided(r Reply, o *middleware.Outcome) {
	s.Helper()
	want := map[string][]string{}
	for name, value := range o.ResponseFields() {
		want[name] = append(want[name], value)
	}
	for _, name := range compared {
		if got := values(r, name); !slices.Equal(got, want[name]) {
			s.Errorf("%s is %q, got %q", name, want[name], got)
		}
	}
	if got := values(r, "Cache-Control"); o.Code() != apikey.OK && !slices.Equal(got, []string{"no-store"}) {
		s.Errorf("a refusal must not be stored, got Cache-Control %q", got)
	}
	if !slices.Equal(r.MissingScopes, o.MissingScopes()) || r.BaseURL != o.BaseURL() || r.RetryAfter != o.RetryAfter() {
		s.Errorf("missing scopes, base URL and seconds to wait are %v, %q and %d, got %v, %q and %d",
			o.MissingScopes(), o.BaseURL(), o.RetryAfter(), r.MissingScopes, r.BaseURL, r.RetryAfter)
	}
}

func values(r Reply, name string) []string {
	if r.Fields == nil {
		return nil
	}
	return r.Fields.Values(name)
}

// seconds differ from run to run.
var seconds = regexp.MustCompile(`(t=|After: |wait |again in )\d+`)

// describe says what a client saw.
func describe(r Reply) string {
	return fmt.Sprintf("status %q, code %q, body %q, error %v", r.Status, r.Code.Info().Name, r.Body, r.Err)
}

// note gives a reply to those who compare adapters.
func (s *stage) note(r Reply) {
	var b strings.Builder
	b.WriteString(r.Code.Info().Name)
	for _, name := range compared {
		for _, value := range values(r, name) {
			fmt.Fprintf(&b, "; %s: %s", name, value)
		}
	}
	fmt.Fprintf(&b, "; missing %v, base %q, wait %d; %s", r.MissingScopes, r.BaseURL, r.RetryAfter, r.Detail)
	s.Attr("reply", seconds.ReplaceAllString(b.String(), "${1}N"))
}

package middlewaretest

import (
	"context"
	"slices"
	"strconv"
	"testing"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
)

// Transport is what the suite needs to know about an adapter for a transport of
// any kind. For one that speaks HTTP, [HTTP] makes it.
type Transport struct {
	// Start serves the scripts, each guarded by g as it says, and returns what
	// makes a call and waits for its end. The server has to survive a handler that
	// panics: where the framework does not see to that, Start puts a recovery around
	// the guard. It stops with the test. Clients come from a loopback address.
	Start func(t *testing.T, g *middleware.Guard, scripts []Script) func(context.Context, Ask) Reply
	// Lacks lists what the transport cannot do, of what scripts need: Streaming, Cut
	// and Uploads. The suite tries each item, and it is a failure if the transport can
	// do it after all.
	Lacks []Ability
	// Status is what clients see as the status of a refusal, or of a good answer
	// for [apikey.OK]. nil means the status of HTTP.
	Status func(apikey.Code) string
}

// Script is a handler that any transport can play.
type Script struct {
	// Name identifies the script: it becomes a path, or the name of a method.
	Name string
	// Route is what the guard requires.
	Route middleware.Route
	// Streams says that Play receives, or sends several parts. Without it Play
	// sends one, its answer, as a unary call does.
	Streams bool
	// Play serves a request. An error is answered as the framework answers errors of
	// its handlers; a panic is left alone.
	Play func(ctx context.Context, p *apikey.Principal, x Exchange) error
}

// Exchange is a handler's side of a request.
type Exchange interface {
	// Send sends a part of the answer. If the script streams, it goes out at once.
	Send(part []byte) error
	// Receive returns the next part of the request, and [io.EOF] after the last.
	// Parts may be joined or divided on their way.
	Receive() ([]byte, error)
}

// Ask is a request for a script.
type Ask struct {
	Script string              // its name
	Host   string              // that the client calls
	Fields map[string][]string // of the header, by canonical name
	Parts  <-chan []byte       // of the request, which ends when it is closed; nil for none
	OnPart func(part []byte)   // is told each part of the answer when it arrives
}

// Reply is what a client has seen of the answer when it is over.
type Reply struct {
	Status string      // in the transport's own terms
	Code   apikey.Code // of a refusal, and OK for anything else

	// What a refusal says, wherever the transport puts it.
	Detail        string
	MissingScopes []string
	BaseURL       string
	RetryAfter    int64 // in seconds

	Fields middleware.Fields // of the response
	Body   []byte            // all parts of the answer, without a refusal's
	// Err says why there was no answer, or why it ended before it was whole. A
	// refusal is an answer, unless parts came before it.
	Err error
}

// RunTransport runs every case as a subtest. The attributes "reply" of a subtest
// tell what its clients saw, in words that are the same over every transport, and
// "lacks" tells why it was skipped: tools/adapters, in this module's repository,
// makes one table of all adapters from them.
func RunTransport(t *testing.T, tr Transport) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			Harness{Lacks: tr.Lacks}.needs(t, c.needs...)
			c.check(newStage(t, tr))
		})
	}
	for _, a := range tr.Lacks {
		t.Run("it lacks "+string(a)+", as it says", func(t *testing.T) {
			t.Parallel()
			script, known := map[Ability]string{Streaming: "stream", Cut: "wait", Uploads: "upload"}[a]
			if !known {
				t.Fatalf("%q is not an ability that a script needs", a)
			}
			if newStage(t, tr).has(a, script) {
				t.Errorf("the adapter says that it lacks %q, and has it: take it out of Transport.Lacks, so that its cases are checked", a)
			}
		})
	}
}

func (tr Transport) status(code apikey.Code) string {
	if tr.Status != nil {
		return tr.Status(code)
	}
	return strconv.Itoa(code.Info().Status)
}

// has tries an ability with a script that needs it.
func (s *stage) has(a Ability, script string) bool {
	id, token := s.key()
	ctx, cancel := context.WithCancel(context.Background())
	parts, arrived, done := make(chan []byte, 1), make(chan struct{}, 10), make(chan struct{})
	parts <- []byte("first")
	s.Cleanup(func() {
		cancel()
		<-done
	})
	ask := s.ask(script, token)
	ask.OnPart = func([]byte) { arrived <- struct{}{} }
	if a == Uploads {
		ask.Parts = parts
	}
	go func() {
		defer close(done)
		s.call(ctx, ask)
	}()
	if a == Streaming {
		return within(arrived)
	}
	if !within(s.started) {
		return false
	}
	s.revoke(id)
	return within(s.ended)
}

// only returns the abilities that scripts need.
func only(all []Ability) []Ability {
	return slices.DeleteFunc(slices.Clone(all), func(a Ability) bool { return a != Streaming && a != Cut && a != Uploads })
}

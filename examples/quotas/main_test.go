package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/storage/memstore"
)

// shop is a server that sells tokens, and one customer's key.
type shop struct {
	*testing.T
	url, token string
}

// open starts a server with a plan. It is stopped as the program is when the test
// ends.
func open(t *testing.T, plan apikey.Plan, ask model) shop {
	t.Helper()
	store := memstore.New()
	keys, err := latchkey.New(store, latchkey.Options{Plans: []apikey.Plan{plan}})
	if err != nil {
		t.Fatal(err)
	}
	guard, err := middleware.New(keys, middleware.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, token, err := keys.Create(t.Context(), apikey.Actor{ID: "test"}, latchkey.NewKey{Name: "x", Owner: "acme", Scopes: []string{"answers:write"}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(newAPI(guard, ask))
	t.Cleanup(func() {
		server.Close()
		if err := guard.Shutdown(context.Background(), nil, server.Config); err != nil {
			t.Error(err)
		}
	})
	return shop{t, server.URL, token.Reveal()}
}

// ask sends a prompt, and returns the status, the RateLimit field and the body.
func (s shop) ask(prompt string) (status int, left, body string) {
	s.Helper()
	r, err := http.NewRequestWithContext(s.Context(), "POST", s.url+"/v1/answers", strings.NewReader(prompt))
	if err != nil {
		s.Error(err)
		return 0, "", ""
	}
	r.Header.Set("Authorization", "Bearer "+s.token)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		s.Error(err)
		return 0, "", ""
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		s.Error(err)
	}
	return res.StatusCode, res.Header.Get("RateLimit"), string(b)
}

// echo answers at once, and uses a token for each byte of the prompt.
func echo(_ context.Context, prompt string) (string, int64, error) {
	if prompt == "down" {
		return "", 0, errors.New("down")
	}
	return prompt, int64(len(prompt)), nil
}

// TestAnAnswerCostsWhatItUsed: the next request finds the rest of what was
// reserved given back.
func TestAnAnswerCostsWhatItUsed(t *testing.T) {
	s := open(t, team, echo)
	left := 1_000_000
	for _, prompt := range []string{"hello", "down", "a longer prompt", strings.Repeat("x", mostTokens+1), "hello"} {
		status, field, _ := s.ask(prompt)
		if want := fmt.Sprintf(`"tokens";r=%d;t=`, left-mostTokens); !strings.HasPrefix(field, want) {
			t.Errorf("%.20q: RateLimit %s, want %s", prompt, field, want)
		}
		switch {
		case status == 200:
			left -= len(prompt)
		case status != http.StatusRequestEntityTooLarge && status != http.StatusBadGateway:
			t.Errorf("%.20q is answered %d", prompt, status)
		}
	}
}

// TestTheMonthIsUsedUp: what is left over is sold, but not more.
func TestTheMonthIsUsedUp(t *testing.T) {
	small := team
	small.Limits = append([]apikey.Limit{}, team.Limits...)
	small.Limits[0].N = 10_000
	s := open(t, small, echo)
	answered := 0
	for ; answered < 100; answered++ {
		status, _, text := s.ask(strings.Repeat("x", 3_000))
		if status == 200 {
			continue
		}
		if status != 429 || !strings.Contains(text, "The limit of 10000 tokens per calendar month (Europe/Berlin) is reached. Try again in ") {
			t.Errorf("%d: %s", status, text)
		}
		break
	}
	if answered != 3 {
		t.Errorf("%d answers of 3,000 tokens were sold, and a request reserves 4,000 of 10,000", answered)
	}
}

// TestTwoAtATime: a third request is refused until one of two has ended.
func TestTwoAtATime(t *testing.T) {
	thinking, done := make(chan bool), make(chan bool)
	s := open(t, team, func(ctx context.Context, prompt string) (string, int64, error) {
		if prompt == "think" {
			thinking <- true
			<-done
		}
		return echo(ctx, prompt)
	})
	answers := make(chan int, 2)
	for range 2 {
		go func() { status, _, _ := s.ask("think"); answers <- status }()
		<-thinking
	}
	if status, _, text := s.ask("me, too"); status != 429 || !strings.Contains(text, "The limit of 2 requests at the same time is reached. Try again when one of the requests in progress has ended.") {
		t.Errorf("a third request: %d: %s", status, text)
	}
	done <- true
	if status := <-answers; status != 200 {
		t.Errorf("the first one is answered %d", status)
	}
	if status, _, text := s.ask("me, too"); status != 200 {
		t.Errorf("after one has ended: %d: %s", status, text)
	}
	close(done)
	if status := <-answers; status != 200 {
		t.Errorf("the second one is answered %d", status)
	}
}

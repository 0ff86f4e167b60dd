package middlewaretest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
)

// ends are the ways in which a key, or a secret of it, ends.
var ends = []struct {
	name string
	code apikey.Code
	make func(*latchkey.NewKey)
	end  func(ctx context.Context, s *latchkey.Service, id string) error
}{
	{"revoked", apikey.RevokedKey, nil, func(ctx context.Context, s *latchkey.Service, id string) error {
		_, err := s.Revoke(ctx, suite, id, "suite")
		return err
	}},
	{"disabled", apikey.DisabledKey, nil, func(ctx context.Context, s *latchkey.Service, id string) error {
		_, err := s.Disable(ctx, suite, id, "suite")
		return err
	}},
	{"rotated out", apikey.ExpiredKey, nil, func(ctx context.Context, s *latchkey.Service, id string) error {
		_, _, err := s.Rotate(ctx, suite, id, latchkey.RotateOptions{Immediately: true})
		return err
	}},
	{"at the end of its grace", apikey.ExpiredKey, nil, func(ctx context.Context, s *latchkey.Service, id string) error {
		_, _, err := s.Rotate(ctx, suite, id, latchkey.RotateOptions{Grace: 50 * time.Millisecond})
		return err
	}},
	{"expired", apikey.ExpiredKey, func(n *latchkey.NewKey) { n.ExpiresAt = time.Now().Add(time.Second) }, func(context.Context, *latchkey.Service, string) error { return nil }},
}

// cutRules are about requests in flight.
func cutRules() []rule {
	rules := []rule{
		{"cut: a response that has begun is broken off, never ended", []Ability{Cut, Streaming}, cutStream},
		{"cut: so is that of a handler that returns at once", []Ability{Cut, Streaming}, func(t *testing.T, h Harness) { newRig(t, h, plain).cutQuit() }},
		{"cut: a handler that waits for a slow client is woken", []Ability{Cut, Streaming}, cutFlood},
		{"cut: a handler that waits for a slow upload is woken", []Ability{Cut, Uploads}, cutUpload},
		{"cut: the answer of a handler that notices nothing is suppressed", []Ability{Cut}, cutDeaf},
		{"cut: 103 is no beginning of a response", []Ability{Cut, Informational}, cutHint},
		{"cut: a hijacked connection is closed", []Ability{Cut, Hijack, HTTP1}, cutHijack},
		{"cut: so is one whose handler says goodbye, and nobody hears it", []Ability{Cut, Hijack, HTTP1}, cutGoodbye},
		{"cut: requests of other keys go on", []Ability{Cut, Streaming}, cutOthers},
		{"cut: the connection of an earlier request is left alone", []Ability{Cut, HTTP1}, cutKeepAlive},
		{"cut: a response to HTTP/1.0 is broken off by a reset", []Ability{Cut, Streaming, HTTP1}, cutHTTP10},
	}
	for _, e := range ends {
		rules = append(rules, rule{"cut: the client of a key that is " + e.name + " gets the refusal", []Ability{Cut}, func(t *testing.T, h Harness) {
			r := newRig(t, h, plain)
			id, token := r.key(func(n *latchkey.NewKey) {
				if e.make != nil {
					e.make(n)
				}
			})
			done := r.later(r.request("GET", "/wait", token, nil))
			wait(t, "the handler begins", r.started)
			if err := e.end(context.Background(), r.keys, id); err != nil {
				t.Fatal(err)
			}
			if cause := wait(t, "the context ends", r.ended); apikey.CodeOf(cause) != e.code {
				t.Errorf("the cause of the context is %v, got %v", e.code, cause)
			}
			r.settled(wait(t, "the answer", done), e.code, token)
		}})
	}
	return rules
}

// settled checks the answer to a request that was cut before it had answered.
func (r *rig) settled(res result, code apikey.Code, token string) {
	r.Helper()
	if res.err != nil {
		r.Fatalf("a client that got no header yet gets the refusal: %v", res.err)
	}
	r.challenged(res.answer, code, token, `Bearer realm="api", error="invalid_token"`)
	for _, name := range []string{"RateLimit", "RateLimit-Policy", "X-Secret-Finding", "Link"} {
		if got := res.Header.Get(name); got != "" {
			r.Errorf("the refusal has nothing of the response that it replaces: %s: %s", name, got)
		}
	}
}

// broken fails unless further reading ends in a visible error.
func (r *rig) broken(body io.Reader) {
	r.Helper()
	if rest, err := io.ReadAll(body); err == nil {
		r.Errorf("a response that was cut must not end as if it were whole; rest %q", clipped(rest))
	} else if strings.Contains(string(rest), "late") {
		r.Errorf("what is written after the cut must not arrive: %q", rest)
	}
}

func clipped(b []byte) []byte { return b[max(0, len(b)-64):] }

func cutStream(t *testing.T, h Harness) {
	r := newRig(t, h, plain)
	id, token := r.key()
	res, err := r.server.Client.Do(r.request("GET", "/stream", token, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	line, err := bufio.NewReader(res.Body).ReadString('\n')
	if err != nil || line != "data: hello\n" {
		t.Fatalf("the first event arrives at once: %q, %v", line, err)
	}
	r.revoke(id)
	if err := wait(t, "the handler ends", r.ended); !errors.Is(err, apikey.RevokedKey) {
		t.Errorf("writing after the cut returns the cause, got %v", err)
	}
	r.broken(res.Body)
}

func cutFlood(t *testing.T, h Harness) {
	r := newRig(t, h, plain)
	id, token := r.key()
	client := *r.server.Client
	client.Timeout = 0 // its expiry would wake the handler too
	res, err := client.Do(r.request("GET", "/flood", token, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	wait(t, "the handler begins", r.started)
	// Nobody reads, so the handler blocks in Write when all buffers are full. That
	// is so when nothing has moved for a while.
	for still, last := 0, int64(0); still < 10; still++ {
		time.Sleep(20 * time.Millisecond)
		if now := r.blocks.Load(); now != last {
			still, last = 0, now
		}
	}
	r.revoke(id)
	if err := wait(t, "the handler ends", r.ended); !errors.Is(err, apikey.RevokedKey) {
		t.Errorf("a write that the cut ends returns the cause, got %v", err)
	}
	r.broken(res.Body)
}

func cutUpload(t *testing.T, h Harness) {
	r := newRig(t, h, plain)
	id, token := r.key()
	body, feed := io.Pipe()
	defer feed.Close()
	go func() { _, _ = feed.Write([]byte("first")) }() // and then nothing
	done := r.later(r.request("POST", "/upload", token, body))
	wait(t, "the handler begins", r.started)
	r.revoke(id)
	if err := wait(t, "the handler ends", r.ended); err == nil {
		t.Error("reading the body ends in an error")
	}
	r.settled(wait(t, "the answer", done), apikey.RevokedKey, token)
}

func cutDeaf(t *testing.T, h Harness) {
	r := newRig(t, h, plain)
	id, token := r.key()
	done := r.later(r.request("GET", "/deaf", token, nil))
	wait(t, "the handler begins", r.started)
	r.revoke(id)
	close(r.release)
	if err := wait(t, "the handler ends", r.ended); !errors.Is(err, apikey.RevokedKey) {
		t.Errorf("writing after the cut returns the cause, got %v", err)
	}
	r.settled(wait(t, "the answer", done), apikey.RevokedKey, token)
}

func cutHint(t *testing.T, h Harness) {
	r := newRig(t, h, plain)
	id, token := r.key()
	hinted := make(chan int, 1)
	req := r.request("GET", "/hint", token, nil)
	req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, _ textproto.MIMEHeader) error { hinted <- code; return nil },
	}))
	done := r.later(req)
	if code := wait(t, "the hint", hinted); code != http.StatusEarlyHints {
		t.Errorf("got %d", code)
	}
	r.revoke(id)
	wait(t, "the handler ends", r.ended)
	r.settled(wait(t, "the answer", done), apikey.RevokedKey, token)
}

func cutOthers(t *testing.T, h Harness) {
	r := newRig(t, h, plain)
	id, _ := r.key()
	_, other := r.key()
	res, err := r.server.Client.Do(r.request("GET", "/stream", other, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	wait(t, "the handler begins", r.started)
	r.revoke(id)
	select {
	case err := <-r.ended:
		t.Errorf("a request of another key was ended: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
}

// dial opens a plain connection for requests written byte by byte.
func (r *rig) dial() (net.Conn, *bufio.Reader) {
	r.Helper()
	u, err := url.Parse(r.server.URL)
	if err != nil {
		r.Fatal(err)
	}
	conn, err := net.DialTimeout("tcp", u.Host, patience)
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn, bufio.NewReader(conn)
}

func (r *rig) raw(w io.Writer, path, proto, token string) {
	r.Helper()
	if _, err := fmt.Fprintf(w, "GET %s %s\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n", path, proto, liveHost, token); err != nil {
		r.Fatal(err)
	}
}

func cutHijack(t *testing.T, h Harness) {
	r := newRig(t, h, plain)
	id, token := r.key()
	conn, in := r.dial()
	r.raw(conn, "/hijack", "HTTP/1.1", token)
	wait(t, "the handler begins", r.started)
	res, err := http.ReadResponse(in, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("the connection is taken over: %v, %v", res, err)
	}
	_, _ = io.WriteString(conn, "hello\n")
	if line, err := in.ReadString('\n'); err != nil || line != "hello\n" {
		t.Fatalf("the connection echoes: %q, %v", line, err)
	}
	r.revoke(id)
	if err := wait(t, "the server's side ends", r.ended); err == nil {
		t.Error("reading from a closed connection is an error")
	}
	if _, err := in.ReadString('\n'); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("the client's side ends in a reset, not in an orderly end: %v", err)
	}
}

func cutKeepAlive(t *testing.T, h Harness) {
	r := newRig(t, h, plain)
	id, token := r.key()
	_, other := r.key()
	conn, in := r.dial()
	for i, bearer := range []string{token, other, token, other} {
		if i == 3 {
			r.revoke(id) // its request on this connection is over
		}
		r.raw(conn, "/read", "HTTP/1.1", bearer)
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("request %d on the connection: %v", i, err)
		}
		r.me(read(res))
	}
}

func cutHTTP10(t *testing.T, h Harness) {
	r := newRig(t, h, plain)
	id, token := r.key()
	conn, in := r.dial()
	r.raw(conn, "/stream", "HTTP/1.0", token)
	wait(t, "the handler begins", r.started)
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.revoke(id)
	wait(t, "the handler ends", r.ended)
	r.broken(res.Body)
}

// cutQuit is tried a few times, because either the handler or the loss of its
// connection may come first.
func (r *rig) cutQuit() {
	r.Helper()
	for range 3 {
		id, token := r.key()
		res, err := r.server.Client.Do(r.request("GET", "/quit", token, nil))
		if err != nil {
			r.Fatal(err)
		}
		wait(r, "the handler begins", r.started)
		r.revoke(id)
		wait(r, "the handler ends", r.ended)
		r.broken(res.Body)
		_ = res.Body.Close()
	}
}

func cutGoodbye(t *testing.T, h Harness) {
	r := newRig(t, h, plain)
	id, token := r.key()
	conn, in := r.dial()
	r.raw(conn, "/goodbye", "HTTP/1.1", token)
	if res, err := http.ReadResponse(in, nil); err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("the connection is taken over: %v, %v", res, err)
	}
	wait(t, "the handler begins", r.started)
	r.revoke(id)
	r.broken(in)
}

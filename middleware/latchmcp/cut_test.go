package latchmcp_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/latchkeytest"
)

// TestAStreamEndsWithItsKey: the GET on which a server sends what it likes.
func TestAStreamEndsWithItsKey(t *testing.T) {
	k := newKit(t, stateful, options, latchkeytest.Options{})
	key := k.key("things:read")
	id := k.raw(t.Context(), key, http.MethodPost, initialize).Header.Get("Mcp-Session-Id")
	w := k.raw(t.Context(), key, http.MethodGet, "", "Mcp-Session-Id", id)
	lines := bufio.NewReader(w.Body)
	if line, err := lines.ReadString('\n'); w.StatusCode != http.StatusOK || err != nil {
		t.Fatalf("the stream began with %d %q, %v", w.StatusCode, line, err)
	}
	key.Revoke()
	if _, err := io.ReadAll(lines); err == nil {
		t.Error("the stream of a revoked key looks complete")
	}
	if w := k.raw(t.Context(), key, http.MethodGet, "", "Mcp-Session-Id", id); w.StatusCode != http.StatusUnauthorized {
		t.Errorf("the next one is answered with %d", w.StatusCode)
	}
}

// TestASessionOfTheSDKEndsWithItsKey: a client that waits for its server learns
// of the end.
func TestASessionOfTheSDKEndsWithItsKey(t *testing.T) {
	k := newKit(t, stateful, options, latchkeytest.Options{})
	key := k.key("things:read")
	s := k.connect(key)
	started := make(chan struct{})
	k.serve = func(ctx context.Context, _ *mcp.CallToolRequest) (string, error) {
		close(started)
		<-ctx.Done()
		return "", context.Cause(ctx)
	}
	answer := make(chan error, 1)
	go func() {
		_, err := call(t.Context(), s, "read")
		answer <- err
	}()
	<-started
	key.Revoke()
	if err := <-answer; err == nil {
		t.Error("the call of a revoked key was answered")
	}
	if _, err := call(t.Context(), s, "read"); err == nil {
		t.Error("the session of a revoked key was served")
	}
}

// TestAToolEndsWithItsKey: its context says why, and nothing that it returns
// reaches the client.
func TestAToolEndsWithItsKey(t *testing.T) {
	for name, transport := range transports {
		t.Run(name, func(t *testing.T) {
			k := newKit(t, transport, options, latchkeytest.Options{})
			key := k.key("things:read")
			started, cause := make(chan struct{}), make(chan error, 1)
			k.serve = func(ctx context.Context, _ *mcp.CallToolRequest) (string, error) {
				close(started)
				<-ctx.Done()
				cause <- context.Cause(ctx)
				return "late", nil
			}
			var id []string
			if name == "stateful" {
				id = []string{"Mcp-Session-Id", k.raw(t.Context(), key, http.MethodPost, initialize).Header.Get("Mcp-Session-Id")}
			}
			answer := make(chan *http.Response, 1)
			go func() { answer <- k.raw(t.Context(), key, http.MethodPost, calling("read"), id...) }()
			<-started
			key.Revoke()
			if err := <-cause; err != error(apikey.RevokedKey) {
				t.Errorf("the tool's context ended with %v", err)
			}
			w := <-answer
			if body, err := io.ReadAll(w.Body); w.StatusCode != http.StatusUnauthorized {
				t.Errorf("the client got %d: %s, %v", w.StatusCode, body, err)
			}
		})
	}
}

// TestAToolEndsWithItsHTTPRequest: nothing runs on that no guard knows of.
func TestAToolEndsWithItsHTTPRequest(t *testing.T) {
	k := newKit(t, stateless, options, latchkeytest.Options{})
	started, cause := make(chan struct{}), make(chan error, 1)
	k.serve = func(ctx context.Context, _ *mcp.CallToolRequest) (string, error) {
		close(started)
		<-ctx.Done()
		cause <- context.Cause(ctx)
		return "", nil
	}
	ctx, leave := context.WithCancel(t.Context())
	key := k.key("things:read")
	done := make(chan struct{})
	go func() {
		defer close(done)
		r, _ := http.NewRequestWithContext(ctx, http.MethodPost, k.url, strings.NewReader(calling("read")))
		k.guard.SetCredential(r, key.Token.Reveal())
		r.Header.Set("Accept", "application/json, text/event-stream")
		r.Header.Set("Content-Type", "application/json")
		if w, err := http.DefaultClient.Do(r); err == nil {
			_ = w.Body.Close()
		}
	}()
	<-started
	leave()
	if err := <-cause; !errors.Is(err, context.Canceled) {
		t.Errorf("the tool's context ended with %v", err)
	}
	<-done
}

// TestAToolEndsWhenItsClientCancels: by a notification, while the HTTP request
// goes on.
func TestAToolEndsWhenItsClientCancels(t *testing.T) {
	k := newKit(t, stateful, options, latchkeytest.Options{})
	key := k.key("things:read")
	id := k.raw(t.Context(), key, http.MethodPost, initialize).Header.Get("Mcp-Session-Id")
	started := make(chan struct{})
	k.serve = func(ctx context.Context, _ *mcp.CallToolRequest) (string, error) {
		close(started)
		<-ctx.Done()
		return "ended", nil
	}
	answer := make(chan *http.Response, 1)
	go func() { answer <- k.raw(t.Context(), key, http.MethodPost, calling("read"), "Mcp-Session-Id", id) }()
	<-started
	k.raw(t.Context(), key, http.MethodPost, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}`, "Mcp-Session-Id", id)
	w := <-answer
	if body, err := io.ReadAll(w.Body); err != nil || !strings.Contains(string(body), "ended") {
		t.Errorf("the call is answered with %d: %s, %v", w.StatusCode, body, err)
	}
}

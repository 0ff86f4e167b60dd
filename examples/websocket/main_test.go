package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/latchkeytest"
	"github.com/wontopos/latchkey/middleware"
)

// offers are the ways of a client to send its key.
var offers = map[string]func(token string) *websocket.DialOptions{
	"subprotocol": func(token string) *websocket.DialOptions {
		return &websocket.DialOptions{Subprotocols: []string{"key." + token, "echo"}}
	},
	"Bearer": func(token string) *websocket.DialOptions {
		return &websocket.DialOptions{Subprotocols: []string{"echo"}, HTTPHeader: http.Header{"Authorization": {"Bearer " + token}}}
	},
}

// start serves the API on a real socket, and makes a key for it.
func start(t *testing.T) (*middleware.Guard, *latchkeytest.Key, *httptest.Server) {
	t.Helper()
	guard := latchkeytest.NewGuard(t, latchkeytest.Options{Guard: options})
	key := latchkeytest.CreateKey(t, guard, latchkey.NewKey{Owner: "acme", Scopes: []string{"echo:use"}})
	server := httptest.NewServer(newAPI(guard))
	t.Cleanup(server.Close)
	return guard, key, server
}

// connect opens a connection, and sees that it works.
func connect(t *testing.T, server *httptest.Server, o *websocket.DialOptions) (*websocket.Conn, *http.Response) {
	t.Helper()
	c, res, err := websocket.Dial(t.Context(), server.URL+"/v1/echo", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.CloseNow() })
	if err := c.Write(t.Context(), websocket.MessageText, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, answer, err := c.Read(t.Context()); err != nil || string(answer) != "acme: hello" {
		t.Fatalf("hello is answered %q, %v; want its echo", answer, err)
	}
	return c, res
}

// cut checks that a connection ends by itself within a second, and not with a
// close frame.
func cut(t *testing.T, c *websocket.Conn) {
	t.Helper()
	soon, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, _, err := c.Read(soon)
	if err == nil || soon.Err() != nil {
		t.Fatalf("after a second the read has not ended by itself: %v", err)
	}
	if code := websocket.CloseStatus(err); code != -1 {
		t.Errorf("a connection that is cut ends without a close frame, got %v", code)
	}
}

func TestRevocationCutsTheConnection(t *testing.T) {
	for place, offer := range offers {
		t.Run(place, func(t *testing.T) {
			_, key, server := start(t)
			c, _ := connect(t, server, offer(key.Token.Reveal()))
			key.Revoke()
			cut(t, c)
		})
	}
}

func TestAServerThatStopsWaitsForNoConnection(t *testing.T) {
	guard, key, server := start(t)
	c, _ := connect(t, server, offers["Bearer"](key.Token.Reveal()))
	if err := guard.Shutdown(t.Context(), nil, server.Config); err != nil {
		t.Error(err)
	}
	cut(t, c)
}

func TestABadKeyIsRefusedBeforeTheUpgrade(t *testing.T) {
	guard, revoked, server := start(t)
	revoked.Revoke()
	powerless := latchkeytest.CreateKey(t, guard, latchkey.NewKey{Owner: "acme"})
	for _, c := range []struct {
		name, token string
		status      int
	}{
		{"none", "", 401},
		{"one that was never made", "sk_live_nobody", 401},
		{"one that is revoked", revoked.Token.Reveal(), 401},
		{"one without the scope", powerless.Token.Reveal(), 403},
	} {
		for place, offer := range offers {
			o := offer(c.token)
			if c.token == "" {
				o = &websocket.DialOptions{Subprotocols: []string{"echo"}}
			}
			_, res, err := websocket.Dial(t.Context(), server.URL+"/v1/echo", o)
			if err == nil || res == nil || res.StatusCode != c.status {
				t.Errorf("%s as %s: want %d and no connection, got %v, %v", c.name, place, c.status, res, err)
			}
		}
	}
}

func TestTheKeyIsNotSentBack(t *testing.T) {
	_, key, server := start(t)
	token := key.Token.Reveal()
	c, res := connect(t, server, offers["subprotocol"](token))
	if c.Subprotocol() != "echo" {
		t.Errorf("the server chose the subprotocol %q, want echo", c.Subprotocol())
	}
	var header strings.Builder
	if err := res.Header.Write(&header); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(header.String(), token) {
		t.Error("the answer to the handshake contains the key")
	}
	// A client that offers only the key, and checks nothing.
	lax, _ := connect(t, server, &websocket.DialOptions{Subprotocols: []string{"key." + token}})
	if lax.Subprotocol() != "" {
		t.Errorf("a client that offers nothing but its key gets the subprotocol %q, want none", lax.Subprotocol())
	}
}

package main

import (
	"context"
	_ "embed"
	"net/http"
	"time"

	"github.com/coder/websocket"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
)

// options say where keys come. The key is taken out of the request that the
// handler gets, so that no mistake can choose it as the subprotocol and send it back.
var options = middleware.Options{
	Extractors:      []middleware.Extractor{middleware.Subprotocol("key."), middleware.Bearer()},
	StripCredential: true,
}

//go:embed page.html
var page []byte

func newAPI(guard *middleware.Guard) http.Handler {
	mux := guard.Mux()
	mux.Public("GET /{$}", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(page)
	}))
	mux.HandleFunc("GET /v1/echo", middleware.AllOf("echo:use"), echo)
	return mux
}

// echo answers every message. The limits of the key bound how often it may
// connect; what is sent over a connection is not charged.
func echo(w http.ResponseWriter, r *http.Request, p *apikey.Principal) {
	// Accept admits pages of this host only: OriginPatterns admits others. A browser
	// that offers no "echo" gets no subprotocol, and gives up.
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"echo"}})
	if err != nil {
		return // Accept has answered
	}
	defer c.CloseNow()
	for {
		// When the key ends or the server stops, so does the context, and the guard
		// cuts the connection: a browser sees code 1006, never a close frame.
		kind, message, err := c.Read(r.Context())
		if err != nil {
			return
		}
		if write(r.Context(), c, kind, append([]byte(p.Owner()+": "), message...)) != nil {
			return
		}
	}
}

// write gives up on a client that does not read: the timeouts of an http.Server end
// with the upgrade.
func write(ctx context.Context, c *websocket.Conn, kind websocket.MessageType, message []byte) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return c.Write(ctx, kind, message)
}

package middlewaretest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
)

// whoami is the body of the routes that only answer.
type whoami struct {
	Key         string `json:"key"` // empty without a principal
	Owner       string `json:"owner"`
	Environment string `json:"environment"`
	FromContext bool   `json:"from_context"` // the context has the same principal
}

func (r *rig) routes() []Route {
	needs := func(scopes ...string) middleware.Route { return middleware.Route{Need: middleware.AllOf(scopes...)} }
	return []Route{
		// who: says whose request it is, as JSON.
		{Name: "who", Method: "GET", Path: "/read", Route: needs("things:read"), Handler: r.who},
		{Name: "who", Method: "POST", Path: "/write", Route: needs("things:read", "things:write"), Handler: r.who},
		{Name: "who", Method: "GET", Path: "/either", Route: middleware.Route{Need: middleware.AnyOf("things:read", "things:write")}, Handler: r.who},
		{Name: "who", Method: "GET", Path: "/any", Route: middleware.Route{Need: middleware.AnyKey()}, Handler: r.who},
		{Name: "who", Method: "GET", Path: "/optional", Route: middleware.Route{Need: middleware.AnyKey(), Optional: true}, Handler: r.who},
		{Name: "who", Method: "GET", Path: "/costly", Route: middleware.Route{Need: middleware.AnyKey(), Cost: 10}, Handler: r.who},
		{Name: "who", Method: "GET", Path: "/public", Public: true, Handler: r.who},
		// fail: answers 404.
		{Name: "fail", Method: "GET", Path: "/fail", Route: needs("things:read"), Handler: r.fail},
		// wait: says nothing until its context ends, then tries to answer.
		{Name: "wait", Method: "GET", Path: "/wait", Route: needs("things:read"), Handler: r.wait},
		// deaf: ignores everything until the test lets it go, then answers 200.
		{Name: "deaf", Method: "GET", Path: "/deaf", Route: needs("things:read"), Handler: r.deaf},
		// stream: flushes an event, then waits for its context, as SSE does.
		{Name: "stream", Method: "GET", Path: "/stream", Route: needs("things:read"), Handler: r.stream},
		// quit: flushes an event, waits for its context, and returns at once.
		{Name: "quit", Method: "GET", Path: "/quit", Route: needs("things:read"), Handler: r.quit},
		// flood: writes without end, until writing fails.
		{Name: "flood", Method: "GET", Path: "/flood", Route: needs("things:read"), Handler: r.flood},
		// upload: reads the body to its end, then answers with its length.
		{Name: "upload", Method: "POST", Path: "/upload", Route: needs("things:read"), Handler: r.upload},
		// hint: sends 103, then waits for its context.
		{Name: "hint", Method: "GET", Path: "/hint", Route: needs("things:read"), Handler: r.hint},
		// hijack: takes the connection, greets, and echoes lines until it is closed.
		{Name: "hijack", Method: "GET", Path: "/hijack", Route: needs("things:read"), Handler: r.hijack},
		// goodbye: takes the connection, greets, and says goodbye when its context ends.
		{Name: "goodbye", Method: "GET", Path: "/goodbye", Route: needs("things:read"), Handler: r.goodbye},
	}
}

func (r *rig) who(w http.ResponseWriter, req *http.Request, p *apikey.Principal) {
	if s, ok := req.Context().Value(http.ServerContextKey).(*http.Server); ok {
		r.native.Store(s)
	}
	var me whoami
	if p != nil {
		me = whoami{Key: p.KeyID(), Owner: p.Owner(), Environment: p.Environment()}
	}
	from, _ := middleware.PrincipalFrom(req.Context())
	me.FromContext = from == p
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(me)
}

func (r *rig) fail(w http.ResponseWriter, _ *http.Request, _ *apikey.Principal) {
	w.WriteHeader(http.StatusNotFound)
}

func (r *rig) wait(w http.ResponseWriter, req *http.Request, _ *apikey.Principal) {
	r.started <- "wait"
	r.untilCut(req)
	r.ended <- context.Cause(req.Context())
	w.Header().Set("X-Secret-Finding", "forty-two")
	w.WriteHeader(http.StatusOK)
	_, _ = io.WriteString(w, "too late")
}

func (r *rig) deaf(w http.ResponseWriter, _ *http.Request, _ *apikey.Principal) {
	r.started <- "deaf"
	<-r.release
	w.Header().Set("X-Secret-Finding", "forty-two")
	_, err := io.WriteString(w, "too late")
	r.ended <- err
}

// untilCut waits for the end of the request's context, but no longer than the
// test.
func (r *rig) untilCut(req *http.Request) {
	select {
	case <-req.Context().Done():
	case <-r.over:
	}
}

// fault reports an error of a handler, unless it was expected.
func (r *rig) fault(format string, args ...any) {
	if !r.probing {
		r.Errorf(format, args...)
	}
}

func (r *rig) event(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = io.WriteString(w, "data: hello\n\n")
	if err := http.NewResponseController(w).Flush(); err != nil {
		r.fault("flush: %v", err)
	}
	r.started <- "event"
}

func (r *rig) quit(w http.ResponseWriter, req *http.Request, _ *apikey.Principal) {
	r.event(w)
	r.untilCut(req)
	r.ended <- context.Cause(req.Context())
}

func (r *rig) stream(w http.ResponseWriter, req *http.Request, _ *apikey.Principal) {
	r.event(w)
	r.untilCut(req)
	_, err := io.WriteString(w, "data: too late\n\n")
	r.ended <- err
}

func (r *rig) flood(w http.ResponseWriter, _ *http.Request, _ *apikey.Principal) {
	block := make([]byte, 64<<10)
	for first := true; ; first = false {
		if _, err := w.Write(block); err != nil {
			r.ended <- err
			return
		}
		r.blocks.Add(1)
		if first {
			r.started <- "flood"
		}
	}
}

func (r *rig) upload(w http.ResponseWriter, req *http.Request, _ *apikey.Principal) {
	first := make([]byte, 1)
	_, _ = io.ReadFull(req.Body, first)
	r.started <- "upload"
	n, err := io.Copy(io.Discard, req.Body)
	r.ended <- err
	fmt.Fprintf(w, "%d bytes", n+1)
}

func (r *rig) hint(w http.ResponseWriter, req *http.Request, _ *apikey.Principal) {
	w.Header().Set("Link", "</style.css>; rel=preload")
	w.WriteHeader(http.StatusEarlyHints)
	r.started <- "hint"
	r.untilCut(req)
	r.ended <- context.Cause(req.Context())
}

func (r *rig) hijack(w http.ResponseWriter, _ *http.Request, _ *apikey.Principal) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		r.fault("hijack: %v", err)
		return
	}
	r.started <- "hijack"
	go func() { // the handler returns, but the connection lives on
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		for {
			line, err := rw.ReadString('\n')
			if err != nil {
				r.ended <- err
				return
			}
			_, _ = io.WriteString(conn, line)
		}
	}()
}

func (r *rig) goodbye(w http.ResponseWriter, req *http.Request, _ *apikey.Principal) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		r.fault("hijack: %v", err)
		return
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	r.started <- "goodbye"
	r.untilCut(req)
	_, _ = rw.WriteString("too late\n")
	_ = rw.Flush()
	_, _ = io.WriteString(conn, "too late\n")
}

package abort_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/wontopos/latchkey/internal/abort"
)

// wrapper is the writer of middleware around a handler.
type wrapper struct{ http.ResponseWriter }

func (w wrapper) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// TestAnAbortedResponseNeverLooksWhole, over every protocol, behind middleware
// that recovers panics.
func TestAnAbortedResponseNeverLooksWhole(t *testing.T) {
	aborts := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { _ = recover() }()
		if r.URL.Path == "/identity" {
			w.Header().Set("Transfer-Encoding", "identity")
		}
		w = wrapper{w}
		_, _ = io.WriteString(w, "part")
		_ = http.NewResponseController(w).Flush()
		abort.Response(w, r, false)
		panic(http.ErrAbortHandler)
	})
	for _, protocol := range []string{"HTTP/1.0", "HTTP/1.1", "HTTP/2"} {
		for _, path := range []string{"/", "/identity"} {
			t.Run(protocol+path, func(t *testing.T) {
				s := httptest.NewUnstartedServer(aborts)
				if s.EnableHTTP2 = protocol == "HTTP/2"; s.EnableHTTP2 {
					s.StartTLS()
				} else {
					s.Start()
				}
				defer s.Close()
				var in io.Reader
				if protocol == "HTTP/1.0" {
					conn, err := net.Dial("tcp", s.Listener.Addr().String())
					if err != nil {
						t.Fatal(err)
					}
					defer conn.Close()
					fmt.Fprint(conn, "GET "+path+" HTTP/1.0\r\n\r\n")
					in = conn
				} else {
					res, err := s.Client().Get(s.URL + path)
					if err != nil {
						return
					}
					defer res.Body.Close()
					in = res.Body
				}
				if b, err := io.ReadAll(in); err == nil {
					t.Errorf("ended well with %q", b)
				}
			})
		}
	}
}

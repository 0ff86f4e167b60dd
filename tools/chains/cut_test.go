package chains

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/storage/memstore"
)

// patience bounds every wait; nothing takes so long.
const patience = 20 * time.Second

var ops = apikey.Actor{ID: "chains"}

// rounds is how often each cell of the table is tried.
func rounds() int {
	if os.Getenv("LATCHKEY_LONG") != "" {
		return 40
	}
	return 2
}

// kind is what a handler does, and what its client must see.
type kind struct {
	name    string
	handler http.HandlerFunc
	hijacks bool // HTTP/1.1 alone
	refused bool // the client gets the 401; else it sees its response break
}

func begin(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain")
	_, _ = io.WriteString(w, "part\n")
	_ = http.NewResponseController(w).Flush()
}

func takeOver(goodbye string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: part\r\n\r\npart\n")
		_ = rw.Flush()
		<-r.Context().Done()
		_, _ = rw.WriteString(goodbye)
		_ = rw.Flush()
		_, _ = io.WriteString(conn, goodbye)
	}
}

var kinds = []kind{
	{name: "waits, returns at once", handler: func(w http.ResponseWriter, r *http.Request) {
		begin(w)
		<-r.Context().Done()
	}},
	{name: "waits, writes on", handler: func(w http.ResponseWriter, r *http.Request) {
		begin(w)
		<-r.Context().Done()
		for range 3 {
			_, _ = io.WriteString(w, "late\n")
			_ = http.NewResponseController(w).Flush()
		}
	}},
	{name: "writes until it fails, panics", handler: func(w http.ResponseWriter, _ *http.Request) {
		begin(w)
		for {
			if _, err := w.Write(bytes.Repeat([]byte("more\n"), 1000)); err != nil {
				panic(err)
			}
		}
	}},
	{name: "has a gin inside that recovers", handler: func(w http.ResponseWriter, r *http.Request) {
		gin.SetMode(gin.ReleaseMode)
		e := gin.New()
		e.Use(gin.RecoveryWithWriter(io.Discard))
		e.GET("/", func(c *gin.Context) {
			for c.Request.Context().Err() == nil {
				_, _ = io.WriteString(c.Writer, "part\n")
				c.Writer.Flush()
				time.Sleep(time.Millisecond)
			}
			panic("mine")
		})
		e.ServeHTTP(w, r)
	}},
	{name: "has not answered", refused: true, handler: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Secret-Finding", "42")
		<-r.Context().Done()
		_, _ = io.WriteString(w, "late\n")
	}},
	{name: "takes the connection over, closes it", hijacks: true, handler: takeOver("")},
	{name: "takes the connection over, says goodbye", hijacks: true, handler: takeOver("late\n")},
}

// TestNoChainMakesACutResponseWhole is the table.
func TestNoChainMakesACutResponseWhole(t *testing.T) {
	var tried, failed atomic.Int64
	t.Run("table", func(t *testing.T) {
		for _, c := range chains {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				for _, k := range kinds {
					for _, protocol := range []string{"HTTP/1.0", "HTTP/1.1", "HTTP/2"} {
						if k.hijacks && protocol != "HTTP/1.1" {
							continue
						}
						bad := map[string]int{}
						for range rounds() {
							tried.Add(1)
							if wrong := try(t, c, k, protocol); wrong != "" {
								failed.Add(1)
								bad[wrong]++
							}
						}
						for wrong, n := range bad {
							t.Errorf("%s, a handler that %s: %d of %d times %s", protocol, k.name, n, rounds(), wrong)
						}
					}
				}
			})
		}
	})
	t.Logf("%d requests cut in %d chains, %d wrong", tried.Load(), len(chains), failed.Load())
}

// try cuts one request on a server of its own, and says what was wrong with what
// its client saw.
func try(t *testing.T, c chain, k kind, protocol string) (wrong string) {
	keys, err := latchkey.New(memstore.New(), latchkey.Options{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	guard, err := middleware.New(keys, middleware.Options{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	began := make(chan struct{})
	s := httptest.NewUnstartedServer(c.build(guard, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(began)
		k.handler(w, r)
	})))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	if protocol == "HTTP/2" {
		s.EnableHTTP2 = true
		s.StartTLS()
	} else {
		s.Start()
	}
	defer func() {
		s.CloseClientConnections()
		s.Close()
		_ = guard.Close(context.Background())
		_ = keys.Close(context.Background())
	}()
	key, token, err := keys.Create(t.Context(), ops, latchkey.NewKey{Name: "n", Owner: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	revoke := func() {
		<-began
		if _, err := keys.Revoke(context.Background(), ops, key.ID, ""); err != nil {
			t.Error(err)
		}
	}
	s.Client().Timeout = patience
	res, err := ask(t, s, k, protocol, token.Reveal(), func() {
		if k.refused {
			go revoke()
		}
	})
	switch {
	case err != nil && k.refused:
		return "the client that waits for an answer gets none"
	case err != nil:
		return "" // broken before its header came
	}
	defer res.Body.Close()
	if k.refused {
		b, err := io.ReadAll(res.Body)
		switch {
		case err != nil:
			return "the refusal is broken"
		case res.StatusCode != http.StatusUnauthorized || !strings.Contains(string(b), `"code":"revoked_key"`):
			return fmt.Sprintf("it is answered %d %q", res.StatusCode, b)
		case res.Header.Get("X-Secret-Finding") != "":
			return "the refusal has fields of the handler's"
		}
		return ""
	}
	first := make([]byte, 1)
	if _, err := io.ReadFull(res.Body, first); err != nil {
		return fmt.Sprintf("nothing came before the cut: %d %v %v", res.StatusCode, res.Header, err)
	}
	go revoke()
	b, err := io.ReadAll(res.Body)
	switch {
	case err == nil:
		return fmt.Sprintf("it looked whole: %d, ending in %q", res.StatusCode, b[max(0, len(b)-20):])
	case bytes.Contains(b, []byte("late")):
		return "what was written after the cut arrived"
	}
	return ""
}

// ask makes the request. HTTP/1.0 and takeovers go over a plain connection.
func ask(t *testing.T, s *httptest.Server, k kind, protocol, token string, sent func()) (*http.Response, error) {
	if protocol != "HTTP/1.0" && !k.hijacks {
		r, err := http.NewRequestWithContext(t.Context(), "GET", s.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		sent()
		return s.Client().Do(r)
	}
	conn, err := net.DialTimeout("tcp", s.Listener.Addr().String(), patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	upgrade := ""
	if k.hijacks {
		upgrade = "Connection: Upgrade\r\nUpgrade: part\r\n"
	}
	fmt.Fprintf(conn, "GET / %s\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n%s\r\n", protocol, token, upgrade)
	sent()
	in := bufio.NewReader(conn)
	res, err := http.ReadResponse(in, nil)
	if err == nil && res.StatusCode == http.StatusSwitchingProtocols {
		res.Body = io.NopCloser(in)
	}
	return res, err
}

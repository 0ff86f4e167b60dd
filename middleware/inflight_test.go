package middleware_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
)

// TestRequestIsHandedBack: net/http and outer middleware look at the request
// that they know.
func TestRequestIsHandedBack(t *testing.T) {
	k := newKit(t, middleware.Options{})
	id, token := k.key()
	for _, revoke := range []bool{false, true} {
		mux := http.NewServeMux()
		var form string
		mux.HandleFunc("POST /things", func(w http.ResponseWriter, r *http.Request) {
			if err := r.ParseMultipartForm(1); err != nil { // 1 byte: the rest goes to a file
				t.Error(err)
				return
			}
			f, err := r.MultipartForm.File["f"][0].Open()
			if err != nil {
				t.Error(err)
				return
			}
			form = f.(*os.File).Name()
			_ = f.Close()
			if revoke {
				w.WriteHeader(200)
				k.revoke(id)
			}
		})
		var pattern string
		guarded := k.guard.Require(middleware.AnyKey())(mux)
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() { pattern = r.Pattern }()
			guarded.ServeHTTP(w, r)
		}))
		var b bytes.Buffer
		m := multipart.NewWriter(&b)
		f, _ := m.CreateFormFile("f", "f")
		_, _ = f.Write(make([]byte, 11<<20))
		_ = m.Close()
		r, _ := http.NewRequest("POST", server.URL+"/things", &b)
		r.Host = "api.example.com"
		r.Header.Set("Content-Type", m.FormDataContentType())
		r.Header.Set("Authorization", "Bearer "+token)
		if res, err := server.Client().Do(r); err == nil {
			_ = res.Body.Close()
		}
		server.Close()
		if pattern != "POST /things" {
			t.Errorf("outer middleware sees the pattern %q", pattern)
		}
		if form == "" {
			t.Fatal("there was no temporary file")
		}
		if _, err := os.Stat(form); err == nil {
			t.Errorf("revoked %v: the temporary file of the form is still there", revoke)
		}
	}
}

// TestCutUploadIsAnswered: a client that is still sending when its request is
// cut gets the refusal and an orderly end, not a reset that takes the refusal
// away.
func TestCutUploadIsAnswered(t *testing.T) {
	k := newKit(t, middleware.Options{})
	id, token := k.key()
	server := httptest.NewServer(handlerFunc(k.guard, apikey.AnyKey(), func(_ http.ResponseWriter, r *http.Request, _ *apikey.Principal) {
		_, _ = io.ReadFull(r.Body, make([]byte, 1))
		k.revoke(id)
	}))
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: api.example.com\r\nAuthorization: Bearer %s\r\nContent-Length: 200000\r\n\r\n%s",
		token, make([]byte, 100_000)); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	res, err := http.ReadResponse(in, nil)
	if err != nil || res.StatusCode != 401 {
		t.Fatalf("%v, %v", res, err)
	}
	_ = body(t, res)
	if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("the connection ends in %v", err)
	}
}

// TestThousandInFlight: one revocation ends a thousand requests at once.
func TestThousandInFlight(t *testing.T) {
	k := newKit(t, middleware.Options{})
	id, token := k.key(wide)
	_, other := k.key(wide)
	var begun, ended, others sync.WaitGroup
	var wrong atomic.Int32
	stop := make(chan struct{})
	h := handlerFunc(k.guard, apikey.AnyKey(), func(_ http.ResponseWriter, r *http.Request, p *apikey.Principal) {
		begun.Done()
		select {
		case <-r.Context().Done():
			if p.KeyID() != id || !errors.Is(context.Cause(r.Context()), apikey.RevokedKey) {
				wrong.Add(1)
			}
		case <-stop:
			if p.KeyID() == id {
				wrong.Add(1)
			}
		}
	})
	begun.Add(1100)
	for range 1000 {
		ended.Go(func() {
			if res := serve(h, get(token)); res.StatusCode != 401 {
				wrong.Add(1)
			}
		})
	}
	for range 100 {
		others.Go(func() {
			if res := serve(h, get(other)); res.StatusCode != 200 {
				wrong.Add(1)
			}
		})
	}
	begun.Wait()
	from := time.Now()
	k.revoke(id)
	ended.Wait()
	if d := time.Since(from); d > 5*time.Second {
		t.Errorf("it took %v", d)
	}
	close(stop)
	others.Wait()
	if n := wrong.Load(); n > 0 {
		t.Errorf("%d requests went wrong", n)
	}
}

// TestRevocationAtEveryMoment revokes keys under a storm of requests: a handler
// never starts after Revoke has returned, and no response ends as if it were
// whole with something in it that was written after.
func TestRevocationAtEveryMoment(t *testing.T) {
	k := newKit(t, middleware.Options{})
	server := httptest.NewServer(nil)
	defer server.Close()
	for range 30 {
		id, token := k.key(wide)
		var revoked atomic.Bool
		var late atomic.Int32
		server.Config.Handler = handlerFunc(k.guard, apikey.AnyKey(), func(w http.ResponseWriter, r *http.Request, _ *apikey.Principal) {
			if revoked.Load() && r.Context().Err() == nil {
				late.Add(1)
			}
			_, _ = io.WriteString(w, "one")
			after := revoked.Load() // not once "two" is written: Revoke may return between the two
			if _, err := io.WriteString(w, "two"); after && err == nil {
				late.Add(1)
			}
		})
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for {
					r, _ := http.NewRequest("GET", server.URL, nil)
					r.Host = "api.example.com"
					r.Header.Set("Authorization", "Bearer "+token)
					after := revoked.Load()
					res, err := server.Client().Do(r)
					if err != nil {
						continue // broken off: also an end
					}
					b, err := io.ReadAll(res.Body)
					_ = res.Body.Close()
					switch {
					case res.StatusCode == 401:
						return
					case after:
						t.Errorf("a request that began after the revocation is answered %s", res.Status)
						return
					case err == nil && string(b) != "onetwo":
						t.Errorf("%s ended as if whole: %q", res.Status, b)
					}
				}
			})
		}
		k.revoke(id)
		revoked.Store(true)
		wg.Wait()
		if n := late.Load(); n > 0 {
			t.Fatalf("%d times a handler could go on after Revoke had returned", n)
		}
	}
}

// TestNothingIsReused: what a handler leaves behind stays what it was, however
// many requests follow.
func TestNothingIsReused(t *testing.T) {
	k := newKit(t, middleware.Options{})
	type leak struct {
		ctx    context.Context
		r      *http.Request
		owner  string
		limit  []string
		text   string
		policy []string
	}
	var leaks []leak
	h := handlerFunc(k.guard, apikey.AnyKey(), func(w http.ResponseWriter, r *http.Request, p *apikey.Principal) {
		limit := w.Header()["Ratelimit"]
		leaks = append(leaks, leak{r.Context(), r, p.Owner(), limit, string([]byte(limit[0])), w.Header()["Ratelimit-Policy"]})
	})
	for i := range 200 {
		owner := string(rune('a' + i%26))
		_, token := k.key(func(n *latchkey.NewKey) { n.Owner = owner })
		r := get(token)
		r.RemoteAddr = owner
		serve(h, r)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, get("bad")) // refused requests in between
		for name, values := range w.Header() {
			if cap(values) != 1 {
				t.Fatalf("who appends to %s of a refusal writes into another of its fields", name)
			}
		}
	}
	for i, l := range leaks {
		p, _ := middleware.PrincipalFrom(l.ctx)
		if p.Owner() != l.owner || l.r.RemoteAddr != l.owner || l.limit[0] != l.text || len(l.limit) != 1 || cap(l.limit) != 1 {
			t.Fatalf("request %d became another's", i)
		}
		if len(l.policy) != 1 || cap(l.policy) != 1 {
			t.Fatalf("who appends to a header field of request %d writes into another's", i)
		}
		if l.ctx.Err() == nil {
			t.Fatal("the context of a request that is over is done")
		}
	}
}

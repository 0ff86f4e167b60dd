package middleware_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"testing"
	"unsafe"
	"weak"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
)

// remains are what tells whether anything still refers to requests that are over.
type remains struct {
	requests []weak.Pointer[http.Request]
	texts    []weak.Pointer[byte]
}

// leave gives the guard a request of its own, whose memory nothing else knows:
// net/http keeps the one that it made for a while.
func (t *remains) leave(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		own := r.Clone(context.WithValue(r.Context(), key{}, new([64]byte)))
		for _, lines := range own.Header {
			for i, line := range lines {
				text := []byte(line + ".................")[:len(line)] // no part of a shared block of tiny texts
				lines[i] = unsafe.String(unsafe.SliceData(text), len(text))
				t.texts = append(t.texts, weak.Make(unsafe.SliceData(text)))
			}
		}
		t.requests = append(t.requests, weak.Make(own))
		next.ServeHTTP(w, own)
	})
}

// left counts the requests and texts that something still refers to.
func (t *remains) left() (requests, texts int) {
	runtime.GC()
	for _, p := range t.requests {
		if p.Value() != nil {
			requests++
		}
	}
	for _, p := range t.texts {
		if p.Value() != nil {
			texts++
		}
	}
	return requests, texts
}

// TestNothingOfARequestOutlivesIt: admitted and refused requests leave nothing
// behind while a stream with another customer's key is open beside them.
func TestNothingOfARequestOutlivesIt(t *testing.T) {
	for _, version := range []string{"HTTP/1.1", "HTTP/2"} {
		t.Run(version, func(t *testing.T) {
			k := newKit(t, middleware.Options{
				OwnerLimits: []apikey.Limit{apikey.PerDay(1000)},
				OnDecision:  func(context.Context, middleware.Outcome) {},
			})
			_, token := k.key(wide)
			_, limited := k.key(limits(apikey.PerMinute(5)))
			_, theirs := k.key(wide)
			over := new(remains)
			streaming := make(chan struct{})
			mux := http.NewServeMux()
			mux.Handle("/stream", k.guard.Require(middleware.AnyKey())(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_ = http.NewResponseController(w).Flush()
				<-streaming
			})))
			mux.Handle("/", over.leave(k.guard.Require(middleware.AllOf("things:read"))(noContent)))
			mux.Handle("/write", over.leave(k.guard.Require(middleware.AnyKey())(k.guard.Require(middleware.AllOf("things:write"))(noContent))))
			s := httptest.NewUnstartedServer(mux)
			s.EnableHTTP2 = version == "HTTP/2"
			if s.EnableHTTP2 {
				s.StartTLS()
			} else {
				s.Start()
			}
			defer s.Close()
			send := func(path, token string) *http.Response {
				t.Helper()
				r, err := http.NewRequest("GET", s.URL+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				r.Host = "api.example.com"
				r.Header.Set("Authorization", "Bearer "+token)
				r.Header.Set("X-Request-Id", token)
				res, err := s.Client().Do(r)
				if err != nil {
					t.Fatal(err)
				}
				return res
			}
			var streams []io.Closer
			for i := range 100 {
				if i%10 == 5 {
					streams = append(streams, send("/stream", theirs).Body)
				}
				for _, x := range []struct{ path, token string }{{"/", token}, {"/", limited}, {"/write", token}, {"/", token[:len(token)-1] + "_"}} {
					res := send(x.path, x.token)
					_, _ = io.Copy(io.Discard, res.Body)
					_ = res.Body.Close()
				}
			}
			if res := send("/stream", theirs); res.ProtoMajor != map[string]int{"HTTP/1.1": 1, "HTTP/2": 2}[version] {
				t.Fatalf("the protocol is %s", res.Proto)
			} else {
				streams = append(streams, res.Body)
			}
			requests, texts := over.left()
			// A handler's goroutine may still be on its way out.
			if requests > 2 || texts > 10 {
				t.Errorf("%d of %d requests that are over can be reached, and %d of %d texts of theirs", requests, len(over.requests), texts, len(over.texts))
			}
			close(streaming)
			for _, b := range streams {
				_ = b.Close()
			}
		})
	}
}

// TestNoTokenIsInMemoryAfterItsRequest looks for one in all of the heap, copies
// included.
func TestNoTokenIsInMemoryAfterItsRequest(t *testing.T) {
	k := newKit(t, middleware.Options{})
	_, token := k.key(wide)
	_, theirs := k.key(wide)
	// The part that no key's id has, and in a form that is not the searched one.
	secret := []byte(token[len(token)-40:])
	mask := make([]byte, len(secret))
	_, _ = rand.Read(mask)
	for i := range secret {
		mask[i] |= 1
		secret[i] ^= mask[i]
	}
	id := []byte(token[:len(token)-40])
	token = ""
	reveal := func() string {
		b := append([]byte(nil), id...)
		for i := range secret {
			b = append(b, secret[i]^mask[i])
		}
		return string(b)
	}
	h := k.guard.Require(middleware.AnyKey())(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k.guard.Require(middleware.AllOf("things:write"))(noContent).ServeHTTP(w, r)
	}))
	open, finish, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		serve(k.guard.Require(middleware.AnyKey())(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_ = http.NewResponseController(w).Flush()
			close(open)
			<-finish
		})), get(theirs))
	}()
	<-open
	func() { // its own frame: nothing of it is left on the stack
		for range 20 {
			r := get(reveal())
			r.Header.Set("X-Request-Id", reveal())
			if got := serve(h, r).StatusCode; got != 403 {
				t.Errorf("got %d", got)
			}
			r = get(reveal()[1:])
			r.Header.Set("X-Request-Id", reveal())
			if got := serve(h, r).StatusCode; got != 401 {
				t.Errorf("got %d", got)
			}
		}
	}()
	if n := inHeap(t, secret, mask); n != 0 {
		t.Errorf("the heap holds the secret of a finished request %d times", n)
	}
	close(finish)
	<-done
}

// inHeap counts how often the text is in the heap.
func inHeap(t *testing.T, text, mask []byte) (n int) {
	t.Helper()
	runtime.GC()
	f, err := os.Create(filepath.Join(t.TempDir(), "heap"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	debug.WriteHeapDump(f.Fd())
	dump, err := os.ReadFile(f.Name())
	if err != nil || len(dump) < 1<<16 {
		t.Fatalf("a heap dump of %d bytes, error %v", len(dump), err)
	}
	plain := make([]byte, len(text))
	for i := range text {
		plain[i] = text[i] ^ mask[i]
	}
	return bytes.Count(dump, plain)
}

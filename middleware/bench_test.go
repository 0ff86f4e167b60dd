package middleware_test

import (
	"net/http"
	"testing"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
)

func benchRequest(token string) middleware.Request {
	r := get(token)
	return middleware.Request{
		Fields: fields{r.Header["Authorization"]}, Host: r.Host, Peer: r.RemoteAddr,
	}
}

// fields are header fields with Authorization alone.
type fields struct{ authorization []string }

func (f fields) Values(name string) []string {
	if name == "Authorization" {
		return f.authorization
	}
	return nil
}

func BenchmarkDecide(b *testing.B) {
	k := newKit(b, middleware.Options{})
	_, token := k.key(wide)
	r, door, call := benchRequest(token), k.guard.Door(middleware.Route{Need: middleware.AllOf("things:read")}), new(middleware.Call)
	b.ReportAllocs()
	for b.Loop() {
		*call = middleware.Call{}
		if door.Decide(b.Context(), call, r); !call.Allowed() {
			b.Fatal(call.Code())
		}
		_ = call.End(http.StatusOK)
	}
}

func BenchmarkDecideMalformed(b *testing.B) {
	k := newKit(b, middleware.Options{})
	_, token := k.key(wide)
	r, door, call := benchRequest(token[:len(token)-1]+"_"), k.guard.Door(middleware.Route{Need: middleware.AllOf("things:read")}), new(middleware.Call)
	b.ReportAllocs()
	for b.Loop() {
		*call = middleware.Call{}
		if door.Decide(b.Context(), call, r); call.Code() != apikey.InvalidKey {
			b.Fatal(call.Code())
		}
	}
}

// BenchmarkBare is what the doors below are compared with.
func BenchmarkBare(b *testing.B) {
	benchHandler(b, func(*kit) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	})
}

func BenchmarkHandlerFunc(b *testing.B) {
	benchHandler(b, func(k *kit) http.Handler {
		return handlerFunc(k.guard, middleware.AllOf("things:read"), func(w http.ResponseWriter, _ *http.Request, _ *apikey.Principal) {
			w.WriteHeader(http.StatusNoContent)
		})
	})
}

func BenchmarkRequire(b *testing.B) {
	benchHandler(b, func(k *kit) http.Handler {
		return k.guard.Require(middleware.AllOf("things:read"))(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, ok := middleware.PrincipalFrom(r.Context()); ok {
				w.WriteHeader(http.StatusNoContent)
			}
		}))
	})
}

// BenchmarkRequireDone has a handler that looks at Done, so that the inner
// context is made.
func BenchmarkRequireDone(b *testing.B) {
	benchHandler(b, func(k *kit) http.Handler {
		return k.guard.Require(middleware.AllOf("things:read"))(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Context().Done() != nil {
				w.WriteHeader(http.StatusNoContent)
			}
		}))
	})
}

func benchHandler(b *testing.B, handler func(*kit) http.Handler) {
	k := newKit(b, middleware.Options{})
	_, token := k.key(wide)
	h, r, w := handler(k), get(token), &sink{header: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		w.status = 0
		h.ServeHTTP(w, r)
		if w.status != http.StatusNoContent {
			b.Fatal(w.status)
		}
	}
}

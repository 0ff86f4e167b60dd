package middleware_test

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
)

type key struct{}

// within runs f inside a guarded handler.
func (k *kit) within(token string, parent context.Context, f func(w http.ResponseWriter, r *http.Request)) *http.Response {
	h := k.guard.Require(middleware.AnyKey())(http.HandlerFunc(f))
	return serve(h, get(token).WithContext(parent))
}

// TestDerivedContextsStartNoGoroutine: package context knows ours as one of its
// own.
func TestDerivedContextsStartNoGoroutine(t *testing.T) {
	k := newKit(t, middleware.Options{})
	_, token := k.key()
	parent, cancel := context.WithCancel(t.Context())
	defer cancel()
	k.within(token, parent, func(_ http.ResponseWriter, r *http.Request) {
		before := runtime.NumGoroutine()
		for range 50 {
			a, cancelA := context.WithCancel(r.Context())
			b, cancelB := context.WithTimeout(context.WithValue(r.Context(), key{}, 1), time.Hour)
			stop := context.AfterFunc(r.Context(), func() {})
			defer cancelA()
			defer cancelB()
			defer stop()
			_, _ = a.Done(), b.Done()
		}
		if n := runtime.NumGoroutine(); n > before+10 { // others may come and go
			t.Errorf("150 derived contexts started %d goroutines", n-before)
		}
	})
}

// TestContextTellsTheCause: whoever looks, whenever.
func TestContextTellsTheCause(t *testing.T) {
	for name, looksBefore := range map[string]bool{"looked at Done before": true, "never looked": false} {
		t.Run(name, func(t *testing.T) {
			k := newKit(t, middleware.Options{})
			id, token := k.key()
			k.within(token, t.Context(), func(_ http.ResponseWriter, r *http.Request) {
				ctx := r.Context()
				if looksBefore {
					_ = ctx.Done()
				}
				derived, cancel := ctx, context.CancelFunc(func() {})
				if looksBefore {
					derived, cancel = context.WithCancel(ctx)
				}
				defer cancel()
				k.revoke(id)
				for _, c := range []context.Context{ctx, derived} {
					if !errors.Is(c.Err(), context.Canceled) || !errors.Is(context.Cause(c), apikey.RevokedKey) {
						t.Errorf("Err is %v, Cause %v", c.Err(), context.Cause(c))
					}
					select {
					case <-c.Done():
					default:
						t.Error("Done is open although Err is set")
					}
				}
			})
		})
	}
}

// TestContextFollowsItsParent: its end, its deadline and its values.
func TestContextFollowsItsParent(t *testing.T) {
	k := newKit(t, middleware.Options{})
	_, token := k.key()
	type mine struct{}
	for _, looksBefore := range []bool{true, false} {
		parent, cancel := context.WithTimeoutCause(context.WithValue(t.Context(), mine{}, "v"), time.Hour, errors.New("slow"))
		cause := errors.New("gone")
		parent2, cancel2 := context.WithCancelCause(parent)
		k.within(token, parent2, func(_ http.ResponseWriter, r *http.Request) {
			ctx := r.Context()
			if looksBefore {
				_ = ctx.Done()
			}
			if ctx.Value(mine{}) != "v" {
				t.Error("a value of the parent is lost")
			}
			want, _ := parent.Deadline()
			if got, ok := ctx.Deadline(); !ok || !got.Equal(want) {
				t.Error("the deadline of the parent is lost")
			}
			if ctx.Err() != nil {
				t.Error("done too early")
			}
			cancel2(cause)
			if !errors.Is(ctx.Err(), context.Canceled) || !errors.Is(context.Cause(ctx), cause) {
				t.Errorf("Err is %v, Cause %v", ctx.Err(), context.Cause(ctx))
			}
			<-ctx.Done()
		})
		cancel()
	}
}

// TestContextEndsWithItsRequest: also for who looks afterwards.
func TestContextEndsWithItsRequest(t *testing.T) {
	k := newKit(t, middleware.Options{})
	_, token := k.key()
	var before, never context.Context
	k.within(token, t.Context(), func(_ http.ResponseWriter, r *http.Request) {
		before = r.Context()
		_ = before.Done()
	})
	k.within(token, t.Context(), func(_ http.ResponseWriter, r *http.Request) { never = r.Context() })
	for _, ctx := range []context.Context{before, never} {
		if !errors.Is(ctx.Err(), context.Canceled) {
			t.Fatalf("Err is %v", ctx.Err())
		}
		<-ctx.Done()
		if _, ok := middleware.PrincipalFrom(ctx); !ok {
			t.Error("the principal is gone")
		}
	}
}

func TestPrincipalFrom(t *testing.T) {
	if _, ok := middleware.PrincipalFrom(t.Context()); ok {
		t.Error("found a principal where none is")
	}
	if _, ok := middleware.PrincipalFrom(middleware.WithPrincipal(t.Context(), nil)); ok {
		t.Error("a nil principal is none")
	}
	k := newKit(t, middleware.Options{})
	_, token := k.key()
	k.within(token, t.Context(), func(_ http.ResponseWriter, r *http.Request) {
		p, _ := middleware.PrincipalFrom(r.Context())
		if again, ok := middleware.PrincipalFrom(middleware.WithPrincipal(context.Background(), p)); !ok || again != p || p.Environment() != "live" {
			t.Errorf("got %v in %q", again, p.Environment())
		}
	})
}

package middleware_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
)

func TestMuxListsItsRoutes(t *testing.T) {
	k := newKit(t, middleware.Options{})
	mux := k.guard.Mux()
	never := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a handler runs") })
	mux.Handle("GET /things", middleware.AllOf("things:read"), never)
	mux.HandleFunc("POST /things", middleware.AnyOf("things:write", "things:admin"), func(http.ResponseWriter, *http.Request, *apikey.Principal) {})
	mux.Route("GET /report", middleware.Route{Need: middleware.AnyKey(), Cost: 10, Optional: true}, never)
	mux.Public("GET /health", never)
	var got []string
	for pattern, r := range mux.Routes() {
		if r == nil {
			got = append(got, pattern+" public")
			continue
		}
		got = append(got, fmt.Sprint(pattern, " ", r.Need, " ", r.Cost, " ", r.Optional))
	}
	want := []string{"GET /things things:read 0 false", "POST /things things:write things:admin 0 false", "GET /report  10 true", "GET /health public"}
	if !slices.Equal(got, want) {
		t.Errorf("routes are %q, want %q", got, want)
	}
}

func TestRouteOfFindsTheDoorAndRunsNothingBehindIt(t *testing.T) {
	k := newKit(t, middleware.Options{})
	_, token := k.key()
	ran := ""
	handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { ran = r.URL.Path })
	mux := http.NewServeMux()
	mux.Handle("/guarded", k.guard.Door(middleware.Route{Need: middleware.AllOf("things:read"), Cost: 3}).Wrap(handler))
	mux.Handle("/optional", k.guard.Door(middleware.Route{Need: middleware.AnyKey(), Optional: true}).Wrap(handler))
	mux.Handle("/open", handler)
	mux.Handle("/nested", k.guard.Require(middleware.AnyKey())(k.guard.Require(middleware.AllOf("things:inner"))(handler)))
	call := k.guard.Door(middleware.Route{Need: middleware.AllOf("things:read")})
	mux.HandleFunc("/call", func(w http.ResponseWriter, r *http.Request) { // as an adapter of another transport
		var c middleware.Call
		call.Decide(r.Context(), &c, middleware.Request{Fields: r.Header, Host: r.Host, Peer: r.RemoteAddr})
		if c.Allowed() {
			handler.ServeHTTP(w, r)
		}
		_ = c.End(http.StatusOK)
	})
	for path, want := range map[string]string{"/call": "things:read true", "/guarded": "things:read true", "/optional": " true", "/open": " false", "/nested": " true"} {
		ran = ""
		q := httptest.NewRequest("GET", "https://api.example.com"+path, nil)
		q.Header.Set("Authorization", "Bearer "+token)
		r, ok := k.guard.RouteOf(mux, q)
		if got := fmt.Sprint(r.Need, " ", ok); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
		if (ran != "") == ok {
			t.Errorf("%s: the handler ran: %v", path, ran != "")
		}
	}
}

func TestADoorForAScopeThatNoKeyCanHaveIsAMistake(t *testing.T) {
	k := newKit(t, middleware.Options{}, latchkey.Options{Scopes: []apikey.Scope{{Name: "things:read"}, {Name: "things:write"}}})
	k.guard.Require(middleware.AllOf("things:read", "things:write"))
	defer func() {
		if said := fmt.Sprint(recover()); !strings.Contains(said, `"thigns:read"`) || !strings.Contains(said, "offers things:read") {
			t.Errorf("says %q", said)
		}
	}()
	k.guard.Require(middleware.AnyOf("things:read", "thigns:read"))
}

func TestTwoGuardsOfOneServiceAreSaidOnce(t *testing.T) {
	var log bytes.Buffer
	k := newKit(t, middleware.Options{}, latchkey.Options{})
	inner, err := middleware.New(k.keys, middleware.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	_, token := k.key()
	mux := http.NewServeMux()
	mux.Handle("GET /things", k.guard.Require(middleware.AnyKey())(inner.Require(middleware.AnyKey())(http.NotFoundHandler())))
	for range 2 {
		q := httptest.NewRequest("GET", "/things", nil)
		q.Header.Set("Authorization", "Bearer "+token)
		mux.ServeHTTP(httptest.NewRecorder(), q)
	}
	if n := strings.Count(log.String(), "two Guards of one service"); n != 1 || !strings.Contains(log.String(), "GET /things") {
		t.Errorf("logged %d times: %s", n, &log)
	}
}

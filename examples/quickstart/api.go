package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/wontopos/latchkey/middleware"
)

// product is an entry of the marketplace.
type product struct {
	Name  string `json:"name"`
	Price string `json:"price"`
}

// catalogue is the data of each environment: a test key never sees, or
// changes, production's.
var catalogue = map[string][]product{
	"live": {{"weather", "0.001 USD a request"}, {"geocoding", "0.004 USD a request"}},
	"test": {{"weather (sandbox)", "free"}},
}

// routes is the API. Every route says which scope it needs; whoami takes any key.
func routes(guard *middleware.Guard) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /v1/marketplace/apis", guard.Require(middleware.AllOf("marketplace:read"))(http.HandlerFunc(list)))
	mux.Handle("POST /v1/marketplace/apis", guard.Require(middleware.AllOf("marketplace:write"))(http.HandlerFunc(publish)))
	mux.Handle("GET /v1/whoami", guard.WhoAmI())
	mux.Handle("GET /v1/marketplace/events", guard.Require(middleware.AllOf("marketplace:read"))(http.HandlerFunc(events)))
	return mux
}

func list(w http.ResponseWriter, r *http.Request) {
	p, _ := middleware.PrincipalFrom(r.Context())
	writeJSON(w, http.StatusOK, map[string]any{"environment": p.Environment(), "apis": catalogue[p.Environment()]})
}

func publish(w http.ResponseWriter, r *http.Request) {
	p, _ := middleware.PrincipalFrom(r.Context())
	var draft product
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&draft); err != nil {
		http.Error(w, "send JSON like {\"name\":\"weather\",\"price\":\"free\"}", http.StatusBadRequest)
		return
	}
	writeJSON(w, http.StatusCreated, map[string]any{"environment": p.Environment(), "published": draft, "by": p.Owner()})
}

// events streams one event a second until the client goes away, or the key is
// revoked: then the request's context ends, and the connection with it.
func events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	flush := http.NewResponseController(w)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for n := 1; ; n++ {
		fmt.Fprintf(w, "id: %d\ndata: {\"sold\":%d}\n\n", n, n)
		if flush.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
	}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

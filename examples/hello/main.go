// Command hello is the smallest server with API keys: the program of the README.
package main

import (
	"fmt"
	"log"
	"net/http"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/admin"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/storage/badgerstore"
)

func main() {
	store := must(badgerstore.Open("keys.db", badgerstore.Options{}))
	keys := must(latchkey.New(store, latchkey.Options{}))
	guard := must(middleware.New(keys, middleware.Options{}))
	session := admin.Loopback() // for development; in production, your own sign-in
	settings := must(admin.New(keys, session.Authorize, admin.Options{Guard: guard}))

	http.Handle("GET /v1/hello", guard.Require(middleware.AllOf("hello:read"))(http.HandlerFunc(hello)))
	http.Handle("/settings/api-keys/", http.StripPrefix("/settings/api-keys", settings))

	fmt.Println("make a key:", session.Link("http://localhost:8080/settings/api-keys/"))
	if err := guard.ListenAndServe(&http.Server{Addr: "localhost:8080"}, store); err != nil {
		log.Fatal(err) // SIGTERM is no error: requests have ended, and everything is written
	}
}

func hello(w http.ResponseWriter, r *http.Request) {
	p, _ := middleware.PrincipalFrom(r.Context())
	fmt.Fprintf(w, "Hello, %s.\n", p.Owner())
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}

// Command customstore is examples/hello on a store that this module does not
// have: package sqlitestore, written against the contract of package storage as
// anyone would write one. docs/writing-a-store.md explains it.
package main

import (
	"fmt"
	"log"
	"net/http"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/admin"
	"github.com/wontopos/latchkey/examples/customstore/sqlitestore"
	"github.com/wontopos/latchkey/middleware"
)

func main() {
	store := must(sqlitestore.Open("keys.sqlite"))
	keys := must(latchkey.New(store, latchkey.Options{}))
	guard := must(middleware.New(keys, middleware.Options{}))
	session := admin.Loopback() // for development; in production, your own sign-in
	settings := must(admin.New(keys, session.Authorize, admin.Options{Guard: guard}))

	http.Handle("GET /v1/hello", guard.Require(middleware.AllOf("hello:read"))(http.HandlerFunc(hello)))
	http.Handle("/settings/api-keys/", http.StripPrefix("/settings/api-keys", settings))

	fmt.Println("make a key:", session.Link("http://localhost:8080/settings/api-keys/"))
	if err := guard.ListenAndServe(&http.Server{Addr: "localhost:8080"}, store); err != nil {
		log.Fatal(err)
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

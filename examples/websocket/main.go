// Command websocket serves a WebSocket to browsers that have an API key. A script
// can set no header field of its own, so the key comes as one of the subprotocols
// that it offers; other clients send it as Bearer. A bad key gets its 401 before
// the upgrade. When the key is revoked, or the server stops, the connection is cut.
//
// Open the settings page, make a key, connect with it at http://localhost:8080/,
// and revoke it.
package main

import (
	"fmt"
	"log"
	"net/http"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/admin"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/storage/memstore"
)

func main() {
	store := memstore.New() // keys are gone after a restart; examples/hello keeps them
	keys := must(latchkey.New(store, latchkey.Options{Scopes: []apikey.Scope{{Name: "echo:use"}}}))
	guard := must(middleware.New(keys, options))
	session := admin.Loopback() // for development; in production, your own sign-in
	settings := must(admin.New(keys, session.Authorize, admin.Options{Guard: guard}))

	http.Handle("/", newAPI(guard))
	http.Handle("/settings/api-keys/", http.StripPrefix("/settings/api-keys", settings))

	fmt.Println("make a key:", session.Link("http://localhost:8080/settings/api-keys/"))
	if err := guard.ListenAndServe(&http.Server{Addr: "localhost:8080"}, store); err != nil {
		log.Fatal(err)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}

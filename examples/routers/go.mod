module github.com/wontopos/latchkey/examples/routers

go 1.26.0

require (
	github.com/go-chi/chi/v5 v5.5.0
	github.com/gorilla/mux v1.8.1
	github.com/wontopos/latchkey v0.0.0
)

require github.com/cespare/xxhash/v2 v2.3.0 // indirect

replace github.com/wontopos/latchkey => ../..

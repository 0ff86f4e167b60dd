module github.com/wontopos/latchkey/middleware/latchconnect

go 1.26.0

require (
	connectrpc.com/connect v1.21.1
	github.com/wontopos/latchkey v0.0.0
	google.golang.org/genproto/googleapis/rpc v0.0.0-20261110000943-09e21b237f2c
	google.golang.org/protobuf v1.36.12
)

require github.com/cespare/xxhash/v2 v2.3.0 // indirect

replace github.com/wontopos/latchkey => ../..

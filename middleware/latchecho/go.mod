module github.com/wontopos/latchkey/middleware/latchecho

go 1.26.0

require (
	github.com/labstack/echo/v5 v5.4.4
	github.com/wontopos/latchkey v0.0.0
)

require (
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	golang.org/x/time v0.15.0 // indirect
)

replace github.com/wontopos/latchkey => ../..

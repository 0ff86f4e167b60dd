module github.com/wontopos/latchkey/tools/adapters

go 1.26.0

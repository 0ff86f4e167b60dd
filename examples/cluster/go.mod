module github.com/wontopos/latchkey/examples/cluster

go 1.26.0

require (
	github.com/jackc/pgx/v5 v5.12.0
	github.com/redis/rueidis v1.0.79
	github.com/wontopos/latchkey v0.0.0
	github.com/wontopos/latchkey/storage/pgstore v0.0.0
	github.com/wontopos/latchkey/storage/redisstore v0.0.0
)

require (
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/jackc/pgpassfile v1.0.0 // indirect
	github.com/jackc/pgservicefile v0.0.0-20240606120523-5a60cdf6a761 // indirect
	github.com/jackc/puddle/v2 v2.2.3 // indirect
	github.com/redis/go-redis/v9 v9.23.0 // indirect
	go.uber.org/atomic v1.12.0 // indirect
	golang.org/x/sync v0.24.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/text v0.43.0 // indirect
)

replace (
	github.com/wontopos/latchkey => ../..
	github.com/wontopos/latchkey/storage/pgstore => ../../storage/pgstore
	github.com/wontopos/latchkey/storage/redisstore => ../../storage/redisstore
)

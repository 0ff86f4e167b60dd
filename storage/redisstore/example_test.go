package redisstore_test

import (
	"context"
	"fmt"

	"github.com/redis/rueidis"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/storage/redisstore"
	"github.com/wontopos/latchkey/storage/redisstore/rueidisstore"
)

func Example() {
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{"localhost:6379"}})
	if err != nil {
		panic(err)
	}
	defer client.Close()
	limits, err := rueidisstore.NewLimiter(client, redisstore.LimiterOptions{})
	if err != nil {
		panic(err)
	}
	defer limits.Close(context.Background())

	decision, err := limits.Take(context.Background(), limiter.Request{Demands: []limiter.Demand{
		{Subject: "{acme}a key", Limits: []apikey.Limit{apikey.PerMinute(60), {Name: "two", N: 2, Concurrent: true}}},
		{Subject: "{acme}", Limits: []apikey.Limit{{Name: "month", N: 1_000_000, Period: apikey.Monthly}}},
	}})
	fmt.Println(decision, err)
}

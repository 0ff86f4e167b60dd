package limitertest_test

import (
	"fmt"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter/limitertest"
)

// What a limiter with fixed windows admits around the turn of a minute.
func ExampleCheck() {
	limit := apikey.Limit{Name: "minute", N: 60, Window: time.Minute}
	history := []limitertest.Hit{
		{At: 59 * time.Second, Cost: 60},
		{At: 60 * time.Second, Cost: 60},
	}
	cost, start := limitertest.Worst(history, limit.Window)
	fmt.Println(cost, "in the minute from", start)
	fmt.Println(limitertest.Check(history, limit) != nil)
	// Output:
	// 120 in the minute from 59s
	// true
}

package limiter_test

import (
	"context"
	"fmt"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
)

func Example() {
	l, err := limiter.New(limiter.Options{})
	if err != nil {
		panic(err)
	}
	r := limiter.Request{Demands: []limiter.Demand{{
		Subject: "key:2fJk0dLm8sWqXz1A",
		Limits:  []apikey.Limit{apikey.PerMinute(2), apikey.PerDay(1000)},
	}}}
	for range 3 {
		d, err := l.Take(context.Background(), r)
		if err != nil {
			panic(err) // answer 503: the request was neither admitted nor refused
		}
		fmt.Println(d.Allowed, d.Windows[0].Remaining, d.Windows[1].Remaining, d.RetryAfter > 0)
	}
	// Output:
	// true 1 999 false
	// true 0 998 false
	// false 0 998 true
}

// A limit on all keys of an owner is decided and charged in the same step.
func ExampleRequest() {
	l, err := limiter.New(limiter.Options{})
	if err != nil {
		panic(err)
	}
	owner := limiter.Demand{
		Subject: "owner:acme",
		Limits:  []apikey.Limit{{Name: "owner", N: 3, Window: time.Hour}},
	}
	for _, key := range []string{"key:a", "key:b", "key:a", "key:b"} {
		d, err := l.Take(context.Background(), limiter.Request{
			Demands: []limiter.Demand{{Subject: key, Limits: []apikey.Limit{apikey.PerMinute(60)}}, owner},
		})
		if err != nil {
			panic(err)
		}
		fmt.Println(key, d.Allowed, d.Windows[0].Remaining, d.Windows[1].Remaining)
	}
	// Output:
	// key:a true 59 2
	// key:b true 59 1
	// key:a true 58 0
	// key:b false 59 0
}

// Two processes share a limit. Each has a Shared in front of a limiter whose counts all
// of them see; here a Window stands for one in a database.
func ExampleShared() {
	shared, err := limiter.New(limiter.Options{})
	if err != nil {
		panic(err)
	}
	r := limiter.Request{Demands: []limiter.Demand{{
		Subject: "key:2fJk0dLm8sWqXz1A",
		Limits:  []apikey.Limit{apikey.PerMinute(3)},
	}}}
	var instances []*limiter.Shared
	for range 2 {
		s, err := limiter.NewShared(shared, limiter.SharedOptions{Instances: 2})
		if err != nil {
			panic(err)
		}
		instances = append(instances, s)
	}
	for i := range 4 {
		d, err := instances[i%2].Take(context.Background(), r)
		if err != nil {
			panic(err) // the shared limiter is down, and this costs more than the share
		}
		fmt.Println(i%2, d.Allowed, d.Windows[0].Remaining)
	}
	// Output:
	// 0 true 2
	// 1 true 1
	// 0 true 0
	// 1 false 0
}

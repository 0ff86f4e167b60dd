package latchotel_test

import (
	"context"
	"fmt"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/middleware/latchotel"
	"github.com/wontopos/latchkey/storage/memstore"
)

// A guard whose figures go to the MeterProvider that the program has set with otel.SetMeterProvider.
func ExampleInstrument() {
	keys, err := latchkey.New(memstore.New(), latchkey.Options{})
	if err != nil {
		panic(err)
	}
	defer func() { _ = keys.Close(context.Background()) }()

	options := middleware.Options{}
	stop, err := latchotel.Instrument(keys, latchotel.Options{}, &options)
	if err != nil {
		panic(err)
	}
	defer func() { _ = stop() }()
	guard, err := middleware.New(keys, options)
	if err != nil {
		panic(err)
	}
	defer func() { _ = guard.Close(context.Background()) }()
	fmt.Println("guard routes, and serve")
	// Output: guard routes, and serve
}

package latchkey_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage/memstore"
)

func Example() {
	ctx := context.Background()
	keys, err := latchkey.New(memstore.New(), latchkey.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer keys.Close(ctx)

	alice := apikey.Actor{ID: "alice@example.com"}
	key, token, err := keys.Create(ctx, alice, latchkey.NewKey{
		Name: "production-backend", Owner: "acme", Scopes: []string{"marketplace:read"},
	})
	if err != nil {
		log.Fatal(err)
	}
	who, err := keys.Verify(ctx, token.Reveal())
	fmt.Println(who.Owner(), who.Has("marketplace:read"), who.Plan(), err)

	if _, err := keys.Revoke(ctx, alice, key.ID, "leaked in a log"); err != nil {
		log.Fatal(err)
	}
	_, err = keys.Verify(ctx, token.Reveal())
	fmt.Println(errors.Is(err, apikey.RevokedKey))
	// Output:
	// acme true free <nil>
	// true
}

func ExampleService_Rotate() {
	ctx := context.Background()
	keys, err := latchkey.New(memstore.New(), latchkey.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer keys.Close(ctx)
	alice := apikey.Actor{ID: "alice@example.com"}
	key, _, err := keys.Create(ctx, alice, latchkey.NewKey{Name: "backend", Owner: "acme"})
	if err != nil {
		log.Fatal(err)
	}

	// The old secret works for a day more; deploy the new one meanwhile.
	if _, _, err = keys.Rotate(ctx, alice, key.ID, latchkey.RotateOptions{}); err != nil {
		log.Fatal(err)
	}
	// Is it safe to end the old one early?
	_, err = keys.FinishRotation(ctx, alice, key.ID, false)
	fmt.Println(err)
	// Output:
	// apikey: the new secret has not been used yet; wait until it has gone quiet, or force
}

func ExampleLiveAndTest() {
	envs := apikey.LiveAndTest("https://api.example.com", "https://sandbox.example.com")
	keys, err := latchkey.New(memstore.New(), latchkey.Options{Environments: envs})
	if err != nil {
		log.Fatal(err)
	}
	defer keys.Close(context.Background())
	_, token, err := keys.Create(context.Background(), apikey.Actor{ID: "alice"}, latchkey.NewKey{
		Name: "my laptop", Owner: "acme", Environment: "test",
	})
	if err != nil {
		log.Fatal(err)
	}
	who, err := keys.Verify(context.Background(), token.Reveal())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.Reveal()[:8], who.Environment())
	// Output:
	// sk_test_ test
}

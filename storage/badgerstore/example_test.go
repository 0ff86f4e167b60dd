package badgerstore_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/badgerstore"
)

func Example() {
	dir, err := os.MkdirTemp("", "keys")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	store, err := badgerstore.Open(dir, badgerstore.Options{})
	if err != nil {
		log.Fatal(err)
	}
	// A service does this on behalf of its caller; here it is done by hand.
	ctx := context.Background()
	key := apikey.Key{
		ID: "7dJx0QmB2kTzVw9a", Owner: "acme", Environment: "live", CreatedAt: time.Now(),
		Secrets: []apikey.Secret{{Number: 1, CreatedAt: time.Now()}},
	}
	if _, err := store.Apply(ctx, storage.Change{
		Record: storage.Record{Key: key, Digests: make([]storage.Digest, 1)},
		Entry:  apikey.AuditEntry{Actor: "ann", Action: "create", KeyID: key.ID, Owner: key.Owner},
	}); err != nil {
		log.Fatal(err)
	}
	if err := store.Close(); err != nil {
		log.Fatal(err)
	}

	// The next run of the program finds it again.
	store, err = badgerstore.Open(dir, badgerstore.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	page, err := store.List(ctx, storage.Query{Owner: "acme"})
	fmt.Println(len(page.Records), "key, revision", page.Records[0].Key.Revision, err)
	// Output: 1 key, revision 1 <nil>
}

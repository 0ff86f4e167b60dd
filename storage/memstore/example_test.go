package memstore_test

import (
	"context"
	"fmt"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/memstore"
)

// A service does this on behalf of its caller; here it is done by hand.
func Example() {
	ctx := context.Background()
	store := memstore.New()
	defer store.Close()

	key := apikey.Key{
		ID: "7dJx0QmB2kTzVw9a", Name: "billing", Owner: "acme", Environment: "live",
		CreatedAt: time.Now(),
		Secrets:   []apikey.Secret{{Number: 1, CreatedAt: time.Now()}},
	}
	revision, err := store.Apply(ctx, storage.Change{
		Record: storage.Record{Key: key, Digests: make([]storage.Digest, 1)},
		Entry:  apikey.AuditEntry{Actor: "ann", Action: "create", KeyID: key.ID, Owner: key.Owner},
	})
	fmt.Println("created at revision", revision, err)

	// A second creation is a conflict, and leaves no trace.
	_, err = store.Apply(ctx, storage.Change{
		Record: storage.Record{Key: key, Digests: make([]storage.Digest, 1)},
		Entry:  apikey.AuditEntry{Actor: "bob", Action: "create", KeyID: key.ID, Owner: key.Owner},
	})
	fmt.Println(apikey.CodeOf(err).String())

	trail, _ := store.Audit(ctx, apikey.AuditQuery{KeyID: key.ID})
	for _, e := range trail {
		fmt.Println(e.Seq, e.Action, "by", e.Actor)
	}
	// Output:
	// created at revision 1 <nil>
	// conflict
	// 1 create by ann
}

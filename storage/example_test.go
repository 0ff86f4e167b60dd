package storage_test

import (
	"errors"
	"fmt"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

func ExampleHub() {
	var hub storage.Hub
	cancel := hub.Subscribe(func(n storage.Notice) { fmt.Println(n.ID, "is at revision", n.Revision) })
	hub.Publish(storage.Notice{ID: "4fGh0000aaaaBBBB", Revision: 2}) // what a store does after a commit
	cancel()
	hub.Publish(storage.Notice{ID: "4fGh0000aaaaBBBB", Revision: 3})
	// Output:
	// 4fGh0000aaaaBBBB is at revision 2
}

func ExampleDecodeRecord() {
	record := storage.Record{
		Key:     apikey.Key{ID: "4fGh0000aaaaBBBB", Name: "backend", Secrets: []apikey.Secret{{Number: 1}}},
		Digests: make([]storage.Digest, 1),
	}
	row := storage.AppendRecord(nil, record)
	back, err := storage.DecodeRecord(row)
	fmt.Println(back.Key.Name, err)

	row[len(row)/2] ^= 1 // a disk that forgot a bit
	_, err = storage.DecodeRecord(row)
	fmt.Println(errors.Is(err, storage.ErrCorrupt))
	// Output:
	// backend <nil>
	// true
}

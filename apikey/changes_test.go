package apikey_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey/apikey"
)

// TestChanges: the number grows with every change that this process makes or
// learns of, and not with reads.
func TestChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := newSharedStore()
		here, err := apikey.New(&link{store: shared}, apikey.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer here.Close(t.Context())
		there, err := apikey.New(&link{store: shared}, apikey.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer there.Close(t.Context())
		last, all := here.Changes()
		if all {
			t.Error("others change keys, too")
		}
		grown := func(what string, want bool) {
			t.Helper()
			n, _ := here.Changes()
			if (n > last) != want {
				t.Errorf("after %s: %d, before %d", what, n, last)
			}
			synctest.Wait() // this process may hear of its own change once more
			last, _ = here.Changes()
		}
		k, token := create(t, here)
		grown("a creation", true)
		if _, err := here.Verify(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		if _, err := here.List(t.Context(), apikey.ListRequest{}); err != nil {
			t.Fatal(err)
		}
		grown("reads", false)
		if _, err := here.Disable(t.Context(), ops, k.ID, ""); err != nil {
			t.Fatal(err)
		}
		grown("a change", true)
		if _, err := here.Purge(t.Context(), ops, apikey.MinPurgeAge); err != nil {
			t.Fatal(err)
		}
		grown("a purge", true)
		create(t, there) // of a key that this process never saw
		time.Sleep(3 * time.Second)
		grown("a creation elsewhere", true)
		if _, err := there.Enable(t.Context(), ops, k.ID); err != nil {
			t.Fatal(err)
		}
		grown("a change elsewhere", true)
	})
}

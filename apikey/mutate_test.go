package apikey_test

import (
	"context"
	"sync"
	"testing"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage/memstore"
)

// meeting holds the first two reads until both have read.
type meeting struct {
	apikey.Store
	reads sync.WaitGroup
	once  [2]sync.Once
}

func (m *meeting) Unwrap() apikey.Store { return m.Store }

func (m *meeting) Get(ctx context.Context, id string) (apikey.Record, error) {
	r, err := m.Store.Get(ctx, id)
	for i := range m.once {
		mine := false
		if m.once[i].Do(func() { mine = true }); mine {
			m.reads.Done()
			break
		}
	}
	m.reads.Wait()
	return r, err
}

// Two people revoke a key at once, and both read it before either has written.
func TestRevokingTwiceAtOnceIsNoError(t *testing.T) {
	mem := memstore.New()
	k, _ := create(t, serviceOn(t, mem, apikey.Options{}))
	store := &meeting{Store: mem}
	store.reads.Add(2)
	s := serviceOn(t, store, apikey.Options{})
	var (
		group sync.WaitGroup
		got   [2]apikey.Key
	)
	for i, reason := range []string{"leaked", "tidying up"} {
		group.Go(func() {
			var err error
			got[i], err = s.Revoke(context.Background(), ops, k.ID, reason)
			want(t, "revoking at the same time as somebody else", err, nil)
		})
	}
	group.Wait()
	if got[0].RevokeReason == "" || got[0].RevokeReason != got[1].RevokeReason || got[0].Revision != 2 || got[1].Revision != 2 {
		t.Errorf("the first revocation and its reason stand: got %+v", got)
	}
}

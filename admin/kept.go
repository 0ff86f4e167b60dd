package admin

import (
	"sync"
	"time"
)

// keptLists keeps pages of the list for those who ask again and again: unless a
// key changes, a page is made once in listsFor. Numbers and times of use may be
// that old; those of other processes are always a flush behind. What is kept is
// one viewer's, and whoever asks was admitted before.
type keptLists struct {
	mu   sync.Mutex
	kept map[viewed]keptList
}

// viewed is everything that a page of the list depends on, but for the keys and
// the time.
type viewed struct {
	role      Role
	owner, id string
	readOnly  bool
	filter    listFilter
}

type keptList struct {
	at      time.Time
	changes uint64 // of the service, before the keys were read
	body    []byte
}

const (
	listsFor  = 10 * time.Second
	maxLists  = 128
	maxFilter = 512 // bytes of a filter whose page is kept
)

// viewed takes the filter, not the address: what an address says beyond it makes
// no other page.
func (c *call) viewed(f listFilter) viewed {
	return viewed{c.actor.Role, c.actor.Owner, c.actor.ID, c.actor.ReadOnly, f}
}

func (k *keptLists) get(v viewed, changes uint64, now time.Time) ([]byte, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	kept, ok := k.kept[v]
	return kept.body, ok && kept.changes == changes && now.Sub(kept.at) < listsFor
}

// put keeps a page, which must not change any more.
func (k *keptLists) put(v viewed, p keptList) {
	if v.filter.size() > maxFilter {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.kept == nil || len(k.kept) >= maxLists {
		k.kept = make(map[viewed]keptList)
	}
	k.kept[v] = p
}

package admin

import (
	"math/rand/v2"
	"sync"
	"time"
)

// keptFor is how long what was made for the list is shown again, at most: half of
// it at least, and else by chance, so that what was made together is not all made
// anew together. Numbers and times of use may be that old; those of other
// processes are always a flush behind.
const keptFor = 10 * time.Second

// kept keeps what was made for those who ask again and again: at most so many
// things, and when there are more, all are forgotten. Its key says everything
// that the thing depends on but the time, and whoever asks was admitted before.
type kept[K comparable, V any] struct {
	most int

	mu  sync.Mutex
	all map[K]keptThing[V]
}

type keptThing[V any] struct {
	made[V]
	until time.Time
}

// made is a thing and when the oldest part of it was made. It must not change any
// more.
type made[V any] struct {
	at    time.Time
	thing V
}

func (k *kept[K, V]) get(key K, now time.Time) (made[V], bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	m, ok := k.all[key]
	return m.made, ok && now.Before(m.until)
}

func (k *kept[K, V]) put(key K, m made[V]) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.all == nil || len(k.all) >= k.most {
		k.all = make(map[K]keptThing[V])
	}
	k.all[key] = keptThing[V]{m, m.at.Add(keptFor/2 + rand.N(keptFor/2))}
}

func (k *kept[K, V]) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.all = nil
}

// viewed is what a page of the list depends on. It says nothing of the person:
// all with the same rights to the same keys are shown the same.
type viewed struct {
	listRights
	owner   string // empty for operators
	filter  listFilter
	changes uint64 // of the service, before the keys were read
}

// maxFilter is how many bytes of a filter are kept with its page.
const maxFilter = 512

func (c *call) viewed() viewed {
	v := viewed{listRights: listRights{c.actor.operator(), !c.actor.ReadOnly}, filter: c.listFilter(), changes: c.h.keys.Changes()}
	if !v.Operator {
		v.owner = c.actor.Owner
	}
	return v
}

// listed is what a row of the list depends on. Who may see the key is for the
// list to decide, before a row is looked for.
type listed struct {
	id       string
	created  time.Time // an id may come again after a purge
	revision uint64
	operator bool
}

package admin

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/wontopos/latchkey/apikey"
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
	k.putUntil(key, m, m.at.Add(keptFor))
}

// putUntil keeps what is something else at an instant until then, at most.
func (k *kept[K, V]) putUntil(key K, m made[V], until time.Time) {
	if at := m.at.Add(keptFor/2 + rand.N(keptFor/2)); at.Before(until) {
		until = at
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.all == nil || len(k.all) >= k.most {
		k.all = make(map[K]keptThing[V])
	}
	k.all[key] = keptThing[V]{m, until}
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
	v := viewed{listRights: listRights{c.actor.operator(), !c.actor.ReadOnly}, filter: c.listFilter()}
	v.changes, _ = c.h.keys.Changes()
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

// answered is what a list of the REST API depends on, besides the clock: programs
// rely on what it says, so it is kept only where nothing escapes this process.
type answered struct {
	operator bool
	request  apikey.ListRequest
	changes  uint64
}

// maxAnswer is how many bytes an answer has that is kept.
const maxAnswer = 64 << 10

// answered returns what the list depends on, and whether there is no more to it:
// the store announces every change, and which keys are listed is a matter neither
// of their use nor of the time.
func (c *call) answered(r apikey.ListRequest) (a answered, all bool) {
	n, all := c.h.keys.Changes()
	size := len(r.Owner) + len(r.Environment) + len(r.Plan) + len(r.Search) + len(r.Cursor)
	return answered{c.actor.operator(), r, n}, all && r.UnusedSince.IsZero() && r.State == "" && !r.Rotating && size <= maxFilter
}

// sameUntil is when the clock changes what is said of keys: when one of them
// expires, or one of their secrets ends.
func sameUntil(keys []apikey.Key, now time.Time) (until time.Time) {
	until = now.Add(keptFor)
	for i := range keys {
		k := &keys[i]
		if k.ExpiresAt.After(now) {
			until = earlier(until, k.ExpiresAt)
		}
		for _, s := range k.Secrets {
			if s.EndsAt.After(now) {
				until = earlier(until, s.EndsAt)
			}
		}
	}
	return until
}

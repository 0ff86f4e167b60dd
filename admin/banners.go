package admin

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
)

// Banners say how many keys of a list expire soon, are due for rotation or are
// unused. No store has an index for that, so all active keys of the list are
// read, a thousand at a time: 100,000 keys take about a second of one
// processor. A count is shown again for 10 seconds, or for twenty times as long
// as it took. After a change made here, small lists are counted again at once,
// and large ones after four times as long as the count took. One view counts
// for surveyFor at most, and gives up its place in the bulkhead between two
// thousands; the next view continues. Until all keys are counted a banner says
// "at least".

// banner is a message above the list that asks for an action.
type banner struct {
	Text string
	Keys []link // the first few
	More string // how many more
	Show string // address of the list of these keys, if there are more
}

const (
	// bannerKeys is how many keys a banner names.
	bannerKeys = 3
	// surveyKept is the minimum time for which a count is shown again, while
	// nothing is changed here.
	surveyKept = 10 * time.Second
	// surveyFor is how long one view counts.
	surveyFor = time.Second
	// surveyPage is how many keys are read at a time.
	surveyPage = 1000
	// surveyQuick is how long counting may take if the keys are to be counted
	// again after each change.
	surveyQuick = 20 * time.Millisecond
	// mostSurveys and longestOwner bound what is kept in memory.
	mostSurveys, longestOwner = 1024, 256
)

// tally is what the keys of a list need.
type tally struct{ expiring, due, unused need }

// need is how many keys need one thing, and those that need it most.
type need struct {
	count int
	first []wanting
}

type wanting struct {
	id, name string
	at       time.Time // the earlier, the more urgent
}

func (n *need) add(k *apikey.Key, at time.Time) {
	n.count++
	w := wanting{k.ID, strings.Clone(k.Name), at}
	i, _ := slices.BinarySearchFunc(n.first, w, func(a, b wanting) int {
		return cmp.Or(a.at.Compare(b.at), strings.Compare(a.id, b.id))
	})
	if i < bannerKeys {
		n.first = slices.Insert(slices.Clip(n.first), i, w) // a banner may be reading the old slice
		n.first = n.first[:min(len(n.first), bannerKeys)]
	}
}

// counted is a tally and how it was made.
type counted struct {
	tally
	began   time.Time
	changes uint64        // made here before that
	took    time.Duration // of reading the keys
}

// survey counts the keys of one list, for one request at a time.
type survey struct {
	whole atomic.Pointer[counted] // the last complete count; nil before the first

	counting sync.Mutex // for what follows; nobody waits for it
	part     *counted   // nil if no count is in progress
	cursor   string
}

// surveyed identifies what a survey covers.
type surveyed struct{ owner, environment string }

// surveys are the surveys of a handler. If there are too many, all are dropped.
type surveys struct {
	changes atomic.Uint64 // made here: a banner may have been acted on

	mu  sync.Mutex
	all map[surveyed]*survey
}

func (s *surveys) of(list surveyed) *survey {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.all[list]
	if !ok {
		if s.all == nil || len(s.all) >= mostSurveys {
			s.all = make(map[surveyed]*survey)
		}
		v = new(survey)
		s.all[list] = v
	}
	return v
}

// fresh reports whether a count may be shown again.
func (s *surveys) fresh(w *counted, now time.Time) bool {
	if w == nil {
		return false
	}
	age := now.Sub(w.began)
	if w.changes == s.changes.Load() {
		return age < max(surveyKept, 20*w.took)
	}
	return w.took > surveyQuick && age < 4*w.took
}

// count returns what the keys of a list need, and whether all of them were
// counted. Keys that cannot be read are left out. If another request is
// counting, count returns the previous count, or nothing yet.
func (c *call) count(s *survey, list surveyed) (t *tally, whole bool) {
	if !c.h.surveys.fresh(s.whole.Load(), c.now) {
		t = c.countOn(s, list)
	}
	if w := s.whole.Load(); w != nil {
		return &w.tally, true
	}
	return t, false
}

// countOn counts for a while, and returns what it has so far; nil if the result
// is in s.whole, or if another request is counting.
func (c *call) countOn(s *survey, list surveyed) *tally {
	if !s.counting.TryLock() {
		return nil
	}
	defer s.counting.Unlock()
	if c.h.surveys.fresh(s.whole.Load(), c.now) {
		return nil // another request has just counted
	}
	if s.part == nil || c.now.Sub(s.part.began) > 10*time.Minute {
		s.part, s.cursor = &counted{began: c.now, changes: c.h.surveys.changes.Load()}, ""
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), 2*surveyFor)
	defer cancel()
	for left := surveyFor; left > 0; {
		began := time.Now()
		err := c.countSome(ctx, s, list)
		took := time.Since(began)
		left -= took
		s.part.took += took
		if err != nil {
			break
		}
		if s.cursor == "" {
			s.whole.Store(s.part)
			s.part = nil
			return nil
		}
		if c.leave(); c.enter() != nil {
			break
		}
	}
	t := s.part.tally // a copy, because counting continues
	return &t
}

// countSome counts the next keys of a list.
func (c *call) countSome(ctx context.Context, s *survey, list surveyed) error {
	page, err := c.h.keys.List(ctx, latchkey.ListRequest{
		Owner: list.owner, Environment: list.environment, State: apikey.Active, Order: storage.OldestFirst, Limit: surveyPage, Cursor: s.cursor,
	})
	if err != nil {
		return err
	}
	var aged []*apikey.Key
	var ids []string
	for i := range page.Keys {
		if k := &page.Keys[i]; c.now.Sub(k.CreatedAt) > unusedFor {
			aged, ids = append(aged, k), append(ids, k.ID)
		}
	}
	var activity []apikey.Activity
	if len(ids) > 0 {
		if activity, err = c.h.keys.Activity(ctx, ids, c.now); err != nil {
			return err
		}
	}
	for i := range page.Keys {
		k := &page.Keys[i]
		if !k.ExpiresAt.IsZero() && k.ExpiresAt.Before(c.now.Add(soon)) {
			s.part.expiring.add(k, k.ExpiresAt)
		}
		if secret := k.Secrets[0].CreatedAt; secret.Before(c.dueBefore()) {
			s.part.due.add(k, secret)
		}
	}
	for i, k := range aged {
		if last := activity[i].Last.At; c.now.Sub(last) > unusedFor {
			if last.IsZero() {
				last = k.CreatedAt
			}
			s.part.unused.add(k, last)
		}
	}
	s.cursor = page.Next
	return nil
}

// dueBefore is the time before which secrets that are due for rotation were
// made.
func (c *call) dueBefore() time.Time {
	return c.now.Add(-c.h.keys.MaxAge()).Add(time.Microsecond) // MaxAge itself is due
}

// banners returns the banners for the keys of a list.
func (c *call) banners(f listFilter) (found []banner) {
	r := f.request(c)
	if len(r.Owner) > longestOwner {
		return nil
	}
	list := surveyed{strings.Clone(r.Owner), r.Environment}
	t, whole := c.count(c.h.surveys.of(list), list)
	if t == nil {
		return nil
	}
	add := func(n *need, one, many, show string, note func(wanting) string) {
		if n.count == 0 {
			return
		}
		b := banner{Text: one}
		if n.count > 1 || !whole {
			b.Text = grouped(uint64(n.count)) + " " + many
		}
		if !whole {
			b.Text = "At least " + b.Text
		}
		for _, w := range n.first {
			b.Keys = append(b.Keys, link{Text: w.name + note(w), Address: "keys/" + w.id})
		}
		if rest := n.count - len(n.first); rest > 0 {
			b.More, b.Show = "and "+grouped(uint64(rest))+" more.", show
		}
		found = append(found, b)
	}
	plain := func(wanting) string { return "" }
	f.Status, f.Order = "expiring", "oldest"
	add(&t.expiring, "A key expires soon:", "keys expire soon:", f.address(), func(w wanting) string { return " (" + coming(w.at, c.now).Text + ")" })
	age := length(c.h.keys.MaxAge())
	f.Status = "due"
	add(&t.due, "A key is due for rotation, after "+age+":", "keys are due for rotation, after "+age+":", f.address(), plain)
	f.Status, f.Unused = "active", true
	add(&t.unused, "A key has not been used for "+length(unusedFor)+":", "keys have not been used for "+length(unusedFor)+":", f.address(), plain)
	return found
}

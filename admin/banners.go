package admin

import (
	"strconv"

	"github.com/wontopos/latchkey/apikey"
)

// banner is something above the list that wants to be done.
type banner struct {
	Text string
	Keys []link // the first few
	More string // how many besides
	Show string // address of the list of them, if there are more
}

const (
	// bannerKeys is how many keys a banner names.
	bannerKeys = 3
	// bannerLooks bounds how many keys are looked at for the banners, oldest
	// first: these are the ones that are due.
	bannerLooks = 200
)

// bannerList is what banners depend on. They are forgotten when something is
// changed here: what was asked for may be done.
type bannerList struct{ owner, environment string }

// banners tells of the keys of a list that want something. What cannot be read
// is left out.
func (c *call) banners(f listFilter) made[[]banner] {
	r := f.request(c)
	list := bannerList{r.Owner, r.Environment}
	if found, ok := c.h.banners.get(list, c.now); ok {
		return found
	}
	found := made[[]banner]{c.now, c.lookForBanners(f)}
	c.h.banners.put(list, found)
	return found
}

func (c *call) lookForBanners(f listFilter) (found []banner) {
	r := f.request(c)
	page, err := c.h.keys.List(c.r.Context(), apikey.ListRequest{
		Owner: r.Owner, Environment: r.Environment, State: apikey.Active, Order: apikey.OldestFirst, Limit: bannerLooks,
	})
	if err != nil {
		return nil
	}
	var due, expiring, aged []*apikey.Key
	for i := range page.Keys {
		k := &page.Keys[i]
		if c.now.Sub(k.Secrets[0].CreatedAt) >= c.h.keys.MaxAge() {
			due = append(due, k)
		}
		if !k.ExpiresAt.IsZero() && k.ExpiresAt.Sub(c.now) < soon {
			expiring = append(expiring, k)
		}
		if c.now.Sub(k.CreatedAt) >= unusedFor {
			aged = append(aged, k)
		}
	}
	idle := c.unused(aged)
	more := page.Next != ""
	add := func(keys []*apikey.Key, one, many, show string, note func(*apikey.Key) string) {
		if len(keys) == 0 {
			return
		}
		b := banner{Text: one}
		if len(keys) > 1 {
			n := strconv.Itoa(len(keys))
			if more {
				n = "At least " + n
			}
			b.Text = n + " " + many
		}
		for _, k := range keys[:min(len(keys), bannerKeys)] {
			b.Keys = append(b.Keys, link{Text: k.Name + note(k), Address: "keys/" + k.ID})
		}
		if rest := len(keys) - bannerKeys; rest > 0 {
			b.More, b.Show = "and "+strconv.Itoa(rest)+" more.", show
		}
		found = append(found, b)
	}
	plain := func(*apikey.Key) string { return "" }
	f.Status, f.Order = "expiring", "oldest"
	add(expiring, "A key expires soon:", "keys expire soon:", f.address(), func(k *apikey.Key) string { return " (" + coming(k.ExpiresAt, c.now).Text + ")" })
	age := length(c.h.keys.MaxAge())
	f.Status = "active"
	add(due, "A key is due for rotation, after "+age+":", "keys are due for rotation, after "+age+":", f.address(), plain)
	f.Unused = true
	add(idle, "A key has not been used for "+length(unusedFor)+":", "keys have not been used for "+length(unusedFor)+":", f.address(), plain)
	return found
}

// unused are those keys that were not used for long.
func (c *call) unused(keys []*apikey.Key) (idle []*apikey.Key) {
	ids := make([]string, len(keys))
	for i, k := range keys {
		ids[i] = k.ID
	}
	if len(ids) == 0 {
		return nil
	}
	activity, err := c.h.keys.Activity(c.r.Context(), ids, c.now)
	if err != nil {
		return nil
	}
	for i, k := range keys {
		if c.now.Sub(activity[i].Last.At) >= unusedFor {
			idle = append(idle, k)
		}
	}
	return idle
}

package latchkey_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/engine"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/memstore"
)

func named(name string) func(n *latchkey.NewKey) {
	return func(n *latchkey.NewKey) { n.Name = name }
}

// listed walks all pages and returns the names.
func listed(t *testing.T, s *latchkey.Service, r latchkey.ListRequest) []string {
	t.Helper()
	names := []string{}
	for {
		page, err := s.List(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range page.Keys {
			names = append(names, k.Name)
		}
		if r.Cursor = page.Next; r.Cursor == "" {
			return names
		}
	}
}

func TestListFiltersAndOrders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, latchkey.Options{})
		defer s.Close(t.Context())
		for _, name := range []string{"worker", "Backend", "billing-backend", "alpha"} {
			create(t, s, named(name))
			time.Sleep(time.Second)
		}
		off, _ := create(t, s, named("off"), func(n *latchkey.NewKey) { n.Plan = "pro" })
		if _, err := s.Disable(t.Context(), ops, off.ID, ""); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.Rotate(t.Context(), ops, off.ID, latchkey.RotateOptions{}); err != nil {
			t.Fatal(err)
		}
		future := time.Now().Add(time.Hour)
		if _, err := s.Update(t.Context(), ops, off.ID, latchkey.Update{ExpiresAt: &future}); err != nil {
			t.Fatal(err)
		}
		for _, tc := range []struct {
			r    latchkey.ListRequest
			want string
		}{
			{latchkey.ListRequest{Rotating: true}, "off"},
			{latchkey.ListRequest{ExpiresBefore: future}, ""},
			{latchkey.ListRequest{ExpiresBefore: future.Add(time.Second)}, "off"},
			{latchkey.ListRequest{}, "off alpha billing-backend Backend worker"},
			{latchkey.ListRequest{Order: storage.OldestFirst}, "worker Backend billing-backend alpha off"},
			{latchkey.ListRequest{Order: storage.ByName}, "alpha Backend billing-backend off worker"},
			{latchkey.ListRequest{Order: storage.ByName, Search: " BACK "}, "Backend billing-backend"},
			{latchkey.ListRequest{State: apikey.Disabled}, "off"},
			{latchkey.ListRequest{State: apikey.Active, Order: storage.ByName}, "alpha Backend billing-backend worker"},
			{latchkey.ListRequest{Plan: "pro"}, "off"},
			{latchkey.ListRequest{Owner: "nobody"}, ""},
		} {
			for _, tc.r.Limit = range []int{0, 1, 2} {
				if got := strings.Join(listed(t, s, tc.r), " "); got != tc.want {
					t.Errorf("list %+v: got %q, want %q", tc.r, got, tc.want)
				}
			}
		}
		time.Sleep(time.Hour) // disabled and expired: no secret works again by enabling it
		if got := listed(t, s, latchkey.ListRequest{Rotating: true}); len(got) != 0 {
			t.Errorf("%q are rotating", got)
		}
	})
}

func TestListOfUnusedKeysKnowsOfRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, latchkey.Options{FlushEvery: time.Hour})
		defer s.Close(t.Context())
		_, token := create(t, s, named("used"))
		create(t, s, named("idle"))
		time.Sleep(90 * 24 * time.Hour)
		create(t, s, named("new"))
		v, err := engine.Of(s).Verify(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		v.Count(apikey.OK, 0, fromHome)
		time.Sleep(time.Second)
		if got := listed(t, s, latchkey.ListRequest{UnusedSince: time.Now().Add(-24 * time.Hour)}); !slices.Equal(got, []string{"idle"}) {
			t.Errorf("not used for a day: got %q, want the key that is idle", got)
		}
	})
}

func TestAPastedTokenFindsItsKeyAndItsSecretStaysHere(t *testing.T) {
	seen := &searches{Store: memstore.New()}
	s := serviceOn(t, seen, latchkey.Options{})
	k, token := create(t, s, named("backend"))
	for !strings.ContainsAny(secretOf(token), "0OIl") { // 19 of 20 have one
		_, next, err := s.Rotate(t.Context(), ops, k.ID, latchkey.RotateOptions{Immediately: true})
		if err != nil {
			t.Fatal(err)
		}
		token = next.Reveal()
	}
	create(t, s, named("another"))
	secret := secretOf(token)
	for _, pasted := range []string{
		token, "sk_live_" + k.ID + "…", "sk_live_" + k.ID, token[:len(token)-10], " " + token + "\n", "Authorization: Bearer " + token,
		"SK_LIVE_" + k.ID, "sk_live_" + k.ID[:5], "KEY='" + token + "'", k.ID, k.ID[:7], strings.ToLower(k.ID),
	} {
		if got := listed(t, s, latchkey.ListRequest{Search: pasted}); !slices.Equal(got, []string{"backend"}) {
			t.Errorf("search for %q: got %q, want the key", pasted, got)
		}
	}
	for _, cut := range []string{token[9:], token[20:], token[23:], token[24:]} {
		if got := listed(t, s, latchkey.ListRequest{Search: cut}); len(got) != 0 {
			t.Errorf("search for %q, without the beginning of its id: got %q", cut, got)
		}
	}
	for _, term := range seen.terms {
		if strings.Contains(term, secret[:5]) {
			t.Errorf("the store was asked for %q, which holds a part of the secret", term)
		}
	}
	for _, pasted := range []string{"sk_live_", "sk_live_…", "sk_live_" + strings.Repeat("z", 60)} {
		if got := listed(t, s, latchkey.ListRequest{Search: pasted}); len(got) != 0 {
			t.Errorf("search for %q: got %q", pasted, got)
		}
	}
}

type searches struct {
	storage.Store
	terms []string
}

func (s *searches) Unwrap() storage.Store { return s.Store }

func (s *searches) List(ctx context.Context, q storage.Query) (storage.Listing, error) {
	s.terms = append(s.terms, q.Search)
	return s.Store.List(ctx, q)
}

func TestACursorBelongsToItsList(t *testing.T) {
	s := newService(t, latchkey.Options{})
	for i := range 3 {
		create(t, s, func(n *latchkey.NewKey) { n.Name, n.ExpiresAt = fmt.Sprint("key ", i), time.Now().Add(24*time.Hour) })
	}
	hour := time.Now().Add(time.Hour)
	base := latchkey.ListRequest{Owner: "acme", Environment: "live", Plan: "free", State: apikey.Active, Search: "key", UnusedSince: hour, ExpiresBefore: hour.Add(48 * time.Hour), Limit: 1}
	page, err := s.List(t.Context(), base)
	if err != nil || page.Next == "" {
		t.Fatalf("cursor %q, error %v", page.Next, err)
	}
	base.Cursor = page.Next
	for what, edit := range map[string]func(r *latchkey.ListRequest){
		"owner":        func(r *latchkey.ListRequest) { r.Owner = "other" },
		"environment":  func(r *latchkey.ListRequest) { r.Environment = "" },
		"plan":         func(r *latchkey.ListRequest) { r.Plan = "pro" },
		"state":        func(r *latchkey.ListRequest) { r.State = "" },
		"search":       func(r *latchkey.ListRequest) { r.Search = "ke" },
		"unused since": func(r *latchkey.ListRequest) { r.UnusedSince = time.Time{} },
		"rotation":     func(r *latchkey.ListRequest) { r.Rotating = true },
		"expiry":       func(r *latchkey.ListRequest) { r.ExpiresBefore = time.Time{} },
		"revoked keys": func(r *latchkey.ListRequest) { r.OmitRevoked = true },
		"secrets":      func(r *latchkey.ListRequest) { r.SecretBefore = hour },
		"order":        func(r *latchkey.ListRequest) { r.Order = storage.OldestFirst },
		"by name":      func(r *latchkey.ListRequest) { r.Order = storage.ByName },
		"fields":       func(r *latchkey.ListRequest) { r.Plan, r.Environment = "livefree", "" },
	} {
		r := base
		edit(&r)
		_, err := s.List(t.Context(), r)
		want(t, "a cursor of a list with another "+what, err, apikey.InvalidArgument)
		if err != nil && !strings.Contains(err.Error(), "another order or other filters") {
			t.Errorf("%s: the error does not say what is wrong: %v", what, err)
		}
	}
	for what, edit := range map[string]func(r *latchkey.ListRequest){
		"limit":        func(r *latchkey.ListRequest) { r.Limit = 2 },
		"unused since": func(r *latchkey.ListRequest) { r.UnusedSince = hour.Add(time.Second) },
		"expiry":       func(r *latchkey.ListRequest) { r.ExpiresBefore = hour.Add(49 * time.Hour) },
		"the same":     func(r *latchkey.ListRequest) {},
		"space":        func(r *latchkey.ListRequest) { r.Search = " key " },
	} {
		r := base
		edit(&r)
		if page, err := s.List(t.Context(), r); err != nil || len(page.Keys) == 0 || page.Keys[0].Name != "key 1" {
			t.Errorf("%s: the cursor goes on: got %v, error %v", what, page.Keys, err)
		}
	}
}

func TestListRefusesWhatIsNoFilter(t *testing.T) {
	s := newService(t, latchkey.Options{})
	for _, r := range []latchkey.ListRequest{{State: "sleeping"}, {Order: storage.ByName + 1}, {Cursor: "nonsense"}} {
		_, err := s.List(t.Context(), r)
		want(t, fmt.Sprintf("list %+v", r), err, apikey.InvalidArgument)
	}
}

// shortPages gives up after one record that it looked at.
type shortPages struct{ *memstore.Store }

func (s shortPages) List(ctx context.Context, q storage.Query) (storage.Listing, error) {
	plan := q.Plan
	q.Plan, q.Limit = "", 1
	l, err := s.Store.List(ctx, q)
	l.Records = slices.DeleteFunc(l.Records, func(r storage.Record) bool { return plan != "" && r.Key.Plan != plan })
	return l, err
}

func TestAShortPageIsNotTheLast(t *testing.T) {
	s := serviceOn(t, shortPages{memstore.New()}, latchkey.Options{})
	for i := range 6 {
		create(t, s, named(fmt.Sprint(i)), func(n *latchkey.NewKey) {
			if i == 0 || i == 3 {
				n.Plan = "pro"
			}
		})
	}
	page, err := s.List(t.Context(), latchkey.ListRequest{Plan: "pro"})
	if err != nil || len(page.Keys) != 0 || page.Next == "" {
		t.Errorf("an empty page amid the list: %d keys, next %q, error %v", len(page.Keys), page.Next, err)
	}
	if got := listed(t, s, latchkey.ListRequest{Plan: "pro"}); !slices.Equal(got, []string{"3", "0"}) {
		t.Errorf("got %q, want both keys", got)
	}
	if use, err := s.PepperUse(t.Context()); err != nil || use[0] != 6 {
		t.Errorf("a walk over all keys stops at a short page: counted %v, error %v", use, err)
	}
}

func TestActivityKnowsOfRequestsUpToNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, latchkey.Options{FlushEvery: time.Hour})
		defer s.Close(t.Context())
		k, token := create(t, s)
		idle, _ := create(t, s)
		v, err := engine.Of(s).Verify(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		v.Count(apikey.OK, 0, fromHome)
		v.Count(apikey.RateLimited, 0, nil)
		got, err := s.Activity(t.Context(), []string{idle.ID, k.ID}, time.Now())
		if err != nil || len(got) != 2 || len(got[0].Days) != 0 || got[0].ID != idle.ID {
			t.Fatalf("got %+v, error %v", got, err)
		}
		if a := got[1]; len(a.Days) != 1 || a.Days[0].Counts.Total() != 2 || a.Last.UserAgent != "curl/8.5.0" || !a.Days[0].Day.Equal(time.Now().Truncate(24*time.Hour)) {
			t.Errorf("got %+v", a)
		}
		_, err = s.Activity(t.Context(), make([]string, storage.MaxActivity+1), time.Time{})
		want(t, "too many keys", err, apikey.InvalidArgument)
	})
}

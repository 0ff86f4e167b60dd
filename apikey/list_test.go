package apikey_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage/memstore"
)

func named(name string) func(n *apikey.NewKey) {
	return func(n *apikey.NewKey) { n.Name = name }
}

// listed walks all pages and returns the names.
func listed(t *testing.T, s *apikey.Service, r apikey.ListRequest) []string {
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
		s := newService(t, apikey.Options{})
		defer s.Close(t.Context())
		for _, name := range []string{"worker", "Backend", "billing-backend", "alpha"} {
			create(t, s, named(name))
			time.Sleep(time.Second)
		}
		off, _ := create(t, s, named("off"), func(n *apikey.NewKey) { n.Plan = "pro" })
		if _, err := s.Disable(t.Context(), ops, off.ID, ""); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.Rotate(t.Context(), ops, off.ID, apikey.RotateOptions{}); err != nil {
			t.Fatal(err)
		}
		future := time.Now().Add(time.Hour)
		if _, err := s.Update(t.Context(), ops, off.ID, apikey.Update{ExpiresAt: &future}); err != nil {
			t.Fatal(err)
		}
		for _, tc := range []struct {
			r    apikey.ListRequest
			want string
		}{
			{apikey.ListRequest{Rotating: true}, "off"},
			{apikey.ListRequest{ExpiresBefore: future}, ""},
			{apikey.ListRequest{ExpiresBefore: future.Add(time.Second)}, "off"},
			{apikey.ListRequest{}, "off alpha billing-backend Backend worker"},
			{apikey.ListRequest{Order: apikey.OldestFirst}, "worker Backend billing-backend alpha off"},
			{apikey.ListRequest{Order: apikey.ByName}, "alpha Backend billing-backend off worker"},
			{apikey.ListRequest{Order: apikey.ByName, Search: " BACK "}, "Backend billing-backend"},
			{apikey.ListRequest{State: apikey.Disabled}, "off"},
			{apikey.ListRequest{State: apikey.Active, Order: apikey.ByName}, "alpha Backend billing-backend worker"},
			{apikey.ListRequest{Plan: "pro"}, "off"},
			{apikey.ListRequest{Owner: "nobody"}, ""},
		} {
			for _, tc.r.Limit = range []int{0, 1, 2} {
				if got := strings.Join(listed(t, s, tc.r), " "); got != tc.want {
					t.Errorf("list %+v: got %q, want %q", tc.r, got, tc.want)
				}
			}
		}
		time.Sleep(time.Hour) // disabled and expired: no secret works again by enabling it
		if got := listed(t, s, apikey.ListRequest{Rotating: true}); len(got) != 0 {
			t.Errorf("%q are rotating", got)
		}
	})
}

func TestListOfUnusedKeysKnowsOfRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, apikey.Options{FlushEvery: time.Hour})
		defer s.Close(t.Context())
		_, token := create(t, s, named("used"))
		create(t, s, named("idle"))
		time.Sleep(90 * 24 * time.Hour)
		create(t, s, named("new"))
		v, err := s.Verify(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		v.Count(apikey.OutcomeAllowed, 0, fromHome)
		time.Sleep(time.Second)
		if got := listed(t, s, apikey.ListRequest{UnusedSince: time.Now().Add(-24 * time.Hour)}); !slices.Equal(got, []string{"idle"}) {
			t.Errorf("not used for a day: got %q, want the key that is idle", got)
		}
	})
}

func TestAPastedTokenFindsItsKeyAndItsSecretStaysHere(t *testing.T) {
	seen := &searches{Store: memstore.New()}
	s := serviceOn(t, seen, apikey.Options{})
	k, token := create(t, s, named("backend"))
	create(t, s, named("another"))
	secret := token[len("sk_live_")+16+1:]
	for _, pasted := range []string{
		token, "sk_live_" + k.ID + "…", "sk_live_" + k.ID, token[:len(token)-10], " " + token + "\n", "Authorization: Bearer " + token,
		"SK_LIVE_" + k.ID, "sk_live_" + k.ID[:5], "KEY='" + token + "'", k.ID, k.ID[:7], strings.ToLower(k.ID),
	} {
		if got := listed(t, s, apikey.ListRequest{Search: pasted}); !slices.Equal(got, []string{"backend"}) {
			t.Errorf("search for %q: got %q, want the key", pasted, got)
		}
	}
	for _, term := range seen.terms {
		if strings.Contains(term, secret[:5]) {
			t.Errorf("the store was asked for %q, which holds a part of the secret", term)
		}
	}
	for _, pasted := range []string{"sk_live_", "sk_live_…", "sk_live_" + strings.Repeat("z", 60)} {
		if got := listed(t, s, apikey.ListRequest{Search: pasted}); len(got) != 0 {
			t.Errorf("search for %q: got %q", pasted, got)
		}
	}
}

type searches struct {
	apikey.Store
	terms []string
}

func (s *searches) Unwrap() apikey.Store { return s.Store }

func (s *searches) List(ctx context.Context, q apikey.Query) (apikey.Listing, error) {
	s.terms = append(s.terms, q.Search)
	return s.Store.List(ctx, q)
}

func TestACursorBelongsToItsList(t *testing.T) {
	s := newService(t, apikey.Options{})
	for i := range 3 {
		create(t, s, func(n *apikey.NewKey) { n.Name, n.ExpiresAt = fmt.Sprint("key ", i), time.Now().Add(24*time.Hour) })
	}
	hour := time.Now().Add(time.Hour)
	base := apikey.ListRequest{Owner: "acme", Environment: "live", Plan: "free", State: apikey.Active, Search: "key", UnusedSince: hour, ExpiresBefore: hour.Add(48 * time.Hour), Limit: 1}
	page, err := s.List(t.Context(), base)
	if err != nil || page.Next == "" {
		t.Fatalf("cursor %q, error %v", page.Next, err)
	}
	base.Cursor = page.Next
	for what, edit := range map[string]func(r *apikey.ListRequest){
		"owner":        func(r *apikey.ListRequest) { r.Owner = "other" },
		"environment":  func(r *apikey.ListRequest) { r.Environment = "" },
		"plan":         func(r *apikey.ListRequest) { r.Plan = "pro" },
		"state":        func(r *apikey.ListRequest) { r.State = "" },
		"search":       func(r *apikey.ListRequest) { r.Search = "ke" },
		"unused since": func(r *apikey.ListRequest) { r.UnusedSince = time.Time{} },
		"rotation":     func(r *apikey.ListRequest) { r.Rotating = true },
		"expiry":       func(r *apikey.ListRequest) { r.ExpiresBefore = time.Time{} },
		"revoked keys": func(r *apikey.ListRequest) { r.OmitRevoked = true },
		"secrets":      func(r *apikey.ListRequest) { r.SecretBefore = hour },
		"order":        func(r *apikey.ListRequest) { r.Order = apikey.OldestFirst },
		"by name":      func(r *apikey.ListRequest) { r.Order = apikey.ByName },
		"fields":       func(r *apikey.ListRequest) { r.Plan, r.Environment = "livefree", "" },
	} {
		r := base
		edit(&r)
		_, err := s.List(t.Context(), r)
		want(t, "a cursor of a list with another "+what, err, apikey.ErrInvalidArgument)
		if err != nil && !strings.Contains(err.Error(), "another order or other filters") {
			t.Errorf("%s: the error does not say what is wrong: %v", what, err)
		}
	}
	for what, edit := range map[string]func(r *apikey.ListRequest){
		"limit":        func(r *apikey.ListRequest) { r.Limit = 2 },
		"unused since": func(r *apikey.ListRequest) { r.UnusedSince = hour.Add(time.Second) },
		"expiry":       func(r *apikey.ListRequest) { r.ExpiresBefore = hour.Add(49 * time.Hour) },
		"the same":     func(r *apikey.ListRequest) {},
		"space":        func(r *apikey.ListRequest) { r.Search = " key " },
	} {
		r := base
		edit(&r)
		if page, err := s.List(t.Context(), r); err != nil || len(page.Keys) == 0 || page.Keys[0].Name != "key 1" {
			t.Errorf("%s: the cursor goes on: got %v, error %v", what, page.Keys, err)
		}
	}
}

func TestListRefusesWhatIsNoFilter(t *testing.T) {
	s := newService(t, apikey.Options{})
	for _, r := range []apikey.ListRequest{{State: "sleeping"}, {Order: apikey.ByName + 1}, {Cursor: "nonsense"}} {
		_, err := s.List(t.Context(), r)
		want(t, fmt.Sprintf("list %+v", r), err, apikey.ErrInvalidArgument)
	}
}

// shortPages gives up after one record that it looked at.
type shortPages struct{ *memstore.Store }

func (s shortPages) List(ctx context.Context, q apikey.Query) (apikey.Listing, error) {
	plan := q.Plan
	q.Plan, q.Limit = "", 1
	l, err := s.Store.List(ctx, q)
	l.Records = slices.DeleteFunc(l.Records, func(r apikey.Record) bool { return plan != "" && r.Key.Plan != plan })
	return l, err
}

func TestAShortPageIsNotTheLast(t *testing.T) {
	s := serviceOn(t, shortPages{memstore.New()}, apikey.Options{})
	for i := range 6 {
		create(t, s, named(fmt.Sprint(i)), func(n *apikey.NewKey) {
			if i == 0 || i == 3 {
				n.Plan = "pro"
			}
		})
	}
	page, err := s.List(t.Context(), apikey.ListRequest{Plan: "pro"})
	if err != nil || len(page.Keys) != 0 || page.Next == "" {
		t.Errorf("an empty page amid the list: %d keys, next %q, error %v", len(page.Keys), page.Next, err)
	}
	if got := listed(t, s, apikey.ListRequest{Plan: "pro"}); !slices.Equal(got, []string{"3", "0"}) {
		t.Errorf("got %q, want both keys", got)
	}
	if use, err := s.PepperUse(t.Context()); err != nil || use[0] != 6 {
		t.Errorf("a walk over all keys stops at a short page: counted %v, error %v", use, err)
	}
}

func TestActivityKnowsOfRequestsUpToNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, apikey.Options{FlushEvery: time.Hour})
		defer s.Close(t.Context())
		k, token := create(t, s)
		idle, _ := create(t, s)
		v, err := s.Verify(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		v.Count(apikey.OutcomeAllowed, 0, fromHome)
		v.Count(apikey.OutcomeRateLimited, 0, nil)
		got, err := s.Activity(t.Context(), []string{idle.ID, k.ID}, time.Now())
		if err != nil || len(got) != 2 || len(got[0].Days) != 0 || got[0].ID != idle.ID {
			t.Fatalf("got %+v, error %v", got, err)
		}
		if a := got[1]; len(a.Days) != 1 || a.Days[0].Counts.Total() != 2 || a.Last.UserAgent != "curl/8.5.0" || !a.Days[0].Day.Equal(time.Now().Truncate(24*time.Hour)) {
			t.Errorf("got %+v", a)
		}
		_, err = s.Activity(t.Context(), make([]string, apikey.MaxActivity+1), time.Time{})
		want(t, "too many keys", err, apikey.ErrInvalidArgument)
	})
}

package latchkey_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/engine"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/memstore"
)

func TestCreateGivesAKeyThatWorksAtOnce(t *testing.T) {
	s := newService(t, latchkey.Options{Environments: apikey.LiveAndTest("https://api.example.com", "https://sandbox.example.com")})
	k, token := create(t, s, func(n *latchkey.NewKey) { n.Environment = "test"; n.Scopes = []string{"b:x", "a:*", "b:x"} })
	if !strings.HasPrefix(token, "sk_test_"+k.ID+"_") {
		t.Errorf("token %s… does not carry environment and id", token[:24])
	}
	if k.Plan != "free" || k.Revision != 1 || len(k.Secrets) != 1 || k.CreatedBy != ops.ID {
		t.Errorf("defaults are missing: %+v", k)
	}
	if diff := cmp.Diff([]string{"a:*", "b:x"}, k.Scopes); diff != "" {
		t.Errorf("scopes are not sorted and unique: %s", diff)
	}
	v, err := engine.Of(s).Verify(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	p := v.Principal()
	if p.KeyID() != k.ID || p.Owner() != "acme" || p.Environment() != "test" || p.Secret() != 1 || !p.Has("a:anything") || p.Has("c:x") {
		t.Errorf("principal %+v does not tell who it is", p)
	}
	if got, want := v.RateLimitPolicy(), `"minute";q=60;w=60, "day";q=1000;w=86400`; got != want {
		t.Errorf("policy is %s, want %s", got, want)
	}
	got, err := s.Get(t.Context(), k.ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(k, got, prefixes); diff != "" {
		t.Errorf("Get differs from what Create returned: %s", diff)
	}
}

var prefixes = cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })

func TestCreateRefusesBadInputAndWritesNothing(t *testing.T) {
	s := newService(t, latchkey.Options{Scopes: []apikey.Scope{{Name: "marketplace:read"}, {Name: "marketplace:write"}}})
	for field, change := range map[string]func(*latchkey.NewKey){
		"name":              func(n *latchkey.NewKey) { n.Name = "  " },
		"name ":             func(n *latchkey.NewKey) { n.Name = "a\nb" },
		"name  ":            func(n *latchkey.NewKey) { n.Name = strings.Repeat("x", 129) },
		"name   ":           func(n *latchkey.NewKey) { n.Name = "\xff" },
		"owner":             func(n *latchkey.NewKey) { n.Owner = "" },
		"environment":       func(n *latchkey.NewKey) { n.Environment = "staging" },
		"scopes[0]":         func(n *latchkey.NewKey) { n.Scopes = []string{"billing:read"} },
		"scopes[0] ":        func(n *latchkey.NewKey) { n.Scopes = []string{"nonsense"} },
		"scopes":            func(n *latchkey.NewKey) { n.Scopes = make([]string, 65) },
		"plan":              func(n *latchkey.NewKey) { n.Plan = "gold" },
		"limits[0].N":       func(n *latchkey.NewKey) { n.Limits = []apikey.Limit{apikey.PerDay(-1)} },
		"limits[1].Name":    func(n *latchkey.NewKey) { n.Limits = []apikey.Limit{apikey.PerDay(1), apikey.PerDay(2)} },
		"networks[0]":       func(n *latchkey.NewKey) { n.Networks = []netip.Prefix{{}} },
		"metadata":          func(n *latchkey.NewKey) { n.Metadata = map[string]string{"": "x"} },
		"metadata  ":        func(n *latchkey.NewKey) { n.Metadata = map[string]string{"x": "a\x00b"} },
		"metadata ":         func(n *latchkey.NewKey) { n.Metadata = map[string]string{"x": strings.Repeat("x", 64<<10)} },
		"expires_at":        func(n *latchkey.NewKey) { n.ExpiresAt = time.Now().Add(-time.Second) },
		"limits[0].Name":    func(n *latchkey.NewKey) { n.Limits = []apikey.Limit{{Name: `"`, N: 1, Window: time.Second}} },
		"limits[0].Window ": func(n *latchkey.NewKey) { n.Limits = []apikey.Limit{{Name: "x", N: 1, Window: time.Millisecond}} },
	} {
		n := latchkey.NewKey{Name: "n", Owner: "acme"}
		change(&n)
		_, _, err := s.Create(t.Context(), ops, n)
		if e, ok := errors.AsType[*apikey.Error](err); !ok || e.Field != strings.TrimRight(field, " ") {
			t.Errorf("%s: error %v does not name the field", field, err)
		}
	}
	if _, _, err := s.Create(t.Context(), apikey.Actor{}, latchkey.NewKey{Name: "n", Owner: "acme"}); err == nil {
		t.Error("a change by nobody was accepted")
	}
	page, err := s.List(t.Context(), latchkey.ListRequest{})
	if err != nil || len(page.Keys) != 0 {
		t.Errorf("refused creates left %d keys, %v", len(page.Keys), err)
	}
	if trail, _ := s.Audit(t.Context(), apikey.AuditQuery{}); len(trail) != 0 {
		t.Errorf("refused creates left %d audit entries", len(trail))
	}
}

func TestWrongSecretAndUnknownIDGiveTheSameAnswer(t *testing.T) {
	s := newService(t, latchkey.Options{})
	k, token := create(t, s)
	_, wrong := verifyErr(s, latchkey.Mint(k.ID).Reveal())
	v, unknown := verifyErr(s, latchkey.Mint("").Reveal())
	if wrong != unknown || !errors.Is(wrong, apikey.InvalidKey) || v != (engine.Verified{}) {
		t.Errorf("wrong secret: %v; unknown id: %v", wrong, unknown)
	}
	if _, err := verifyErr(s, token); err != nil {
		t.Errorf("the right secret: %v", err)
	}
	// So also for a key that is revoked: only the right secret learns of it.
	if _, err := s.Revoke(t.Context(), ops, k.ID, "leaked"); err != nil {
		t.Fatal(err)
	}
	_, err := verifyErr(s, latchkey.Mint(k.ID).Reveal())
	want(t, "wrong secret of a revoked key", err, apikey.InvalidKey)
	want(t, "right secret of a revoked key", verify(t, s, token), apikey.RevokedKey)
}

func verifyErr(s *latchkey.Service, token string) (engine.Verified, error) {
	return engine.Of(s).Verify(context.Background(), token)
}

// A token of one environment, re-labelled for another with its checksum made
// right, has the right digest: the record's environment refuses it.
func TestATokenCannotBeRelabelledForAnotherEnvironment(t *testing.T) {
	s := newService(t, latchkey.Options{Environments: apikey.LiveAndTest("https://api.example.com", "https://sandbox.example.com")})
	_, token := create(t, s, func(n *latchkey.NewKey) { n.Environment = "test" })
	head := strings.Replace(token[:63], "sk_test_", "sk_live_", 1)
	forged := head + sixDigits(crc32.ChecksumIEEE([]byte(head)))
	want(t, "re-labelled token", verify(t, s, forged), apikey.InvalidKey)
	if _, err := s.Identify(t.Context(), forged); !errors.Is(err, apikey.NotFound) {
		t.Errorf("Identify of a re-labelled token: %v", err)
	}
}

func TestStatesFollowOneAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, latchkey.Options{})
		defer s.Close(t.Context())
		k, token := create(t, s, func(n *latchkey.NewKey) { n.ExpiresAt = time.Now().Add(time.Hour) })
		step := func(rule string, _ any, err error, kind error) {
			t.Helper()
			if err != nil {
				t.Fatalf("%s: %v", rule, err)
			}
			want(t, rule, verify(t, s, token), kind)
		}
		var err error
		k, err = s.Disable(t.Context(), ops, k.ID, "maintenance")
		step("disabled", k, err, apikey.DisabledKey)
		again, err := s.Disable(t.Context(), ops, k.ID, "again")
		step("disabled twice", k, err, apikey.DisabledKey)
		if again.Revision != k.Revision {
			t.Error("disabling twice wrote twice")
		}
		k, err = s.Enable(t.Context(), ops, k.ID)
		step("enabled", k, err, nil)
		time.Sleep(time.Hour - time.Nanosecond)
		step("a nanosecond before its expiry", nil, nil, nil)
		time.Sleep(time.Nanosecond)
		step("at its expiry", nil, nil, apikey.ExpiredKey)
		k, err = s.Update(t.Context(), ops, k.ID, latchkey.Update{ExpiresAt: new(time.Time)})
		step("expiry taken away", k, err, nil)
		k, err = s.Revoke(t.Context(), ops, k.ID, "leaked")
		step("revoked", k, err, apikey.RevokedKey)
		again, err = s.Revoke(t.Context(), apikey.Actor{ID: "other"}, k.ID, "second reason")
		step("revoked twice", k, err, apikey.RevokedKey)
		if diff := cmp.Diff(k, again, prefixes); diff != "" {
			t.Errorf("revoking twice changed the key: %s", diff)
		}
		_, err = s.Enable(t.Context(), ops, k.ID)
		want(t, "enable after revoke", err, apikey.InvalidState)
		_, err = s.Disable(t.Context(), ops, k.ID, "")
		want(t, "disable after revoke", err, apikey.InvalidState)
		_, err = s.Update(t.Context(), ops, k.ID, latchkey.Update{Name: new("x")})
		want(t, "update after revoke", err, apikey.InvalidState)
		_, _, err = s.Rotate(t.Context(), ops, k.ID, latchkey.RotateOptions{})
		want(t, "rotate after revoke", err, apikey.InvalidState)
		want(t, "still revoked", verify(t, s, token), apikey.RevokedKey)

		trail, err := s.Audit(t.Context(), apikey.AuditQuery{KeyID: k.ID})
		if err != nil {
			t.Fatal(err)
		}
		var actions []string
		for _, e := range trail {
			actions = append(actions, e.Action)
		}
		if diff := cmp.Diff([]string{"revoke", "update", "enable", "disable", "create"}, actions); diff != "" {
			t.Errorf("audit trail: %s", diff)
		}
		if e := trail[0]; e.Actor != ops.ID || e.From != ops.From || e.Reason != "leaked" || e.Owner != "acme" {
			t.Errorf("audit entry %+v does not say who, from where and why", e)
		}
	})
}

func TestUpdateChangesWhatIsNamedAndNothingElse(t *testing.T) {
	s := newService(t, latchkey.Options{})
	k, token := create(t, s, func(n *latchkey.NewKey) {
		n.Networks = []netip.Prefix{netip.MustParsePrefix("::ffff:10.1.2.3/104")}
		n.Metadata = map[string]string{"team": "a"}
	})
	if got := k.Networks[0].String(); got != "10.0.0.0/8" {
		t.Errorf("network is %s, want the plain 10.0.0.0/8", got)
	}
	after, err := s.Update(t.Context(), ops, k.ID, latchkey.Update{Revision: k.Revision, Scopes: &[]string{"billing:read"}, Networks: &[]netip.Prefix{}})
	if err != nil {
		t.Fatal(err)
	}
	expect := k.Clone()
	expect.Scopes, expect.Networks, expect.Revision, expect.UpdatedAt = []string{"billing:read"}, []netip.Prefix{}, 2, after.UpdatedAt
	if diff := cmp.Diff(expect, after, prefixes); diff != "" {
		t.Errorf("update: %s", diff)
	}
	v, err := engine.Of(s).Verify(t.Context(), token)
	if err != nil || !v.Principal().Has("billing:read") || v.Principal().Has("marketplace:read") {
		t.Errorf("new scopes are not in force with the next request: %v", err)
	}
	_, err = s.Update(t.Context(), ops, k.ID, latchkey.Update{Revision: 1, Name: new("late")})
	want(t, "update of an old revision", err, apikey.Conflict)
	same, err := s.Update(t.Context(), ops, k.ID, latchkey.Update{Name: new(after.Name)})
	if err != nil || same.Revision != after.Revision {
		t.Errorf("an update that changes nothing wrote revision %d, %v", same.Revision, err)
	}
	_, err = s.Update(t.Context(), ops, "nobody", latchkey.Update{Name: new("x")})
	want(t, "update of an unknown key", err, apikey.NotFound)
	trail, _ := s.Audit(t.Context(), apikey.AuditQuery{KeyID: k.ID, Limit: 1})
	if got, want := trail[0].Details["scopes"], "marketplace:read -> billing:read"; got != want {
		t.Errorf("audit says %q, want %q", got, want)
	}
}

// TestWhatALaterVersionWroteIsKept: no change of a key drops what this version
// does not know of its record.
func TestWhatALaterVersionWroteIsKept(t *testing.T) {
	mem := memstore.New()
	s := serviceOn(t, mem, latchkey.Options{})
	k, _ := create(t, s)
	r, err := mem.Get(t.Context(), k.ID)
	if err != nil {
		t.Fatal(err)
	}
	r.Extensions = []byte{1, 2, 'h', 'i'}
	c := storage.Change{Record: r, Expect: r.Key.Revision, Entry: apikey.AuditEntry{KeyID: k.ID, Action: "update"}}
	if _, err := mem.Apply(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	for _, change := range []func() (apikey.Key, error){
		func() (apikey.Key, error) { return s.Update(t.Context(), ops, k.ID, latchkey.Update{Name: new("new")}) },
		func() (apikey.Key, error) {
			k, _, err := s.Rotate(t.Context(), ops, k.ID, latchkey.RotateOptions{})
			return k, err
		},
		func() (apikey.Key, error) { return s.Disable(t.Context(), ops, k.ID, "") },
		func() (apikey.Key, error) { return s.Revoke(t.Context(), ops, k.ID, "") },
	} {
		after, err := change()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := mem.Get(t.Context(), k.ID); err != nil || !bytes.Equal(got.Extensions, r.Extensions) {
			t.Errorf("after revision %d: %x, %v, want %x", after.Revision, got.Extensions, err, r.Extensions)
		}
	}
}

// A plan or scope that was retired must not keep people from renaming a key.
func TestUpdateChecksOnlyWhatItChanges(t *testing.T) {
	mem := memstore.New()
	k, _ := create(t, serviceOn(t, mem, latchkey.Options{}))
	s := serviceOn(t, mem, latchkey.Options{
		Plans:  []apikey.Plan{{Name: "gold", Unlimited: true}},
		Scopes: []apikey.Scope{{Name: "billing:read"}},
	})
	if _, err := s.Update(t.Context(), ops, k.ID, latchkey.Update{Name: new("renamed")}); err != nil {
		t.Errorf("renaming a key of a retired plan and scope: %v", err)
	}
	_, err := s.Update(t.Context(), ops, k.ID, latchkey.Update{Scopes: &[]string{"marketplace:write"}})
	want(t, "another scope that the service does not have", err, apikey.InvalidArgument)
	_, err = s.Update(t.Context(), ops, k.ID, latchkey.Update{Plan: new("pro")})
	want(t, "another plan that the service does not have", err, apikey.InvalidArgument)
}

func TestListPagesThroughEverythingOnce(t *testing.T) {
	s := newService(t, latchkey.Options{})
	made := make(map[string]bool)
	for i := range 25 {
		k, _ := create(t, s, func(n *latchkey.NewKey) { n.Name = fmt.Sprint(i) })
		made[k.ID] = true
	}
	create(t, s, func(n *latchkey.NewKey) { n.Owner = "other" })
	q := latchkey.ListRequest{Owner: "acme", Limit: 4}
	for pages := 0; ; pages++ {
		page, err := s.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range page.Keys {
			if !made[k.ID] {
				t.Fatalf("key %s comes twice, or belongs to another owner", k.ID)
			}
			delete(made, k.ID)
		}
		create(t, s) // newer: behind the cursor
		if q.Cursor = page.Next; q.Cursor == "" {
			break
		}
	}
	if len(made) != 0 {
		t.Errorf("%d keys were never listed", len(made))
	}
	_, err := s.List(t.Context(), latchkey.ListRequest{Cursor: "nonsense"})
	want(t, "bad cursor", err, apikey.InvalidArgument)
}

func TestUseAfterClose(t *testing.T) {
	s := newService(t, latchkey.Options{})
	k, token := create(t, s)
	want(t, "before Close", verify(t, s, token), nil)
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	want(t, "Close twice", s.Close(t.Context()), nil)
	ctx := t.Context()
	want(t, "Verify", verify(t, s, token), apikey.Closed)
	calls := map[string]func() error{
		"Create":         func() error { _, _, err := s.Create(ctx, ops, latchkey.NewKey{}); return err },
		"Get":            func() error { _, err := s.Get(ctx, k.ID); return err },
		"List":           func() error { _, err := s.List(ctx, latchkey.ListRequest{}); return err },
		"Update":         func() error { _, err := s.Update(ctx, ops, k.ID, latchkey.Update{}); return err },
		"Disable":        func() error { _, err := s.Disable(ctx, ops, k.ID, ""); return err },
		"Revoke":         func() error { _, err := s.Revoke(ctx, ops, k.ID, ""); return err },
		"Rotate":         func() error { _, _, err := s.Rotate(ctx, ops, k.ID, latchkey.RotateOptions{}); return err },
		"Rotation":       func() error { _, err := s.Rotation(ctx, k.ID); return err },
		"FinishRotation": func() error { _, err := s.FinishRotation(ctx, ops, k.ID, true); return err },
		"CancelRotation": func() error { _, err := s.CancelRotation(ctx, ops, k.ID); return err },
		"Identify":       func() error { _, err := s.Identify(ctx, token); return err },
		"Purge":          func() error { _, err := s.Purge(ctx, ops, time.Hour); return err },
		"Due":            func() error { _, err := s.Due(ctx, "", 0); return err },
		"Audit":          func() error { _, err := s.Audit(ctx, apikey.AuditQuery{}); return err },
		"Usage":          func() error { _, err := s.Usage(ctx, k.ID, time.Time{}); return err },
		"PepperUse":      func() error { _, err := s.PepperUse(ctx); return err },
		"Activity":       func() error { _, err := s.Activity(ctx, []string{k.ID}, time.Time{}); return err },
	}
	for name, call := range calls {
		want(t, name+" after Close", call(), apikey.Closed)
	}
}

func TestCloseGivesUpWhenItsContextEnds(t *testing.T) {
	slow := &slowReads{Store: memstore.New(), read: make(chan struct{}), release: make(chan struct{})}
	s := serviceOn(t, slow, latchkey.Options{})
	go func() { _, _ = s.Get(context.Background(), "x") }()
	<-slow.read
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	want(t, "Close while an operation hangs", s.Close(ctx), context.Canceled)
	close(slow.release)
}

func TestAStoresTextNeverLeavesInsideAnError(t *testing.T) {
	s := serviceOn(t, broken{memstore.New()}, latchkey.Options{})
	_, err := s.Get(t.Context(), "x")
	e, ok := errors.AsType[*apikey.Error](err)
	if !ok || e.Code != apikey.Unavailable || strings.Contains(e.Msg, "10.0.0.5") {
		t.Errorf("error %v shows the store's text in its message", err)
	}
	_, err = s.Verify(t.Context(), mustToken(t))
	if !errors.Is(err, apikey.Unavailable) || strings.Contains(err.Error(), "10.0.0.5") {
		t.Errorf("Verify: %v, want unavailable (never invalid: clients throw good keys away)", err)
	}
}

type broken struct{ *memstore.Store }

func (broken) Get(context.Context, string) (storage.Record, error) {
	return storage.Record{}, errors.New("dial tcp 10.0.0.5:5432: connection refused")
}

func mustToken(t testing.TB) string { return latchkey.Mint("").Reveal() }

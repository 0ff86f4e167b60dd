package before_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/storage"
)

var (
	ann = apikey.Actor{ID: "ann"} // runs the service
	bob = apikey.Actor{ID: "bob@acme.example", Customer: true}
)

// program is a run of a program of today on the data.
type program struct {
	*testing.T
	f    *fixture
	keys *latchkey.Service
	mux  http.Handler
	stop func()
}

func start(t *testing.T, f *fixture, open opener) *program {
	t.Helper()
	store, shared, closeStore := open(t)
	keys, err := latchkey.New(store, latchkey.Options{
		Environments: apikey.LiveAndTest("https://api.example.com", "https://test.example.com"),
		Peppers:      []latchkey.Pepper{{Number: 7, Key: f.Pepper}}, Logger: quiet,
	})
	must(t, err)
	guard, err := middleware.New(keys, middleware.Options{Limiter: shared, Logger: quiet})
	must(t, err)
	mux := guard.Mux()
	fine := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "fine") })
	mux.Handle("GET /things", middleware.AllOf("things:read"), fine)
	mux.Handle("POST /things", middleware.AllOf("things:write"), fine)
	return &program{t, f, keys, mux, func() {
		must(t, guard.Close(context.WithoutCancel(t.Context())))
		must(t, keys.Close(context.WithoutCancel(t.Context())))
		must(t, closeStore())
	}}
}

// send asks and returns the status and the code.
func (p *program) send(a ask) (int, string) {
	r := httptest.NewRequest(a.Method, "http://"+a.Host+"/things", nil)
	r.RemoteAddr = netip.AddrPortFrom(a.From, 4711).String()
	r.Header.Set("Authorization", "Bearer "+a.Token)
	w := httptest.NewRecorder()
	p.mux.ServeHTTP(w, r)
	var problem struct{ Code string }
	if w.Code != http.StatusOK {
		must(p.T, json.Unmarshal(w.Body.Bytes(), &problem))
	}
	return w.Code, problem.Code
}

// answers checks how a request ends, by its code; "" is admitted.
func (p *program) answers(a ask, want string) {
	p.Helper()
	if status, code := p.send(a); code != want || (want == "") != (status == http.StatusOK) {
		p.Errorf("%s %s from %v: got %d %s, want %q", a.Key, a.Method, a.From, status, code, want)
	}
}

// serveAsBefore checks a fixture: as it was found, in use, and after a restart.
func serveAsBefore(t *testing.T, f *fixture, open opener) {
	p := start(t, f, open)
	p.whole()
	for _, a := range f.Asks {
		want := a.Code
		if p.over(a) {
			want = "expired_key"
		}
		status, code := p.send(a)
		if want == a.Code && status != a.Status || code != want {
			p.Errorf("%s %s from %v: got %d %s, want %d %s", a.Key, a.Method, a.From, status, code, a.Status, want)
		}
	}
	spent := p.limits()
	p.createdOnce()
	made := p.changes()
	p.stop()

	p = start(t, f, open)
	defer p.stop()
	p.changed(made)
	p.createdOnce()
	p.answers(f.of("half", 0), "rate_limited")
	p.answers(f.of("spent", 0), "rate_limited")
	p.answers(f.of("crashed", 0), "rate_limited")
	p.added(spent)
}

// endsInTime checks, two days later, that what was to end by the word of the version before has ended.
func endsInTime(t *testing.T, f *fixture, open opener) {
	p := start(t, f, open)
	defer p.stop()
	p.answers(f.of("in grace", 0), "expired_key")
	p.answers(f.of("in grace", 1), "")
	for _, label := range []string{"spent", "half", "crashed"} {
		p.answers(f.of(label, 0), "")
	}
}

// over reports whether the grace of the request's secret, which was under way, has ended since.
func (p *program) over(a ask) bool {
	return a.Key == "in grace" && a.Token == p.f.of("in grace", 0).Token && time.Now().After(p.f.record(a.Key).Secrets[1].EndsAt)
}

// same compares by the JSON, in which times have no location.
func same[T any](p *program, what string, got, want T) {
	p.Helper()
	a, err := json.Marshal(got)
	must(p.T, err)
	b, err := json.Marshal(want)
	must(p.T, err)
	if string(a) != string(b) {
		p.Errorf("%s:\ngot  %s\nwant %s", what, a, b)
	}
}

// whole checks what can be read before anything has happened.
func (p *program) whole() {
	ctx, f := p.Context(), p.f
	page, err := p.keys.List(ctx, latchkey.ListRequest{Order: storage.OldestFirst, Limit: 1000})
	must(p.T, err)
	same(p, "all keys", page.Keys, f.Records)
	trail, err := p.keys.Audit(ctx, apikey.AuditQuery{Limit: 1000})
	must(p.T, err)
	same(p, "audit trail", trail, f.Audit)
	for _, k := range f.Records {
		p.used(k.ID, f.Usage[k.ID])
	}
	for _, q := range []struct {
		latchkey.ListRequest
		want string
	}{
		{latchkey.ListRequest{Owner: "other"}, "test"},
		{latchkey.ListRequest{Environment: "test"}, "test"},
		{latchkey.ListRequest{Search: "bill"}, "expires late"},
		{latchkey.ListRequest{Search: "STRAß"}, "test"},
		{latchkey.ListRequest{Search: f.of("half", 0).Token}, "half"},
		{latchkey.ListRequest{State: apikey.Disabled, Order: storage.ByName}, "disabled, locked"},
		{latchkey.ListRequest{State: apikey.Revoked}, "revoked"},
		{latchkey.ListRequest{State: apikey.Expired}, "expired"},
		{latchkey.ListRequest{Plan: "free"}, "disabled"},
		{latchkey.ListRequest{Rotating: true, Search: "rotating"}, "rotating"},
		{latchkey.ListRequest{Order: storage.ByName, Limit: 3}, "crashed, disabled, ended"},
		{latchkey.ListRequest{ExpiresBefore: f.Written.AddDate(900, 0, 0)}, "expired"},
		{latchkey.ListRequest{UnusedSince: f.Written.Add(-time.Hour)}, ""},
	} {
		page, err := p.keys.List(ctx, q.ListRequest)
		must(p.T, err)
		var got []string
		for _, k := range page.Keys {
			got = append(got, p.label(k.ID))
		}
		if text := strings.Join(got, ", "); text != q.want {
			p.Errorf("list %+v: got %s, want %s", q.ListRequest, text, q.want)
		}
	}
}

func (p *program) label(id string) string {
	for label, of := range p.f.IDs {
		if of == id {
			return label
		}
	}
	return id
}

// used checks what was counted for a key before it is used again.
func (p *program) used(id string, want usage) {
	got, err := p.keys.Usage(p.Context(), id, time.Time{})
	must(p.T, err)
	activity, err := p.keys.Activity(p.Context(), []string{id}, time.Time{})
	must(p.T, err)
	var w apikey.Usage
	for _, h := range want.Hours {
		w.Hours = append(w.Hours, apikey.UsageHour{Hour: h.Hour, Secret: h.Secret, Counts: countsOf(h.Counts)})
	}
	for _, s := range want.Secrets {
		w.Secrets = append(w.Secrets, apikey.UsageSecret{Secret: s.Secret, Counts: countsOf(s.Counts), Last: s.Last})
	}
	var days []apikey.DayCounts
	for _, d := range want.Days {
		days = append(days, apikey.DayCounts{Day: d.Day, Counts: countsOf(d.Counts)})
	}
	what := "usage of " + p.label(id) + ": "
	same(p, what+"hours", got.Hours, w.Hours)
	same(p, what+"secrets", got.Secrets, w.Secrets)
	same(p, what+"scopes", got.Scopes, want.Scopes)
	same(p, what+"days", activity[0].Days, days)
	if got.ScopesSince.IsZero() || got.ScopesSince.After(p.f.Written) {
		p.Errorf("scopes are counted since %v", got.ScopesSince)
	}
}

// limits uses up what the version before left of the limits.
func (p *program) limits() (admitted map[string]uint64) {
	admitted = make(map[string]uint64)
	for label, left := range map[string][2]uint64{
		"half":    {3, 3},
		"crashed": {64 - 10 - 8, 64 - 10}, // less what may be lost: an eighth of the limit
		"spent":   {0, 0},
	} {
		n := uint64(0)
		if label != "spent" {
			n = 1 // among the requests of the fixture
		}
		for {
			status, code := p.send(p.f.of(label, 0))
			if status == http.StatusOK && n <= left[1] {
				n++
				continue
			}
			if code != "rate_limited" || n < left[0] || n > left[1] {
				p.Errorf("%s: %d requests were admitted, want %d to %d; then %d %s", label, n, left[0], left[1], status, code)
			}
			break
		}
		admitted[label] = n
	}
	return admitted
}

// createdOnce creates what the version before created.
func (p *program) createdOnce() {
	n := latchkey.NewKey{Name: "once key", Owner: "acme", Plan: "pro", Scopes: []string{"things:read"}, Once: "acme/order-4711"}
	if k, _, err := p.keys.Create(p.Context(), ann, n); !errors.Is(err, apikey.AlreadyCreated) || k.ID != p.f.IDs["once"] {
		p.Errorf("the same creation: key %s, error %v", p.label(k.ID), err)
	}
	n.Owner = "other"
	if _, _, err := p.keys.Create(p.Context(), ann, n); !errors.Is(err, apikey.OnceReused) {
		p.Errorf("another creation with the same name: %v", err)
	}
}

// made is what the first program made.
type made struct {
	fresh, rotated ask
	trail          int
}

// changes changes keys of the version before in all ways.
func (p *program) changes() (m made) {
	ctx, id, f := p.Context(), p.f.IDs, p.f
	one := func(_ apikey.Key, err error) {
		p.Helper()
		must(p.T, err)
	}
	if _, err := p.keys.FinishRotation(ctx, ann, id["rotating"], false); err == nil {
		p.Error("a rotation is finished while its old secret is in use")
	}
	one(p.keys.FinishRotation(ctx, ann, id["rotating"], true))
	if _, err := p.keys.Enable(ctx, bob, id["locked"]); err == nil {
		p.Error("a customer enables what an operator disabled")
	}
	one(p.keys.Enable(ctx, bob, id["disabled"]))
	one(p.keys.Enable(ctx, ann, id["locked"]))
	name := "Renamed again"
	one(p.keys.Update(ctx, ann, id["networks"], latchkey.Update{Name: &name}))
	one(p.keys.Revoke(ctx, ann, id["plain"], ""))
	if _, err := p.keys.Revoke(ctx, ann, id["purged"], ""); !errors.Is(err, apikey.NotFound) {
		p.Errorf("revoke a key that was purged: %v", err)
	}
	_, token, err := p.keys.Rotate(ctx, ann, id["peppered"], latchkey.RotateOptions{StartOnFirstUse: true})
	must(p.T, err)
	m.fresh, m.rotated = f.of("peppered", 0), f.of("peppered", 0)
	m.rotated.Token = token.Reveal()
	k, token, err := p.keys.Create(ctx, bob, latchkey.NewKey{Name: "fresh", Owner: "acme", Plan: "pro", Scopes: []string{"things:read"}})
	must(p.T, err)
	m.fresh.Key, m.fresh.Token = k.ID, token.Reveal()
	trail, err := p.keys.Audit(ctx, apikey.AuditQuery{Limit: 1000})
	must(p.T, err)
	m.trail = len(trail)
	return m
}

// changed checks what changes did.
func (p *program) changed(m made) {
	f := p.f
	p.answers(f.of("rotating", 0), "expired_key")
	p.answers(f.of("rotating", 1), "")
	p.answers(f.of("plain", 0), "revoked_key")
	p.answers(f.of("revoked", 0), "revoked_key")
	p.answers(f.of("purged", 0), "invalid_key")
	p.answers(f.of("disabled", 0), "")
	p.answers(f.of("locked", 0), "")
	p.answers(f.of("peppered", 0), "")
	p.answers(m.rotated, "")
	p.answers(m.fresh, "")
	for search, want := range map[string]string{"again": f.IDs["networks"], "fresh": m.fresh.Key} {
		page, err := p.keys.List(p.Context(), latchkey.ListRequest{Search: search})
		must(p.T, err)
		if len(page.Keys) != 1 || page.Keys[0].ID != want {
			p.Errorf("search %s: %d keys, want one", search, len(page.Keys))
		}
	}
	trail, err := p.keys.Audit(p.Context(), apikey.AuditQuery{Limit: 1000})
	must(p.T, err)
	if len(trail) < m.trail {
		p.Errorf("%d audit entries, want the %d that there were", len(trail), m.trail)
	}
	same(p, "the trail of before", trail[max(0, len(trail)-len(f.Audit)):], f.Audit)
	page, err := p.keys.List(p.Context(), latchkey.ListRequest{Order: storage.OldestFirst, Limit: 1000})
	must(p.T, err)
	if len(page.Keys) != len(f.Records)+1 || !slices.ContainsFunc(page.Keys, func(k apikey.Key) bool { return k.ID == m.fresh.Key }) {
		p.Errorf("%d keys, want those of before and a new one", len(page.Keys))
	}
}

// added checks that counts of today were added to those of the version before.
func (p *program) added(admitted map[string]uint64) {
	for label, n := range admitted {
		u, err := p.keys.Usage(p.Context(), p.f.IDs[label], time.Time{})
		must(p.T, err)
		before, hours := p.f.Usage[p.f.IDs[label]], uint64(0)
		for _, h := range u.Hours {
			hours += h.Counts.Allowed
		}
		if want := before.Secrets[0].Counts[0] + n; u.Of(1).Counts.Allowed != want || hours != want {
			p.Errorf("%s: %d requests were counted, and %d by the hour, want %d", label, u.Of(1).Counts.Allowed, hours, want)
		}
	}
}

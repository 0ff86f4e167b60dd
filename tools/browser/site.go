package browser

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/admin"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/memstore"
)

// Site is a whole service in this process: an API behind the middleware, and
// its settings page, mounted once for each kind of person.
type Site struct {
	Keys  *latchkey.Service
	Store *memstore.Store
	API   *httptest.Server // the live environment
	Pages *httptest.Server // below /operator/, /customer/ and so on: see People
	guard *middleware.Guard
	limit *limiter.Window
}

// BaseURL is what the pages say of the live environment; its keys work at
// [Site.API].
const BaseURL = "https://api.example.com"

// People are those for whom the page is mounted, by their path.
var People = map[string]admin.Actor{
	"operator": {ID: "olga@example.com", Role: admin.Operator},
	"customer": {ID: "ann@acme.example", Role: admin.Customer, Owner: "acme", Plans: []string{"free", "pro"}},
	"reader":   {ID: "art@acme.example", Role: admin.Customer, Owner: "acme", ReadOnly: true},
	"visitor":  {ID: "vera@initech.example", Role: admin.Customer, Owner: "initech", Plans: []string{"free", "pro", "enterprise"}},
	"newcomer": {ID: "nora@new.example", Role: admin.Customer, Owner: "new"},
}

// Start starts a site. A rotated-out secret counts as quiet as soon as it is
// not in use, so that a rotation can be finished without waiting. The style is
// [admin.Options].Style.
func Start(style string) (*Site, error) {
	s := &Site{Store: memstore.New()}
	quiet := slog.New(slog.DiscardHandler)
	api := http.NewServeMux()
	s.API = httptest.NewServer(api)
	var err error
	s.Keys, err = latchkey.New(seasoned{s.Store}, latchkey.Options{
		Environments: []apikey.Environment{
			{Name: "live", BaseURL: BaseURL, Hosts: []string{strings.TrimPrefix(s.API.URL, "http://")}},
			{Name: "test", BaseURL: "https://sandbox.example.com"},
		},
		Scopes: []apikey.Scope{
			{Name: "marketplace:read", Description: "List the APIs of the marketplace"},
			{Name: "marketplace:write", Description: "Publish an API"},
			{Name: "orders:read", Description: "Look at orders"},
			{Name: "orders:write", Description: "Place and cancel orders"},
			{Name: "billing:read", Description: "Look at invoices"},
		},
		Quiet: time.Nanosecond, Logger: quiet,
	})
	if err != nil {
		return nil, err
	}
	if s.limit, err = limiter.New(limiter.Options{Logger: quiet}); err != nil {
		return nil, err
	}
	if s.guard, err = middleware.New(s.Keys, middleware.Options{Limiter: s.limit, Logger: quiet}); err != nil {
		return nil, err
	}
	api.Handle("GET /", s.guard.Require(middleware.AllOf("marketplace:read"))(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "[]")
	})))

	pages := http.NewServeMux()
	for name, actor := range People {
		page, err := admin.New(s.Keys, func(*http.Request) (admin.Actor, error) { return actor, nil }, admin.Options{ExamplePath: "/v1/marketplace/apis", Style: style, Guard: s.guard, Logger: quiet})
		if err != nil {
			return nil, err
		}
		pages.Handle("/"+name+"/", http.StripPrefix("/"+name, page))
	}
	s.Pages = httptest.NewServer(pages)
	return s, nil
}

// Close stops the servers, then the service.
func (s *Site) Close() error {
	s.Pages.Close()
	s.API.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return errors.Join(s.guard.Close(ctx), s.limit.Close(ctx), s.Keys.Close(ctx), s.Store.Close())
}

// Call sends a request to the API with a key, and returns its status.
func (s *Site) Call(ctx context.Context, token string) (int, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.API.URL+"/v1/marketplace/apis", nil)
	if err != nil {
		return 0, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("User-Agent", "curl/8.9.1")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	return res.StatusCode, res.Body.Close()
}

// day is a day of a month of use: admitted, refused.
type day [2]uint64

// seed is a key of the past.
type seed struct {
	name, owner, environment, plan string
	scopes                         []string
	age, expires                   int // days; expires 0: never
	networks                       []string
	use                            func(day int) day // 0 is today
	last                           time.Duration     // ago
	agent                          string
	then                           func(s *Site, k apikey.Key) error
}

var seedActor = apikey.Actor{ID: "ann@acme.example", From: "203.0.113.7"}

// wave is a month of use that looks like one: busier on weekdays.
func wave(peak uint64) func(int) day {
	return func(d int) day {
		at := time.Now().UTC().AddDate(0, 0, -d)
		n := peak * uint64(60+(d*37)%41) / 100
		if at.Weekday() == time.Saturday || at.Weekday() == time.Sunday {
			n /= 3
		}
		if d == 0 {
			n = n / 24 * uint64(at.Hour()+1)
		}
		return day{n, n / 400}
	}
}

func seeds() []seed {
	silent := func(int) day { return day{} }
	return []seed{
		{name: "laptop-ann", owner: "acme", environment: "test", plan: "free", scopes: []string{"marketplace:read"}, age: 1, use: silent},
		{name: "batch-import", owner: "acme", environment: "live", plan: "pro", scopes: []string{"marketplace:read", "marketplace:write", "orders:write"}, age: 12, use: func(d int) day {
			n := wave(46_000)(d)
			if d < 3 {
				n[1] = n[0] * 14 / 100
			}
			if d > 11 {
				n = day{}
			}
			return n
		}, last: 2 * time.Minute, agent: "Go-http-client/2.0"},
		{name: "production-backend", owner: "acme", environment: "live", plan: "pro", scopes: []string{"marketplace:read", "orders:read", "orders:write"}, age: 41, use: wave(31_000), last: 20 * time.Second, agent: "acme-backend/3.2", networks: []string{"10.0.0.0/8"}},
		{name: "ci-pipeline", owner: "acme", environment: "test", plan: "free", scopes: []string{"marketplace:read", "orders:read"}, age: 54, expires: 6, use: wave(640), last: 3 * time.Hour, agent: "python-requests/2.32"},
		{name: "mobile-gateway", owner: "acme", environment: "live", plan: "pro", scopes: []string{"marketplace:read"}, age: 60, use: wave(18_500), last: 5 * time.Second, agent: "acme-gateway/1.9", then: func(s *Site, k apikey.Key) error {
			_, _, err := s.Keys.Rotate(context.Background(), seedActor, k.ID, latchkey.RotateOptions{StartOnFirstUse: true})
			return err
		}},
		{name: "reporting", owner: "acme", environment: "live", plan: "free", scopes: []string{"billing:read", "orders:read"}, age: 97, use: wave(310), last: 9 * time.Hour, agent: "reporting/0.4"},
		{name: "old-website", owner: "acme", environment: "live", plan: "free", scopes: []string{"marketplace:read"}, age: 88, use: func(d int) day {
			if d < 19 {
				return day{}
			}
			return wave(120)(d)
		}, last: 20 * 24 * time.Hour, agent: "curl/8.5", then: func(s *Site, k apikey.Key) error {
			_, err := s.Keys.Disable(context.Background(), seedActor, k.ID, "is it still needed?")
			return err
		}},
		{name: "contractor", owner: "acme", environment: "live", plan: "free", scopes: []string{"marketplace:read"}, age: 71, use: silent, last: 40 * 24 * time.Hour, agent: "okhttp/4.12", then: func(s *Site, k apikey.Key) error {
			_, err := s.Keys.Revoke(context.Background(), seedActor, k.ID, "contract ended")
			return err
		}},
		{name: "storefront", owner: "globex", environment: "live", plan: "enterprise", scopes: []string{"marketplace:*"}, age: 30, use: wave(410_000), last: time.Second, agent: "globex/7"},
	}
}

// Seed fills the site with keys of the past, and their use. It returns their
// ids by name.
func (s *Site) Seed(ctx context.Context) (map[string]string, error) {
	ids := make(map[string]string)
	for _, d := range seeds() {
		k := s.past(d)
		ids[d.name] = k.ID
		if _, err := s.Store.Apply(ctx, storage.Change{Record: storage.Record{Key: k, Digests: make([]storage.Digest, 1)}, Entry: apikey.AuditEntry{
			At: k.CreatedAt, Actor: seedActor.ID, From: seedActor.From, Action: "create", KeyID: k.ID, Owner: k.Owner,
			Details: map[string]string{"environment": k.Environment, "name": k.Name, "plan": k.Plan},
		}}); err != nil {
			return nil, err
		}
		if err := s.use(ctx, k.ID, d); err != nil {
			return nil, err
		}
		if d.then != nil {
			if err := d.then(s, k); err != nil {
				return nil, err
			}
		}
	}
	return ids, nil
}

// seasoned is a store that has counted scopes for months.
type seasoned struct{ *memstore.Store }

func (s seasoned) Usage(ctx context.Context, id string, since time.Time) (apikey.Usage, error) {
	u, err := s.Store.Usage(ctx, id, since)
	u.ScopesSince = u.ScopesSince.AddDate(0, 0, -120)
	return u, err
}

// past is a key that was made days ago. The service makes keys of the present
// alone, so this one is the store's, and has no secret that anybody knows.
func (s *Site) past(d seed) apikey.Key {
	created := time.Now().UTC().Truncate(time.Microsecond).AddDate(0, 0, -d.age)
	k := apikey.Key{
		ID: rand.Text()[:16], Name: d.name, Owner: d.owner, Environment: d.environment, Plan: d.plan, Scopes: d.scopes,
		CreatedAt: created, CreatedBy: seedActor.ID, UpdatedAt: created, Secrets: []apikey.Secret{{Number: 1, CreatedAt: created}},
	}
	for _, network := range d.networks {
		k.Networks = append(k.Networks, netip.MustParsePrefix(network))
	}
	if d.expires > 0 {
		k.ExpiresAt = created.AddDate(0, 0, d.age+d.expires).Add(time.Hour)
	}
	return k
}

func (s *Site) use(ctx context.Context, id string, d seed) error {
	now := time.Now().UTC()
	var batch []storage.UsageDelta
	for i := 29; i >= 0; i-- {
		n := d.use(i)
		if n[0]+n[1] == 0 {
			continue
		}
		start, hours := now.Truncate(24*time.Hour).AddDate(0, 0, -i), 24
		if i == 0 {
			hours = now.Hour() + 1
		}
		for h := range hours {
			u := storage.UsageDelta{KeyID: id, Secret: 1, Hour: start.Add(time.Duration(h) * time.Hour)}
			u.Counts.Allowed = n[0] / uint64(hours) * uint64(70+(h*29)%61) / 100
			u.Counts.RateLimited = n[1] / uint64(hours)
			if h%9 == 4 {
				u.Counts.Scope = n[1] / 40
			}
			batch = append(batch, u)
		}
	}
	if d.last > 0 {
		batch = append(batch, storage.UsageDelta{KeyID: id, Secret: 1, Hour: now.Add(-d.last).Truncate(time.Hour), Last: apikey.LastUse{
			At: now.Add(-d.last), Network: "10.0.0.0/24", UserAgent: d.agent, Route: "GET /v1/orders/{id}", Status: http.StatusOK,
		}, Scopes: d.scopes[:(len(d.scopes)+1)/2]})
	}
	if err := s.Store.AddUsage(ctx, batch); err != nil {
		return err
	}
	plans, err := s.Keys.Plans(ctx)
	if err != nil {
		return err
	}
	for _, p := range plans { // what the last minute and the last day took of the limits
		for _, l := range p.Limits {
			taken := int64(d.use(0)[0]) * int64(l.Window) / int64(now.Sub(now.Truncate(24*time.Hour))+time.Minute)
			if p.Name != d.plan || taken == 0 {
				continue
			}
			taken = min(taken, int64(d.use(0)[0]), l.N)
			if _, err := s.limit.Take(ctx, limiter.Request{Demands: []limiter.Demand{{Subject: id, Limits: []apikey.Limit{l}}}, Cost: taken}); err != nil {
				return err
			}
		}
	}
	return nil
}

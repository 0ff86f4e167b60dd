package middleware_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/limiter"
	"github.com/wontopos/latchkey/middleware"
)

// subjects notes what a limiter is asked about.
type subjects struct {
	limiter.Settler
	seen [][]string
}

func (s *subjects) note(r limiter.Request) {
	var names []string
	for _, d := range r.Demands {
		names = append(names, d.Subject)
	}
	s.seen = append(s.seen, names)
}

func (s *subjects) Take(ctx context.Context, r limiter.Request) (limiter.Decision, error) {
	s.note(r)
	return s.Settler.Take(ctx, r)
}

func (s *subjects) Settle(ctx context.Context, r limiter.Request, d limiter.Decision, t limiter.Settlement) (limiter.Decision, error) {
	s.note(r)
	return s.Settler.Settle(ctx, r, d, t)
}

// TestHashTagsKeepAnOwnerTogether: in whatever a request of the owner asks of the
// limiter, all subjects begin with one tag, and other owners have another.
func TestHashTagsKeepAnOwnerTogether(t *testing.T) {
	window, err := limiter.New(limiter.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := &subjects{Settler: window}
	k := newKit(t, middleware.Options{Limiter: s, HashTags: true, OwnerLimits: []apikey.Limit{oneAtATime}})
	inner := k.guard.Door(middleware.Route{Need: middleware.AnyKey(), Cost: 3, Limits: []apikey.Limit{{Name: "inner", N: 9, Window: time.Hour}}})
	h := k.guard.Require(middleware.AnyKey())(inner.Wrap(noContent))
	tags := map[string]bool{}
	for _, owner := range []string{"acme", "{evil}", strings.Repeat("o", 256)} {
		s.seen = nil
		_, token := k.key(limits(tenAMinute), func(n *latchkey.NewKey) { n.Owner = owner })
		if res := serve(h, get(token)); res.StatusCode != 204 {
			t.Fatalf("owner %.20q: %d", owner, res.StatusCode)
		}
		asked, tag := 0, ""
		for _, names := range s.seen {
			for _, name := range names {
				if asked++; tag == "" {
					tag = name[:18]
				}
				if name[:18] != tag || tag[0] != '{' || tag[17] != '}' || len(name) > limiter.MaxSubject {
					t.Errorf("owner %.20q: the subjects %.60q have no common tag", owner, s.seen)
				}
			}
		}
		if asked < 5 {
			t.Errorf("owner %.20q: only %q were asked for", owner, s.seen)
		}
		tags[tag] = true
	}
	if len(tags) != 3 {
		t.Errorf("three owners have the tags %v", tags)
	}
}

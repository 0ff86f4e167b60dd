package middlewaretest

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
)

// useRules are about what a key's page says about its requests.
func useRules() []rule {
	return []rule{
		{"the last use tells what was asked, without its query, and how it ended", []Ability{Ends}, func(t *testing.T, h Harness) {
			for path, status := range map[string]int{"/read": 200, "/fail": 404} {
				r := newRig(t, h, plain)
				id, token := r.key()
				r.get(path+"?query=private", token)
				var last apikey.LastUse
				// It may be reported after the client has its answer.
				for start := time.Now(); last.Status == 0 && time.Since(start) < patience; time.Sleep(time.Millisecond) {
					last = r.usage(id).Last()
				}
				if last.Route != "GET "+path || last.Status != status {
					t.Errorf("the last use is %q with status %d, want %q with %d", last.Route, last.Status, "GET "+path, status)
				}
			}
		}},
		{"the scopes that a route takes are used, and no others", nil, func(t *testing.T, h Harness) {
			r := newRig(t, h, plain)
			id, token := r.key(func(n *latchkey.NewKey) { n.Scopes = []string{"things:read", "things:write", "other:read"} })
			for _, step := range []struct{ path, want string }{{"/any", ""}, {"/either", "things:read"}, {"/read", "things:read"}} {
				r.get(step.path, token)
				var used []string
				for _, s := range r.usage(id).Scopes {
					used = append(used, s.Scope)
				}
				slices.Sort(used)
				if got := strings.Join(used, " "); got != step.want {
					t.Errorf("after %s: used %q, want %q", step.path, got, step.want)
				}
			}
		}},
	}
}

func (r *rig) usage(id string) apikey.Usage {
	r.Helper()
	u, err := r.keys.Usage(context.Background(), id, time.Time{})
	if err != nil {
		r.Fatal(err)
	}
	return u
}

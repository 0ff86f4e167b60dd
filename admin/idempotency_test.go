package admin_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/admin"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/memstore"
)

const idempotencyKey = `"8e03978e-40d5-43e8-bc93-6894a57f9324"`

func idempotent(key string) func(*http.Request) { return header("Idempotency-Key", key) }

func idOf(t *testing.T, a answer) string {
	t.Helper()
	return a.members(t)["key"].(map[string]any)["id"].(string)
}

// TestIdempotency: a creation that is repeated makes no second key, and shows
// no secret again, whichever of two handlers on one store gets it.
func TestIdempotency(t *testing.T) {
	t.Parallel()
	mem := memstore.New()
	here, there := newRigWith(t, mem, signIn, admin.Options{}), newRigWith(t, mem, signIn, admin.Options{})
	const body = `{"name":"production-backend","scopes":["orders:read"]}`
	made := here.want(201, "owner", "POST", "/v1/keys", body, idempotent(idempotencyKey))
	id, token := idOf(t, made), made.members(t)["token"].(string)
	for _, g := range []*rig{here, there} {
		for _, spelling := range []string{idempotencyKey, strings.Trim(idempotencyKey, `"`), " " + idempotencyKey + "\t"} {
			a := g.want(409, "owner", "POST", "/v1/keys", ` {"scopes": ["orders:read"], "name": "production-backend"}`, idempotent(spelling), header("Content-Type", "application/json"))
			if p := a.problem(t); p.Code != "already_created" || p.KeyID != id || a.header.Get("Location") != "keys/"+id {
				t.Errorf("a replay names the key that is there: %s %v", a.body, a.header)
			}
			if strings.Contains(a.body, token[len("sk_live_")+17:]) || tokenShape.MatchString(a.body) {
				t.Errorf("a replay shows the secret again:\n%s", a.body)
			}
		}
		p := g.want(422, "owner", "POST", "/v1/keys", `{"name":"another"}`, idempotent(idempotencyKey)).problem(t)
		if p.Code != "idempotency_key_reused" || p.KeyID != "" || len(p.Errors) != 1 || p.Errors[0].Parameter != "Idempotency-Key" {
			t.Errorf("another body under the same name: %+v", p)
		}
	}
	// It is the actor's: others neither meet it nor learn of it.
	seen := map[string]bool{id: true}
	for user, b := range map[string]string{"stranger": body, "operator": `{"owner":"acme",` + body[1:]} {
		other := idOf(t, here.want(201, user, "POST", "/v1/keys", strings.Replace(b, "orders:read", "marketplace:read", 1), idempotent(idempotencyKey)))
		if seen[other] {
			t.Errorf("%s has met another's creation", user)
		}
		seen[other] = true
	}
	if page, _ := here.keys.List(t.Context(), latchkey.ListRequest{}); len(page.Keys) != 3 {
		t.Errorf("3 creations have made %d keys", len(page.Keys))
	}
	here.want(201, "owner", "POST", "/v1/keys", body) // without a name each is its own
	here.want(201, "owner", "POST", "/v1/keys", body)
	here.want(200, "owner", "DELETE", "/v1/keys/"+id, "")
	there.want(409, "owner", "POST", "/v1/keys", body, idempotent(idempotencyKey))
}

// TestIdempotencyConcurrently: one creates, the others are told of it.
func TestIdempotencyConcurrently(t *testing.T) {
	t.Parallel()
	mem := memstore.New()
	rigs := []*rig{newRigWith(t, mem, signIn, admin.Options{}), newRigWith(t, mem, signIn, admin.Options{})}
	var (
		wg       sync.WaitGroup
		mu       sync.Mutex
		statuses = map[int]int{}
		ids      = map[string]bool{}
	)
	for i := range 20 {
		wg.Go(func() {
			a := rigs[i%2].do("owner", "POST", "/v1/keys", `{"name":"x"}`, idempotent(idempotencyKey))
			mu.Lock()
			defer mu.Unlock()
			statuses[a.status]++
			if a.status == 201 {
				ids[idOf(t, a)] = true
			} else {
				ids[a.problem(t).KeyID] = true
			}
		})
	}
	wg.Wait()
	if statuses[201] != 1 || statuses[409] != 19 || len(ids) != 1 {
		t.Errorf("20 at once: statuses %v, keys %v", statuses, ids)
	}
}

// dying commits what it is given, and fails before it can say so.
type dying struct{ storage.Store }

func (d dying) Unwrap() storage.Store { return d.Store }

func (d dying) Apply(ctx context.Context, c storage.Change) (uint64, error) {
	if _, err := d.Store.Apply(ctx, c); err != nil {
		return 0, err
	}
	return 0, errors.New("connection lost")
}

// TestIdempotencyAfterACrash: a process that ends between the write and its
// answer leaves a key that the replay finds, and that a rotation makes usable.
func TestIdempotencyAfterACrash(t *testing.T) {
	t.Parallel()
	mem := memstore.New()
	newRigWith(t, dying{mem}, signIn, admin.Options{}).want(503, "owner", "POST", "/v1/keys", `{"name":"x"}`, idempotent(idempotencyKey))
	g := newRigWith(t, mem, signIn, admin.Options{})
	p := g.want(409, "owner", "POST", "/v1/keys", `{"name":"x"}`, idempotent(idempotencyKey)).problem(t)
	if page, _ := g.keys.List(t.Context(), latchkey.ListRequest{}); len(page.Keys) != 1 || page.Keys[0].ID != p.KeyID {
		t.Errorf("told of %q, there are %v", p.KeyID, page.Keys)
	}
	m := g.want(200, "owner", "POST", "/v1/keys/"+p.KeyID+"/rotate", `{"immediately":true}`).members(t)
	if _, err := g.keys.Verify(t.Context(), m["token"].(string)); err != nil {
		t.Error(err)
	}
}

// TestIdempotencyKeys: what is no key is refused, rather than ignored.
func TestIdempotencyKeys(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, token := g.key("acme", "production")
	for rule, lines := range map[string][]string{
		"empty":                 {""},
		"short":                 {`"12345"`},
		"long":                  {`"` + strings.Repeat("x", 129) + `"`},
		"half a quote":          {`"8e03978e-40d5-43e8-bc93`},
		"the other half":        {`8e03978e-40d5-43e8-bc93"`},
		"two, joined":           {`"8e03978e-40d5-43e8-bc93", "6894a57f93246894a57f9324"`},
		"two lines":             {idempotencyKey, idempotencyKey},
		"a space":               {`"8e03978e 40d5 43e8 bc93"`},
		"not ASCII":             {`"8e03978e-40d5-43e8-bc93é"`},
		"an API key":            {`"` + token.Reveal() + `"`},
		"an API key, unquoted":  {token.Reveal()},
		"with parameters of SF": {idempotencyKey + ";a=1"},
	} {
		a := g.want(422, "owner", "POST", "/v1/keys", `{"name":"x"}`, func(r *http.Request) { r.Header["Idempotency-Key"] = lines })
		if p := a.problem(t); len(p.Errors) != 1 || p.Errors[0].Parameter != "Idempotency-Key" || strings.Contains(a.body, token.Reveal()) {
			t.Errorf("%s: %s", rule, a.body)
		}
	}
	if page, _ := g.keys.List(t.Context(), latchkey.ListRequest{}); len(page.Keys) != 1 {
		t.Errorf("refused requests made %d keys", len(page.Keys)-1)
	}
}

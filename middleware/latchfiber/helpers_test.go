package latchfiber_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/gofiber/fiber/v3"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/middleware"
	"github.com/wontopos/latchkey/storage/memstore"
)

// patience bounds every wait; nothing takes so long.
const patience = 10 * time.Second

var tester = apikey.Actor{ID: "latchfiber"}

// rig is a service with one key, which is being rotated: its requests in flight are
// counted.
type rig struct {
	*testing.T
	keys      *latchkey.Service
	guard     *middleware.Guard
	id, token string
	url       string
}

func setUp(t *testing.T, o middleware.Options) *rig {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	keys, err := latchkey.New(memstore.New(), latchkey.Options{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	o.Logger = quiet
	guard, err := middleware.New(keys, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = guard.Close(context.Background())
		_ = keys.Close(context.Background())
	})
	k, token, err := keys.Create(t.Context(), tester, latchkey.NewKey{Name: "n", Owner: "acme", Scopes: []string{"things:read"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err = keys.Rotate(t.Context(), tester, k.ID, latchkey.RotateOptions{}); err != nil {
		t.Fatal(err)
	}
	return &rig{T: t, keys: keys, guard: guard, id: k.ID, token: token.Reveal()}
}

func (r *rig) revoke() {
	r.Helper()
	if _, err := r.keys.Revoke(context.Background(), tester, r.id, ""); err != nil {
		r.Error(err)
	}
}

func (r *rig) inFlight() int {
	r.Helper()
	n, err := r.keys.Rotation(context.Background(), r.id)
	if err != nil {
		r.Error(err)
	}
	return n.InFlight
}

// settles waits until nothing is in flight.
func (r *rig) settles() {
	r.Helper()
	for start := time.Now(); r.inFlight() != 0; time.Sleep(time.Millisecond) {
		if time.Since(start) > patience {
			r.Fatal("the request stays in flight")
		}
	}
}

func (r *rig) serve(app *fiber.App) { r.url = "http://" + listen(r.T, app, nil) }

func (r *rig) get(path string) *http.Response {
	r.Helper()
	res, err := r.try(path)
	if err != nil {
		r.Fatal(err)
	}
	return res
}

func (r *rig) try(path string) (*http.Response, error) {
	r.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	r.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, "GET", r.url+path, nil)
	if err != nil {
		r.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+r.token)
	res, err := http.DefaultClient.Do(req)
	if err == nil {
		r.Cleanup(func() { _ = res.Body.Close() })
	}
	return res, err
}

func (r *rig) read(res *http.Response) string {
	r.Helper()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		r.Fatalf("the response is whole: %v", err)
	}
	return string(body)
}

// broken fails unless the response ends in a visible error.
func (r *rig) broken(res *http.Response) {
	r.Helper()
	if rest, err := io.ReadAll(res.Body); err == nil {
		r.Errorf("a response that was cut must not end as if it were whole: %d bytes", len(rest))
	}
}

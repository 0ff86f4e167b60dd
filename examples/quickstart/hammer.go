package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/wontopos/latchkey"
)

// pound sends more requests than the free plan admits, waits as long as it is
// told to, and is admitted again.
func pound(ctx context.Context, keys *latchkey.Service, url string, out io.Writer) (err error) {
	k, token, err := keys.Create(ctx, program, latchkey.NewKey{Name: "hammer", Owner: "you", Scopes: []string{"marketplace:read"}})
	if err != nil {
		return err
	}
	defer func() {
		_, revoked := keys.Revoke(context.WithoutCancel(ctx), program, k.ID, "the hammer is done")
		err = errors.Join(err, revoked)
	}()
	send := func() (*http.Response, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/v1/marketplace/apis", nil)
		if err != nil {
			return nil, err
		}
		r.Header.Set("Authorization", "Bearer "+token.Reveal())
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			return nil, err
		}
		_, err = io.Copy(io.Discard, res.Body)
		return res, errors.Join(err, res.Body.Close())
	}
	seen := make(map[int]int)
	var last *http.Response
	for range 65 {
		if last, err = send(); err != nil {
			return err
		}
		if seen[last.StatusCode]++; seen[last.StatusCode] == 1 {
			fmt.Fprintf(out, "%s\n", last.Status)
			for _, name := range []string{"RateLimit-Policy", "RateLimit", "Retry-After"} {
				if v := last.Header.Get(name); v != "" {
					fmt.Fprintf(out, "  %s: %s\n", name, v)
				}
			}
		}
	}
	fmt.Fprintf(out, "65 requests with a key of the free plan: %d admitted, %d refused with 429\n", seen[200], seen[429])
	wait, err := strconv.Atoi(last.Header.Get("Retry-After"))
	if err != nil {
		return fmt.Errorf("the last answer (%s) has no Retry-After", last.Status)
	}
	fmt.Fprintf(out, "waiting the %d s that Retry-After says …\n", wait)
	select {
	case <-ctx.Done():
		return nil
	case <-time.After(time.Duration(wait) * time.Second):
	}
	if last, err = send(); err != nil {
		return err
	}
	fmt.Fprintf(out, "and again: %s\n", last.Status)
	return nil
}

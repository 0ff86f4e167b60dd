package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// fate is what the settings API acknowledged of one key.
type fate struct {
	token   string // of the newest acknowledged secret
	revoked bool
	asked   bool // something was asked for and not acknowledged: both answers are right
}

// Killed at any instant while keys are made, rotated and revoked: what was
// acknowledged holds, and the database opens.
func TestKillLosesNothingThatWasAcknowledged(t *testing.T) {
	rounds := 4
	if os.Getenv("LATCHKEY_LONG") != "" {
		rounds = 30
	}
	db := t.TempDir()
	var mu sync.Mutex
	fates := make(map[string]*fate)
	for round := range rounds {
		in := start(t, db)
		mu.Lock()
		for key, f := range fates {
			if f.asked {
				delete(fates, key)
				continue
			}
			got := get(t, in.live+list200, f.token)
			if f.revoked && got.member("code") != "revoked_key" {
				t.Errorf("round %d: a revoked key answers %d %s", round, got.status, got.body)
			}
			// Each kill may charge a little for nothing, so a key that is tried
			// in every round can be over its limit: it is known all the same.
			if !f.revoked && got.status != 200 && got.status != 429 {
				t.Errorf("round %d: an acknowledged key answers %d %s", round, got.status, got.body)
			}
		}
		mu.Unlock()
		var wg sync.WaitGroup
		for worker := range 4 {
			wg.Go(func() { churn(in, fmt.Sprint(round, "-", worker), &mu, fates) })
		}
		time.Sleep(time.Duration(50+rand.IntN(300)) * time.Millisecond) // any instant will do
		in.kill()
		wg.Wait()
	}
	revoked := 0
	for _, f := range fates {
		if f.revoked {
			revoked++
		}
	}
	t.Logf("%d rounds, %d keys, %d of them revoked", rounds, len(fates), revoked)
	if revoked == 0 || len(fates) == revoked {
		t.Error("the rounds were too short to prove anything")
	}
}

// churn makes, rotates and revokes keys until the program is gone.
func churn(in *instance, name string, mu *sync.Mutex, fates map[string]*fate) {
	for n := 0; ; n++ {
		var k issued
		if in.rest("POST", "keys", map[string]any{"name": fmt.Sprint(name, "-", n), "owner": "you", "scopes": []string{"marketplace:read"}}, &k) != nil {
			return
		}
		f := &fate{token: k.Token}
		mu.Lock()
		fates[k.Key.ID] = f
		mu.Unlock()
		f.asked = true
		var err error
		switch n % 3 {
		case 0:
			err = in.rest("POST", "keys/"+k.Key.ID+"/revoke", map[string]any{}, nil)
			f.revoked = err == nil
		case 1:
			err = in.rest("POST", "keys/"+k.Key.ID+"/rotate", map[string]any{"immediately": true}, &k)
			f.token = k.Token
		}
		if err != nil {
			return
		}
		f.asked = false
	}
}

// Killed again and again while one key is used as fast as it can be: all its
// processes together never admit more than the limit.
func TestKillNeverLetsMoreThanTheLimitThrough(t *testing.T) {
	const limit, reserve = 600, 64
	db := t.TempDir()
	in := start(t, db)
	var k issued
	if err := in.rest("POST", "keys", map[string]any{
		"name": "greedy", "owner": "you", "scopes": []string{"marketplace:read"},
		"limits": []any{map[string]any{"name": "hour", "n": limit, "window": 3600}},
	}, &k); err != nil {
		t.Fatal(err)
	}
	var admitted, refused atomic.Int64
	kills := 0
	for refused.Load() == 0 {
		var wg sync.WaitGroup
		before := admitted.Load()
		for range 2 {
			wg.Go(func() {
				for refused.Load() == 0 {
					status, err := try(in.live+list200, k.Token)
					if err != nil {
						return // killed
					}
					switch status {
					case 200:
						admitted.Add(1)
					case 429:
						refused.Add(1)
					}
				}
			})
		}
		// Any instant will do, but for one before the first answer: on a machine
		// that is busy with others there would be no second.
		for wait := time.Now(); admitted.Load() == before && refused.Load() == 0 && time.Since(wait) < time.Minute; {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Duration(10+rand.IntN(30)) * time.Millisecond)
		in.kill()
		kills++
		wg.Wait()
		in = start(t, db)
	}
	// What was admitted and not heard of counts as well: at most one request
	// for each worker and kill.
	t.Logf("%d kills: %d of %d admitted", kills, admitted.Load(), limit)
	if n := admitted.Load(); n > limit || n < int64(limit-kills*(reserve+2)) {
		t.Errorf("%d requests were admitted over %d kills, want at most %d, and at least all but a reservation for each kill", n, kills, limit)
	}
}

// try is get for a server that may be gone.
func try(url, key string) (int, error) {
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	r.Header.Set("Authorization", "Bearer "+key)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	return res.StatusCode, res.Body.Close()
}

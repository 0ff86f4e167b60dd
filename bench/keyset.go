package main

import (
	"context"
	crand "crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage"
	"github.com/wontopos/latchkey/storage/memstore"
)

// budget is how much each key may do: two limits, on every side.
type budget struct{ minute, day int64 }

func (b budget) plan() apikey.Plan {
	return apikey.Plan{Name: "bench", Limits: []apikey.Limit{apikey.PerMinute(b.minute), apikey.PerDay(b.day)}}
}

// roomy is the budget of a throughput run: nobody is refused for it, but the
// limiters have their work.
var roomy = budget{apikey.MaxLimitN, apikey.MaxLimitN}

// need is the scope that the guarded route asks for, and that every key has.
const need = "things:read"

// badKeys is how many different tokens there are that nobody may use: half of
// them mistyped (the checksum is wrong), half well-formed but of no key.
const badKeys = 1024

// keyset is what all contestants of a run know: the same tokens, and who they
// belong to. Tokens 0 to n-1 are good, the badKeys after them are not.
type keyset struct {
	n       int
	budget  budget
	service *latchkey.Service
	ids     []string // of the good ones
	auth    []string // the Authorization lines, "Bearer <token>"
}

// fastSet is how many keys memstore takes without slowing down: it keeps its
// keys in the order of its pages by insertion.
const fastSet = 20_000

func newKeyset(n int, b budget) (*keyset, error) {
	ctx, by := context.Background(), apikey.Actor{ID: "bench"}
	options := latchkey.Options{
		Plans:     []apikey.Plan{b.plan()},
		CacheSize: max(100_000, 2*n),
		Logger:    slog.New(slog.DiscardHandler),
	}
	var store storage.Store = memstore.New()
	if n > fastSet {
		store = newBulkStore()
	}
	service, err := latchkey.New(store, options)
	if err != nil {
		return nil, err
	}
	others, err := latchkey.New(newBulkStore(), options)
	if err != nil {
		return nil, err
	}
	defer func() { _ = others.Close(ctx) }()

	k := &keyset{n: n, budget: b, service: service, ids: make([]string, n), auth: make([]string, n+badKeys)}
	for i := range k.auth {
		of := service
		if i >= n {
			of = others
		}
		key, token, err := of.Create(ctx, by, latchkey.NewKey{Name: "bench", Owner: fmt.Sprintf("account-%d", i%1000), Scopes: []string{need}})
		if err != nil {
			return nil, err
		}
		text := token.Reveal()
		switch {
		case i < n:
			k.ids[i] = key.ID
		case i%2 == 0:
			text = mistype(text)
		}
		k.auth[i] = "Bearer " + text
	}
	return k, nil
}

// newIDs returns a keyset without keys, for limiters alone.
func newIDs(n int, b budget) *keyset {
	k := &keyset{n: n, budget: b, ids: make([]string, n), auth: make([]string, n)}
	for i := range k.ids {
		k.ids[i] = crand.Text()[:16]
	}
	return k
}

func (k *keyset) close() { _ = k.service.Close(context.Background()) }

func mistype(token string) string {
	if last := len(token) - 1; token[last] != 'x' {
		return token[:last] + "x"
	}
	return token[:len(token)-1] + "y"
}

// account is what hand-written code keeps of a key.
type account struct {
	id, hexDigest string
	digest        [32]byte
	scopes        []string
	rates         visitor // of the careful version
}

func (a *account) may(scope string) bool { return slices.Contains(a.scopes, scope) }

// accounts returns what hand-written code would have loaded from its database.
// Every contestant gets records of its own.
func (k *keyset) accounts() []*account {
	all := make([]*account, k.n)
	for i := range all {
		token := strings.TrimPrefix(k.auth[i], "Bearer ")
		sum := sha256.Sum256([]byte(token))
		all[i] = &account{id: k.ids[i], digest: sum, hexDigest: hex.EncodeToString(sum[:]), scopes: []string{need}}
	}
	return all
}

// sequence returns the order in which tokens come, in a ring of the length.
// Ranks of the Zipf distribution are spread over the keys at random, so that
// popular keys are no neighbours in anybody's memory.
func (k *keyset) sequence(load string, length int) []uint32 {
	rng := rand.New(rand.NewPCG(1, uint64(k.n)))
	place := rng.Perm(k.n)
	zipf := rand.NewZipf(rng, 1.1, 1, uint64(max(k.n-1, 1)))
	s := make([]uint32, length)
	for i := range s {
		switch {
		case load == zipfBad && rng.IntN(100) < 5:
			s[i] = uint32(k.n + rng.IntN(badKeys))
		case load == uniform || k.n == 1:
			s[i] = uint32(rng.IntN(k.n))
		default:
			s[i] = uint32(place[zipf.Uint64()])
		}
	}
	return s
}

// The loads: how often each token comes.
const (
	hot     = "hot"     // one key, over and over
	zipfBad = "zipf5"   // Zipf with s = 1.1 and 5 % bad tokens
	zipfAll = "zipf"    // Zipf with s = 1.1
	uniform = "uniform" // every key as often as any other
)

// bulkStore is a memstore that takes a million keys: what a benchmark never
// asks for, lists and audit, is not kept.
type bulkStore struct {
	*memstore.Store
	records map[string]storage.Record // written before the first request, then only read
}

func newBulkStore() *bulkStore {
	return &bulkStore{memstore.New(), map[string]storage.Record{}}
}

// Get implements [storage.Store].
func (s *bulkStore) Get(_ context.Context, id string) (storage.Record, error) {
	r, ok := s.records[id]
	if !ok {
		return storage.Record{}, apikey.NotFound
	}
	return r.Clone(), nil
}

// Apply implements [storage.Store] for the creation of keys.
func (s *bulkStore) Apply(_ context.Context, c storage.Change) (uint64, error) {
	r := c.Record.Clone()
	r.Key.Revision = c.Expect + 1
	s.records[r.Key.ID] = r
	return r.Key.Revision, nil
}

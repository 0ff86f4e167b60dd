package token

import (
	"cmp"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"hash"
	"slices"
	"sync"

	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/internal/faults"
	"github.com/wontopos/latchkey/storage"
)

// Pepper is a secret key kept outside the store: see Pepper of the root package.
type Pepper struct {
	Number uint32
	Key    []byte
}

// Digester makes and checks the digests of secrets. It is safe for
// concurrent use.
type Digester struct {
	Newest uint32               // the pepper that signs; 0 means none
	macs   map[macKey]*macState // read-only after New
	dummy  storage.Digest       // compared with if the id is unknown
	once   [][]byte             // keys for the ids of NewKey.Once: the newest pepper's first, the one without a pepper last
}

type macKey struct {
	pepper uint32
	env    int
}

// macState is a pool of HMAC states, keyed once: Reset restores the state after
// the key's block, so the key is not hashed again.
type macState struct{ pool sync.Pool }

type macScratch struct {
	mac  hash.Hash
	body [bodyLen]byte
	sum  [sha256.Size]byte
}

func NewDigester(peppers []Pepper, envs []apikey.Environment) (*Digester, error) {
	d := &Digester{macs: make(map[macKey]*macState)}
	peppers = slices.Clone(peppers)
	slices.SortFunc(peppers, func(a, b Pepper) int { return cmp.Compare(a.Number, b.Number) })
	for i, p := range peppers {
		field := fmt.Sprintf("Options.Peppers (number %d)", p.Number)
		switch {
		case p.Number == 0:
			return nil, faults.Invalid(field, "numbers start at 1; 0 stands for no pepper")
		case len(p.Key) < 32:
			return nil, faults.Invalid(field, "the key has %d bytes, at least 32 are needed: openssl rand -base64 32", len(p.Key))
		case i > 0 && peppers[i-1].Number == p.Number:
			return nil, faults.Invalid(field, "the number is duplicated")
		}
		for e, env := range envs {
			key, err := hkdf.Key(sha256.New, p.Key, nil, "latchkey secret digest v1 "+env.Name, sha256.Size)
			if err != nil {
				return nil, faults.Invalid(field, "%v", err)
			}
			d.macs[macKey{p.Number, e}] = &macState{pool: sync.Pool{New: func() any {
				return &macScratch{mac: hmac.New(sha256.New, key)}
			}}}
		}
		key, err := hkdf.Key(sha256.New, p.Key, nil, onceInfo, sha256.Size)
		if err != nil {
			return nil, faults.Invalid(field, "%v", err)
		}
		d.once = append([][]byte{key}, d.once...)
		d.Newest = p.Number
	}
	d.once = append(d.once, []byte(onceInfo))
	d.dummy.Pepper = d.Newest
	return d, nil
}

// Knows reports whether a record under this pepper can be verified.
func (d *Digester) Knows(pepper uint32, env int) bool {
	return pepper == 0 || d.macs[macKey{pepper, env}] != nil
}

// sum digests a token's body under a pepper that is known. It allocates nothing
// once the pool is warm, and leaves no copy of the secret behind.
func (d *Digester) sum(t Parsed, pepper uint32) [sha256.Size]byte {
	if pepper == 0 {
		var body [bodyLen]byte
		copy(body[:], t.body)
		return sha256.Sum256(body[:])
	}
	state := d.macs[macKey{pepper, t.Env}]
	s := state.pool.Get().(*macScratch)
	copy(s.body[:], t.body)
	s.mac.Write(s.body[:])
	s.mac.Sum(s.sum[:0])
	sum := s.sum
	s.mac.Reset()
	clear(s.body[:])
	clear(s.sum[:])
	state.pool.Put(s)
	return sum
}

// Sign digests a new secret under the newest pepper.
func (d *Digester) Sign(t Parsed) storage.Digest {
	return storage.Digest{Sum: d.sum(t, d.Newest), Pepper: d.Newest}
}

// Matches compares a presented token with a stored digest in constant time. It
// compares words, which takes a tenth of the instructions of
// subtle.ConstantTimeCompare.
func (d *Digester) Matches(t Parsed, want *storage.Digest) bool {
	sum := d.sum(t, want.Pepper)
	differ := uint64(0)
	for i := 0; i < len(sum); i += 8 {
		differ |= binary.LittleEndian.Uint64(sum[i:]) ^ binary.LittleEndian.Uint64(want.Sum[i:])
	}
	return subtle.ConstantTimeEq(int32(differ|differ>>32), 0) == 1
}

// Decoy takes the time of a comparison, for an unknown id.
func (d *Digester) Decoy(t Parsed) { d.Matches(t, &d.dummy) }

package latchkey_test

import (
	"bytes"
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/storage/memstore"
)

var (
	pepper1 = latchkey.Pepper{Number: 1, Key: bytes.Repeat([]byte{1}, 32)}
	pepper2 = latchkey.Pepper{Number: 2, Key: bytes.Repeat([]byte{2}, 32)}
)

// The digests as the documentation describes them, made by other means: a
// stored record must be verifiable by somebody else's code.
func TestDigestsAreTheDocumentedOnes(t *testing.T) {
	for name, c := range map[string]struct {
		peppers []latchkey.Pepper
		want    func(body []byte) []byte
	}{
		"SHA-256 without a pepper": {nil, func(body []byte) []byte {
			sum := sha256.Sum256(body)
			return sum[:]
		}},
		"HMAC-SHA-256 under the newest": {[]latchkey.Pepper{pepper2, pepper1}, func(body []byte) []byte {
			key, _ := hkdf.Key(sha256.New, pepper2.Key, nil, "latchkey secret digest v1 live", 32)
			mac := hmac.New(sha256.New, key)
			mac.Write(body)
			return mac.Sum(nil)
		}},
	} {
		mem := memstore.New()
		k, token := create(t, serviceOn(t, mem, latchkey.Options{Peppers: c.peppers}))
		r, err := mem.Get(t.Context(), k.ID)
		if err != nil {
			t.Fatal(err)
		}
		if want := c.want([]byte(token[8:63])); !bytes.Equal(r.Digests[0].Sum[:], want) {
			t.Errorf("%s: stored %x, want %x", name, r.Digests[0].Sum, want)
		}
		js, _ := json.Marshal(r)
		for _, text := range []string{fmt.Sprintf("%v %+v %#v", r, r, r), fmt.Sprintf("%x %d %s", r.Digests, r.Digests, r.Digests), string(js)} {
			for _, sum := range []string{fmt.Sprintf("%x", r.Digests[0].Sum[:4]), strings.Trim(fmt.Sprint(r.Digests[0].Sum[:4]), "[]"), base64.StdEncoding.EncodeToString(r.Digests[0].Sum[:6])} {
				if strings.Contains(text, sum) {
					t.Errorf("%s: a printed record shows its digest: %s", name, text)
				}
			}
		}
	}
}

func TestAStolenStoreVerifiesNothingWithoutThePepper(t *testing.T) {
	mem := memstore.New()
	_, token := create(t, serviceOn(t, mem, latchkey.Options{Peppers: []latchkey.Pepper{pepper1}}))
	want(t, "with another pepper of the same number", verify(t, serviceOn(t, mem, latchkey.Options{Peppers: []latchkey.Pepper{{Number: 1, Key: pepper2.Key}}}), token), apikey.InvalidKey)
	want(t, "with the pepper missing: not the client's fault", verify(t, serviceOn(t, mem, latchkey.Options{}), token), apikey.Unavailable)
}

func TestPeppersRotateWithUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memstore.New()
		open := func(peppers ...latchkey.Pepper) (*latchkey.Service, func()) {
			s := serviceOn(t, mem, latchkey.Options{Peppers: peppers})
			return s, func() { _ = s.Close(context.Background()) }
		}
		s, done := open()
		k, token := create(t, s)
		create(t, s) // never used
		done()
		for number, ring := range [][]latchkey.Pepper{{pepper1}, {pepper1, pepper2}} {
			s, done := open(ring...)
			want(t, "under an older pepper", verify(t, s, token), nil)
			synctest.Wait() // off the hot path
			want(t, "re-digested", verify(t, s, token), nil)
			r, _ := mem.Get(t.Context(), k.ID)
			if int(r.Digests[0].Pepper) != number+1 {
				t.Errorf("a verified key is under pepper %d, want %d", r.Digests[0].Pepper, number+1)
			}
			use, err := s.PepperUse(t.Context())
			if err != nil || use[0] != 1 || use[uint32(number+1)] != 1 || len(use) != 2 {
				t.Errorf("use of peppers: %v, %v", use, err)
			}
			trail, _ := s.Audit(t.Context(), apikey.AuditQuery{KeyID: k.ID, Limit: 1})
			if trail[0].Action != "redigest" {
				t.Errorf("audit: %+v", trail[0])
			}
			done()
		}
	})
}

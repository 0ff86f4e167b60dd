package token

import (
	"testing"

	"github.com/wontopos/latchkey/apikey"
)

// TestEveryBitOfADigestIsCompared: a digest that is off in one bit, wherever,
// is another secret's.
func TestEveryBitOfADigestIsCompared(t *testing.T) {
	environments := []apikey.Environment{{Name: "live"}}
	format, err := NewFormat("sk", environments)
	if err != nil {
		t.Fatal(err)
	}
	d, err := NewDigester(nil, environments)
	if err != nil {
		t.Fatal(err)
	}
	_, token := format.Mint(0, "")
	right := d.Sign(token)
	if !d.Matches(token, &right) {
		t.Fatal("a secret does not match its own digest")
	}
	for bit := range 8 * len(right.Sum) {
		off := right
		off.Sum[bit/8] ^= 1 << (bit % 8)
		if d.Matches(token, &off) {
			t.Errorf("bit %d of a digest is not compared", bit)
		}
	}
}

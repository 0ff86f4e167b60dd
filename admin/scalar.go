package admin

import (
	"encoding/json"
	"errors"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/wontopos/latchkey/internal/bounds"
)

// duration is whole seconds in JSON; requests may also write "24h", but nothing
// finer than a second.
type duration time.Duration

func (d duration) MarshalJSON() ([]byte, error) {
	return strconv.AppendInt(nil, int64(time.Duration(d)/time.Second), 10), nil
}

func (d *duration) setJSON(raw []byte) error {
	var text string
	if json.Unmarshal(raw, &text) != nil || string(raw) == "null" {
		text = string(raw)
	}
	return d.setText(text)
}

// setText accepts seconds or a duration in Go's notation.
func (d *duration) setText(text string) error {
	const most = 1 << 33 // seconds; a time.Duration holds a little more
	if n, ok := wholeNumber(text); ok && n > -most && n < most {
		*d = duration(n) * duration(time.Second)
		return nil
	}
	v, err := time.ParseDuration(text)
	if err != nil || v%time.Second != 0 {
		return errors.New(`must be a whole number of seconds, or a text like "90s", "30m" or "24h"`)
	}
	*d = duration(v)
	return nil
}

// instant is a time in the format of RFC 3339.
type instant struct{ time.Time }

func (t *instant) setJSON(raw []byte) error {
	var text string
	if json.Unmarshal(raw, &text) != nil || string(raw) == "null" {
		return errInstant
	}
	return t.setText(text)
}

func (t *instant) setText(text string) (err error) {
	if t.Time, err = time.Parse(time.RFC3339, text); err != nil {
		return errInstant
	}
	if !bounds.Time(t.Time) { // the zero time, too: "never" is written as null
		t.Time = time.Time{}
		return errFarInstant
	}
	return nil
}

var (
	errInstant    = errors.New(`must be a time with its zone, like "2027-01-31T12:00:00Z"`)
	errFarInstant = errors.New("must be in the years 1 to 9999, in UTC")
)

// wholeNumber reads a number as JSON writes it. 1e3 and 60.0 are whole, too.
func wholeNumber(text string) (n int64, ok bool) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, true
	}
	const exact = 1 << 53 // above this, not every whole number is a float64
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) >= exact || strings.ContainsAny(text, "xX_iInN") {
		return 0, false
	}
	return int64(f), true
}

// network is a prefix; requests may also write a single address.
type network struct{ netip.Prefix }

func (n *network) setJSON(raw []byte) error {
	var text string
	if json.Unmarshal(raw, &text) != nil || string(raw) == "null" {
		return errNetwork
	}
	return n.setText(text)
}

func (n *network) setText(text string) (err error) {
	if !strings.Contains(text, "/") {
		addr, err := netip.ParseAddr(text)
		if err != nil || addr.Zone() != "" {
			return errNetwork
		}
		n.Prefix = netip.PrefixFrom(addr, addr.BitLen())
		return nil
	}
	if n.Prefix, err = netip.ParsePrefix(text); err != nil {
		return errNetwork
	}
	return nil
}

var errNetwork = errors.New(`must be a network like "10.0.0.0/8" or "2001:db8::/32", or one address`)

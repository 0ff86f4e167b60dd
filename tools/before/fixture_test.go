package before_test

import (
	"encoding/json"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/wontopos/latchkey/apikey"
)

// fixture is what a version before wrote down beside the data that it wrote.
type fixture struct {
	Written time.Time
	Pepper  []byte            // number 7; the first secrets have none
	IDs     map[string]string // of the keys, by their part in the tests
	Asks    []ask
	Records []apikey.Key // oldest first
	Audit   []apikey.AuditEntry
	Usage   map[string]usage // by id
}

// ask is a request, and how it was answered.
type ask struct {
	Key, Token, Method, Host string
	From                     netip.Addr
	Status                   int
	Code                     string
}

// usage is what was counted for a key. Counts are in the order in which they are stored.
type usage struct {
	Hours []struct {
		Hour   time.Time
		Secret uint32
		Counts [10]uint64
	}
	Days []struct {
		Day    time.Time
		Counts [10]uint64
	}
	Secrets []struct {
		Secret uint32
		Counts [10]uint64
		Last   apikey.LastUse
	}
	Scopes []apikey.ScopeUse
}

func readFixture(t *testing.T, name string) *fixture {
	t.Helper()
	text, err := os.ReadFile(name)
	must(t, err)
	f := new(fixture)
	must(t, json.Unmarshal(text, f))
	return f
}

// of returns the first request with a key's secret; secrets count from 0, in the order in which they were made.
func (f *fixture) of(key string, secret int) ask {
	tokens := make(map[string]int)
	for _, a := range f.Asks {
		if a.Key != key {
			continue
		}
		if _, ok := tokens[a.Token]; !ok {
			tokens[a.Token] = len(tokens)
		}
		if tokens[a.Token] == secret {
			return a
		}
	}
	panic("no such request: " + key)
}

func (f *fixture) record(key string) apikey.Key {
	for _, k := range f.Records {
		if k.ID == f.IDs[key] {
			return k
		}
	}
	panic("no such key: " + key)
}

func countsOf(n [10]uint64) (c apikey.Counts) {
	for i, field := range c.Fields() {
		*field = n[i]
	}
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

package admin_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/wontopos/latchkey/admin"
)

// FuzzBind: no body makes the binder panic, what it calls JSON is JSON, and
// every fault has a well-formed pointer.
func FuzzBind(f *testing.F) {
	for _, seed := range []string{
		`{}`, `null`, `[]`, `"x"`, `7`, `{"name":"x","scopes":["a:b",null,1],"limits":[{"name":"m","n":1e9,"window":"1m"}]}`,
		`{"metadata":{"a/b":"~","":1},"expires_at":null,"networks":["::/0","10.0.0.1",""]}`, `{"grace":-1,"immediately":1}`,
		`{"token":{}}`, `{"name":"\ud800","name":2}`, ` {"limits":{"0":[]}} `, `{"a~b":{"c":[{}]}}`, `{"grace":99999999999999999999}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		pointers, ok := admin.Bind(raw)
		if ok != json.Valid(raw) && ok {
			t.Fatalf("%q is taken for JSON", raw)
		}
		for _, p := range pointers {
			if p != "" && !strings.HasPrefix(p, "/") {
				t.Errorf("%q: pointer %q", raw, p)
			}
			if rest := strings.NewReplacer("~0", "", "~1", "").Replace(p); strings.Contains(rest, "~") {
				t.Errorf("%q: pointer %q has a bare ~", raw, p)
			}
		}
	})
}

package openapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/admin"
	"github.com/wontopos/latchkey/storage/memstore"
	"github.com/wontopos/latchkey/tools/openapi"
)

const root = "../.."

// document is what the handler serves. That it is linked into this test has a
// second use: what runs in another process the go command does not see, and would
// keep a result of before a change.
func document(t *testing.T) *openapi.API {
	t.Helper()
	keys, err := latchkey.New(memstore.New(), latchkey.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = keys.Close(context.Background()) })
	somebody := func(*http.Request) (admin.Actor, error) {
		return admin.Actor{ID: "test", Role: admin.Operator, ReadOnly: true}, nil
	}
	h, err := admin.New(keys, somebody, admin.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/openapi.yaml", nil))
	api, err := openapi.Load(w.Body.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return api
}

// run runs the tests of package admin, once for all tests here.
var run = sync.OnceValues(func() (r struct {
	routes    []openapi.Route
	exchanges []openapi.Exchange
}, err error,
) {
	dir, err := os.MkdirTemp("", "latchkey-openapi-")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(dir)
	cmd := exec.Command("go", "test", "-count=1", "./admin")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "LATCHKEY_RECORD_EXCHANGES="+dir, "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return r, &failed{err, out}
	}
	raw, err := os.ReadFile(filepath.Join(dir, "routes.json"))
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(raw, &r.routes); err != nil {
		return r, err
	}
	raw, err = os.ReadFile(filepath.Join(dir, "exchanges.jsonl"))
	if err != nil {
		return r, err
	}
	for line := range bytes.Lines(raw) {
		var x openapi.Exchange
		if err := json.Unmarshal(line, &x); err != nil {
			return r, err
		}
		r.exchanges = append(r.exchanges, x)
	}
	return r, nil
})

type failed struct {
	err error
	out []byte
}

func (f *failed) Error() string { return f.err.Error() + "\n" + string(f.out) }

// TestExchanges: the API and its description are of one mind.
func TestExchanges(t *testing.T) {
	t.Parallel()
	r, err := run()
	if err != nil {
		t.Fatal(err)
	}
	api := document(t)
	faults := append(api.Routes(r.routes), api.Unseen(r.exchanges)...)
	times, checked := map[string]int{}, 0
	for i := range r.exchanges {
		if !sampled(times, &r.exchanges[i]) {
			continue
		}
		checked++
		if err := api.Check(&r.exchanges[i]); err != nil && len(faults) < 40 {
			faults = append(faults, fmt.Sprintf("%v\n%v", err, &r.exchanges[i]))
		}
	}
	for _, f := range faults {
		t.Error(f)
	}
	t.Logf("%d routes, %d exchanges, %d of them checked", len(r.routes), len(r.exchanges), checked)
}

// sampled selects the exchanges to check, which takes milliseconds each: a test that asks for the same list ten thousand
// times has all its first answers checked, and some of the others.
func sampled(times map[string]int, x *openapi.Exchange) bool {
	path, _, _ := strings.Cut(x.Path, "?")
	parts := strings.Split(path, "/")
	if len(parts) > 3 {
		parts[3] = "{id}"
	}
	kind := fmt.Sprint(x.Method, parts, x.Status)
	times[kind]++
	return times[kind] <= 100 || times[kind]%50 == 0 || os.Getenv("LATCHKEY_LONG") != ""
}

// TestCheckNotices: an API that does otherwise than its description says does
// not pass.
func TestCheckNotices(t *testing.T) {
	t.Parallel()
	r, err := run()
	if err != nil {
		t.Fatal(err)
	}
	api := document(t)
	find := func(method, path string, status int) openapi.Exchange {
		for _, x := range r.exchanges {
			if x.Method == method && strings.HasPrefix(x.Path, path) && x.Status == status {
				x.Header, x.RequestHeader = x.Header.Clone(), x.RequestHeader.Clone()
				return x
			}
		}
		t.Fatalf("no exchange %s %s %d", method, path, status)
		return openapi.Exchange{}
	}
	created, list, refused := find("POST", "/v1/keys", 201), find("GET", "/v1/keys", 200), find("POST", "/v1/keys", 422)
	for rule, change := range map[string]func() openapi.Exchange{
		"a status that is not documented": func() openapi.Exchange { x := created; x.Status = 202; return x },
		"a member that is not documented": func() openapi.Exchange { x := created; x.Body = `{"secret":"x",` + x.Body[1:]; return x },
		"a member that is missing":        func() openapi.Exchange { x := list; x.Body = "{}"; return x },
		"a member of another type":        func() openapi.Exchange { x := list; x.Body = `{"keys":{}}`; return x },
		"a code that is not documented": func() openapi.Exchange {
			x := refused
			x.Body = strings.ReplaceAll(x.Body, "invalid_argument", "oops")
			return x
		},
		"a header field that is missing":        func() openapi.Exchange { x := find("POST", "/v1/keys", 201); x.Header.Del("ETag"); return x },
		"a header field that is not documented": func() openapi.Exchange { x := find("POST", "/v1/keys", 201); x.Header.Set("X-Debug", "1"); return x },
		"a header field of another form":        func() openapi.Exchange { x := find("POST", "/v1/keys", 201); x.Header.Set("ETag", "3"); return x },
		"another media type": func() openapi.Exchange {
			x := find("GET", "/v1/keys", 200)
			x.Header.Set("Content-Type", "text/html")
			return x
		},
		"a body that was taken":                 func() openapi.Exchange { x := created; x.RequestBody = `{"name":"x","colour":"red"}`; return x },
		"a parameter that was taken":            func() openapi.Exchange { x := list; x.Path = "/v1/keys?colour=red"; return x },
		"a number out of bounds that was taken": func() openapi.Exchange { x := list; x.Path = "/v1/keys?limit=5000"; return x },
		"a success at an unknown address":       func() openapi.Exchange { x := list; x.Path = "/v1/kees"; return x },
		"a refusal at one that is no problem": func() openapi.Exchange {
			x := refused
			x.Path, x.Status, x.Body = "/v1/kees", 404, `{"error":"x"}`
			return x
		},
	} {
		if x := change(); api.Check(&x) == nil {
			t.Errorf("%s goes unnoticed", rule)
		}
	}
	if faults := api.Routes(append(slices.Clone(r.routes), openapi.Route{Method: "GET", Path: "/v1/new", API: true})); len(faults) != 1 {
		t.Errorf("a route that is not documented: %q", faults)
	}
	if faults := api.Routes(slices.DeleteFunc(slices.Clone(r.routes), func(r openapi.Route) bool { return r.Path == "/v1/due" })); len(faults) != 1 {
		t.Errorf("an operation that is no route: %q", faults)
	}
	never := slices.DeleteFunc(slices.Clone(r.exchanges), func(x openapi.Exchange) bool { return x.Status == 409 && x.Path == "/v1/keys" })
	if faults := api.Unseen(never); len(faults) != 1 {
		t.Errorf("a status that was never seen: %q", faults)
	}
}

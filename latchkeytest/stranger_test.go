package latchkeytest_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// TestAStrangersModuleNeedsNothingElse: a module that requires this one can use the package, and has to download only
// what a program with a guard needs anyway: no driver, no assertion library.
func TestAStrangersModuleNeedsNothingElse(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	hash := regexp.MustCompile(`github.com/cespare/xxhash/v2 v\S+`).Find(mod)
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module example.com/stranger\n\ngo 1.26.0\n\nrequire github.com/wontopos/latchkey v0.0.0\n\n" +
			"require " + string(hash) + " // indirect\n\nreplace github.com/wontopos/latchkey => " + filepath.ToSlash(root) + "\n",
		"go.sum":      string(sums),
		"api_test.go": stranger,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", "-v", "-count=1", ".")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=readonly", "GOPROXY=off")
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: TestListThings")) {
		t.Errorf("go test: %v\n%s", err, out)
	}
}

const stranger = `package api

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/apikey"
	"github.com/wontopos/latchkey/latchkeytest"
	"github.com/wontopos/latchkey/middleware"
)

func newAPI(guard *middleware.Guard) http.Handler {
	mux := guard.Mux()
	mux.HandleFunc("GET /v1/things", middleware.AllOf("things:read"), func(w http.ResponseWriter, _ *http.Request, p *apikey.Principal) {
		fmt.Fprintf(w, "things of %s", p.Owner())
	})
	return mux
}

func TestListThings(t *testing.T) {
	guard := latchkeytest.NewGuard(t, latchkeytest.Options{})
	key := latchkeytest.CreateKey(t, guard, latchkey.NewKey{Owner: "acme", Scopes: []string{"things:read"}})
	w := httptest.NewRecorder()
	newAPI(guard).ServeHTTP(w, key.Request("GET", "/v1/things", nil))
	if got := fmt.Sprint(w.Code, " ", w.Body); got != "200 things of acme" {
		t.Error(got)
	}
}
`

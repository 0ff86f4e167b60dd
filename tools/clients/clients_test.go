package clients_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wontopos/latchkey"
	"github.com/wontopos/latchkey/admin"
	"github.com/wontopos/latchkey/storage/memstore"
)

// serve serves the API to an operator, and returns its address and a file with
// its description.
func serve(t *testing.T) (address, document string) {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	keys, err := latchkey.New(memstore.New(), latchkey.Options{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = keys.Close(context.Background()) })
	h, err := admin.New(keys, func(*http.Request) (admin.Actor, error) { return admin.Actor{ID: "o", Role: admin.Operator}, nil }, admin.Options{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/openapi.yaml", nil))
	document = filepath.Join(t.TempDir(), "openapi.yaml")
	if err := os.WriteFile(document, w.Body.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return server.URL, document
}

// run runs a program and returns what it writes.
func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestGo: oapi-codegen makes a client that compiles and runs the life of a key.
func TestGo(t *testing.T) {
	t.Parallel()
	address, document := serve(t)
	dir := t.TempDir()
	generated, overlay := filepath.Join(dir, "client.gen.go"), filepath.Join(dir, "overlay.json")
	run(t, ".", "go", "tool", "oapi-codegen", "-config", "oapi-codegen.yaml", "-o", generated, document)
	here, err := filepath.Abs("life/client.gen.go")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(map[string]any{"Replace": map[string]string{here: generated}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(overlay, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "life.exe") // apart, because the go command may say that it downloads modules
	run(t, ".", "go", "build", "-tags", "generated", "-overlay", overlay, "-o", binary, "./life")
	if out := run(t, ".", binary, address); out != "ok\n" {
		t.Errorf("the life of a key: %s", out)
	}
}

// TestTypeScript: openapi-typescript makes types with which the life of a key
// compiles and runs.
func TestTypeScript(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip("missing component: node: apt-get install nodejs npm")
		}
	}
	address, document := serve(t)
	dir := installed(t)
	work := t.TempDir()
	for _, name := range []string{"life.ts", "tsconfig.json", "package.json"} {
		raw, err := os.ReadFile(filepath.Join("ts", name))
		if err == nil {
			err = os.WriteFile(filepath.Join(work, name), raw, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	modules := filepath.Join(dir, "node_modules")
	if err := os.Symlink(modules, filepath.Join(work, "node_modules")); err != nil {
		t.Fatal(err)
	}
	run(t, work, "node", filepath.Join(modules, "openapi-typescript/bin/cli.js"), document, "-o", "schema.d.ts")
	run(t, work, "node", filepath.Join(modules, "typescript/bin/tsc"), "-p", ".")
	if out := run(t, work, "node", "life.js", address); out != "ok\n" {
		t.Errorf("the life of a key: %s", out)
	}
}
